"""The base model, its chat template and adapters, and attention over packed rows."""
