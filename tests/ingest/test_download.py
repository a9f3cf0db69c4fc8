import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.ingest.download import download_file, fetch_source, select_hub_files
from pipeline.ingest.stage import run
from pipeline.pairs import read_pairs
from pipeline.params import Source
from tests.support.sources import asked, ingest

BODY = b'{"prompt": "Why?", "completion": "So."}\n'
PIN = hashlib.sha256(BODY).hexdigest()
HUB = f"hf://datasets/owner/name@{'0' * 40}/train"


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder, and counts what was asked for."""

    asked_for: list[str]

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Serve a file."""
        self.asked_for.append(self.path)
        super().do_GET()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[str]]]:
    """A web server on this machine with one file, an empty cache, and what was asked for."""
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "a.jsonl").write_bytes(BODY)
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "cache"))
    asked_for: list[str] = []
    handler = type("Handler", (Quiet,), {"asked_for": asked_for})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(tmp_path / "served"))) as http:
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_address[1]}/a.jsonl", asked_for
        http.shutdown()
        thread.join()


def test_a_pinned_file_is_fetched_once_and_read(server: tuple[str, list[str]], tmp_path: Path) -> None:
    """The second time it comes from the cache; its pairs bear the address."""
    address, asked_for = server
    for name in ("first", "second"):
        run(ingest(tmp_path, asked(path=address, sha256=PIN)), tmp_path / name)
        (pair,) = read_pairs(tmp_path / name / "ingest" / "pairs.parquet")
        assert (pair.prompt, pair.completion, pair.source) == ("Why?", "So.", address)
    assert len(asked_for) == 1


def test_a_file_without_a_pin_is_refused_with_the_pin(server: tuple[str, list[str]]) -> None:
    """The user can copy it; and then nothing is fetched again."""
    address, asked_for = server
    with pytest.raises(UserError) as caught:
        fetch_source(asked(path=address))
    assert str(caught.value) == (
        f"params.yaml: ingest.sources: {address}: is not pinned, and may hold other rows tomorrow; "
        f"if what is there now is right, set its sha256: {PIN}"
    )
    assert [path.read_bytes() for path in fetch_source(asked(path=address, sha256=PIN)).values()] == [BODY]
    assert len(asked_for) == 1


def test_other_bytes_than_the_pinned_ones_are_refused(server: tuple[str, list[str]], tmp_path: Path) -> None:
    """Both digests are told, and nothing stays in the cache."""
    address, _ = server
    with pytest.raises(UserError) as caught:
        fetch_source(asked(path=address, sha256="0" * 64))
    assert str(caught.value) == (
        f"{address}: its bytes are not the pinned ones; expected {'0' * 64}; got {PIN}; "
        "pin the new ones if they are right"
    )
    assert not list((tmp_path / "cache").rglob("*.jsonl"))


def test_a_file_that_is_not_there_is_named(server: tuple[str, list[str]], tmp_path: Path) -> None:
    """In one line."""
    address = server[0].replace("a.jsonl", "b.jsonl")
    with pytest.raises(UserError) as caught:
        download_file(address, tmp_path / "b")
    assert str(caught.value).startswith(f"{address}: could not be downloaded: ")
    assert str(caught.value).endswith("; check the address, the rights to it, the network")


@pytest.mark.parametrize(("kind", "package"), [("gs", "gcsfs"), ("az", "adlfs")])
def test_a_missing_extra_is_named(kind: str, package: str, tmp_path: Path) -> None:
    """With the command that installs it."""
    try:
        __import__(package)
    except ImportError:
        pass
    else:
        pytest.skip(f"{package} is installed")
    with pytest.raises(UserError) as caught:
        download_file(f"{kind}://bucket/a.jsonl", tmp_path / "a")
    assert str(caught.value) == (
        f"{kind}://bucket/a.jsonl: cannot be read without {package}; install the extra: "
        f"pip install -c constraints.txt -e '.[{kind}]'"
    )


FILES = ["README.md", "data/train-0.parquet", "data/train-1.parquet", "data/test-0.parquet", "csv/train.csv", "x.json"]


@pytest.mark.parametrize(
    ("wanted", "files"),
    [
        ("x.json", ["x.json"]),
        ("data/*-0.parquet", ["data/test-0.parquet", "data/train-0.parquet"]),
        ("test", ["data/test-0.parquet"]),
    ],
)
def test_a_dataset_gives_the_files_that_are_meant(wanted: str, files: list[str]) -> None:
    """By name, by pattern, or by what they call themselves."""
    assert select_hub_files(HUB, wanted, FILES) == files


@pytest.mark.parametrize(
    ("wanted", "line"),
    [
        ("train", f"{HUB}: has several sets of files called 'train'; got csv/train.csv, data/train-0.parquet, "),
        ("dev", f"{HUB}: has no file, and no split, 'dev'; got csv/train.csv, data/test-0.parquet, "),
    ],
)
def test_a_split_that_may_be_several_is_refused(wanted: str, line: str) -> None:
    """What there is is listed."""
    with pytest.raises(UserError) as caught:
        select_hub_files(HUB, wanted, FILES)
    assert str(caught.value).startswith(line)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"path": "hf://datasets/owner/name@main/train"}, "a branch or tag can move"),
        ({"path": "hf://datasets/owner/name"}, "expected hf://datasets/OWNER/NAME@COMMIT/FILE-OR-SPLIT"),
        ({"path": "ftp://a/b"}, "expected a path, or an address of https, s3, gs, az or hf"),
        ({"path": "https://a/*.csv"}, "an address names one file, which one digest pins"),
        ({"path": "a.csv", "sha256": "0" * 64}, "sha256 is for a file at an address"),
        ({"encoding": "klingon"}, "no encoding of that name"),
        ({"delimiter": ";", "format": "jsonl"}, "delimiter is for tables"),
    ],
)
def test_params_refuse_what_could_move_or_would_be_without_effect(values: dict[str, str], line: str) -> None:
    """Before anything is fetched."""
    with pytest.raises(ValueError, match=line):
        asked(**values)
    assert isinstance(asked(), Source)


def test_a_cloud_without_rights_says_so_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its package has errors of its own, which are not those of files."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(UserError) as caught:
        download_file("s3://a-bucket/a.jsonl", tmp_path / "a.jsonl")
    assert str(caught.value) == (
        "s3://a-bucket/a.jsonl: could not be downloaded: Unable to locate credentials; check the address, the rights "
        "to it, the network"
    )
