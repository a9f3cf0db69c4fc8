"""Servers, and the watch that retrains when the data changes."""
