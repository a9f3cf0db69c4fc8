"""Answers the test rows without a fine-tune: classifiers, prompts, examples, retrieval, a hosted model."""
