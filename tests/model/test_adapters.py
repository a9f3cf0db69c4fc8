"""Laws of the base model, the adapter and the seeds."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.errors import UserError
from pipeline.finetune.sampler import WindowedSampler
from pipeline.hashing import file_digests
from pipeline.model.adapters import add_adapter, count_parameters, load_base, load_merged, save_adapter, seed_everything
from pipeline.params import Params
from tests.support.paths import PROJECT

MakeParams = Callable[..., Params]


def fresh_adapter(base: Path, params: Params, folder: Path, seed: int) -> dict[str, str]:
    """Seed, build an adapter, save it; the digests of its files."""
    seed_everything(params.model, seed)
    save_adapter(add_adapter(load_base(base, params.model), params.finetune), folder, "0" * 64)
    return file_digests(folder)


def move(model: Any) -> None:
    """Give every part of the adapter some other value, as a training would."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.3)


def test_the_same_seed_gives_the_same_adapter_and_another_seed_another(
    base: Path, make_params: MakeParams, tmp_path: Path
) -> None:
    """The adapter's first values are drawn after seeding: its bytes follow the seed, and nothing drawn before."""
    torch.randn(17)
    first = fresh_adapter(base, make_params(), tmp_path / "first", seed=1)
    torch.randn(5)
    again = fresh_adapter(base, make_params(), tmp_path / "again", seed=1)
    other = fresh_adapter(base, make_params(), tmp_path / "other", seed=2)
    weights = "adapter_model.safetensors"
    assert first == again
    assert first[weights] != other[weights]


SAVE = """
import sys
from pathlib import Path
from pipeline.model.adapters import add_adapter, load_base, save_adapter, seed_everything
from pipeline.params import load_params
params = load_params(Path(sys.argv[1]))
seed_everything(params.model, 1)
adapted = add_adapter(load_base(Path(params.model.source), params.model), params.finetune)
save_adapter(adapted, Path(sys.argv[2]), "0" * 64)
"""


def test_another_process_with_another_hash_seed_saves_the_same_bytes(
    base: Path, values: dict[str, Any], make_params: MakeParams, tmp_path: Path
) -> None:
    """The order of a set, which differs from process to process, does not reach the adapter's files."""
    here = fresh_adapter(base, make_params(), tmp_path / "here", seed=1)
    (tmp_path / "params.yaml").write_text(json.dumps(values), encoding="utf-8")
    other_seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    subprocess.run(
        [sys.executable, "-c", SAVE, str(tmp_path / "params.yaml"), str(tmp_path / "there")],
        check=True, cwd=PROJECT, env={**os.environ, "PYTHONHASHSEED": other_seed},
    )  # fmt: skip
    assert file_digests(tmp_path / "there") == here
    assert set(here) == {"adapter_config.json", "adapter_model.safetensors"}


def test_the_adapters_config_names_its_base_by_digest_and_no_place(
    base: Path, make_params: MakeParams, tmp_path: Path
) -> None:
    """What is saved says which base it belongs to, and nothing about where that base lay."""
    fresh_adapter(base, make_params(), tmp_path / "adapter", seed=1)
    text = (tmp_path / "adapter" / "adapter_config.json").read_text(encoding="utf-8")
    config = json.loads(text)
    assert config["base_model_name_or_path"] == "sha256:" + "0" * 64
    assert config["target_modules"] == sorted(config["target_modules"])
    assert str(base) not in text


def test_a_new_adapter_changes_no_answer_and_only_it_trains(base: Path, make_params: MakeParams) -> None:
    """Before training the model computes what its base computes; the base's own weights are frozen."""
    params = make_params()
    seed_everything(params.model, 1)
    ids = torch.tensor([[3, 4, 5, 6]])
    with torch.no_grad():
        plain = load_base(base, params.model).eval()(ids).logits
        adapted = add_adapter(load_base(base, params.model), params.finetune)
        assert torch.equal(adapted.eval()(ids).logits, plain)
    training = {name for name, parameter in adapted.named_parameters() if parameter.requires_grad}
    assert training == {name for name, _ in adapted.named_parameters() if "lora_" in name} != set()


