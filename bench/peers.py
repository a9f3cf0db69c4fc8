"""What the stages of the data are measured against, each in a process of its own: python -m bench.peers PEER ..."""

import os
import re
import sys
from collections.abc import Callable
from typing import Any

CONTROLS = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f�]"
MARKUP = r"<\|[^|<>\s]{1,40}\|>|</?s>|\[/?INST\]|<<?/?SYS>>|<(start|end)_of_turn>"


def load(pairs: str, cache: str) -> Any:
    """Read the pairs as `datasets` does, into its own Arrow files; once they are there, they are only opened."""
    from datasets import disable_progress_bars, load_dataset  # noqa: PLC0415 -- seconds, and each peer pays for its own

    disable_progress_bars()
    return load_dataset("json", data_files=pairs, split="train", cache_dir=cache)


def encode(pairs: str, cache: str, base: str, system: str) -> None:
    """Make the tokens that `tokenize` makes: in batches, on all cores, into Arrow files."""
    from transformers import AutoTokenizer  # noqa: PLC0415

    rows = load(pairs, cache)
    rows.map(
        tokens, batched=True, num_proc=os.cpu_count(), remove_columns=rows.column_names, load_from_cache_file=False,
        fn_kwargs={"tokenizer": AutoTokenizer.from_pretrained(base), "system": system},
    )  # fmt: skip


def tokens(rows: dict[str, list[str]], tokenizer: Any, system: str) -> dict[str, Any]:
    """Encode some rows through what transformers offers for several, with a ChatML template."""
    talks = [[{"role": "system", "content": system}, {"role": "user", "content": text}] for text in rows["prompt"]]
    asked = tokenizer.apply_chat_template(talks, tokenize=False, add_generation_prompt=True)
    said = [text + "<|im_end|>" for text in rows["completion"]]
    prompts, answers = (
        tokenizer(texts, add_special_tokens=False, return_attention_mask=False)["input_ids"] for texts in (asked, said)
    )
    return {
        "input_ids": [prompt + answer for prompt, answer in zip(prompts, answers, strict=True)],
        "completion_start": [len(prompt) for prompt in prompts],
    }


def row_tests() -> dict[str, Callable[[str], bool]]:
    """List our checks of a text as functions of it, by name: whether it is good."""
    from ftfy.badness import badness  # noqa: PLC0415

    from pipeline.validate.pii import PII_PATTERNS, find_spans  # noqa: PLC0415

    controls, markup, seen = re.compile(CONTROLS), re.compile(MARKUP), re.compile(r"\S")
    return {
        "seen": lambda text: bool(seen.search(text)),
        "short": lambda text: len(text.strip()) <= 4000,
        "controls": lambda text: not controls.search(text),
        "markup": lambda text: not markup.search(text),
        "mojibake": lambda text: not badness(text),
        **{name: lambda text, kind=kind: not find_spans(kind, text) for name, kind in PII_PATTERNS.items()},
    }


def expectation(name: str, test: Callable[[str], bool], column: str) -> Any:
    """Make an expectation of Great Expectations of a function of a row, as one adds one's own."""
    from great_expectations.execution_engine import PandasExecutionEngine  # noqa: PLC0415
    from great_expectations.expectations.expectation import ColumnMapExpectation  # noqa: PLC0415
    from great_expectations.expectations.metrics import (  # noqa: PLC0415
        ColumnMapMetricProvider,
        column_condition_partial,
    )

    def holds(cls: Any, column: Any, **_: Any) -> Any:  # noqa: ARG001 -- as the metric is called
        return column.map(test)

    metric, title = f"column_values.is_{name.replace('-', '_')}", name.title().replace("-", "")
    told = {"condition_metric_name": metric, "_pandas": column_condition_partial(engine=PandasExecutionEngine)(holds)}
    type(f"ColumnValues{title}", (ColumnMapMetricProvider,), told)
    kind = type(f"ExpectColumnValuesToBe{title}", (ColumnMapExpectation,), {"map_metric": metric})
    return kind(column=column)


def check(pairs: str) -> None:
    """Hold the pairs against Great Expectations by functions of a row: our checks of a text.

    Near-duplicates, conflicts, overlaps and labels, which no function of one row can tell, are left out.
    """
    import great_expectations as gx  # noqa: PLC0415
    import pandas as pd  # noqa: PLC0415

    frame = pd.read_json(pairs, lines=True, dtype=False)
    expectations = [
        expectation(f"{name}-{column}", test, column)
        for name, test in row_tests().items()
        for column in ("prompt", "completion")
    ]
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    batches = context.data_sources.add_pandas("pairs").add_dataframe_asset("pairs")
    batch = batches.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    results = batch.validate(gx.ExpectationSuite(name="pairs", expectations=expectations)).results
    raised = [result for result in results if "unexpected_count" not in result.result]
    if raised:
        sys.exit(f"error: {raised[0].exception_info}")


PEERS = {"load": load, "encode": encode, "check": check}

if __name__ == "__main__":
    PEERS[sys.argv[1]](*sys.argv[2:])
