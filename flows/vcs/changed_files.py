"""Names the files that changed in a folder since DVC hashed it: DVC keeps of code a digest, and git its files."""

import hashlib
import io
import subprocess
import tarfile
from pathlib import Path

from flows.vcs.dvc_lock import dvc_folder_md5
from flows.vcs.git import run_git
from pipeline.errors import UserError

COMMITS_SEARCHED = 50
"""The newest that changed the folder; each takes some 5 ms."""


def changed_in_folder(root: Path, folder: str, md5: str) -> list[str]:
    """Name what differs now from the content of a folder that had this MD5, as paths in the folder.

    Args:
        root: The checkout, or a worktree.
        folder: Path of the folder in it.
        md5: What dvc.lock says of the folder.

    Returns:
        Nothing where no commit, a run's among them, holds that content: then only the folder can be named.
    """
    commit = commit_with_folder(root, folder, md5)
    if commit is None:
        return []
    names = run_git(root, "diff", "--name-only", "-z", "--no-renames", "--relative", commit, "--", folder).split("\0")
    new = run_git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", folder).split("\0")
    return sorted(str(Path(name).relative_to(folder)) for name in {*names, *new} if name)


def commit_with_folder(root: Path, folder: str, md5: str) -> str | None:
    """Find the newest commit whose folder has this MD5; None if there is none among those searched."""
    limit = f"--max-count={COMMITS_SEARCHED}"
    commits = run_git(root, "log", "--all", "--format=%H", limit, "HEAD", "--", folder).split()
    return next((commit for commit in commits if folder_md5_at(root, commit, folder) == md5), None)


def folder_md5_at(root: Path, commit: str, folder: str) -> str:
    """Hash a folder of a commit as DVC does; a folder without files if the commit has none."""
    if not run_git(root, "ls-tree", commit, "--", folder):
        return dvc_folder_md5({})
    with tarfile.open(fileobj=io.BytesIO(archive_folder(root, commit, folder))) as archive:
        files = {member.name: file.read() for member in archive if (file := archive.extractfile(member))}
    return dvc_folder_md5(
        {
            str(Path(name).relative_to(folder)): hashlib.md5(content, usedforsecurity=False).hexdigest()
            for name, content in files.items()
        }
    )


def archive_folder(root: Path, commit: str, folder: str) -> bytes:
    """Give a folder of a commit as a tar archive, its files as a checkout would have them.

    Raises:
        UserError: With git's own words, if the commit's files cannot be read.
    """
    command = ["git", "archive", "--format=tar", commit, "--", folder]
    process = subprocess.run(command, cwd=root, check=False, capture_output=True)
    if process.returncode:
        raise UserError("git archive", process.stderr.decode(errors="replace").strip() or "failed without a word")
    return process.stdout
