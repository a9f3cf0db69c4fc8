"""What a run will cost, before it starts: counted from its tokens, measured on a few of its own steps.

Reads what tokenize wrote; keeps nothing. Asked for by `tunesmith estimate`; belongs to no stage.
"""

import resource
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import torch

from pipeline.errors import UserError
from pipeline.estimate.token_counts import EpochTokens, StepTokens, count_tokens
from pipeline.files import read_json
from pipeline.finetune.callbacks import validation_loss
from pipeline.finetune.loss import PairLoss
from pipeline.finetune.trainer import RankSlice, micro_batches
from pipeline.finetune.training import make_loss, require_hardware
from pipeline.generation.generate import GenerationConfig, answer_prompts
from pipeline.model.adapters import load_trainable, seed_everything, training_device
from pipeline.model.base_model import BaseModel, fetch_base_model
from pipeline.model.chat_template import Encoded, PromptEncoder, load_tokenizer
from pipeline.model.tokenized import read_tokens
from pipeline.params import Finetune, Params, load_params

GIB = 2**30
MIB = 2**20
MEASURED_QUANTILES = (0.1, 0.5, 0.9, 1.0)
"""Which steps of an epoch are measured, by their place in the order of their tokens."""
COMPILE_PAYS_SECONDS = 1200
"""Seconds of training from which on compiling is worth its minute without a doubt."""
SAMPLE_ROWS = 64
"""Validation and test rows that are measured, at most."""
CGROUP = Path("/sys/fs/cgroup")
"""Where Linux tells what a container may have."""


@dataclass(frozen=True)
class StepMeasurements:
    """What was measured.

    Args:
        start_up: Seconds until the first step was done, beyond what it took then.
        steps: Token places and seconds of each step.
        memory: Bytes held at most; of a step that was not tried, guessed from the shorter ones.
        tried: Whether the longest step was.
    """

    start_up: float
    steps: Sequence[tuple[int, float]]
    memory: int
    tried: bool

    @property
    def told(self) -> str:
        """Say what it goes by."""
        return f"{len(self.steps)} steps of {self.steps[0][0]:,} to {self.steps[-1][0]:,} token places were taken"

    def seconds(self, indices: Sequence[int]) -> tuple[float, float]:
        """Estimate how long steps of so many token places take, going by the fastest and the slowest of those measured.

        Both from a straight line through the steps, moved up and down to where every one lies between.
        """
        at, took = (np.array(column, dtype=float) for column in zip(*self.steps, strict=True))
        slope, start = np.polyfit(at, took, 1) if len(set(at)) > 1 else (took.mean() / at.mean(), 0.0)
        line = np.maximum(slope * at + start, took.min())
        likely = float(np.maximum(slope * np.array(indices) + start, took.min()).sum())
        return likely * float((took / line).min()), likely * float((took / line).max())


def timed_step(step: StepTokens, loss: PairLoss, optimizer: torch.optim.Optimizer, finetune: Finetune) -> float:
    """Take an optimizer step and return its seconds."""
    started = time.perf_counter()
    laid_out = [
        micro_batches(loss, finetune.micro_batch_tokens, RankSlice(0, finetune.processes))(rows)
        for rows in step.batches
    ]
    items = sum(len(batch["labels"]) - 1 for batch in laid_out)
    for one in (one for batch in laid_out for one in batch["passes"]):
        there = {name: tensor.to(training_device()) for name, tensor in one.items()}
        loss(**there, num_items_in_batch=items)["loss"].backward()
    torch.nn.utils.clip_grad_norm_(trainable_parameters(loss), finetune.max_grad_norm)
    optimizer.step()
    optimizer.zero_grad()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def trainable_parameters(loss: PairLoss) -> list[torch.nn.Parameter]:
    """List the parameters that train."""
    return [parameter for parameter in loss.parameters() if parameter.requires_grad]


