"""Base model, tokenizer, adapter and seeds: the only room that knows peft."""

import json
import os
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from pipeline.pairs import write_json
from pipeline.params import Finetune, Model
from pipeline.problem import Problem

ADAPTER_CONFIG = "adapter_config.json"


def settle(model: Model, seed: int) -> None:
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


def device() -> torch.device:
    """The GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load_tokenizer(folder: Path) -> Any:
    """Load a tokenizer from a local folder."""
    return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def load_base(folder: Path, model: Model) -> Any:
    """Load the base model from a local folder: safetensors only, no code from the folder."""
    with quiet():
        base = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=getattr(torch, model.dtype),
            attn_implementation=model.attention,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
        )
    # Answers are greedy, whatever penalties and temperatures the model's authors suggest.
    base.generation_config = GenerationConfig()
    return base.to(device())


def add_adapter(base: Any, finetune: Finetune) -> Any:
    """Wrap the base model in a new LoRA adapter (Hu et al. 2021) whose first values come from the seed.

    Raises:
        Problem: If the model has none of the layers asked for.
    """
    targets = finetune.targets if finetune.targets == "all-linear" else list(finetune.targets)
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
    )
    try:
        with quiet():
            adapted = get_peft_model(base, config)
    except ValueError as error:
        raise Problem("params.yaml: finetune.targets", str(error).splitlines()[0], got=str(targets)) from error
    if unknown:  # peft leaves them out in silence when others are there
        raise Problem("params.yaml: finetune.targets", "the base model has no such layer", got=", ".join(unknown))
    return adapted


def save_adapter(model: Any, folder: Path, base_digest: str) -> None:
    """Save the adapter so that the same adapter has the same bytes.

    peft writes a set and the base's local path into the config: the one is sorted, the other named by its digest.
    """
    model.save_pretrained(folder, safe_serialization=True)
    (folder / "README.md").unlink(missing_ok=True)  # the release has a model card of its own
    config = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    config = {
        key: sorted(value) if key == "target_modules" and isinstance(value, list) else value
        for key, value in config.items()
    }
    config["base_model_name_or_path"] = f"sha256:{base_digest}"
    write_json(folder / ADAPTER_CONFIG, config)


def merged(base: Any, adapter: Path | None) -> Any:
    """Give the model to answer with: the base itself, or the base with an adapter added into its weights."""
    if adapter is None:
        return base.eval()
    with quiet():
        return PeftModel.from_pretrained(base, str(adapter)).merge_and_unload().eval()


def trainable(model: Any) -> tuple[int, int]:
    """Count the parameters that train, and all of them."""
    train, everything = model.get_nb_trainable_parameters()
    return int(train), int(everything)


@contextmanager
def quiet() -> Iterator[None]:
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
