"""The work of fine-tuning, from pairs to a release: pure file to file, knowing neither Prefect nor DVC nor MLflow.

Seven stages, in order: ingest, validate, tokenize, baselines, finetune, evaluate, register. Each is a package that
reads files and writes its own folder under data/; `python -m pipeline.<stage>` runs it. What stages share: params,
pairs, files, hashing, cache, champion, and the packages model, generation, metrics, stats, dedup, holdout and html.
Around a stage: runner (the process), errors (what users read), process (children that die with their parent). Above
the stages: learning_curve, estimate, data_diff, predict, metric_lookup.
"""
