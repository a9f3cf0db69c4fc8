"""Laws of the training stage, on the tiny model."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import SYSTEM
from safetensors.torch import load_file
from transformers import PreTrainedTokenizerFast

from pipeline import finetune
from pipeline.batches import PairLoss
from pipeline.digests import file_digests, file_sha256, tree_digest
from pipeline.model import add_adapter, load_base, settle
from pipeline.pairs import Pair, read_json
from pipeline.params import Finetune, Params
from pipeline.problem import Problem
from pipeline.prompt import Encoded, Renderer
from pipeline.tokens import write_tokens

MakeParams = Callable[..., Params]
TRAIN_POINT = {"step", "epoch", "train_loss", "train_grad_norm", "train_learning_rate"}
VALIDATION_POINT = {"step", "epoch", "validation_loss"}

# Another value for each field, and where the change must show: in the curves, in the weights, or in both.
OTHER = {
    "rank": 2,
    "alpha": 32,
    "dropout": 0.5,
    "targets": ["q_proj"],
    "learning_rate": 0.001,
    "epochs": 1,
    "batch_rows": 3,
    "accumulate": 2,
    "schedule": "cosine",
    "warmup_share": 0.5,
    "weight_decay": 0.5,
    "max_grad_norm": 0.01,
    "log_every": 1,
    "seed": 2,
}


@pytest.fixture
def rows(tokenizer: PreTrainedTokenizerFast, pairs: list[Pair]) -> list[tuple[str, Encoded]]:
    renderer = Renderer(tokenizer, SYSTEM)
    return [(pair.id, renderer.encode(pair.messages, pair.completion)) for pair in pairs]


@pytest.fixture
def data(tmp_path: Path, rows: list[tuple[str, Encoded]]) -> Path:
    """What tokenize leaves: 24 rows to train on and 6 to validate on."""
    (tmp_path / "tokenize").mkdir()
    write_tokens(tmp_path / "tokenize" / "train.arrow", rows[:24])
    write_tokens(tmp_path / "tokenize" / "validation.arrow", rows[24:30])
    return tmp_path


def run(params: Params, data: Path) -> dict[str, str]:
    """Run the stage; the digests of all that it wrote."""
    finetune.run(params.model, params.finetune, data)
    return file_digests(data / "finetune")


def history(data: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (data / "finetune" / "history.jsonl").read_text(encoding="utf-8").splitlines()]


def test_the_stage_writes_these_files_and_no_other(data: Path, make_params: MakeParams) -> None:
    """The folder holds the adapter, the curves, the report and the environment; nothing of the Trainer's own."""
    assert set(run(make_params(), data)) == {
        "adapter/adapter_config.json", "adapter/adapter_model.safetensors",
        "history.jsonl", "report.json", "environment.json",
    }  # fmt: skip


def test_two_runs_write_the_same_bytes(data: Path, make_params: MakeParams) -> None:
    """A second run of the same params on the same rows gives the same folder, byte for byte, whatever ran between."""
    first = run(make_params(), data)
    torch.randn(11)
    assert run(make_params(), data) == first


def test_the_base_model_is_untouched_on_disk(base: Path, data: Path, make_params: MakeParams) -> None:
    """Training writes nothing into the folder of the base model."""
    before = file_digests(base)
    run(make_params(), data)
    assert file_digests(base) == before
    assert read_json(data / "finetune" / "report.json")["base_digest"] == tree_digest(before)


def test_training_moves_the_adapter_and_nothing_else(
    base: Path, rows: list[tuple[str, Encoded]], make_params: MakeParams, tmp_path: Path
) -> None:
    """Every weight of the base is bit for bit what it was; every matrix of the adapter has moved."""
    params = make_params(**{"finetune.epochs": 1})
    settle(params.model, 1)
    model = add_adapter(load_base(base, params.model), params.finetune)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    encoded = [row for _, row in rows[:12]]
    finetune.train(model, encoded, [], params.finetune, lambda _point: None, tmp_path)
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {name for name in before if "lora_" in name} != set()


