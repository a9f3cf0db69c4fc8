"""Laws of answering with a release."""

import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline import predict
from pipeline.errors import UserError
from pipeline.files import read_json, write_json
from pipeline.hashing import MANIFEST, file_digests, tree_digest
from pipeline.predict import Predictor, base_folder
from pipeline.register import stage as register
from tests.support.tiny_params import crown, finished


@pytest.fixture(scope="module")
def data(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny project with its release, whose model is the champion."""
    params, done = finished(base)
    found = Path(shutil.copytree(done, tmp_path_factory.mktemp("predict") / "data"))
    register.run(params.model, params.prompt, params.register, params.prices, found)
    crown(found, release_of(found))
    return found


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of base models."""
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


def release_of(data: Path) -> dict[str, Any]:
    found: dict[str, Any] = read_json(data / "register" / "release.json")
    return found


def predictions(data: Path) -> dict[str, list[str]]:
    return dict(pq.read_table(data / "evaluate" / "predictions.parquet").to_pydict())


def test_a_release_answers_as_it_did_when_it_was_evaluated(data: Path) -> None:
    """The same prompts get the very answers whose metrics are in the release, not those of the base."""
    found = predictions(data)
    predictor = Predictor(release_of(data), data / "finetune" / "adapter")
    assert predictor.predict(found["prompt"]) == found["fine-tuned"] != found["zero_shot"]
    assert predictor.predict(found["prompt"][:1]) == found["fine-tuned"][:1]


def test_a_release_chooses_among_its_own_labels(data: Path) -> None:
    """The labels are those of the release, whatever is asked."""
    release = {**release_of(data), "labels": ["yes", "no"]}
    answers = Predictor(release, data / "finetune" / "adapter").predict(["what?", "who?", "blue?"])
    assert set(answers) <= {"yes", "no"}


def test_a_release_renders_with_its_own_system_message(data: Path) -> None:
    """The prompt is the one that the model was trained with, system message and all."""
    release = {**release_of(data), "prompt": {"task": "labels", "system": "Another message."}}
    renderer = Predictor(release, data / "finetune" / "adapter").prompt_encoder
    assert renderer.render([]).startswith("<|im_start|>system\nAnother message.<|im_end|>\n")


def test_another_base_than_the_one_trained_on_is_refused(data: Path, base: Path) -> None:
    """An adapter is never put on a base with other bytes, though it would fit."""
    release = release_of(data)
    release["digests"]["base"] = "0" * 64
    with pytest.raises(UserError) as caught:
        Predictor(release, data / "finetune" / "adapter")
    assert str(caught.value) == (
        f"{base}: is not the base that the adapter was trained on; "
        f"expected {'0' * 64}; got {tree_digest(file_digests(base))}"
    )


def test_the_base_is_found_by_its_digest_where_its_source_is_gone(data: Path, base: Path, models: Path) -> None:
    """A cached model with the right digest serves, whatever became of the place it came from."""
    shutil.copytree(base, models / "kept")
    write_json(models / "kept" / MANIFEST, {"source": "elsewhere", "files": file_digests(base)})
    release = release_of(data)
    gone = finished(base)[0].model.model_copy(update={"source": "nowhere"})
    assert base_folder(gone, release["digests"]["base"]) == models / "kept"


def test_the_command_answers_a_line_a_text(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Given the champion's folder and some texts, the answers are printed in their order and nothing else."""
    found = predictions(data)
    predict.main(data / "champion", found["prompt"][:3])
    assert capsys.readouterr().out.splitlines() == found["fine-tuned"][:3]


def test_the_command_ends_in_one_line_when_there_is_no_base(data: Path, tmp_path: Path) -> None:
    """A release whose base is nowhere to be had ends with its line, not with a traceback."""
    release = release_of(data)
    release["model"]["source"] = "nowhere"
    write_json(tmp_path / "champion.json", release)
    with pytest.raises(SystemExit) as caught:
        predict.main(tmp_path, ["what?"])
    assert caught.value.code == (
        "error: params.yaml: model.source: nowhere: no model there; expected a folder with config.json and safetensors"
    )
