"""The champion's files and the log of promotions."""
