"""Scores of predictions: labels, calibration, text, JSON fields, house rules."""
