"""Laws of the training loop: order, schedule, curves, the best weights, and going on where it was broken off."""

import resource
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from pipeline.errors import UserError
from pipeline.files import read_json, write_json
from pipeline.finetune.callbacks import PointSink, validation_loss
from pipeline.finetune.checkpoints import MANIFEST, Checkpoints
from pipeline.finetune.loss import PairLoss
from pipeline.finetune.sampler import WindowedSampler
from pipeline.finetune.trainer import HistoryPoint, RankSlice, micro_batches
from pipeline.finetune.training import TrainingResult, optimizer_steps, train
from pipeline.hashing import file_sha256
from pipeline.model.adapters import add_adapter, load_base, seed_everything
from pipeline.model.chat_template import Encoded
from pipeline.params import Params
from tests.support.reference_loss import loss_of
from tests.support.tiny_params import tiny_params

pytestmark = pytest.mark.usefixtures("imported_is_no_garbage")


def trained(
    params: Params, rows: list[Encoded], held_out: Sequence[Encoded] = (), *, emit: PointSink = lambda _point: None,
    checkpoints: Checkpoints | None = None,
) -> tuple[PairLoss, TrainingResult, list[HistoryPoint]]:  # fmt: skip
    """Train a fresh adapter on some rows: its loss, what was done, and the points of its curves."""
    loss, points = loss_of(params, [*rows, *held_out]), []

    def collect(point: HistoryPoint) -> None:
        points.append(point)
        emit(point)

    done = train(loss, rows, held_out, params.finetune, collect, checkpoints or Checkpoints(None))
    return loss, done, points


def test_the_validation_loss_is_the_mean_over_every_supervised_token(base: Path, rows: list[Encoded]) -> None:
    """However the rows fall into batches, the mean is that of their tokens; measuring leaves the model training."""
    model = PairLoss(load_base(base, tiny_params(base).model), []).train()
    some = [Encoded([*row.input_ids, *[5] * (3 * place)], row.completion_start) for place, row in enumerate(rows[:5])]
    some.append(replace(some[0], prompt_spans=((2, 4),)))
    losses = [validation_loss(model, some, tokens) for tokens in (1, 100, 1000)]
    items = [len(row.input_ids) - row.completion_start for row in some]
    items[-1] += 2
    each = [validation_loss(model, [row], 1) * n for row, n in zip(some, items, strict=True)]
    assert losses == pytest.approx([sum(each) / sum(items)] * 3, rel=1e-5)
    assert model.training


class Watched(list[Encoded]):
    """Rows that remember in which order they were fetched."""

    fetched: list[Any]

    def __getitem__(self, place: Any) -> Any:
        self.fetched.append(place)
        return super().__getitem__(place)


def test_the_trainer_takes_the_rows_in_the_order_of_the_sampler(base: Path, rows: list[Encoded]) -> None:
    """Within the Trainer each epoch has all rows exactly once, in the order that the sampler has for that epoch."""
    params, watched = tiny_params(base, **{"finetune.epochs": 3}), Watched(rows[:40])
    watched.fetched = []
    trained(params, watched)
    sampler = WindowedSampler(
        [len(row.input_ids) for row in rows[:40]], batch_size=params.finetune.batch_size,
        window=params.finetune.length_window, seed=params.finetune.seed,
    )  # fmt: skip
    wanted = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        wanted.append(list(sampler))
    assert [watched.fetched[start : start + 40] for start in (0, 40, 80)] == wanted
    assert len(watched.fetched) == 120
    assert len({tuple(order) for order in wanted}) == 3


def test_accumulated_passes_train_as_one_large_batch_does(base: Path, rows: list[Encoded]) -> None:
    """Two passes to a step, of rows with answers of unlike length, give the gradient of one pass over all of them."""
    unlike = [Encoded([*row.input_ids, *[5] * (3 * place)], row.completion_start) for place, row in enumerate(rows[:4])]
    points = []
    for batch_size, accumulate in ((4, 1), (2, 2)):
        wanted = {"batch_size": batch_size, "gradient_accumulation_steps": accumulate, "epochs": 1, "logging_steps": 1}
        params = tiny_params(base, **{f"finetune.{name}": value for name, value in wanted.items()})
        points.append(trained(params, unlike)[2])
    (whole,), (halves,) = points
    assert whole == pytest.approx(halves, rel=1e-4)


