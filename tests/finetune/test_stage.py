"""Laws of the training stage, on the tiny model."""

import time
from pathlib import Path

import pytest
import torch

from pipeline.errors import UserError
from pipeline.files import read_json
from pipeline.finetune import stage as finetune
from pipeline.hashing import file_digests, file_sha256, tree_digest
from pipeline.model.adapters import add_adapter, load_base, save_adapter, seed_everything
from pipeline.model.chat_template import Encoded
from pipeline.params import Finetune
from tests.support.finetune_run import COST, HISTORY, WEIGHTS, Done, run, write_rows
from tests.support.tiny_params import tiny_params

pytestmark = pytest.mark.usefixtures("imported_is_no_garbage")

OTHER = {
    "adapter": "rslora",
    "rank": 2,
    "alpha": 32,
    "dropout": 0.5,
    "target_modules": ["q_proj"],
    "learning_rate": 0.001,
    "lora_plus_ratio": 16,
    "label_smoothing": 0.1,
    "epochs": 1,
    "batch_size": 3,
    "gradient_accumulation_steps": 2,
    "packing": False,
    "shared_prefix": False,
    "supervised_logits": False,
    "length_window": 1,
    "micro_batch_tokens": 1,
    "lr_scheduler": "cosine",
    "warmup_ratio": 0.5,
    "weight_decay": 0.5,
    "max_grad_norm": 0.01,
    "checkpoint": "last",
    "patience": 1,
    "logging_steps": 1,
    "seed": 2,
}
"""Another value for each field of the section; a new field needs one too."""
ONLY_SAVES = {"compile", "activation_checkpointing", "processes"}
"""What is only to save time or memory: test_training holds the result to be the same."""
UNDER = {field: {"learning_rate": 0.1, "epochs": 6, "lr_scheduler": "constant"} for field in ("checkpoint", "patience")}
"""What a field needs of others to make a difference: a validation loss that rises."""
TRAINING = {"step", "epoch", "train_loss", "train_grad_norm", "train_learning_rate"}
VALIDATION = {"step", "epoch", "validation_loss"}


@pytest.fixture(scope="module")
def done(base: Path, rows: list[Encoded], tmp_path_factory: pytest.TempPathFactory) -> Done:
    """One run on 8 rows, with 3 to validate on, for all tests that look at what it left."""
    data, before = tmp_path_factory.mktemp("finetune"), file_digests(base)
    write_rows(data, rows[:8], rows[8:11])
    started = time.monotonic()
    digests = run(tiny_params(base), data)
    return Done(data, digests, before, time.monotonic() - started)


def test_the_stage_writes_these_files_and_no_other(done: Done) -> None:
    """The folder holds the adapter, the curves, report, environment and cost; nothing of the Trainer's own."""
    reports = {f"{name}.json" for name in ("report", "environment", "cost")}
    assert set(done.digests) == {HISTORY, WEIGHTS, "adapter/adapter_config.json", *reports}


