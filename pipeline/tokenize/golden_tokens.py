"""The golden token contract: for a few pairs the text, the tokens and the spans that were accepted, kept in git.

`data/golden_tokens.jsonl` holds whole pairs, with the system message and `train_on` that they were accepted with. So
only the rendering is compared: tokenizer, chat template, libraries and our own code, not data or params. What
was said of a base model holds for that model only. If `model.source` or `model.sha256` name another one than was
accepted, someone has chosen that: the run says that its tokens are not held against anything, and goes on, since a
user who had to accept after every such choice would soon accept without looking. If they name the same one and its
tokens are others, nobody has chosen that: the run stops.
"""

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from difflib import unified_diff
from itertools import islice
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.model.base_model import fetch_base_model
from pipeline.model.chat_template import PromptEncoder, Span, load_tokenizer
from pipeline.pairs import Message, Pair, iterate_pairs
from pipeline.params import Model, Params, Prompt, Tokenize, load_params
from pipeline.tokenize.samples import SAMPLE_KINDS, SmallestKeys, pair_kinds

GOLDEN_FILE = "golden_tokens.jsonl"
MAX_DIFF_LINES = 60
GOLDEN_REMEDY = (
    "go back to the tokenizer, template and packages of then; or accept the change with `tunesmith accept-tokens`"
)


@dataclass(frozen=True)
class GoldenTerms:
    """What the contract was accepted with.

    Args:
        source: `model.source`.
        sha256: `model.sha256`.
        base: Digest of the base model.
        system: `prompt.system`.
        train_on: `tokenize.train_on`.
    """

    source: str
    sha256: str | None
    base: str
    system: str
    train_on: str

    @property
    def all_assistant_turns(self) -> bool:
        """Whether the answers within a prompt are supervised too."""
        return self.train_on == "all_assistant_turns"


@dataclass(frozen=True)
class GoldenPair:
    """A pair of the contract, and what became of it when it was accepted.

    Args:
        kind: Why it was chosen.
        id: Of the pair.
        messages: Its prompt.
        completion: Its completion.
        text: The whole pair, rendered.
        ids: Its tokens.
        tokens: What each of them is in the vocabulary.
        spans: Which of them are supervised.
    """

    kind: str
    id: str
    messages: tuple[Message, ...]
    completion: str
    text: str
    ids: tuple[int, ...]
    tokens: tuple[str, ...]
    spans: tuple[Span, ...]

    def token_lines(self) -> list[str]:
        """Tell the tokens, one a line, and which are supervised."""
        learnt = {index for start, end in self.spans for index in range(start, end)}
        return [
            f"{'learnt' if index in learnt else '':<6}  {number:>6}  {token!r}"
            for index, (number, token) in enumerate(zip(self.ids, self.tokens, strict=True))
        ]


@dataclass(frozen=True)
class GoldenTokens:
    """What was accepted: its terms and its pairs."""

    terms: GoldenTerms
    pairs: tuple[GoldenPair, ...]


def current_terms(model: Model, prompt: Prompt, tokenize: Tokenize, digest: str) -> GoldenTerms:
    """Put together what params and base model say now."""
    return GoldenTerms(model.source, model.sha256, digest, prompt.system, tokenize.train_on)


def render_pair(kind: str, pair: Pair | GoldenPair, renderer: PromptEncoder, *, every_turn: bool) -> GoldenPair:
    """Render a pair as it is rendered now."""
    encoded = renderer.encode(pair.messages, pair.completion, every_turn=every_turn)
    tokens = renderer.tokenizer.convert_ids_to_tokens(encoded.input_ids)
    text = renderer.render(pair.messages) + pair.completion + renderer.end_of_turn_text
    ids, spans = tuple(encoded.input_ids), tuple(encoded.spans)
    return GoldenPair(kind, pair.id, pair.messages, pair.completion, text, ids, tuple(tokens), spans)


