"""Trains on subsets of the rows to say what more rows would bring."""
