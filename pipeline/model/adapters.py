"""Base model, what trains in it, and seeds: the only room that knows peft."""

import json
import os
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from peft.optimizers import create_loraplus_optimizer
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, GenerationConfig

from pipeline.errors import UserError
from pipeline.files import write_json
from pipeline.model.transformers_private import attention_implementation
from pipeline.params import Finetune, Model

ADAPTER_CONFIG = "adapter_config.json"
CPU = torch.device("cpu")


def seed_everything(model: Model, seed: int) -> None:
    """Fix what would otherwise vary from run to run: threads, seeds, and the choice of kernels.

    Called before a model or an adapter is built, since their first values are drawn from the seed.
    """
    os.environ.setdefault(
        "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
    )  # read when CUDA starts; cuBLAS is nondeterministic without
    torch.set_num_threads(model.threads)
    torch.use_deterministic_algorithms(mode=True)
    # A debugging aid that writes every new buffer once more; nothing here reads memory before it is written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def training_device() -> torch.device:
    """The GPU if there is one, of several the one of this process; else the CPU."""
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if torch.cuda.is_available() else CPU


def load_base(folder: Path, model: Model, *, four_bits: bool = False) -> Any:
    """Load the base model from a local folder: safetensors only, no code from the folder.

    Args:
        folder: Where it lies.
        model: How it is computed.
        four_bits: Keep its linear layers as NF4, as QLoRA does.
    """
    more: dict[str, Any] = {}
    if four_bits:
        kept = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=getattr(torch, model.dtype),
        )  # fmt: skip
        more = {"quantization_config": kept, "device_map": {"": training_device()}}
    with quiet_transformers():
        base = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=getattr(torch, model.dtype),
            attn_implementation=model.attention,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            **more,
        )
    # Answers are greedy, whatever penalties and temperatures the model's authors suggest.
    base.generation_config = GenerationConfig()
    return base if four_bits else base.to(training_device())


def require_quantization() -> None:
    """Refuse QLoRA where it cannot run.

    Raises:
        UserError: Without a GPU or without bitsandbytes.
    """
    needed = {"CUDA device": torch.cuda.is_available(), "bitsandbytes": find_spec("bitsandbytes") is not None}
    missing = [what for what, there in needed.items() if not there]
    if missing:
        raise UserError(
            "params.yaml: finetune.adapter",
            "qlora cannot run here",
            expected="a CUDA device and the package bitsandbytes",
            got=f"no {' and no '.join(missing)}",
            do="set it to lora",
        )


def load_trainable(folder: Path, model: Model, finetune: Finetune) -> Any:
    """Load the base model and make it what `finetune.adapter` says: with a new adapter, or with every weight training.

    Raises:
        UserError: If the model has none of the layers asked for.
    """
    base = load_base(folder, model, four_bits=finetune.adapter == "qlora")
    made = base.train() if finetune.adapter == "full" else add_adapter(base, finetune)
    if finetune.activation_checkpointing:
        made.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    return made


def add_adapter(base: Any, finetune: Finetune) -> Any:
    """Wrap the base model in a new adapter whose first values come from the seed.

    Raises:
        UserError: If the model has none of the layers asked for.
    """
    targets = finetune.target_modules if finetune.target_modules == "all-linear" else list(finetune.target_modules)
    layers = [f".{name}" for name, _ in base.named_modules()]
    unknown = (
        [] if targets == "all-linear" else [t for t in targets if not any(name.endswith(f".{t}") for name in layers)]
    )
    config = LoraConfig(
        r=finetune.rank,
        lora_alpha=finetune.alpha,
        lora_dropout=finetune.dropout,
        target_modules=targets,
        task_type="CAUSAL_LM",
        use_rslora=finetune.adapter == "rslora",
        use_dora=finetune.adapter == "dora",
    )
    try:
        with quiet_transformers():
            adapted = get_peft_model(base, config)
    except ValueError as error:
        raise UserError("params.yaml: finetune.target_modules", str(error).splitlines()[0], got=str(targets)) from error
    if unknown:  # peft leaves them out in silence when others are there
        raise UserError(
            "params.yaml: finetune.target_modules", "the base model has no such layer", got=", ".join(unknown)
        )
    return adapted


def lora_plus_optimizer(adapted: Any, finetune: Finetune) -> torch.optim.Optimizer | None:
    """Make the optimizer of LoRA+ (Hayou et al. 2024); None where the Trainer's own will do."""
    if finetune.lora_plus_ratio == 1:
        return None
    made: torch.optim.Optimizer = create_loraplus_optimizer(
        adapted, torch.optim.AdamW, lr=finetune.learning_rate, loraplus_lr_ratio=finetune.lora_plus_ratio,
        loraplus_weight_decay=finetune.weight_decay, loraplus_lr_embedding=finetune.learning_rate, fused=True,
    )  # fmt: skip
    return made


def save_adapter(model: Any, folder: Path, base_digest: str) -> None:
    """Save what trained so that the same weights have the same bytes: an adapter, or the whole model if that trained.

    peft writes a set and the base's local path into the config: the one is sorted, the other named by its digest.
    """
    if not isinstance(model, PeftModel):
        model.save_pretrained(folder, max_shard_size="1TB")
        return
    model.save_pretrained(folder, safe_serialization=True)
    (folder / "README.md").unlink(missing_ok=True)  # the release has a model card of its own
    config = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    config = {
        key: sorted(value) if key == "target_modules" and isinstance(value, list) else value
        for key, value in config.items()
    }
    config["base_model_name_or_path"] = f"sha256:{base_digest}"
    write_json(folder / ADAPTER_CONFIG, config)


def load_merged(base: Any, adapter: Path | None) -> Any:
    """Give the model to answer with: the base itself, or the base with what was trained put into its weights."""
    if adapter is None:
        return base.eval()
    if not (adapter / ADAPTER_CONFIG).exists():
        with quiet_transformers():
            whole = type(base).from_pretrained(
                adapter, dtype=base.dtype, attn_implementation=attention_implementation(base),
                local_files_only=True, use_safetensors=True,
            )  # fmt: skip
        whole.generation_config = GenerationConfig()
        return whole.to(training_device()).eval()
    with quiet_transformers():
        return PeftModel.from_pretrained(base, str(adapter)).merge_and_unload().eval()


def count_parameters(model: Any) -> tuple[int, int]:
    """Count the parameters that train, and all of them."""
    if isinstance(model, PeftModel):
        train, everything = model.get_nb_trainable_parameters()  # it knows what four bits hold
        return int(train), int(everything)
    counts = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(number for number, trains in counts if trains), sum(number for number, _ in counts)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep loading bars and notices of transformers away from the user's screen."""
    bars = transformers.utils.logging.is_progress_bar_enabled()
    transformers.utils.logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        if bars:
            transformers.utils.logging.enable_progress_bar()
