"""What training holds in memory at most, against the tokens that a micro-batch may have, and the estimate of it."""

import json
import platform
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import psutil
import torch

from bench.banking77 import messages, rows, systems
from bench.claims import RESULTS
from pipeline.estimate import run
from pipeline.estimate.token_counts import count_tokens
from pipeline.finetune.training import make_loss
from pipeline.model.adapters import load_trainable, seed_everything
from pipeline.model.base_model import fetch_base_model
from pipeline.model.chat_template import Encoded, PromptEncoder, load_tokenizer
from pipeline.params import Params

CASES = ((1024, 16, False), (4096, 16, False), (4096, 16, True), (16384, 32, True))
"""Tokens of a pass, rows of about 500 tokens in the batch, and whether activations are computed twice: 16,384 tokens
whose activations are kept want more than the 24 GiB of a usual machine."""
STEPS = 500
MIB = run.MIB


def peak(params: Params, encoded: Sequence[Encoded], steps: int) -> tuple[float, float, float]:
    """Train so many steps, a batch each: MiB at most, held after the first fifth of the steps, held at their end."""
    finetune = params.finetune
    seed_everything(params.model, 1)
    loss = make_loss(
        load_trainable(fetch_base_model(params.model).folder, params.model, finetune), encoded, finetune
    ).train()
    optimizer = torch.optim.AdamW(run.trainable_parameters(loss), lr=finetune.learning_rate, fused=True)
    batches, held = count_tokens(encoded, loss, finetune).steps, 0.0
    for number in range(steps):
        run.timed_step(batches[number % len(batches)], loss, optimizer, finetune)
        if number == steps // 5:
            held = psutil.Process().memory_info().rss / MIB
    return run.peak_memory() / MIB, held, psutil.Process().memory_info().rss / MIB


def apart(params: Params, encoded: Sequence[Encoded], steps: int) -> tuple[float, float, float]:
    """Do it in a process of its own, since a peak is a process's."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(peak, params, encoded, steps).result()  # which says so if the process was killed


def claim(params: Params) -> list[str]:
    """Measure the claim and put it into lines."""
    tokenizer = load_tokenizer(fetch_base_model(params.model).folder)
    told = {prompt: PromptEncoder(tokenizer, system) for prompt, system in systems().items()}
    found = rows("train")

    def with_finetune(**other: object) -> Params:
        return Params(**{**vars(params), "finetune": params.finetune.model_copy(update={"compile": False, **other})})

    peaks = {}
    for tokens, number, twice in CASES:
        asked = with_finetune(
            micro_batch_tokens=tokens, shared_prefix=False, batch_size=number, activation_checkpointing=twice
        )
        long = [told["labels"].encode(messages(text), label) for text, label in found[:number]]
        peaks[f"{tokens:,}{', activations computed twice' if twice else ''}"] = apart(asked, long, 1)[0]
    short = [told["short"].encode(messages(text), label) for text, label in found[:256]]
    _, early, late = apart(with_finetune(batch_size=2, length_window=128), short, STEPS)
    RESULTS.mkdir(parents=True, exist_ok=True)
    kept = {"claim": "memory", "peak_mib": peaks, "steps": STEPS, "held_mib": {STEPS // 5: early, STEPS: late}}
    (RESULTS / "memory.json").write_text(
        json.dumps({**kept, "machine": platform.machine(), "torch": torch.__version__}, indent=2) + "\n",
        encoding="utf-8",
    )
    lines = [
        f"{'memory':<14} {held:,.0f} MiB at most with finetune.micro_batch_tokens {asked}"
        for asked, held in peaks.items()
    ]
    return [*lines, f"{'memory':<14} {early:,.0f} MiB held after {STEPS // 5} steps, {late:,.0f} after {STEPS}"]
