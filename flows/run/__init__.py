"""A run: plan, Prefect flow, the stages one after the other."""