@pytest.mark.parametrize(("n", "batch_size", "accumulate", "steps"), [(9, 4, 1, 6), (9, 4, 2, 4), (1, 16, 8, 2)])
def test_the_steps_are_counted_as_the_trainer_counts_them(
    base: Path, n: int, batch_size: int, accumulate: int, steps: int
) -> None:
    """The steps that the schedule is laid out for are those that are taken."""
    wanted = {"batch_size": batch_size, "gradient_accumulation_steps": accumulate, "logging_steps": 1}
    params = tiny_params(base, **{f"finetune.{name}": value for name, value in wanted.items()})
    _, done, points = trained(params, [Encoded([3, 4, 5], 2)] * n)
    assert optimizer_steps(n, params.finetune) == done.steps == steps
    assert [point["step"] for point in points] == list(range(1, steps + 1))


@pytest.mark.parametrize(
    ("schedule", "warmup_share", "rates"),
    [
        ("constant", 0.5, [0.0, 0.015, 0.03, 0.03]),
        ("linear", 0.5, [0.0, 0.015, 0.03, 0.015]),
        ("cosine", 0.0, [0.03, 0.025607, 0.015, 0.004393]),
    ],
)
def test_the_learning_rate_follows_the_schedule(
    base: Path, rows: list[Encoded], schedule: str, warmup_share: float, rates: list[float]
) -> None:
    """The rate of each step is the one that schedule and warm-up say."""
    wanted = {"lr_scheduler": schedule, "warmup_ratio": warmup_share, "logging_steps": 1}
    params = tiny_params(base, **{f"finetune.{name}": value for name, value in wanted.items()})
    _, _, points = trained(params, rows[:8])
    assert [point["train_learning_rate"] for point in points] == pytest.approx(rates, rel=1e-3)


def test_a_loss_that_is_no_number_is_a_problem(base: Path, rows: list[Encoded]) -> None:
    """A training that has run away ends in one line that says what to change."""
    params = tiny_params(base)
    loss = loss_of(params, rows[:4])
    with torch.no_grad():
        loss.model.get_input_embeddings().weight.fill_(float("nan"))
    with pytest.raises(UserError) as caught:
        train(loss, rows[:4], [], params.finetune, lambda _point: None, Checkpoints(None))
    assert str(caught.value) == "finetune: the loss is not a number any more; got nan; lower finetune.learning_rate"


def test_training_moves_the_adapter_and_nothing_else(base: Path, rows: list[Encoded]) -> None:
    """Every weight of the base is bit for bit what it was; every matrix of the adapter has moved."""
    params = tiny_params(base)
    seed_everything(params.model, params.finetune.seed)
    before = add_adapter(load_base(base, params.model), params.finetune).state_dict()
    after = trained(params, rows[:8])[0].model.state_dict()
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert moved == {name for name in before if "lora_" in name} != set()
    plain = load_file(base / "model.safetensors")
    frozen = {name.removeprefix("base_model.model.").replace(".base_layer", ""): value for name, value in after.items()}
    assert all(torch.equal(frozen[name], value) for name, value in plain.items())


def weights(loss: PairLoss) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in loss.named_parameters() if value.requires_grad}