def measure_steps(loss: PairLoss, steps: Sequence[StepTokens], finetune: Finetune, free: int) -> StepMeasurements:
    """Take a few steps, from a short one to the longest, as long as they can be expected to fit into memory."""
    loss.train()
    optimizer = torch.optim.AdamW(trainable_parameters(loss), lr=finetune.learning_rate, fused=True)
    order = sorted(steps, key=lambda step: (max(step.passes), step.places))
    chosen = [order[round(share * (len(order) - 1))] for share in MEASURED_QUANTILES]
    first = timed_step(chosen[0], loss, optimizer, finetune)
    measurements: list[tuple[int, float]] = []
    memory: list[tuple[int, int]] = []
    for step in chosen:
        expected = extrapolate_memory(memory, max(step.passes))
        if expected > free:
            return StepMeasurements(first - measurements[0][1], measurements, expected, tried=False)
        measurements.append((step.places, timed_step(step, loss, optimizer, finetune)))
        memory.append((max(step.passes), peak_memory()))
    return StepMeasurements(first - measurements[0][1], measurements, memory[-1][1], tried=True)


def extrapolate_memory(memory: Sequence[tuple[int, int]], tokens: int) -> int:
    """Guess the memory of a pass of so many token places from that of shorter ones; 0 where there are none."""
    if not memory:
        return 0
    (few, low), (many, high) = memory[0], memory[-1]
    slope = (high - low) / (many - few) if many > few else 0
    return round(high + slope * (tokens - many))


