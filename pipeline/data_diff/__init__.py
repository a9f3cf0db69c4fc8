"""Compares two versions of the pairs and recommends what to do about the change."""