def choose_pairs(pairs: Iterable[Pair], renderer: PromptEncoder, max_tokens: int) -> list[tuple[str, Pair]]:
    """Choose the pairs of each kind whose ids are smallest, and the longest pair; none too long, and none twice."""
    most = sum(SAMPLE_KINDS.values())  # so many are enough of each kind, whatever the other kinds have taken
    by_kind = {kind: SmallestKeys[Pair](most) for kind in SAMPLE_KINDS}
    for pair in pairs:
        keys = dict.fromkeys(pair_kinds(pair), (0, pair.id)) | {"long": (-len(pair.prompt + pair.completion), pair.id)}
        wanted = [kind for kind, key in keys.items() if by_kind[kind].would_keep(key)]
        if wanted and len(renderer.encode(pair.messages, pair.completion).input_ids) <= max_tokens:
            for kind in wanted:
                by_kind[kind].add(keys[kind], pair)
    chosen: dict[str, tuple[str, Pair]] = {}
    for kind, number in SAMPLE_KINDS.items():
        fresh = [pair for pair in by_kind[kind].rows if pair.id not in chosen]
        chosen |= {pair.id: (kind, pair) for pair in fresh[:number]}
    return list(chosen.values())


def read_golden_tokens(path: Path) -> GoldenTokens | None:
    """Read the contract; None if nothing has been accepted yet.

    Raises:
        UserError: If the file holds something else.
    """
    if not path.exists() or not path.stat().st_size:
        return None
    try:
        # Not splitlines: a text may hold ends of lines that only Unicode knows.
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").removesuffix("\n").split("\n")]
        return GoldenTokens(GoldenTerms(**lines[0]), tuple(map(parse_golden_pair, lines[1:])))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"data/{path.name}", f"is not what `tunesmith accept-tokens` writes: {error}",
            do=f"bring it back with `git checkout data/{path.name}`, or accept anew",
        ) from error  # fmt: skip


def parse_golden_pair(row: dict[str, Any]) -> GoldenPair:
    """Make a pair of the contract of a line."""
    messages = tuple(Message(**message) for message in row["messages"])
    spans = tuple((start, end) for start, end in row["spans"])
    return GoldenPair(
        **{**row, "messages": messages, "spans": spans, "ids": (*row["ids"],), "tokens": (*row["tokens"],)}
    )


def write_golden_tokens(path: Path, contract: GoldenTokens) -> None:
    """Write the contract, a line of terms and a line for each pair; the same contract gives the same bytes."""
    lines = [asdict(contract.terms), *map(asdict, contract.pairs)]
    text = "".join(json.dumps(line, ensure_ascii=False, sort_keys=True) + "\n" for line in lines)
    path.write_text(text, encoding="utf-8")


def check_golden_tokens(contract: GoldenTokens | None, now: GoldenTerms, tokenizer: Any) -> str:
    """Hold the tokens of now against the contract, under its own terms; say what came of it.

    Raises:
        UserError: If they are others than were accepted, after showing the difference.
    """
    if contract is None:
        return "nothing is accepted yet; `tunesmith accept-tokens` does"
    accepted = contract.terms
    if (now.source, now.sha256) != (accepted.source, accepted.sha256):
        return "accepted for another base model, so nothing was held against it; `tunesmith accept-tokens` renews it"
    renderer = PromptEncoder(tokenizer, accepted.system)
    for number, before in enumerate(contract.pairs, start=1):
        after = rerender(number, before, renderer, every_turn=accepted.all_assistant_turns)
        if after != before:
            sys.stderr.write("\n".join(golden_diff(number, before, after)) + "\n")
            raise first_difference(number, before, after)
    summary = f"{len(contract.pairs)} pairs have the tokens that were accepted"
    other = [name for name in ("system", "train_on") if getattr(now, name) != getattr(accepted, name)]
    if other:
        summary += f", with the {' and '.join(other)} of then; `tunesmith accept-tokens` renews it"
    return summary


