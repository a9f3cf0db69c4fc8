"""Stage 3. Reads the three splits of data/validate/ and the tokenizer of the base model.

Computes token ids and where the supervised part begins, by the one rendering and the one mask law of `prompt`.
Writes data/tokenize/: train.arrow, validation.arrow, test.arrow, quarantine.parquet (too long), report.json.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline import stage
from pipeline.model import load_tokenizer
from pipeline.pairs import SPLITS, Pair, Quarantined, aside, read_pairs, write_json, write_quarantine
from pipeline.params import Model, Prompt, Tokenize
from pipeline.problem import Problem
from pipeline.prompt import Encoded, Renderer
from pipeline.tokens import write_tokens
from pipeline.weights import fetch

log = logging.getLogger(__name__)


def encode_all(
    pairs: Sequence[Pair], renderer: Renderer, max_tokens: int
) -> tuple[list[tuple[str, Encoded]], list[Quarantined]]:
    """Encode pairs; one that is too long is set aside whole, since cutting it would cut away its answer."""
    rows: list[tuple[str, Encoded]] = []
    too_long: list[Quarantined] = []
    for pair in pairs:
        encoded = renderer.encode(pair.messages, pair.completion)
        if len(encoded.input_ids) > max_tokens:
            too_long.append(aside(pair, "too_long", f"{len(encoded.input_ids)} tokens, limit {max_tokens}"))
        else:
            rows.append((pair.id, encoded))
    return rows, too_long


def describe(rows: Sequence[tuple[str, Encoded]]) -> dict[str, Any]:
    """Sum up a split: rows, tokens, how many of them are supervised, the longest row."""
    lengths = [len(encoded.input_ids) for _, encoded in rows]
    supervised = sum(len(encoded.input_ids) - encoded.completion_start for _, encoded in rows)
    return {
        "rows": len(rows),
        "tokens": sum(lengths),
        "supervised": supervised,
        "longest": max(lengths, default=0),
    }


def run(model: Model, prompt: Prompt, tokenize: Tokenize, data: Path) -> None:
    """Encode the splits and write them."""
    base = fetch(model)
    renderer = Renderer(load_tokenizer(base.folder), prompt.system)
    report: dict[str, Any] = {"base_digest": base.digest, "splits": {}}
    aside_all: list[Quarantined] = []
    with stage.whole(data / "tokenize") as folder:
        for split in SPLITS:
            rows, too_long = encode_all(
                read_pairs(data / "validate" / f"{split}.parquet"), renderer, tokenize.max_tokens
            )
            if not rows and split != "validation":
                limit = tokenize.max_tokens
                raise Problem(
                    f"the {split} split", f"no row has at most {limit} tokens", do="raise tokenize.max_tokens"
                )
            write_tokens(folder / f"{split}.arrow", rows)
            report["splits"][split] = {**describe(rows), "too_long": len(too_long)}
            aside_all += too_long
            log.info("tokenize: %s: %d rows, %d too long", split, len(rows), len(too_long))
        write_quarantine(folder / "quarantine.parquet", aside_all)
        write_json(folder / "report.json", report)


if __name__ == "__main__":
    stage.main(lambda params, data: run(params.model, params.prompt, params.tokenize, data))
