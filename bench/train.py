"""Claims train-short and train-labels: rows per second in training, against TRL's SFTTrainer.

All train the same adapter on the same rows in batches of the same size with the same optimizer. Each goes through the
rows twice, and the steps of the second time are timed, so that nothing is counted that is done but once.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from datasets import Dataset, disable_progress_bars
from peft import LoraConfig
from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback
from trl import SFTConfig, SFTTrainer

from bench.banking77 import messages, rows, systems
from bench.claims import Claim, gemm_peak, in_turn
from pipeline.finetune.checkpoints import Checkpoints
from pipeline.finetune.loss import shared_prefix
from pipeline.finetune.trainer import EncodedDataset, PairTrainer, TrainingProgress, micro_batches
from pipeline.finetune.training import make_loss, optimizer_steps, training_arguments
from pipeline.model.adapters import load_base, load_trainable, seed_everything
from pipeline.model.base_model import fetch_base_model
from pipeline.model.chat_template import IGNORE_INDEX, Encoded, PromptEncoder, load_tokenizer, training_labels
from pipeline.params import Params

disable_progress_bars()
transformers.utils.logging.set_verbosity_error()

STEPS = {"train-short": 2, "train-labels": 1}
"""Batches of a round: the peer takes up to a minute for each."""
TOGETHER = {"train-short": 16, "train-labels": 4}
"""Rows that TRL computes at once, and accumulates to a batch: 16 of the longer prompts do not fit into 24 GiB."""
PLAIN = {
    "packing": False, "shared_prefix": False, "supervised_logits": False, "length_window": 1, "compile": False,
}  # fmt: skip
"""Our own trainer with nothing saved."""


class Clock(TrainerCallback):
    """Times the steps of the second epoch, and nothing round them."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.started = 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Start."""
        self.started = time.perf_counter()

    def on_step_end(self, _args: Any, state: Any, *_: Any, **__: Any) -> None:
        """Stop."""
        if state.global_step > state.max_steps // 2:
            self.seconds += time.perf_counter() - self.started


def timed(trainer: Any, count: int) -> float:
    """Run a training and return rows per second."""
    clock = Clock()
    trainer.add_callback(clock)
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return count / clock.seconds


def trl(params: Params, encoded: Sequence[Encoded], scratch: Path, together: int, **more: Any) -> float:
    """Train with TRL, so many rows at once."""
    finetune, base = params.finetune, fetch_base_model(params.model)
    seed_everything(params.model, 1)
    columns = {
        "input_ids": [row.input_ids for row in encoded],
        "completion_mask": [[int(label != IGNORE_INDEX) for label in training_labels(row, 0)] for row in encoded],
    }
    config = SFTConfig(
        output_dir=str(scratch), per_device_train_batch_size=together,
        gradient_accumulation_steps=finetune.batch_size // together, num_train_epochs=2, max_length=1024,
        completion_only_loss=True, learning_rate=finetune.learning_rate, report_to="none", save_strategy="no",
        disable_tqdm=True, gradient_checkpointing=False, bf16=False, dataloader_pin_memory=False, logging_strategy="no",
        **more,
    )  # fmt: skip
    adapter = LoraConfig(
        r=finetune.rank, lora_alpha=finetune.alpha, target_modules=finetune.target_modules, task_type="CAUSAL_LM"
    )  # fmt: skip
    trainer = SFTTrainer(
        model=load_base(base.folder, params.model), args=config, train_dataset=Dataset.from_dict(columns),
        processing_class=load_tokenizer(base.folder), peft_config=adapter,
    )  # fmt: skip
    return timed(trainer, len(encoded))


def tunesmith(params: Params, encoded: Sequence[Encoded], scratch: Path, **other: Any) -> tuple[float, float]:
    """Train with our trainer: rows per second, and FLOP per row that the gradients need."""
    base = fetch_base_model(params.model)
    finetune = params.finetune.model_copy(update={"epochs": 2, **other})
    torch.compiler.reset()
    seed_everything(params.model, 1)
    loss = make_loss(load_trainable(base.folder, params.model, finetune), encoded, finetune)
    trainer = PairTrainer(
        Checkpoints(None), TrainingProgress(), length_window=finetune.length_window, model=loss,
        args=training_arguments(finetune, optimizer_steps(len(encoded), finetune), scratch),
        train_dataset=EncodedDataset(encoded), data_collator=micro_batches(loss, finetune.micro_batch_tokens),
    )  # fmt: skip
    return timed(trainer, len(encoded)), needed(loss, encoded, params.finetune.batch_size)


def embeddings(model: Any) -> list[Any]:
    """Give the first and the last layer; their weights may be the same."""
    return [model.get_input_embeddings(), model.get_output_embeddings()]


def needed(loss: Any, rows: Sequence[Encoded], batch_size: int) -> float:
    """Count the operations that the gradients of a row need, if nothing is computed twice or for nothing.

    Of each token behind the shared prefix, and of the prefix once a batch, the product with each weight, forward, and
    backward to the input: two multiply-adds, four operations; the output layer where a token is supervised alone.
    """
    shared = len(shared_prefix(rows))
    tokens = shared * -(-len(rows) // batch_size) + sum(len(row.input_ids) - 1 - shared for row in rows)
    supervised = sum(len(row.supervised_ids) for row in rows)
    head = loss.model.get_output_embeddings().weight.numel()
    read = {id(layer.weight): layer.weight.numel() for layer in embeddings(loss.model)}
    body = sum(p.numel() for n, p in loss.named_parameters() if "lora_" not in n and p.dim() > 1) - sum(read.values())
    return 4 * (body * tokens + head * supervised) / len(rows)


def claim(name: str, params: Params, rounds: int) -> Claim:
    """Measure one of the two claims."""
    renderer = PromptEncoder(
        load_tokenizer(fetch_base_model(params.model).folder), systems()[name.removeprefix("train-")]
    )
    size = params.finetune.batch_size * STEPS[name]
    found = rows("train")
    flop: list[float] = []
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as place:
        scratch = Path(place)

        def batch(turn: int) -> list[Encoded]:
            return [renderer.encode(messages(text), label) for text, label in found[turn * size : (turn + 1) * size]]

        def own(turn: int) -> float:
            speed, work = tunesmith(params, batch(turn), scratch, compile=True)
            flop.append(speed * work)
            return speed

        def peer(**more: Any) -> Callable[[int], float]:
            return lambda turn: trl(params, batch(turn), scratch, TOGETHER[name], **more)

        peers = {
            "TRL": peer(),
            "TRL, rows grouped by length": peer(train_sampling_strategy="group_by_length"),
            "ours, nothing saved": lambda turn: tunesmith(params, batch(turn), scratch, **PLAIN)[0],
        }
        measured = in_turn(name, "rows", own, peers, rounds)
    peak = gemm_peak()
    share = sorted(flop)[len(flop) // 2] / peak
    reached = f"{share:6.0%} of the peak of matrix products, {peak / 1e9:.0f} GFLOP/s; layers compiled"
    sys.stdout.write(f"{name:<14} {reached}\n")
    measured.write(compile=True, gemm_peak_flops=peak, share_of_gemm_peak=share, torch=torch.__version__)
    return measured