def assert_same(got: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    """Bit for bit."""
    assert got.keys() == wanted.keys()
    assert all(torch.equal(got[name], value) for name, value in wanted.items())


WORSENING = {"learning_rate": 0.1, "epochs": 5, "lr_scheduler": "constant"}
"""At such a rate the validation loss goes up and down."""


def validation(points: list[HistoryPoint]) -> list[float]:
    return [point["validation_loss"] for point in points if "validation_loss" in point]


def worsening(base: Path, rows: list[Encoded], **replaced: Any) -> Params:
    """Give params under which the validation loss is smallest two epochs or more before the last.

    Under which seed that is so depends on how this machine rounds.
    """
    for seed in range(1, 40):
        params = tiny_params(base, **{f"finetune.{name}": value for name, value in {**WORSENING, "seed": seed}.items()})
        losses = validation(trained(params, rows[:16], rows[16:24])[2])
        if losses.index(min(losses)) + 1 < len(losses) - 1:
            more = {**WORSENING, "seed": seed, **replaced}
            return tiny_params(base, **{f"finetune.{name}": value for name, value in more.items()})
    raise AssertionError("no seed makes the validation loss worse")


def test_the_weights_of_the_best_epoch_are_kept(base: Path, rows: list[Encoded]) -> None:
    """With `keep: best` the model that is left has the smallest validation loss of the curve, with `last` the last."""
    for keep, wanted in (("best", min), ("last", lambda losses: losses[-1])):
        params = worsening(base, rows, checkpoint=keep)
        loss, done, points = trained(params, rows[:16], rows[16:24])
        losses = validation(points)
        assert min(losses) < losses[-1]
        assert validation_loss(loss, rows[16:24], 1000) == pytest.approx(wanted(losses), rel=1e-6)
        assert done.kept_epoch == (losses.index(wanted(losses)) + 1)


def test_training_stops_when_validation_gets_no_better(base: Path, rows: list[Encoded]) -> None:
    """After `patience` epochs without a smaller validation loss there is no further epoch; without it there is."""
    whole = validation(trained(worsening(base, rows), rows[:16], rows[16:24])[2])
    best = whole.index(min(whole))
    assert best + 1 < len(whole) - 1
    _, done, points = trained(worsening(base, rows, patience=1), rows[:16], rows[16:24])
    assert validation(points) == whole[: best + 2]
    assert done.steps == 4 * (best + 2)


@pytest.mark.parametrize("keep", ["best", "last"])
def test_a_training_that_had_stopped_early_does_not_go_on(
    base: Path, rows: list[Encoded], tmp_path: Path, keep: str
) -> None:
    """Killed after its end, before its adapter was written, and run again: no further epoch, the same weights."""
    params = worsening(base, rows, patience=1, checkpoint=keep)
    checkpoints = Checkpoints(tmp_path / "fingerprint", interval_seconds=0)
    first, done, points = trained(params, rows[:16], rows[16:24], checkpoints=checkpoints)
    again, done_again, points_again = trained(params, rows[:16], rows[16:24], checkpoints=checkpoints)
    assert (done_again, points_again) == (done, points)
    assert_same(weights(again), weights(first))


class Cramped(Checkpoints):
    """Checkpoints on a disk that takes no file of more than a few bytes."""

    def write(self, step: int, fill: Callable[[Path], None]) -> None:
        """Write as far as it goes."""
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
        try:
            super().write(step, fill)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)


class Crash(Exception):
    """The process dies here."""


@pytest.mark.parametrize("at", range(1, 15))
def test_a_training_that_was_broken_off_ends_as_if_it_had_not_been(
    base: Path, rows: list[Encoded], tmp_path: Path, at: int
) -> None:
    """Broken off at any point of its curves and run again: the same weights bit for bit, and the same curves."""
    params = tiny_params(base, **{"finetune.epochs": 3, "finetune.logging_steps": 1, "finetune.dropout": 0.1})
    whole, _, curve = trained(params, rows[:13], rows[13:17])
    seen: list[HistoryPoint] = []

    def crash(point: HistoryPoint) -> None:
        seen.append(point)
        if len(seen) == at:
            raise Crash

    checkpoints = Checkpoints(tmp_path / "fingerprint", interval_seconds=0)
    with pytest.raises(Crash):
        trained(params, rows[:13], rows[13:17], emit=crash, checkpoints=checkpoints)
    assert (checkpoints.newest_intact() is not None) == (at > 1)
    again, _, points = trained(params, rows[:13], rows[13:17], checkpoints=checkpoints)
    assert points == curve
    assert len(curve) == 15
    assert_same(weights(again), weights(whole))


def test_the_seconds_go_on_from_the_checkpoint(base: Path, rows: list[Encoded], tmp_path: Path) -> None:
    """What the process before had trained, as its checkpoint tells, is part of what the training took."""
    params, checkpoints = tiny_params(base), Checkpoints(tmp_path / "fingerprint", interval_seconds=0)
    _, first, _ = trained(params, rows[:8], checkpoints=checkpoints)
    path = checkpoints.newest_intact() / "progress.json"
    told = read_json(path)
    assert 0 < told["seconds"] < first.seconds
    write_json(path, told | {"seconds": 1000.0})
    manifest = path.with_name(MANIFEST)
    write_json(manifest, {**read_json(manifest), path.name: file_sha256(path)})
    assert 1000 < trained(params, rows[:8], checkpoints=checkpoints)[1].seconds < 1060


