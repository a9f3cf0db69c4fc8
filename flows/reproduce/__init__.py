"""Rebuilds a past model and says whether it is the same.

target: which state is meant. rebuild: the whole, from a worktree to a word in MLflow. packages: an environment from the
state's own constraints. differences: what is not now as it was then. comparison: what was recorded against what was
found, from the raw data to the verdict.
"""
