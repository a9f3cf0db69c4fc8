"""Scores the fine-tuned model, the champion and the baselines on the same held-out rows."""
