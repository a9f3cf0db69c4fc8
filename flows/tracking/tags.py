"""Tags of runs and model versions in MLflow that more than one module reads or writes."""

COMMIT_TAG = "git.commit"
"""The commit that was checked out."""
SNAPSHOT_TAG = "git.snapshot"
"""The commit that holds the state of the run, uncommitted changes included."""
VERSION_TAG = "tunesmith.version"
"""The number of the model version that a run made."""
