"""Which prompts models were scored on, and how often the same test rows decided."""