def test_the_adapter_moved_from_the_one_that_the_seed_gives(base: Path, data: Path, make_params: MakeParams) -> None:
    """The report names the digests of the adapter before and after, and they are those of real adapters."""
    params = make_params()
    run(params, data)
    report = read_json(data / "finetune" / "report.json")
    settle(params.model, params.finetune.seed)
    fresh = add_adapter(load_base(base, params.model), params.finetune).state_dict()
    after = load_file(data / "finetune" / "adapter" / "adapter_model.safetensors")
    assert report["adapter"] == file_sha256(data / "finetune" / "adapter" / "adapter_model.safetensors")
    assert report["initial_adapter"] != report["adapter"]
    assert not any(torch.equal(fresh[name.replace(".weight", ".default.weight")], after[name]) for name in after)


def test_the_loss_falls(data: Path, make_params: MakeParams) -> None:
    """Both curves end well below where they began."""
    run(make_params(**{"finetune.epochs": 4}), data)
    for name in ("train_loss", "validation_loss"):
        curve = [point[name] for point in history(data) if name in point]
        assert curve[-1] < 0.8 * curve[0]


def test_each_point_of_the_curves_has_exactly_these_keys(data: Path, make_params: MakeParams) -> None:
    """A point is of the training curve or of the validation curve, and tells its step and epoch."""
    run(make_params(), data)
    points = history(data)
    assert [set(point) for point in points if "train_loss" in point] == [TRAIN_POINT] * 6
    assert [set(point) for point in points if "train_loss" not in point] == [VALIDATION_POINT] * 2
    assert [(point["step"], point["epoch"]) for point in points if "validation_loss" in point] == [(6, 1.0), (12, 2.0)]
    assert [point["step"] for point in points if "train_loss" in point] == [2, 4, 6, 8, 10, 12]


def test_without_validation_rows_there_is_no_validation_curve(data: Path, make_params: MakeParams) -> None:
    """An empty validation split trains as well, and no number is made up for it."""
    write_tokens(data / "tokenize" / "validation.arrow", [])
    run(make_params(), data)
    assert all(set(point) == TRAIN_POINT for point in history(data))


def test_the_validation_loss_is_the_mean_over_every_supervised_token(
    base: Path, rows: list[tuple[str, Encoded]], make_params: MakeParams
) -> None:
    """However the rows fall into batches, the mean is that of their tokens; measuring leaves the model training."""
    model = PairLoss(load_base(base, make_params().model), []).train()
    long = Encoded([*rows[0][1].input_ids, *[5] * 9], rows[0][1].completion_start)
    some = [long, *(row for _, row in rows[:4])]
    losses = [finetune.mean_loss(model, some, batch_rows) for batch_rows in (1, 2, 5)]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)
    items = [len(row.input_ids) - row.completion_start for row in some]
    each = [finetune.mean_loss(model, [row], 1) * n for row, n in zip(some, items, strict=True)]
    assert losses[0] == pytest.approx(sum(each) / sum(items), rel=1e-5)
    assert model.training


