"""Laws of a training as a whole: what only saves work changes nothing, whatever trains is kept and answers the same."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from ruamel.yaml import YAML

from pipeline.errors import UserError
from pipeline.finetune.checkpoints import Checkpoints
from pipeline.finetune.training import make_loss, train
from pipeline.hashing import file_digests
from pipeline.model.adapters import (
    count_parameters,
    load_base,
    load_merged,
    load_trainable,
    lora_plus_optimizer,
    seed_everything,
)
from pipeline.model.chat_template import Encoded
from pipeline.params import Params
from tests.support.finetune_run import Done, run, write_rows
from tests.support.paths import PROJECT
from tests.support.tiny_params import tiny_params

pytestmark = pytest.mark.usefixtures("imported_is_no_garbage")

SAVINGS = {
    "packing": False,
    "shared_prefix": False,
    "supervised_logits": False,
    "micro_batch_tokens": 1,
    "activation_checkpointing": True,
}
"""What saves time or memory, and how it is set the other way."""


def curve(done: Path) -> list[float]:
    """Every loss of the curves, in order."""
    history = Done(done, {}, {}, 0).history
    return [point[name] for point in history for name in ("train_loss", "validation_loss") if name in point]


def trained(params: Params, data: Path, rows: list[Encoded]) -> list[float]:
    """Run the stage on 8 rows, with 3 to validate on, and return the losses."""
    write_rows(data, rows[:8], rows[8:11])
    run(params, data)
    return curve(data)


@pytest.fixture(scope="module")
def usual(base: Path, rows: list[Encoded], tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    return trained(tiny_params(base), tmp_path_factory.mktemp("usual"), rows)


@pytest.mark.parametrize("field", SAVINGS)
@pytest.mark.parametrize("packing", [True, False], ids=["packed", "padded"])
def test_a_saving_changes_no_loss(
    base: Path, rows: list[Encoded], tmp_path: Path, usual: list[float], field: str, packing: bool
) -> None:
    """With or without it, on packed or padded rows, the curves are the same but for rounding."""
    other = {"finetune.packing": packing, f"finetune.{field}": SAVINGS[field]}
    assert trained(tiny_params(base, **other), tmp_path, rows) == pytest.approx(usual, rel=1e-4)


@pytest.mark.slow
def test_compiled_layers_change_no_loss_and_no_byte_from_run_to_run(
    base: Path, rows: list[Encoded], tmp_path: Path, usual: list[float]
) -> None:
    """Compiled twice, the same bytes; compiled or not, the same curves but for rounding."""
    for place in ("first", "second"):
        assert trained(tiny_params(base, **{"finetune.compile": True}), tmp_path / place, rows) == pytest.approx(
            usual, rel=1e-4
        )
    assert trained_bytes(tmp_path / "first") == trained_bytes(tmp_path / "second")


def trained_bytes(data: Path) -> dict[str, str]:
    """Digests of all that a training leaves, but for its seconds: those are never twice the same."""
    files = file_digests(data / "finetune")
    assert files.pop("cost.json"), "the seconds are told apart from all that must be the same"
    return files


def lay_down(project: Path, params: Params, rows: list[Encoded], processes: int) -> None:
    """Make a project of which only the training is left to do."""
    write_rows(project / "data", rows[:9], rows[9:14])
    values = json.loads(json.dumps(params, default=lambda section: section.__dict__))
    values["finetune"]["processes"] = processes
    with (project / "params.yaml").open("w", encoding="utf-8") as out:
        YAML().dump(values, out)


@pytest.mark.slow
def test_two_processes_train_as_one_does(base: Path, rows: list[Encoded], tmp_path: Path) -> None:
    """They share each batch, also one with fewer rows than processes: the losses are equal to a hundred-thousandth."""
    curves = []
    for processes in (1, 2):
        project = tmp_path / str(processes)
        lay_down(project, tiny_params(base, **{"finetune.logging_steps": 1}), rows, processes)
        done = subprocess.run(
            [sys.executable, "-m", "pipeline.finetune"], cwd=project, check=False, capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        curves.append(curve(project / "data"))
        assert set(file_digests(project / "data" / "finetune")) >= {"report.json", "adapter/adapter_model.safetensors"}
    assert len(curves[0]) == 8
    assert curves[1] == pytest.approx(curves[0], rel=1e-5)


def start(project: Path, live: Path | None = None) -> subprocess.Popen[str]:
    """Start the stage as a process of its own, with a checkpoint after every step."""
    places = {"TUNESMITH_CHECKPOINTS": str(project / "checkpoints"), "TUNESMITH_CHECKPOINT_SECONDS": "0"}
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.finetune"], cwd=project, text=True, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(PROJECT), **places, **({"TUNESMITH_LIVE": str(live)} if live else {})},
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> None:
    _, said = process.communicate()
    assert process.returncode == 0, said


def points(live: Path) -> int:
    return live.read_bytes().count(b"\n") if live.exists() else 0


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "kills"), [(1, int(os.environ.get("TUNESMITH_KILLS", "3"))), (2, 1)])
def test_a_training_killed_at_any_moment_ends_with_the_same_bytes(
    base: Path, rows: list[Encoded], tmp_path: Path, processes: int, kills: int
) -> None:
    """SIGKILL at a random moment, and run again: adapter and curves are those of the training that was left alone."""
    params = tiny_params(base, **{"finetune.epochs": 30, "finetune.logging_steps": 2, "finetune.dropout": 0.1})
    lay_down(tmp_path / "whole", params, rows, processes)
    finish(start(tmp_path / "whole"))
    wanted = trained_bytes(tmp_path / "whole" / "data")
    chance = random.Random(os.environ.get("TUNESMITH_CHANCE", "1"))
    for kill in range(kills):
        project = tmp_path / str(kill)
        live = project / "live.jsonl"
        lay_down(project, params, rows, processes)
        process, moment = start(project, live), chance.randrange(5, 70)
        while points(live) < moment and process.poll() is None:
            time.sleep(0.002)
        time.sleep(chance.random() * 0.05)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        wait_for_all_to_end(project)
        finish(start(project))
        assert trained_bytes(project / "data") == wanted, f"killed after {moment} points"
        assert not list((project / "checkpoints").iterdir())


def wait_for_all_to_end(project: Path) -> None:
    """What a killed stage had started ends with it; wait until it has."""
    deadline = time.monotonic() + 20
    while any(working_in(project, other) for other in psutil.process_iter()):
        assert time.monotonic() < deadline, "a process of the killed training lives on"
        time.sleep(0.05)


def working_in(project: Path, other: psutil.Process) -> bool:
    try:
        return Path(other.cwd()) == project and "pipeline.finetune" in other.cmdline()
    except psutil.Error:
        return False


@pytest.mark.parametrize("kind", ["lora", "rslora", "dora", "full"])
def test_what_was_trained_answers_from_its_files_as_it_did_in_memory(
    base: Path, rows: list[Encoded], tmp_path: Path, kind: str
) -> None:
    """Whatever trains, it learns, and loaded from what was written it gives the logits that it gave before."""
    params = tiny_params(base, **{"finetune.adapter": kind})
    losses = trained(params, tmp_path, rows)
    assert losses[-1] < losses[0]
    seed_everything(params.model, params.finetune.seed)
    model = load_trainable(base, params.model, params.finetune)
    loss = make_loss(model, rows[:11], params.finetune)
    train(loss, rows[:8], rows[8:11], params.finetune, lambda _point: None, Checkpoints(None))
    ids = torch.tensor([rows[0].input_ids])
    with torch.no_grad():
        wanted = model.eval()(input_ids=ids).logits
        got = load_merged(load_base(base, params.model), tmp_path / "finetune" / "adapter")(input_ids=ids).logits
        plain = load_base(base, params.model)(input_ids=ids).logits
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(plain, wanted, rtol=1e-2, atol=1e-2)


def test_the_kinds_of_adapter_are_different_trainings(base: Path, rows: list[Encoded], tmp_path: Path) -> None:
    """No two of them give the same curve."""
    curves = [
        tuple(trained(tiny_params(base, **{"finetune.adapter": kind}), tmp_path / kind, rows))
        for kind in ("lora", "rslora", "dora", "full")
    ]
    assert len(set(curves)) == 4


def test_all_weights_train_without_an_adapter(base: Path) -> None:
    """With `full` every parameter of the base model trains."""
    params = tiny_params(base, **{"finetune.adapter": "full"})
    train_parameters, parameters = count_parameters(load_trainable(base, params.model, params.finetune))
    assert train_parameters == parameters == sum(p.numel() for p in load_base(base, params.model).parameters())


def test_the_second_matrix_learns_faster_by_the_ratio_of_lora_plus(base: Path) -> None:
    """Every B has the learning rate times the ratio, every A the learning rate; a ratio of 1 is the usual optimizer."""
    params = tiny_params(base, **{"finetune.lora_plus_ratio": 16, "finetune.learning_rate": 0.001})
    model = load_trainable(base, params.model, params.finetune)
    optimizer = lora_plus_optimizer(model, params.finetune)
    assert optimizer is not None
    rates = {id(parameter): group["lr"] for group in optimizer.param_groups for parameter in group["params"]}
    named = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {rates[id(parameter)] for name, parameter in named.items() if "lora_A" in name} == {0.001}
    assert {rates[id(parameter)] for name, parameter in named.items() if "lora_B" in name} == {0.016}
    assert lora_plus_optimizer(model, tiny_params(base).finetune) is None


def test_four_bits_want_a_gpu_and_its_library(base: Path, rows: list[Encoded], tmp_path: Path) -> None:
    """Where there is none, QLoRA ends in one line before anything is loaded."""
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(UserError) as caught:
        trained(tiny_params(base, **{"finetune.adapter": "qlora"}), tmp_path, rows)
    assert str(caught.value).startswith(
        "params.yaml: finetune.adapter: qlora cannot run here; expected a CUDA device and the package bitsandbytes; "
        "got no CUDA device"
    )
    assert str(caught.value).endswith("; set it to lora")
