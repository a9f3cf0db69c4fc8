"""Intervals, paired comparisons and power."""