def test_the_live_file_gets_the_same_points(
    data: Path, make_params: MakeParams, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The file that the environment names holds what the history holds, and does not change it."""
    silent = run(make_params(), data)
    monkeypatch.setenv("TUNESMITH_LIVE", str(tmp_path / "live.jsonl"))
    assert run(make_params(), data) == silent
    assert (tmp_path / "live.jsonl").read_bytes() == (data / "finetune" / "history.jsonl").read_bytes()


class Watched(list[Encoded]):
    """Rows that remember in which order they were fetched."""

    def __init__(self, rows: list[Encoded]) -> None:
        super().__init__(rows)
        self.fetched: list[Any] = []

    def __getitem__(self, place: Any) -> Any:
        self.fetched.append(place)
        return super().__getitem__(place)

    def __iter__(self) -> Iterator[Encoded]:
        return super().__iter__()


def test_the_trainer_takes_every_row_once_an_epoch_in_the_order_of_the_sampler(
    base: Path, rows: list[tuple[str, Encoded]], make_params: MakeParams, tmp_path: Path
) -> None:
    """Within the Trainer too each epoch has all rows, and another order than the one before."""
    params = make_params(**{"finetune.epochs": 3})
    watched = Watched([row for _, row in rows[:10]])
    model = add_adapter(load_base(base, params.model), params.finetune)
    finetune.train(model, watched, [], params.finetune, lambda _point: None, tmp_path)
    epochs = [tuple(watched.fetched[start : start + 10]) for start in (0, 10, 20)]
    assert len(watched.fetched) == 30
    assert [sorted(epoch) for epoch in epochs] == [list(range(10))] * 3
    assert len(set(epochs)) == 3


def test_accumulated_steps_train_as_one_large_batch_does(
    base: Path, rows: list[tuple[str, Encoded]], make_params: MakeParams, tmp_path: Path
) -> None:
    """Two passes to a step, of rows with unlike answers, give the gradient of one pass over all of them."""
    long = [
        Encoded([*row.input_ids, *[5] * (3 * place)], row.completion_start) for place, (_, row) in enumerate(rows[:4])
    ]
    norms = []
    for batch_rows, accumulate in ((4, 1), (2, 2)):
        wanted = {"finetune.batch_rows": batch_rows, "finetune.accumulate": accumulate}
        params = make_params(**wanted, **{"finetune.epochs": 1, "finetune.log_every": 1})
        settle(params.model, 1)
        points: list[dict[str, float]] = []
        model = add_adapter(load_base(base, params.model), params.finetune)
        finetune.train(model, long, [], params.finetune, points.append, tmp_path)
        norms.append([(point["train_loss"], point["train_grad_norm"]) for point in points])
    assert len(norms[0]) == len(norms[1]) == 1
    assert norms[0][0] == pytest.approx(norms[1][0], rel=1e-4)


@pytest.mark.parametrize("field", Finetune.model_fields)
def test_every_field_of_the_section_is_live(data: Path, make_params: MakeParams, field: str) -> None:
    """Changing any one field of `finetune` changes the curves or the adapter."""
    before = run(make_params(), data)
    shutil.rmtree(data / "finetune")
    after = run(make_params(**{f"finetune.{field}": OTHER[field]}), data)
    live = ("history.jsonl", "adapter/adapter_model.safetensors")
    assert [before[name] for name in live] != [after[name] for name in live]


@pytest.mark.parametrize(
    ("rows", "batch_rows", "accumulate", "epochs", "steps"),
    [(24, 4, 1, 2, 12), (25, 4, 1, 2, 14), (24, 4, 4, 2, 4), (1, 16, 8, 3, 3), (9, 2, 2, 1, 3)],
)
def test_the_steps_are_counted_as_the_trainer_counts_them(
    base: Path, make_params: MakeParams, tmp_path: Path, rows: int, batch_rows: int, accumulate: int, epochs: int, steps: int,
) -> None:  # fmt: skip
    """The steps that the schedule is laid out for are those that are taken."""
    wanted = {"batch_rows": batch_rows, "accumulate": accumulate, "epochs": epochs, "log_every": 1}
    params = make_params(**{f"finetune.{name}": value for name, value in wanted.items()})
    points: list[dict[str, float]] = []
    model = add_adapter(load_base(base, params.model), params.finetune)
    finetune.train(model, [Encoded([3, 4, 5], 2)] * rows, [], params.finetune, points.append, tmp_path)
    assert finetune.optimizer_steps(rows, params.finetune) == steps
    assert [point["step"] for point in points] == list(range(1, steps + 1))


def test_a_loss_that_is_no_number_is_a_problem(
    base: Path, rows: list[tuple[str, Encoded]], make_params: MakeParams, tmp_path: Path
) -> None:
    """A training that has run away ends in one line that says what to change."""
    params = make_params()
    model = add_adapter(load_base(base, params.model), params.finetune)
    with torch.no_grad():
        model.get_input_embeddings().weight.fill_(float("nan"))
    with pytest.raises(Problem) as caught:
        finetune.train(model, [row for _, row in rows[:4]], [], params.finetune, lambda _point: None, tmp_path)
    assert str(caught.value) == ("finetune: the loss is not a number any more; got nan; lower finetune.learning_rate")


def test_the_environment_is_recorded(data: Path, make_params: MakeParams) -> None:
    """What the bytes depend on besides code, data and params is written beside them."""
    run(make_params(), data)
    told = read_json(data / "finetune" / "environment.json")
    assert set(told) == {"device", "cpu", "python", "packages"}
    assert told["cpu"]["threads"] == 1
    assert set(told["packages"]) == set(finetune.PACKAGES)
    assert told["packages"]["torch"] == torch.__version__
