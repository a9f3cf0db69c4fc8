"""The forgetting probe: general texts and questions on disk, and their log-likelihood under a model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.arrays import Floats
from pipeline.errors import UserError
from pipeline.hashing import file_sha256

TEXTS_FILE, QUESTIONS_FILE = "texts.jsonl", "questions.jsonl"
PROBE_BATCH_TOKENS = 1024
"""Token places that go through the model at once; each has the likelihood of every word of the vocabulary."""

NonEmptyText = Annotated[str, Field(min_length=1)]


class ProbeLine(BaseModel):
    """A line of a file: no unknown fields, no conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ProbeText(ProbeLine):
    """Some sentences."""

    text: NonEmptyText


class ProbeQuestion(ProbeLine):
    """The beginning of a sentence, ways to go on, and the place of the right one."""

    question: NonEmptyText
    options: Annotated[tuple[NonEmptyText, ...], Field(min_length=2)]
    answer: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def has_its_answer(self) -> "ProbeQuestion":
        """The right option is one of them."""
        if self.answer >= len(self.options):
            raise ValueError(f"answer is {self.answer}, and there are {len(self.options)} options, counted from 0")
        return self


ProbeType = TypeVar("ProbeType", bound=ProbeLine)


def read_probe_lines(path: Path, kind: type[ProbeType]) -> list[ProbeType]:
    """Read a file; one that is not there, or has nothing in it, has no lines.

    Raises:
        UserError: With the line that is not as it should be.
    """
    if not path.exists():
        return []
    probes = []
    try:
        text = path.read_text(encoding="utf-8").rstrip()
    except UnicodeDecodeError as error:
        raise UserError(str(path), "is not UTF-8", got=f"byte {error.start}", do="save it as UTF-8") from error
    lines = text.split("\n")  # not at the breaks that JSON has within texts
    for number, line in enumerate(lines if text else (), 1):
        try:
            probes.append(kind.model_validate_json(line))
        except ValidationError as error:
            fault = error.errors()[0]
            where = ".".join(map(str, fault["loc"]))
            what = f"{where}: {fault['msg']}" if where else fault["msg"]
            raise UserError(
                f"{path}, line {number}", what, expected=f"fields {', '.join(kind.model_fields)}"
            ) from error
    return probes


@dataclass(frozen=True)
class ForgettingProbe:
    """What a model should know whatever it is fine-tuned for, and the SHA-256 of each file that there is."""

    texts: Sequence[ProbeText]
    questions: Sequence[ProbeQuestion]
    digests: Mapping[str, str]


def read_probe(folder: Path) -> ForgettingProbe:
    """Read a folder; what is not there is not measured.

    Raises:
        UserError: If a file is not as it should be.
    """
    texts, questions = (
        read_probe_lines(folder / TEXTS_FILE, ProbeText),
        read_probe_lines(folder / QUESTIONS_FILE, ProbeQuestion),
    )
    if len(texts) == 1:
        raise UserError(str(folder / TEXTS_FILE), "one text alone shows nothing", expected="dozens, or none")
    there = [name for name in (TEXTS_FILE, QUESTIONS_FILE) if (folder / name).exists()]
    return ForgettingProbe(texts, questions, {name: file_sha256(folder / name) for name in there})


@dataclass(frozen=True)
class ProbeResult:
    """What a model makes of texts and questions.

    Args:
        text_losses: Of each text, the sum over its tokens of what they cost, in nats; shape (texts,).
        text_tokens: Of each text, without its first, which nothing foretells; shape (texts,).
        correct: Whether each question was answered rightly, 1 or 0; shape (questions,).
    """

    text_losses: Floats
    text_tokens: Floats
    correct: Floats


def run_probe(
    model: Any, tokenizer: Any, texts: Sequence[ProbeText], questions: Sequence[ProbeQuestion]
) -> ProbeResult:
    """Ask a model.

    A question is answered with the option that is most likely for its length: the log-likelihood of its tokens by its
    length in bytes, much as `acc_norm` of the Language Model Evaluation Harness has it (Gao et al. 2021).
    """
    ids = [encode_plain(tokenizer, text.text) for text in texts]
    for text, row in zip(texts, ids, strict=True):
        if len(row) < 2:
            raise UserError(TEXTS_FILE, "a single token, which nothing foretells", got=repr(text.text), do="write more")
    likelihoods = continuation_log_likelihoods(model, [(row[:1], row[1:]) for row in ids])
    asked = [
        (encode_plain(tokenizer, one.question), encode_plain(tokenizer, f" {option}"))
        for one in questions
        for option in one.options
    ]
    options, right = iter(continuation_log_likelihoods(model, asked)), []
    for one in questions:
        likely = [next(options) / len(option.encode()) for option in one.options]
        right.append(float(int(np.argmax(likely)) == one.answer))
    return ProbeResult(-np.array(likelihoods), np.array([len(row) - 1 for row in ids], float), np.array(right))


def encode_plain(tokenizer: Any, text: str) -> list[int]:
    """Give the tokens of a text, without any that begin or end one."""
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def continuation_log_likelihoods(model: Any, rows: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[float]:
    """Give the log-likelihood, in nats, of what follows a beginning; rows of similar length go through together.

    Args:
        model: A causal language model in evaluation mode.
        rows: Tokens of the beginning, at least one, and of what follows it.
    """
    likelihoods = [0.0] * len(rows)
    order = sorted(range(len(rows)), key=lambda index: sum(map(len, rows[index])))
    while order:
        width = sum(map(len, rows[order[-1]]))
        batch = [order.pop() for _ in range(min(len(order), max(1, PROBE_BATCH_TOKENS // width)))]
        for index, likelihood in zip(
            batch, batch_log_likelihoods(model, [rows[index] for index in batch]), strict=True
        ):
            likelihoods[index] = likelihood
    return likelihoods


def batch_log_likelihoods(model: Any, rows: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[float]:
    """Give the log-likelihoods of a batch, padded behind: no token sees what comes after it."""
    whole = [[*before, *after] for before, after in rows]
    width = max(map(len, whole))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in whole], device=model.device)
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in whole], device=model.device)
    with torch.inference_mode():
        likely = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1].float().log_softmax(2)
    each = likely.gather(2, ids[:, 1:, None]).squeeze(2).double()
    spans = [(len(before) - 1, len(row) - 1) for (before, _), row in zip(rows, whole, strict=True)]
    return [float(each[index, begin:end].sum()) for index, (begin, end) in enumerate(spans)]
