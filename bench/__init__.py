"""Performance claims, each measured against its peer in one run."""
