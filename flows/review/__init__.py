"""What a change of the data or of the code means, for people and for pull requests."""
