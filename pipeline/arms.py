"""Names of the arms that every evaluation may have; baselines go by their names in params."""

FINETUNED = "fine-tuned"
CHAMPION = "champion"
BASE = "zero_shot"
"""The base model as it is, with the system message of params."""
HOSTED = "hosted"
"""A model behind an API, which is paid by the token."""
