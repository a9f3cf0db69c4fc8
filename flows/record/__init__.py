"""The only room that knows MLflow: runs, curves, model versions and aliases, all of them rebuilt from files.

store: where MLflow keeps things. runs: a run from its begin to its end. release: what a finished run shows.
versions: models and aliases. served: the model as MLflow loads it.
"""
