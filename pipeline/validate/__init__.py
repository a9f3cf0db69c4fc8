"""Checks every pair, quarantines what breaks a check, and splits the rest into train, validation and test."""