def rerender(number: int, before: GoldenPair, renderer: PromptEncoder, *, every_turn: bool) -> GoldenPair:
    """Render a pair of the contract as it is rendered now.

    Raises:
        UserError: If the template of now refuses it.
    """
    try:
        return render_pair(before.kind, before, renderer, every_turn=every_turn)
    except UserError as problem:
        raise UserError(
            f"data/{GOLDEN_FILE} row {number} ({before.kind})",
            f"cannot be rendered as it was accepted: {problem}",
            do=GOLDEN_REMEDY,
        ) from problem


def first_difference(number: int, before: GoldenPair, after: GoldenPair) -> UserError:
    """Say where the tokens of a pair differ first."""
    lines = [[*row.token_lines(), "nothing"] for row in (before, after)]
    pairs = zip(*lines, strict=False)
    index = next((index for index, (was, now) in enumerate(pairs) if was != now), None)
    if index is None:
        what = "its text is not the one that was accepted, though its tokens are"
    else:
        was, now = (" ".join(line[index].split()) for line in lines)
        what = f"its tokens are not those that were accepted: token {index + 1} was {was}, and is {now}"
    return UserError(f"data/{GOLDEN_FILE} row {number} ({before.kind})", what, do=GOLDEN_REMEDY)


def golden_diff(number: int, before: GoldenPair, after: GoldenPair) -> list[str]:
    """Show what became of the text and of the tokens of a pair, as a diff for people."""
    was, now = (f"row {number}, {what}" for what in ("accepted", "now"))
    text = unified_diff(before.text.splitlines(), after.text.splitlines(), was, now, lineterm="")
    tokens = unified_diff(before.token_lines(), after.token_lines(), was, now, lineterm="")
    return [*islice(text, MAX_DIFF_LINES), *islice(tokens, MAX_DIFF_LINES)]


def golden_changes(before: GoldenTokens | None, after: GoldenTokens) -> list[str]:
    """Tell what a new contract changes: its terms, its pairs, and the tokens of those that it keeps."""
    if before is None:
        return [f"{len(after.pairs)} pairs accepted for the first time"]
    was, now = asdict(before.terms), asdict(after.terms)
    changes = [f"{name}: {was[name]!r} -> {now[name]!r}" for name in now if was[name] != now[name]]
    old, new = ({row.id: row for row in contract.pairs} for contract in (before, after))
    kept = [pair_id for pair_id in new if pair_id in old]
    changes += [f"{len(new) - len(kept)} pairs come in, {len(old) - len(kept)} go out, {len(kept)} stay"]
    for number, row in enumerate(after.pairs, start=1):
        if row.id in old and row != old[row.id]:
            changes += golden_diff(number, old[row.id], row)
    return changes


def accept_current_tokens(params: Params, data: Path) -> list[str]:
    """Render pairs of the training rows and write the contract anew; tell what changed.

    Raises:
        UserError: If there are no training rows to choose from.
    """
    path, rows = data / GOLDEN_FILE, data / "validate" / "train.parquet"
    if not rows.exists():
        raise UserError(str(rows), "no such file", do="make it with `tunesmith run --until validate`")
    base = fetch_base_model(params.model)
    terms = current_terms(params.model, params.prompt, params.tokenize, base.digest)
    renderer = PromptEncoder(load_tokenizer(base.folder), terms.system)
    chosen = choose_pairs(iterate_pairs(rows), renderer, params.tokenize.max_seq_length)
    rendered = (render_pair(kind, pair, renderer, every_turn=terms.all_assistant_turns) for kind, pair in chosen)
    contract, unread = GoldenTokens(terms, tuple(rendered)), []
    try:
        before = read_golden_tokens(path)
    except UserError as problem:  # it is written anew, whatever it was
        before, unread = None, [f"what was there is lost: {problem}"]
    write_golden_tokens(path, contract)
    return [*unread, *golden_changes(before, contract)]


def main() -> None:
    """Accept the tokens of now, in the current project."""
    try:
        changes = accept_current_tokens(load_params(Path("params.yaml")), Path("data"))
    except UserError as problem:
        sys.exit(f"error: {problem}")
    sys.stdout.write("\n".join([*changes, f"data/{GOLDEN_FILE} written; commit it"]) + "\n")


if __name__ == "__main__":
    main()
