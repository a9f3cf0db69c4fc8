"""The model card: only what was recorded, in words."""

from typing import Any

OUTCOMES = {
    "promote": "promoted: it became the champion",
    "keep": "not promoted: recorded as challenger only",
    "unchanged": "unchanged: these weights are the champion's",
}


NOUNS = {
    "lora": "A LoRA adapter for",
    "rslora": "A rank-stabilised LoRA adapter for",
    "dora": "A DoRA adapter for",
    "qlora": "A LoRA adapter, trained on a base of four bits, for",
    "full": "All weights of",
}


def model_card(release: dict[str, Any]) -> str:
    """Write the card of a release in the Hugging Face format (YAML head, then Markdown)."""
    training, metrics, rows = release["training"], release["metrics"], release["rows"]
    arms = "\n".join(
        f"| {arm} | {measure} | {found['value']:.3f} | {found['low']:.3f} to {found['high']:.3f} | {found['n']} |"
        for arm, measures in metrics["arms"].items()
        for measure, found in measures.items()
    )
    reasons = "\n".join(f"- {reason}" for reason in release["reasons"])
    worth = release["worth"]
    lines = "\n".join(f"| {' | '.join(cells(line))} |" for line in worth["table"])
    digests = "\n".join(f"| {name} | `{digest}` |" for name, digest in release["digests"].items())
    environment = release["environment"]
    packages = ", ".join(f"{name} {number}" for name, number in environment["packages"].items())
    kind = training["kind"]
    return f"""---
library_name: {"transformers" if kind == "full" else "peft"}
base_model: {release["model"]["source"]}
tags: [{kind}, tunesmith]
---
# {release["name"]}

{NOUNS[kind]} `{release["model"]["source"]}`, made by tunesmith. Verdict: **{OUTCOMES[release["verdict"]]}**.

{reasons}

## Was it worth it?

{worth["text"]}

| arm | {worth["metric"]} | 95 % interval | fine-tuned has more | interval | p, corrected | it is |
|---|---|---|---|---|---|---|
{lines}

## How it was made

- {rows["train"]} training rows, {rows["validation"]} for validation, {rows["test"]} held out for the table below.
- {training["steps"]} optimizer steps on {training["trainable_parameters"]:,} of {training["parameters"]:,} parameters.
- On {environment["device"]} ({environment["cpu"]["machine"]}, {environment["cpu"]["kernels"]} kernels,
  {environment["cpu"]["threads"]} threads), Python {environment["python"]}, {packages}.
- System message: {release["prompt"]["system"] or "none"}

## Held-out rows

| arm | metric | value | 95 % interval | n |
|---|---|---|---|---|
{arms}

## Digests (SHA-256)

| what | digest |
|---|---|
{digests}
"""


def cells(line: dict[str, Any]) -> list[str]:
    """Write a line of the table of rivals."""
    own = [line["arm"], f"{line['value']:.3f}", f"{line['low']:.3f} to {line['high']:.3f}"]
    if line["difference"] is None:
        return [*own, "", "", "", ""]
    between = f"{line['difference_low']:+.3f} to {line['difference_high']:+.3f}"
    return [*own, f"{line['difference']:+.3f}", between, f"{line['p_value']:.2g}", line["word"]]
