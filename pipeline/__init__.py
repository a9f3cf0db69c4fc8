"""The work of fine-tuning, from pairs to a release: pure file to file, knowing neither Prefect nor DVC nor MLflow.

Seven stages, in order: ingest, validate, tokenize, rivals, finetune, evaluate, register. Each is one module that reads
files and writes its own folder under data/. What they share: params (what was asked), pairs (what passes between them),
prompt (how a pair becomes tokens), weights (where the base model comes from), model (base, adapter, seeds),
generate (how a model answers), rival (other ways to answer), metrics (numbers with their intervals). What stands round
them: stage (the process), problem (what users read), process (who dies with whom). predict answers with a released
model.
"""
