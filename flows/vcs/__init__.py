"""Git and DVC: states, snapshots, worktrees, the lock file, remotes."""