def peak_memory() -> int:
    """Bytes of memory that this process has held at most: of the GPU if there is one, else of the machine."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held if sys.platform == "darwin" else held * 1024


def free_memory() -> int:
    """Bytes of memory that this process may hold: what is free, within the limit of a container, and what it has."""
    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[0]) + torch.cuda.memory_reserved()
    free = psutil.virtual_memory().available
    if (CGROUP / "memory.max").exists() and (limit := (CGROUP / "memory.max").read_text().strip()).isdecimal():
        statistics = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
        held = int((CGROUP / "memory.current").read_text()) - int(
            statistics["inactive_file"]
        )  # of files, given back at need
        free = min(free, int(limit) - held)
    return free + psutil.Process().memory_info().rss


def validation_seconds(loss: PairLoss, rows: Sequence[Encoded], finetune: Finetune) -> float:
    """Estimate the seconds of one look at the validation rows, shared by the processes."""
    if not rows:
        return 0.0
    sample = rows[:: -(-len(rows) // SAMPLE_ROWS)]
    started = time.perf_counter()
    validation_loss(loss, sample, finetune.micro_batch_tokens)
    return (time.perf_counter() - started) * len(rows) / len(sample) / finetune.processes


def answer_seconds(
    loss: PairLoss, base: BaseModel, rows: Sequence[Encoded], labels: Sequence[str], params: Params
) -> float:
    """Estimate the seconds in which one arm answers the test rows."""
    sample = rows[:: -(-len(rows) // SAMPLE_ROWS)]
    renderer = PromptEncoder(load_tokenizer(base.folder), params.prompt.system)
    manner = GenerationConfig(labels, params.evaluate.max_new_tokens, params.evaluate.batch_size)
    started = time.perf_counter()
    with torch.compiler.set_stance("force_eager"):
        answer_prompts(loss.model.eval(), renderer, [row.prompt_ids for row in sample], manner)
    return (time.perf_counter() - started) * len(rows) / len(sample)


def format_duration(seconds: float) -> str:
    """Put seconds into words of two digits."""
    if seconds >= 7200:
        return f"{seconds / 3600:.{1 if seconds < 36_000 else 0}f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"


def format_range(low: float, high: float) -> str:
    """Put two ends into words, or one word if they are as good as equal."""
    return " to ".join(dict.fromkeys([format_duration(low), format_duration(high)]))


def format_bytes(byte: float) -> str:
    """Put bytes into words."""
    return f"{byte / GIB:.1f} GiB" if byte >= GIB else f"{byte / MIB:.0f} MiB"


def count_lines(counts: EpochTokens, rows: int, held_out: int, test: int, epochs: int) -> list[str]:
    """Say what was counted."""
    alone = f", {counts.prefix} of them shared by all prompts" if counts.prefix else ""
    return [
        f"rows      {rows:,} to train on, {held_out:,} to validate on, {test:,} to answer",
        (
            f"tokens    {counts.tokens:,} an epoch, {counts.tokens / rows:.0f} a row{alone}; "
            f"{counts.supervised / counts.tokens:.1%} are supervised"
        ),
        (
            f"computed  {counts.places:,} token places an epoch, {counts.padded / counts.places:.1%} of them padding; "
            f"plain batches would have {counts.plain:,} ({counts.plain / counts.places:.1f} times as many)"
        ),
        f"steps     {len(counts.steps):,} an epoch, {epochs * len(counts.steps):,} in all",
    ]


def speed_hints(seconds: float, finetune: Finetune) -> list[str]:
    """Say what would save time."""
    if finetune.compile or seconds < COMPILE_PAYS_SECONDS:
        return []
    return ["hint: finetune.compile: true makes a training as long as this one a tenth to a quarter shorter"]


def disk_bytes(loss: PairLoss) -> tuple[int, int]:
    """Give the bytes of what is trained, and of its checkpoints: two at once, each with the optimizer and the best."""
    weights = sum(parameter.numel() * parameter.element_size() for parameter in trainable_parameters(loss))
    return weights, 2 * 4 * weights


def resource_warnings(memory: int, free: int, checkpoints: int, space: int) -> list[str]:
    """Say what will not fit."""
    warnings = []
    if memory > free:
        warnings.append(
            "warning: finetune.micro_batch_tokens: training needs too much memory; expected at most "
            f"{format_bytes(free)}, got {format_bytes(memory)}; lower it, or set "
            "finetune.activation_checkpointing to true"
        )
    if checkpoints > space:
        warnings.append(
            f"warning: the disk: checkpoints need {format_bytes(checkpoints)}, {format_bytes(space)} are free; "
            "make room"
        )
    return warnings


def estimate_run(params: Params, data: Path) -> list[str]:
    """Count, measure, and put it into lines; what will not fit is a line that begins with `warning:`.

    Raises:
        UserError: If nothing was tokenized to train on, or the training could not begin.
    """
    finetune, model = params.finetune, params.model
    rows, held_out, test = (
        [encoded for _, encoded in read_tokens(data / "tokenize" / f"{split}.arrow")]
        for split in ("train", "validation", "test")
    )
    require_hardware(finetune)
    base = fetch_base_model(model)
    seed_everything(model, finetune.seed)
    adapted = load_trainable(base.folder, model, finetune)
    loss = make_loss(adapted, [*rows, *held_out], finetune)
    counts, free = count_tokens(rows, loss, finetune), free_memory()
    measured = measure_steps(loss, counts.steps, finetune, free)
    validation = finetune.epochs * validation_seconds(loss, held_out, finetune)
    answers = answer_seconds(loss, base, test, read_json(data / "validate" / "labels.json"), params)
    low, high = (
        finetune.epochs * seconds + measured.start_up + validation
        for seconds in measured.seconds([step.places for step in counts.steps])
    )
    weights, checkpoints = disk_bytes(loss)
    space = shutil.disk_usage(data).free
    most = "at most " if params.prompt.task == "text" else ""
    return [
        *count_lines(counts, len(rows), len(held_out), len(test), finetune.epochs),
        f"training  {format_range(low, high)}, of it {format_duration(validation)} on validation; {measured.told}",
        f"answers   {most}{format_duration(answers)} for each arm that a model answers; longer behind examples",
        (
            f"memory    {format_bytes(measured.memory)} at most{'' if measured.tried else ', guessed'}; "
            f"{format_bytes(free)} can be had"
        ),
        (
            f"disk      {format_bytes(weights)} for what is trained, {format_bytes(checkpoints)} for checkpoints "
            f"meanwhile; {format_bytes(space)} are free"
        ),
        *speed_hints(low, finetune),
        *resource_warnings(measured.memory, free, checkpoints, space),
    ]


def main() -> None:
    """Print the forecast for the project in the current folder."""
    try:
        lines = estimate_run(load_params(Path("params.yaml")), Path("data"))
    except UserError as problem:
        sys.exit(f"error: {problem}")
    sys.stdout.write("\n".join(lines) + "\n")
