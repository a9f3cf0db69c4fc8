"""Trains the adapter: batches, loss, checkpoints, exact resume."""
