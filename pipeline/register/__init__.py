"""Decides by the gate and writes the release, the model card and the report."""
