"""Remote sources: downloaded once into the cache, and pinned by digest or commit."""

import hashlib
import re
import shutil
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path, PurePosixPath

from pipeline.cache import cache_folder, cached_folder, temporary_sibling
from pipeline.errors import UserError
from pipeline.hashing import file_sha256
from pipeline.ingest.file_formats import FORMAT_BY_SUFFIX
from pipeline.ingest.text_stream import data_suffix
from pipeline.params import DATASET, Source

SCHEME_EXTRAS = {"s3": "s3fs", "gs": "gcsfs", "az": "adlfs"}
"""Kinds of address that need an extra of pyproject, of the same name, and the package that it brings."""
SCHEME_ERRORS = {
    "s3": ("botocore.exceptions.BotoCoreError", "botocore.exceptions.ClientError"),
    "gs": ("google.auth.exceptions.GoogleAuthError", "gcsfs.retry.HttpError"),
    "az": ("azure.core.exceptions.AzureError", "builtins.ValueError"),  # that of an account that nobody named
}
"""What those packages raise that is no OSError."""
READ_TIMEOUT_SECONDS = 120
"""How long a web server may be silent; a whole file may take as long as it takes."""
NAMED_FILES = 10


def fetch_source(source: Source) -> dict[str, Path]:
    """Bring the files of a remote source into the cache: their names, and where they lie.

    Raises:
        UserError: If they cannot be had, or if params do not pin them: then with the digest that would.
    """
    address = source.path
    match = DATASET.fullmatch(address)
    if match:
        return fetch_hub_dataset(address, match["name"], match["revision"])
    if source.sha256 is None:
        raise download_unpinned(address)
    pin = source.sha256
    folder = source_cache_folder(address, pin)
    cached_folder(folder, address, lambda into: download_pinned(address, pin, into))
    return {address: folder / address_file_name(address)}


def source_cache_folder(address: str, pin: str) -> Path:
    """Where in the cache a source lies."""
    return cache_folder("sources") / hashlib.sha256(f"{address} {pin}".encode()).hexdigest()[:16]


def address_file_name(address: str) -> str:
    """Give the file's own name, without what a web address has behind it."""
    plain = re.split(r"[?#]", address)[0] if address.startswith("http") else address
    return plain.rpartition("/")[2] or "file"


def download_unpinned(address: str) -> UserError:
    """Fetch a file that params do not pin, keep it, and say by which digest it can be had."""
    folder = cache_folder("sources")
    folder.mkdir(parents=True, exist_ok=True)
    with temporary_sibling(folder) as part:
        file = part / address_file_name(address)
        download_file(address, file)
        got = file_sha256(file)

        def keep(into: Path) -> None:
            shutil.move(file, into)

        cached_folder(source_cache_folder(address, got), address, keep)
    return UserError(
        f"params.yaml: ingest.sources: {address}",
        "is not pinned, and may hold other rows tomorrow",
        do=f"if what is there now is right, set its sha256: {got}",
    )


def download_pinned(address: str, sha256: str, into: Path) -> None:
    """Download a file whose digest is known."""
    file = into / address_file_name(address)
    download_file(address, file)
    got = file_sha256(file)
    if got != sha256:
        raise UserError(
            address,
            "its bytes are not the pinned ones",
            expected=sha256,
            got=got,
            do="pin the new ones if they are right",
        )


def download_file(address: str, file: Path) -> None:
    """Download a file.

    Raises:
        UserError: If it is not there, or what reads such addresses is not installed.
    """
    import aiohttp  # noqa: PLC0415 -- both take a third of a second, and only remote sources need them
    import fsspec  # noqa: PLC0415

    kind = address.partition("://")[0]
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=READ_TIMEOUT_SECONDS, sock_read=READ_TIMEOUT_SECONDS)
    options = {"client_kwargs": {"timeout": timeout}} if kind.startswith("http") else {}
    try:
        files, path = fsspec.url_to_fs(address, **options)
        files.get_file(path, str(file))
    except ImportError as error:
        raise UserError(
            address,
            f"cannot be read without {SCHEME_EXTRAS.get(kind, kind)}",
            do=f"install the extra: pip install -c constraints.txt -e '.[{kind}]'",
        ) from error
    except download_errors(kind) as error:  # asked only now: before, its package may not be there
        why = "no such file" if isinstance(error, FileNotFoundError) else f"{error or type(error).__name__}"
        raise UserError(
            address, f"could not be downloaded: {why}", do="check the address, the rights to it, the network"
        ) from error


def download_errors(kind: str) -> tuple[type[Exception], ...]:
    """List how reading a kind of address may fail: as any file or web server does, and as its own package says it."""
    import aiohttp  # noqa: PLC0415 -- see download

    names = [name.rpartition(".") for name in SCHEME_ERRORS.get(kind, ())]
    return (OSError, aiohttp.ClientError, *(getattr(import_module(module), name) for module, _, name in names))


def fetch_hub_dataset(address: str, name: str, commit: str) -> dict[str, Path]:
    """Bring files of a dataset at a commit of the Hub into the cache."""
    folder = source_cache_folder(address, commit)
    digests = cached_folder(folder, address, lambda into: download_hub_files(address, name, commit, into))
    return {f"hf://datasets/{name}@{commit}/{file}": folder / file for file in sorted(digests)}


def download_hub_files(address: str, name: str, commit: str, into: Path) -> None:
    """Download the files that an address of the Hub means."""
    import httpx  # noqa: PLC0415 -- slow to import, and only this kind of source needs them
    from huggingface_hub import HfApi, hf_hub_download  # noqa: PLC0415
    from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415

    wanted = address.partition("@")[2].partition("/")[2]
    try:
        files = HfApi().list_repo_files(name, revision=commit, repo_type="dataset")
        for file in select_hub_files(address, wanted, files):
            hf_hub_download(name, file, revision=commit, repo_type="dataset", local_dir=into)
    except (HfHubHTTPError, httpx.HTTPError, OSError) as error:
        raise UserError(
            address, f"could not be downloaded: {error}", do="check the name, the commit, the network"
        ) from error
    shutil.rmtree(into / ".cache", ignore_errors=True)


def select_hub_files(address: str, wanted: str, files: list[str]) -> list[str]:
    """Choose the files that are meant: one by its name, several by a pattern, or those named for a split.

    What the dataset's own page says of its splits is not looked at.

    Raises:
        UserError: If there is none, or if several files call themselves that split in different ways.
    """
    known = sorted(file for file in files if data_suffix(Path(file)) in FORMAT_BY_SUFFIX)
    if wanted in files:
        return [wanted]
    split = re.compile(rf"(^|[/._-]){re.escape(wanted)}([/._-]|$)")
    pattern = any(mark in wanted for mark in "*?[")
    selected = [file for file in known if (fnmatch(file, wanted) if pattern else split.search(file))]
    kinds = {(str(PurePosixPath(file).parent), data_suffix(Path(file))) for file in selected}
    if selected and (pattern or len(kinds) == 1):
        return selected
    shown = ", ".join((selected or known)[:NAMED_FILES]) or "no file of rows"
    what = f"has several sets of files called {wanted!r}" if selected else f"has no file, and no split, {wanted!r}"
    raise UserError(address, what, got=shown, do="name the file, or a pattern such as data/train-*.parquet")
