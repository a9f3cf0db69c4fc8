"""The model card: only what was recorded, in words."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from pipeline.arms import FINETUNED
from pipeline.html.render import escape_markdown, render_template
from pipeline.params import HUB_ADDRESS
from pipeline.verdicts import VERDICT_WORDS

CARD_TEMPLATES = Path(__file__).parent / "templates"


ADAPTER_WORDS = {
    "lora": "A LoRA adapter for",
    "rslora": "A rank-stabilised LoRA adapter for",
    "dora": "A DoRA adapter for",
    "qlora": "A LoRA adapter, trained on a base of four bits, for",
    "full": "All weights of",
}


def model_card(release: dict[str, Any]) -> str:
    """Write the card of a release in the Hugging Face format (YAML head, then Markdown)."""
    return render_template(
        CARD_TEMPLATES,
        "model_card.md.j2",
        release=release,
        metadata=card_metadata(release),
        trained=ADAPTER_WORDS[release["training"]["kind"]],
        verdict=VERDICT_WORDS[release["verdict"]],
        training=release["training"],
        environment=release["environment"],
        held_out=release["held_out"],
        system=indent_lines(release["prompt"]["system"] or "none"),
        compared=[baseline_cells(line) for line in release["worth"]["table"]],
        arms=list(arm_cells(release["metrics"]["arms"])),
        digests=[(name, f"`{digest}`") for name, digest in release["digests"].items()],
    )


def arm_cells(arms: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    """Write each metric of each arm as cells."""
    for arm, metrics in arms.items():
        for name, metric in metrics.items():
            interval = f"{metric['low']:.3f} to {metric['high']:.3f}"
            yield arm, name, f"{metric['value']:.3f}", interval, str(metric["n"])


def card_metadata(release: dict[str, Any]) -> str:
    """Write what the Hub reads of a card, in YAML: library, base model, tags, and results (`model-index`).

    The base model is named only where it is one of the Hub: another source is no id that the Hub knows.
    """
    kind, hub = release["training"]["kind"], HUB_ADDRESS.match(release["model"]["source"])
    measured = held_out_results(release)
    named = {"model_name": release["name"], "eval_results": measured} if measured else {}
    data = ModelCardData(
        library_name="transformers" if kind == "full" else "peft",
        base_model=hub["model"] if hub else None,
        tags=[kind, "tunesmith"],
        **named,
    )
    return data.to_yaml()


def held_out_results(release: dict[str, Any]) -> list[EvalResult]:
    """List the results of the fine-tuned model on the held-out rows, house rules one by one left out."""
    return [
        EvalResult(
            task_type="text-generation",
            dataset_type=release["name"],
            dataset_name="held-out rows",
            dataset_split="test",
            metric_type=measure,
            metric_value=round(metric["value"], 6),
        )
        for measure, metric in release["metrics"]["arms"].get(FINETUNED, {}).items()
        if not measure.startswith("rule:")
    ]


def baseline_cells(line: dict[str, Any]) -> list[str]:
    """Write a line of the table of baselines."""
    own = [line["arm"], f"{line['value']:.3f}", f"{line['low']:.3f} to {line['high']:.3f}"]
    if line["difference"] is None:
        return [*own, "", "", "", ""]
    between = f"{line['difference_low']:+.3f} to {line['difference_high']:+.3f}"
    return [*own, f"{line['difference']:+.3f}", between, f"{line['p_value']:.2g}", line["word"]]


def detail_tables(details: Mapping[str, Any]) -> str:
    """Write what the numbers of the fine-tuned model are made of: each label, how sure it was, each field.

    Args:
        details: Its entry in `data/evaluate/details.json`.
    """
    classes = [
        (label, *(metric_text(measures.get(name)) for name in ("precision", "recall", "f1")))
        for label, measures in details.get("classes", {}).items()
    ]
    reliability = [
        (f"{tenth['from']:.1f} to {tenth['to']:.1f}", f"{tenth['probability']:.3f}", metric_text(tenth["right"]))
        for tenth in details.get("reliability", [])
    ]
    fields = [(f"`{field}`", metric_text(metric)) for field, metric in details.get("fields", {}).items()]
    return (
        titled_table("By label, fine-tuned", ("label", "precision", "recall", "F1"), classes)
        + titled_table(
            "How sure it was, and how many of these were right", ("sure", "on average", "right"), reliability
        )
        + titled_table("By field, fine-tuned", ("field", "right"), fields)
    )


def metric_text(metric: Mapping[str, Any] | None) -> str:
    """Write a number with its interval and n; a dash for one that is of no row."""
    if metric is None:
        return "-"
    return f"{metric['value']:.3f} ({metric['low']:.3f} to {metric['high']:.3f}), n={metric['n']}"


def titled_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table under a heading; nothing if it has no rows."""
    return f"\n## {title}\n\n*From `data/evaluate/details.json`.*\n\n{markdown_grid(head, rows)}\n" if rows else ""


def markdown_grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table. What stands in a cell opens no other cell and ends no row."""
    lines = [head, ["---"] * len(head), *(map(escape_markdown, row) for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def indent_lines(text: str) -> str:
    """Indent a text of several lines, so that whatever they begin with it stays in its item of a list."""
    return text.replace("\n", "\n  ")