def test_all_linear_adapts_every_linear_layer_but_the_output(base: Path, make_params: MakeParams) -> None:
    """The parameters that train are counted right: rank times the two sides of each linear layer of each block."""
    adapted = add_adapter(load_base(base, make_params().model), make_params().finetune)
    hidden, inner, narrow, rank, layers = 32, 64, 16, 4, 2
    sides = [2 * hidden, hidden + narrow, hidden + narrow, 2 * hidden, *[hidden + inner] * 3]
    everything = sum(parameter.numel() for parameter in adapted.parameters())
    assert count_parameters(adapted) == (layers * rank * sum(sides), everything)


def test_a_saved_adapter_answers_as_the_one_in_memory(base: Path, make_params: MakeParams, tmp_path: Path) -> None:
    """Saved, loaded and added into the weights, a trained adapter gives the logits that it gave before."""
    params = make_params()
    seed_everything(params.model, 1)
    adapted = add_adapter(load_base(base, params.model), params.finetune)
    move(adapted)
    save_adapter(adapted, tmp_path / "adapter", "0" * 64)
    ids = torch.tensor([[3, 4, 5, 6]])
    with torch.no_grad():
        wanted = adapted.eval()(ids).logits
        got = load_merged(load_base(base, params.model), tmp_path / "adapter")(ids).logits
        plain = load_merged(load_base(base, params.model), None)(ids).logits
    assert torch.allclose(got, wanted, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(plain, wanted, rtol=1e-2, atol=1e-2)


def test_a_layer_that_the_model_has_not_is_a_problem(base: Path, make_params: MakeParams) -> None:
    """Asking for a layer that is not there is the user's to mend: one line that names the field."""
    params = make_params(**{"finetune.target_modules": ["no_such_layer"]})
    with pytest.raises(UserError) as caught:
        add_adapter(load_base(base, params.model), params.finetune)
    assert str(caught.value) == (
        "params.yaml: finetune.target_modules: Target modules {'no_such_layer'} not found in the base model. "
        "Please check the target modules and try again.; got ['no_such_layer']"
    )


def test_one_misspelt_layer_among_good_ones_is_a_problem_too(base: Path, make_params: MakeParams) -> None:
    """A layer that is not there is never left out in silence because others are there."""
    params = make_params(**{"finetune.target_modules": ["q_proj", "v_porj"]})
    with pytest.raises(UserError, match=r"^params\.yaml: finetune\.target_modules: .*v_porj"):
        add_adapter(load_base(base, params.model), params.finetune)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_base_is_loaded_as_params_say(base: Path, make_params: MakeParams, dtype: str) -> None:
    """The number format and the attention are those of params, whatever the model's own config prefers."""
    loaded = load_base(base, make_params(**{"model.dtype": dtype, "model.attention": "eager"}).model)
    assert {parameter.dtype for parameter in loaded.parameters()} == {getattr(torch, dtype)}
    assert loaded.config._attn_implementation == "eager"


def test_settling_fixes_every_source_of_chance_and_the_threads(make_params: MakeParams) -> None:
    """After settling, torch, numpy and random draw the same, kernels are deterministic, threads are those of params."""
    drawn = []
    for _ in range(2):
        seed_everything(make_params().model, 3)
        drawn.append((random.random(), float(np.random.rand()), float(torch.rand(()))))
    assert drawn[0] == drawn[1]
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("field", ["finetune.seed", "evaluate.seed"])
@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_cannot_be_used_is_refused_with_the_params(make_params: MakeParams, field: str, seed: int) -> None:
    """Seeds go from 0 to 2**32 - 1; any other is a wrong value in params.yaml, not a traceback in a stage."""
    with pytest.raises(UserError, match=r"^params\.yaml: one value is wrong:"):
        make_params(**{field: seed})


@pytest.mark.parametrize("seed", [0, 2**32 - 1])
def test_every_seed_that_params_take_can_be_used(make_params: MakeParams, seed: int) -> None:
    """The least and the greatest seed work."""
    params = make_params(**{"finetune.seed": seed})
    seed_everything(params.model, params.finetune.seed)
    assert len(list(WindowedSampler([3, 4, 5], batch_size=2, window=8, seed=params.finetune.seed))) == 3
