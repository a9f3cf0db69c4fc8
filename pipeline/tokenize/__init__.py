"""Renders pairs by the chat template and writes token ids with the spans that training supervises."""
