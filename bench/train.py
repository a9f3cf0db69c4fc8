"""Claims train-short and train-labels: rows per second in training, against TRL's SFTTrainer.

Both train the same adapter on the same rows in the same batches' size with the same optimizer; only steps are timed.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback
from trl import SFTConfig, SFTTrainer

from bench.banking import Row, messages, rows, systems
from bench.measure import Claim, gemm_peak, in_turn
from pipeline.batches import shared_prefix
from pipeline.checkpoints import Checkpoints
from pipeline.finetune import arguments
from pipeline.model import add_adapter, load_base, load_tokenizer, settle
from pipeline.packing import PackedLoss
from pipeline.params import Params
from pipeline.prompt import Renderer
from pipeline.trainer import PairTrainer, Progress, Rows, passes
from pipeline.weights import fetch

ROUNDS = 3
STEPS = 2


class Clock(TrainerCallback):
    """Times the steps of a training, and nothing round them."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.started = 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Start."""
        self.started = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Stop."""
        self.seconds += time.perf_counter() - self.started


def timed(trainer: Any, count: int) -> float:
    """Run a training and return rows per second."""
    clock = Clock()
    trainer.add_callback(clock)
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return count / clock.seconds


def trl(params: Params, system: str, batch: Sequence[Row], scratch: Path, **more: Any) -> float:
    """Train with TRL."""
    finetune, base = params.finetune, fetch(params.model)
    settle(params.model, 1)
    turn = [{"role": "system", "content": system}]
    conversations = [
        {"prompt": [*turn, {"role": "user", "content": text}], "completion": [{"role": "assistant", "content": label}]}
        for text, label in batch
    ]
    config = SFTConfig(
        output_dir=str(scratch), per_device_train_batch_size=finetune.batch_rows, max_steps=STEPS, max_length=1024,
        completion_only_loss=True, learning_rate=finetune.learning_rate, report_to="none", save_strategy="no",
        disable_tqdm=True, gradient_checkpointing=False, bf16=False, dataloader_pin_memory=False, logging_strategy="no",
        **more,
    )  # fmt: skip
    adapter = LoraConfig(
        r=finetune.rank, lora_alpha=finetune.alpha, target_modules=finetune.targets, task_type="CAUSAL_LM"
    )  # fmt: skip
    trainer = SFTTrainer(
        model=load_base(base.folder, params.model), args=config, train_dataset=Dataset.from_list(conversations),
        processing_class=load_tokenizer(base.folder), peft_config=adapter,
    )  # fmt: skip
    return timed(trainer, len(batch))


def tunesmith(params: Params, system: str, batch: Sequence[Row], scratch: Path) -> tuple[float, float]:
    """Train with our trainer: rows per second, and FLOP per row that the gradients need."""
    base = fetch(params.model)
    settle(params.model, 1)
    renderer = Renderer(load_tokenizer(base.folder), system)
    encoded = [renderer.encode(messages(text), label) for text, label in batch]
    loss = PackedLoss(add_adapter(load_base(base.folder, params.model), params.finetune), shared_prefix(encoded))
    trainer = PairTrainer(
        Checkpoints(None), Progress(), model=loss, args=arguments(params.finetune, STEPS, scratch),
        train_dataset=Rows(encoded), data_collator=passes(loss, params.finetune.pass_tokens),
    )  # fmt: skip
    trainer.args.num_train_epochs = 1
    prefix = int(loss.prefix.shape[1]) * STEPS
    tokens = prefix + sum(len(row.input_ids) - 1 - int(loss.prefix.shape[1]) for row in encoded)
    head = loss.model.get_output_embeddings().weight.numel()
    body = sum(p.numel() for name, p in loss.named_parameters() if "lora_" not in name and p.dim() > 1) - head
    supervised = sum(len(row.input_ids) - row.completion_start for row in encoded)
    speed = timed(trainer, len(batch))
    # Forward, and backward to the input, for each weight: two multiply-adds, four operations.
    return speed, 4 * (body * tokens + head * supervised) / len(batch)


def claim(name: str, params: Params) -> Claim:
    """Measure one of the two claims."""
    system = systems()[name.removeprefix("train-")]
    size = params.finetune.batch_rows * STEPS
    found = rows("train")
    flop: list[float] = []
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as place:
        scratch = Path(place)

        def batch(turn: int) -> list[Row]:
            return found[turn * size : (turn + 1) * size]

        def own(turn: int) -> float:
            speed, needed = tunesmith(params, system, batch(turn), scratch)
            flop.append(speed * needed)
            return speed

        def peer(**more: Any) -> Callable[[int], float]:
            return lambda turn: trl(params, system, batch(turn), scratch, **more)

        peers = {"TRL": peer(), "TRL, rows grouped by length": peer(train_sampling_strategy="group_by_length")}
        measured = in_turn(name, "rows", own, peers, ROUNDS)
    peak = gemm_peak()
    share = sorted(flop[1:])[len(flop[1:]) // 2] / peak
    measured.write(gemm_peak_flops=peak, share_of_gemm_peak=share, torch=torch.__version__)
    return measured
