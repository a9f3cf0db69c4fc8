"""Layers compiled by torch.compile: operations between matrix products are fused."""

import subprocess
from typing import Any

import torch
import torch.fx.experimental._config
from torch._inductor.cpp_builder import get_cpp_compiler
from transformers.modeling_layers import GradientCheckpointingLayer

from pipeline.errors import UserError

COMPILE_PARAM = "finetune.compile"


def compile_layers(model: Any) -> None:
    """Have the layers of a model compiled when they are first used, whatever the number of tokens, a minute for all.

    They share one graph. The first layer stays as it is: no gradient leaves it, which would make a graph of its own.

    Raises:
        UserError: If the model is not built of transformers' layers.
    """
    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not layers:
        raise UserError(
            COMPILE_PARAM, "the base model has no layers that can be compiled one by one", do="set it to false"
        )
    # Two sizes that happen to be equal in the first batch must not be taken for one, nor a layer's number for a rule.
    torch.fx.experimental._config.use_duck_shape = False  # noqa: SLF001 -- there is no public name for it
    torch._dynamo.config.allow_unspec_int_on_nn_module = True  # noqa: SLF001
    for layer in layers[1:]:
        layer.compile(dynamic=True)


def require_compiler() -> None:
    """Compile something small.

    Raises:
        UserError: If it cannot be done here.
    """
    try:
        torch.compile(lambda tensor: tensor.sin() + 1, dynamic=True)(torch.zeros(2))
    except Exception as error:  # whatever its compilers raise, what to do is the same
        why = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            COMPILE_PARAM,
            f"nothing can be compiled here: {why[0]}",
            do="install g++ and Python's headers, or set it to false",
        ) from error


def compiler_version() -> str:
    """Name the compiler whose version the bytes of an adapter depend on where layers are compiled."""
    command = get_cpp_compiler()
    version = subprocess.run([command, "--version"], capture_output=True, text=True, check=True).stdout
    return version.splitlines()[0]