def test_the_best_weights_survive_a_crash_after_them(base: Path, rows: list[Encoded], tmp_path: Path) -> None:
    """The best epoch lies before the checkpoint; what is kept in the end is the best all the same."""
    params = worsening(base, rows)
    whole, done, curve = trained(params, rows[:16], rows[16:24])
    checkpoints = Checkpoints(tmp_path / "fingerprint", interval_seconds=0)

    def crash(point: HistoryPoint) -> None:
        if point["epoch"] == 4:
            raise Crash

    with pytest.raises(Crash):
        trained(params, rows[:16], rows[16:24], emit=crash, checkpoints=checkpoints)
    again, done_again, points = trained(params, rows[:16], rows[16:24], checkpoints=checkpoints)
    assert (done_again, points) == (done, curve)
    assert done.kept_epoch < 4
    assert_same(weights(again), weights(whole))


@pytest.mark.parametrize(("place", "why"), [("file/in it", "Not a directory"), ("full", "File too large")])
def test_a_checkpoint_that_cannot_be_written_does_not_end_the_training(
    base: Path, rows: list[Encoded], tmp_path: Path, caplog: pytest.LogCaptureFixture, place: str, why: str
) -> None:
    """It is told, nothing half is left, and the training ends with the same weights."""
    params = tiny_params(base)
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    loss, _, _ = trained(params, rows[:8], checkpoints=Cramped(tmp_path / place, interval_seconds=0))
    assert "no checkpoint written at step 1: " in caplog.text
    assert why in caplog.text
    assert not [path for path in (tmp_path / "full").glob("**/*") if path.is_file()]
    assert_same(weights(loss), weights(trained(params, rows[:8])[0]))


@pytest.mark.parametrize("tokens", [1, 50, 70, 10_000])
def test_a_batch_is_cut_into_passes_that_hold_its_rows_once(base: Path, rows: list[Encoded], tokens: int) -> None:
    """No pass has more tokens than asked for, unless it is one row, and together they supervise what the batch does."""
    loss = loss_of(tiny_params(base), rows)
    batch = micro_batches(loss, tokens)(rows[:9])
    sizes = [(len(one["lengths"]), int(one["input_ids"].numel())) for one in batch["passes"]]
    assert sum(n for n, _ in sizes) == 9
    assert all(n == 1 or size <= tokens for n, size in sizes)
    assert len(sizes) == {1: 9, 10_000: 1}.get(tokens, len(sizes))
    supervised = [int(token) for one in batch["passes"] for token in one["labels"][1:]]
    assert sorted(supervised) == sorted(batch["labels"][1:].tolist())


@pytest.mark.parametrize("of", [1, 2, 3, 12])
def test_processes_share_a_batch_without_leaving_or_doubling_a_row(base: Path, rows: list[Encoded], of: int) -> None:
    """Together they supervise what the batch does, and the losses of their shares add up to its loss."""
    loss = loss_of(tiny_params(base), rows).eval()
    whole = micro_batches(loss, 100)(rows[:9])
    shares = [micro_batches(loss, 100, RankSlice(place, of))(rows[:9]) for place in range(of)]
    supervised = [int(token) for share in shares for token in share["labels"][1:]]
    assert sorted(supervised) == sorted(whole["labels"][1:].tolist())
    items = len(supervised)
    added = sum(loss.value(one, items) for share in shares for one in share["passes"])
    assert added == pytest.approx(sum(loss.value(one, items) for one in whole["passes"]), rel=1e-5)


def test_the_memory_bound_does_not_change_what_is_learnt(base: Path, rows: list[Encoded]) -> None:
    """One pass a batch or one a row: the same curve."""
    curves = []
    for tokens in (10_000, 1):
        params = tiny_params(base, **{"finetune.micro_batch_tokens": tokens, "finetune.logging_steps": 1})
        curves.append([point["train_loss"] for point in trained(params, rows[:8])[2]])
    assert curves[0] == pytest.approx(curves[1], rel=1e-4)
