"""Stage 3. Reads the three splits of data/validate/, the tokenizer of the base model, and data/golden.jsonl.

Computes token ids and which of them are supervised, by the one rendering and the one mask law of `prompt`, once the
tokens of the contract are those that were accepted.
Writes data/tokenize/: train.arrow, validation.arrow, test.arrow, quarantine.parquet (too long), report.json,
preview.html (what training sees).
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline import stage
from pipeline.contract import GOLDEN, hold, read_contract, terms_of
from pipeline.model import load_tokenizer
from pipeline.pairs import SPLITS, Pair, Quarantined, aside, read_pairs, write_json, write_quarantine
from pipeline.params import Model, Prompt, Tokenize
from pipeline.preview import Lengths, Sample, choose, lengths_of, preview_page
from pipeline.problem import Problem
from pipeline.prompt import Encoded, Renderer
from pipeline.tokens import write_tokens
from pipeline.weights import fetch

log = logging.getLogger(__name__)


def encode_all(
    pairs: Sequence[Pair], renderer: Renderer, tokenize: Tokenize
) -> tuple[list[tuple[str, Encoded]], list[tuple[Pair, Encoded]]]:
    """Encode pairs; one that is too long is set aside whole, since cutting it would cut away its answer."""
    every_turn, limit = tokenize.supervise == "all", tokenize.max_tokens
    rows: list[tuple[str, Encoded]] = []
    too_long: list[tuple[Pair, Encoded]] = []
    for pair in pairs:
        encoded = renderer.encode(pair.messages, pair.completion, every_turn=every_turn)
        if len(encoded.input_ids) > limit:
            too_long.append((pair, encoded))
        else:
            rows.append((pair.id, encoded))
    return rows, too_long


def aside_of(pair: Pair, encoded: Encoded, limit: int) -> Quarantined:
    """Set a pair aside that is too long."""
    return aside(pair, "too_long", f"{len(encoded.input_ids)} tokens, limit {limit}")


def describe(rows: Sequence[tuple[str, Encoded]]) -> dict[str, Any]:
    """Sum up a split: rows, tokens, how many of them are supervised, the longest row."""
    lengths = [len(encoded.input_ids) for _, encoded in rows]
    supervised = sum(len(encoded.supervised_ids) for _, encoded in rows)
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
    terms = terms_of(model, prompt, tokenize, base.digest)
    held = hold(read_contract(data / GOLDEN), terms, renderer.tokenizer)
    log.info("tokenize: data/%s: %s", GOLDEN, held)
    report: dict[str, Any] = {"base_digest": base.digest, "contract": held, "splits": {}}
    aside_all: list[Quarantined] = []
    lengths: dict[str, Lengths] = {}
    samples: list[Sample] = []
    with stage.whole(data / "tokenize") as folder:
        for split in SPLITS:
            rows, too_long = encode_all(read_pairs(data / "validate" / f"{split}.parquet"), renderer, tokenize)
            if not rows and split != "validation":
                limit = tokenize.max_tokens
                raise Problem(
                    f"the {split} split", f"no row has at most {limit} tokens", do="raise tokenize.max_tokens"
                )
            write_tokens(folder / f"{split}.arrow", rows, every_turn=tokenize.supervise == "all")
            report["splits"][split] = {**describe(rows), "too_long": len(too_long)}
            aside_all += [aside_of(pair, encoded, tokenize.max_tokens) for pair, encoded in too_long]
            found = [encoded for _, encoded in [*rows, *too_long]]
            lengths[split] = lengths_of(found, len(too_long))
            samples += choose(rows, [(pair.id, encoded) for pair, encoded in too_long]) if split == "train" else []
            log.info("tokenize: %s: %d rows, %d too long", split, len(rows), len(too_long))
        write_quarantine(folder / "quarantine.parquet", aside_all)
        write_json(folder / "report.json", report)
        page = preview_page(lengths, samples, renderer.tokenizer, tokenize.max_tokens)
        (folder / "preview.html").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    stage.main(lambda params, data: run(params.model, params.prompt, params.tokenize, data))
