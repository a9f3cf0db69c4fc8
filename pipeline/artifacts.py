"""Paths of files, below `data/`, that one part of the project writes and others read."""

LEARNING_CURVE = "learning_curve/curve.json"
"""What `tunesmith learning-curve` measured; register shows it, if it is there."""
