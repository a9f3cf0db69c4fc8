"""Stage 3. Reads the three splits of data/validate/, the tokenizer of the base model, and data/golden_tokens.jsonl.

Computes token ids and which of them are supervised, by the one rendering and the one mask law of `prompt`, once the
tokens of the contract are those that were accepted. Rows go by some at a time, so that memory does not grow with them.
Writes data/tokenize/: train.arrow, validation.arrow, test.arrow, quarantine.parquet (too long), report.json,
preview.html (what training sees).
"""

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow.parquet as pq

from pipeline.errors import UserError
from pipeline.files import atomic_folder, write_json
from pipeline.model.base_model import fetch_base_model
from pipeline.model.chat_template import Encoded, PromptEncoder, load_tokenizer
from pipeline.model.tokenized import write_tokens
from pipeline.pairs import SPLITS, Pair, Quarantined, RowWriter, iterate_pairs, quarantine_pair, quarantine_writer
from pipeline.params import Model, Prompt, Tokenize
from pipeline.tokenize.golden_tokens import GOLDEN_FILE, check_golden_tokens, current_terms, read_golden_tokens
from pipeline.tokenize.parallel import ParallelEncoder
from pipeline.tokenize.preview import LengthCounts, SampleChooser, preview_page

log = logging.getLogger(__name__)

NAMED_LONG_ROWS = 5
"""So many of the rows that are too long are named when they stop the run."""


class SplitCounts:
    """What becomes of the rows of a split, counted while they go by.

    Args:
        tokenize: How long a row may be.
        aside: Where rows go that are too long.
    """

    def __init__(self, tokenize: Tokenize, aside: RowWriter[Quarantined]) -> None:
        self.tokenize = tokenize
        self.lengths = LengthCounts()
        self.choice = SampleChooser()
        self.supervised = 0
        self.too_long: list[str] = []
        self._aside = aside

    def kept(self, rows: Iterable[tuple[Pair, Encoded]]) -> Iterator[tuple[str, Encoded]]:
        """Give each row under its id; one that is too long goes aside whole: cut, it would lose its answer."""
        for pair, encoded in rows:
            length, pair_id = self.lengths.add(encoded), pair.id
            if length <= self.tokenize.max_seq_length:
                self.supervised += encoded.supervised_count
                self.choice.add(pair, pair_id, length)
                yield pair_id, encoded
            else:
                self._set_aside(pair, encoded)

    def _set_aside(self, pair: Pair, encoded: Encoded) -> None:
        self.lengths.too_long += 1
        self.choice.add_too_long(pair.id, encoded)
        self._aside.add(
            quarantine_pair(pair, "too_long", f"{len(encoded.input_ids)} tokens, limit {self.tokenize.max_seq_length}")
        )
        if len(self.too_long) < NAMED_LONG_ROWS:
            self.too_long.append(f"{pair.source} row {pair.row}")

    def summary(self) -> dict[str, int]:
        """Sum up the rows that were kept: their number, their tokens, how many of those are supervised, the longest."""
        kept = {length: rows for length, rows in self.lengths.both.items() if length <= self.tokenize.max_seq_length}
        return {
            "rows": sum(kept.values()),
            "tokens": sum(length * rows for length, rows in kept.items()),
            "supervised": self.supervised,
            "longest": max(kept, default=0),
            "too_long": self.lengths.too_long,
        }

    def need_few_too_long(self, split: str) -> None:
        """Stop when more rows are too long than params allow.

        Raises:
            UserError: If there are more; it names the first of them.
        """
        limit, rows, bad = self.tokenize.max_too_long_share, self.lengths.both.total(), self.lengths.too_long
        if bad > limit * rows:
            raise UserError(
                "tokenize.max_seq_length",
                f"{bad:,} of {rows:,} {split} rows have more than {self.tokenize.max_seq_length:,} tokens",
                expected=f"at most {int(limit * rows):,} ({limit:g} of them)",
                got=", ".join(self.too_long) + (", ..." if bad > len(self.too_long) else ""),
                do="raise it, shorten those rows, or raise tokenize.max_too_long_share",
            )


def encode_split(source: Path, target: Path, encode: ParallelEncoder, account: SplitCounts) -> None:
    """Encode the pairs of a split into a file."""
    rows = encode(iterate_pairs(source))
    write_tokens(target, account.kept(rows), every_turn=account.tokenize.train_on == "all_assistant_turns")


def count_parquet_rows(path: Path) -> int:
    """Say how many rows a Parquet file has."""
    return int(pq.read_metadata(path).num_rows)


def run(model: Model, prompt: Prompt, tokenize: Tokenize, data: Path) -> None:
    """Encode the splits and write them."""
    base = fetch_base_model(model)
    renderer = PromptEncoder(load_tokenizer(base.folder), prompt.system)
    terms = current_terms(model, prompt, tokenize, base.digest)
    held = check_golden_tokens(read_golden_tokens(data / GOLDEN_FILE), terms, renderer.tokenizer)
    log.info("tokenize: data/%s: %s", GOLDEN_FILE, held)
    accounts: dict[str, SplitCounts] = {}
    sources = {split: data / "validate" / f"{split}.parquet" for split in SPLITS}
    encoder = ParallelEncoder(
        renderer,
        base.folder,
        every_turn=tokenize.train_on == "all_assistant_turns",
        rows=sum(map(count_parquet_rows, sources.values())),
    )
    with atomic_folder(data / "tokenize") as folder, encoder as encode:
        with quarantine_writer(folder / "quarantine.parquet") as too_long:
            for split in SPLITS:
                account = accounts[split] = SplitCounts(tokenize, too_long)
                encode_split(sources[split], folder / f"{split}.arrow", encode, account)
                account.need_few_too_long(split)
                log.info("tokenize: %s: %d rows, %d too long", split, *map(account.summary().get, ("rows", "too_long")))
        splits = {split: account.summary() for split, account in accounts.items()}
        write_json(folder / "report.json", {"base_digest": base.digest, "contract": held, "splits": splits})
        lengths = {split: account.lengths for split, account in accounts.items()}
        samples = accounts["train"].choice.samples(folder / "train.arrow")
        page = preview_page(lengths, samples, renderer.tokenizer, tokenize.max_seq_length)
        (folder / "preview.html").write_text(page, encoding="utf-8")
