"""Laws that only the real base model can show; slow, run by `make test-slow` and by CI."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipeline.baselines import stage as baselines
from pipeline.evaluate import models
from pipeline.evaluate import stage as evaluate
from pipeline.evaluate.general_knowledge import read_probe
from pipeline.files import read_json
from pipeline.finetune import stage as finetune
from pipeline.hashing import file_digests
from pipeline.ingest import stage as ingest
from pipeline.model.base_model import fetch_base_model
from pipeline.model.chat_template import PromptEncoder, load_tokenizer
from pipeline.model.tokenized import read_tokens, write_tokens
from pipeline.pairs import Message
from pipeline.params import Params, parse_params
from pipeline.register import stage as register
from pipeline.register.gate import check_forgetting
from pipeline.stats.paired_comparison import ComparisonSettings
from pipeline.tokenize import stage as tokenize
from pipeline.validate import stage as validate
from tests.support.paths import PROJECT
from tests.support.tiny_params import judged

BANKING = PROJECT.parent / "shared" / "data" / "banking77"
FEW_LABELS = ("card_arrival", "exchange_rate", "lost_or_stolen_card", "top_up_failed")

pytestmark = [pytest.mark.slow, pytest.mark.real_base]


@pytest.fixture(scope="module")
def defaults() -> dict[str, Any]:
    """params.yaml as it is, with plain values."""
    found: dict[str, Any] = YAML(typ="safe", pure=True).load((PROJECT / "params.yaml").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def few_intents(tmp_path_factory: pytest.TempPathFactory, defaults: dict[str, Any]) -> tuple[Params, Path]:
    """Four intents of Banking77: the params, and the data folder to be."""
    if not BANKING.exists():
        pytest.skip("Banking77 is not at ../shared/data/banking77")
    folder = tmp_path_factory.mktemp("banking")
    for name in ("train.csv", "test.csv"):
        lines = (BANKING / name).read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines[1:] if line.rstrip().endswith(FEW_LABELS)]
        (folder / name).write_text("".join([lines[0], *kept]), encoding="utf-8")
    common = {"format": "auto", "prompt_column": "text", "completion_column": "category", "encoding": None}
    common |= {"sha256": None, "delimiter": None}
    defaults["ingest"] |= {
        "folder": str(folder),
        "sources": [
            {"path": "train.csv", "split": None, "per_label": 12, **common},
            {"path": "test.csv", "split": "test", "per_label": 12, **common},
        ],
    }
    defaults["prompt"]["system"] = "Name the intent."
    defaults["baselines"] |= {"enabled": ["zero_shot"], "latency_rows": 2}
    defaults["finetune"] |= {"epochs": 3, "batch_size": 8}
    defaults["evaluate"]["bootstrap_resamples"] = 500
    return parse_params(defaults), folder / "data"


@pytest.fixture(scope="module")
def ran(few_intents: tuple[Params, Path]) -> tuple[Params, Path]:
    """The same after all seven stages."""
    params, data = few_intents
    ingest.run(params.ingest, data)
    validate.run(params.prompt, params.validate, data)
    tokenize.run(params.model, params.prompt, params.tokenize, data)
    baselines.run(params.model, params.prompt, params.baselines, judged(params), data)
    finetune.run(params.model, params.finetune, data)
    evaluate.run(params.model, params.prompt, params.evaluate, params.register, data, timed=1)
    register.run(params.model, params.prompt, params.register, params.prices, data)
    return params, data


def test_default_base_model_has_the_digest_on_record(defaults: dict[str, Any]) -> None:
    """The wheel converts to the same bytes everywhere; another digest means another model."""
    base = fetch_base_model(parse_params(defaults).model)

    assert base.digest == "2111ba3b1d8a6b411a5e043c21fae094703c20643d42d075f0d38ef3816e4a7a"


def test_default_base_model_is_rendered_as_it_was_trained_to_chat(defaults: dict[str, Any]) -> None:
    """SmolLM2 speaks ChatML; the end of its turn is one token."""
    renderer = PromptEncoder(load_tokenizer(fetch_base_model(parse_params(defaults).model).folder), "Be brief.")

    text = renderer.render([Message("user", "Hello?")])

    assert text == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert renderer.tokenizer.convert_ids_to_tokens(renderer.end_of_turn_ids) == ["<|im_end|>"]


def test_few_real_rows_teach_the_real_model(ran: tuple[Params, Path]) -> None:
    """Forty-odd rows of Banking77 raise the accuracy far enough for the gate to promote."""
    _, data = ran

    release = read_json(data / "register/release.json")
    base, tuned = (release["metrics"]["arms"][arm]["accuracy"]["value"] for arm in ("zero_shot", "fine-tuned"))
    assert tuned > base + 0.2
    assert release["verdict"] == "promote"


def test_training_again_gives_the_same_bytes(ran: tuple[Params, Path], tmp_path: Path) -> None:
    """The same rows, params and machine give the same adapter, curves and report; only the seconds differ."""
    params, data = ran
    (tmp_path / "tokenize").symlink_to(data / "tokenize")

    finetune.run(params.model, params.finetune, tmp_path)

    again, first = (file_digests(place / "finetune") for place in (tmp_path, data))
    assert again | {"cost.json": ""} == first | {"cost.json": ""}


RUINOUS = {"learning_rate": 0.02, "epochs": 12, "checkpoint": "last", "warmup_ratio": 0.0, "lr_scheduler": "constant"}
GENTLE = {"learning_rate": 1e-4, "epochs": 1}


@pytest.mark.parametrize(("recipe", "forgets"), [(GENTLE, False), (RUINOUS, True)], ids=["gentle", "ruinous"])
def test_a_model_that_is_trained_to_forget_is_stopped_by_the_gate(
    ran: tuple[Params, Path], tmp_path: Path, recipe: dict[str, Any], forgets: bool
) -> None:
    """At a high rate over many epochs the loss on general texts rises past the limit; at a low one it hardly moves."""
    params, data = ran
    finetune_params = params.finetune.model_copy(update=recipe)
    rows = read_tokens(data / "tokenize" / "train.arrow")[:16]
    (tmp_path / "tokenize").mkdir()
    write_tokens(tmp_path / "tokenize" / "train.arrow", rows)
    write_tokens(tmp_path / "tokenize" / "validation.arrow", rows[:2])
    finetune.run(params.model, finetune_params, tmp_path)
    arm = replace(
        models.trained_models(params.model, params.prompt, FEW_LABELS, [], [], data)[0],
        adapter=tmp_path / "finetune" / "adapter",
    )
    lost = models.forgetting_of(
        arm, params.evaluate, ComparisonSettings(500, 1, 0.95, 0.02), read_probe(PROJECT / "data/general")
    )
    texts, _ = check_forgetting(lost, params.register)
    assert texts.passed is not forgets
    if not forgets:
        assert lost["texts"]["rise"]["high"] < 0.1
