"""Claim memory: the peak is bounded by `finetune.pass_tokens`, whatever the batch, and does not grow with the steps."""

import json
import platform
import resource
import sys
from collections.abc import Sequence
from multiprocessing import get_context

import psutil
import torch

from bench.banking import messages, rows, systems
from bench.measure import RESULTS
from pipeline.counts import count
from pipeline.forecast import take
from pipeline.model import load_tokenizer, settle, to_train
from pipeline.params import Params
from pipeline.prompt import Encoded, Renderer
from pipeline.training import loss_of
from pipeline.weights import fetch

BUDGETS = (1024, 4096, 16384)
ROWS = 32
"""Of about 500 tokens each: 16,384 in one batch, none shared."""
STEPS = 500
MIB = 2**20


def peak(params: Params, encoded: Sequence[Encoded], steps: int) -> tuple[float, float, float]:
    """Train so many steps, a batch each: MiB at most, held after the first fifth of the steps, held at their end."""
    finetune = params.finetune
    settle(params.model, 1)
    loss = loss_of(to_train(fetch(params.model).folder, params.model, finetune), encoded, finetune).train()
    trains = [parameter for parameter in loss.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trains, lr=finetune.learning_rate, fused=True)
    batches, held = count(encoded, loss, finetune).steps, 0.0
    for number in range(steps):
        take(batches[number % len(batches)], loss, optimizer, finetune)
        if number == steps // 5:
            held = psutil.Process().memory_info().rss / MIB
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 if sys.platform == "darwin" else 1024)
    return most, held, psutil.Process().memory_info().rss / MIB


def apart(params: Params, encoded: Sequence[Encoded], steps: int) -> tuple[float, float, float]:
    """Do it in a process of its own, since a peak is a process's."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(peak, (params, encoded, steps))


def claim(params: Params) -> list[str]:
    """Measure the claim and put it into lines."""
    tokenizer = load_tokenizer(fetch(params.model).folder)
    told = {prompt: Renderer(tokenizer, system) for prompt, system in systems().items()}
    found = rows("train")

    def with_finetune(**other: object) -> Params:
        return Params(**{**vars(params), "finetune": params.finetune.model_copy(update={"compile": False, **other})})

    long = [told["labels"].encode(messages(text), label) for text, label in found[:ROWS]]
    peaks = {
        tokens: apart(with_finetune(pass_tokens=tokens, shared_prefix=False, batch_rows=ROWS), long, 1)[0]
        for tokens in BUDGETS
    }
    short = [told["short"].encode(messages(text), label) for text, label in found[:256]]
    _, early, late = apart(with_finetune(batch_rows=2, length_window=128), short, STEPS)
    RESULTS.mkdir(parents=True, exist_ok=True)
    kept = {"claim": "memory", "peak_mib": peaks, "steps": STEPS, "held_mib": {STEPS // 5: early, STEPS: late}}
    (RESULTS / "memory.json").write_text(
        json.dumps({**kept, "machine": platform.machine(), "torch": torch.__version__}, indent=2) + "\n",
        encoding="utf-8",
    )
    lines = [
        f"{'memory':<14} {held:,.0f} MiB at most with finetune.pass_tokens {tokens:,}" for tokens, held in peaks.items()
    ]
    return [*lines, f"{'memory':<14} {early:,.0f} MiB held after {STEPS // 5} steps, {late:,.0f} after {STEPS}"]