def test_two_runs_write_the_same_bytes(
    done: Done, base: Path, rows: list[Encoded], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second run gives the same folder, byte for byte but the seconds; the live file gets the same points."""
    monkeypatch.setenv("TUNESMITH_LIVE", str(tmp_path / "live.jsonl"))
    write_rows(tmp_path, rows[:8], rows[8:11])
    again = run(tiny_params(base), tmp_path)
    assert {**again, COST: ""} == {**done.digests, COST: ""}
    assert (tmp_path / "live.jsonl").read_bytes() == (done.data / "finetune" / HISTORY).read_bytes()


@pytest.mark.parametrize("field", [name for name in Finetune.model_fields if name not in ONLY_SAVES])
def test_every_field_of_the_section_is_live(
    done: Done, base: Path, rows: list[Encoded], tmp_path: Path, field: str
) -> None:
    """Changing any one field of `finetune` changes the curves or the adapter's weights."""
    write_rows(tmp_path, rows[:8], rows[8:11])
    under = {f"finetune.{name}": value for name, value in UNDER.get(field, {}).items()}
    before = run(tiny_params(base, **under), tmp_path) if under else done.digests
    after = run(tiny_params(base, **under, **{f"finetune.{field}": OTHER[field]}), tmp_path)
    assert [after[name] for name in (HISTORY, WEIGHTS)] != [before[name] for name in (HISTORY, WEIGHTS)]


def test_the_base_model_is_untouched_on_disk(done: Done, base: Path) -> None:
    """Training writes nothing into the folder of the base model, and the report names it by its digest."""
    assert file_digests(base) == done.base_before
    assert read_json(done.data / "finetune" / "report.json")["base_digest"] == tree_digest(done.base_before)


def test_the_report_tells_the_adapter_before_and_after(done: Done, base: Path, tmp_path: Path) -> None:
    """The first weights are those that the seed gives to a fresh adapter; the last are the file's, and others."""
    params = tiny_params(base)
    seed_everything(params.model, params.finetune.seed)
    save_adapter(add_adapter(load_base(base, params.model), params.finetune), tmp_path, "0" * 64)
    report = read_json(done.data / "finetune" / "report.json")
    assert report["initial_adapter"] == file_sha256(tmp_path / "adapter_model.safetensors")
    assert report["adapter"] == file_sha256(done.data / "finetune" / WEIGHTS) != report["initial_adapter"]
    assert {name: report[name] for name in ("rows", "steps")} == {"rows": 8, "steps": 4}


def test_the_cost_is_the_seconds_of_the_training(done: Done) -> None:
    """They are some, and fewer than the whole stage took."""
    assert 0 < read_json(done.data / "finetune" / COST)["seconds"] < done.seconds


def test_the_loss_falls(done: Done) -> None:
    """Both curves end below where they began."""
    for name in ("train_loss", "validation_loss"):
        curve = [point[name] for point in done.history if name in point]
        assert curve[-1] < curve[0] - 0.01


def test_each_point_of_the_curves_has_exactly_these_keys(done: Done) -> None:
    """A point is of the training curve or of the validation curve, and tells its step and its epoch."""
    assert [(set(point), point["step"], point["epoch"]) for point in done.history] == [
        (TRAINING, 2, 1.0), (VALIDATION, 2, 1.0), (TRAINING, 4, 2.0), (VALIDATION, 4, 2.0),
    ]  # fmt: skip


def test_a_training_too_short_for_a_point_has_a_curve_without_one(
    base: Path, rows: list[Encoded], tmp_path: Path
) -> None:
    """The file is there all the same: DVC and the release count on it."""
    write_rows(tmp_path, rows[:8], [])
    assert HISTORY in run(tiny_params(base, **{"finetune.logging_steps": 100}), tmp_path)
    assert (tmp_path / "finetune" / HISTORY).read_text(encoding="utf-8") == ""


def test_without_validation_rows_there_is_no_validation_curve(base: Path, rows: list[Encoded], tmp_path: Path) -> None:
    """An empty validation split trains as well, and no number is made up for it."""
    write_rows(tmp_path, rows[:8], [])
    digests = run(tiny_params(base), tmp_path)
    assert [set(point) for point in Done(tmp_path, digests, {}, 0).history] == [TRAINING, TRAINING]


def test_what_the_bytes_depend_on_is_recorded(done: Done) -> None:
    """Device, processor, Python and the packages stand beside the adapter."""
    told = read_json(done.data / "finetune" / "environment.json")
    assert set(told) == {"device", "cpu", "compiler", "python", "packages"}
    assert told["compiler"] is None
    assert told["cpu"]["threads"] == 1
    assert set(told["packages"]) == set(finetune.TRAINING_PACKAGES)
    assert told["packages"]["torch"] == torch.__version__


def test_without_a_compiler_the_stage_ends_in_one_line(base: Path, rows: list[Encoded], tmp_path: Path) -> None:
    """Asked to compile where nothing can be compiled, it says so before anything is loaded."""
    torch._dynamo.reset()
    write_rows(tmp_path, rows[:8], [])
    with torch._inductor.config.patch({"cpp.cxx": ("no-such-compiler",)}), pytest.raises(UserError) as caught:
        run(tiny_params(base, **{"finetune.compile": True}), tmp_path)
    assert str(caught.value).startswith("finetune.compile: nothing can be compiled here: ")
