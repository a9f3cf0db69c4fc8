"""Renders a pair into tokens and the loss mask; training, evaluation and serving all use this one function."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from transformers import AutoTokenizer

from pipeline.errors import UserError
from pipeline.model.transformers_private import compile_template
from pipeline.pairs import Message

FIXED_DATE = (
    "{%- macro strftime_now(format) -%}"
    "{{ '2024-07-26' if '-' in format else '26 July 2024' if '%B' in format else '26 Jul 2024' }}"
    "{%- endmacro -%}"
)
"""What a template is told that asks for the day (as Llama 3's do, which take this one if nobody tells them): the tokens
of a pair must be the same tomorrow, and those of serving the same as those of training."""
Span = tuple[int, int]
"""Where something begins, and where it has ended."""
PromptAndCompletion = tuple[Sequence[Message], str]
"""A prompt, and the completion that is wanted for it."""
TemplateMessages = list[dict[str, str]]
"""A conversation as templates take it."""


@dataclass(frozen=True)
class Encoded:
    """Token ids of a pair, and which of them are supervised.

    Args:
        input_ids: The prompt, the completion and the end of its turn.
        completion_start: From here on all are supervised.
        prompt_spans: Before that, those of these spans; none where only the completion is learnt.
    """

    input_ids: list[int]
    completion_start: int
    prompt_spans: tuple[Span, ...] = ()

    @property
    def prompt_ids(self) -> list[int]:
        """What the model reads before it answers."""
        return self.input_ids[: self.completion_start]

    @property
    def spans(self) -> list[Span]:
        """All that is supervised, in order; the last span is the completion."""
        return [*self.prompt_spans, (self.completion_start, len(self.input_ids))]

    @property
    def leading_ids(self) -> list[int]:
        """What stands before the first supervised token."""
        return self.input_ids[: self.spans[0][0]]

    @property
    def supervised_ids(self) -> list[int]:
        """Every supervised token, in order."""
        return [token for start, end in self.spans for token in self.input_ids[start:end]]

    @property
    def supervised_count(self) -> int:
        """How many tokens are supervised."""
        return sum(end - start for start, end in self.spans)


def load_tokenizer(folder: Path) -> Any:
    """Load a tokenizer from a local folder."""
    return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


class PromptEncoder:
    """Renders with one tokenizer and one system message.

    Prompt and completion are tokenized apart and joined, so that the model is trained on exactly the prompt tokens
    that it will be given when it answers.

    Args:
        tokenizer: A transformers tokenizer with a chat template.
        system: System message for prompts that bring none; empty for none.

    Raises:
        UserError: If the tokenizer has no chat template, or the template does not end an answer with a special token.
    """

    def __init__(self, tokenizer: Any, system: str) -> None:
        if not tokenizer.chat_template:
            raise UserError(
                "model.source",
                "its tokenizer has no chat template",
                expected="an instruct or chat model",
                do="choose one; a plain base model does not know where a turn ends",
            )
        self.tokenizer = tokenizer
        template = tokenizer.get_chat_template()  # of several, the default
        self.template = compile_template((FIXED_DATE if "strftime_now" in template else "") + template)
        self.words = dict(tokenizer.special_tokens_map)
        self.system = system
        self.end_of_turn_ids, self.end_of_turn_text = self._end_of_turn()

    def render(self, messages: Sequence[Message]) -> str:
        """Render the prompt as text, up to where the answer begins."""
        return self._render(self._template_messages(messages), asks=True)

    def encode_prompt(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of the prompt, up to where the answer begins."""
        return self._tokenize([self.render(messages)])[0]

    def encode_completion(self, completion: str) -> list[int]:
        """Token ids of the answer with the end of its turn: all that is supervised."""
        return self._tokenize([completion])[0] + self.end_of_turn_ids

    def encode(self, messages: Sequence[Message], completion: str, *, every_turn: bool = False) -> Encoded:
        """Token ids of the whole pair, and which of them are supervised.

        Args:
            messages: The prompt.
            completion: The answer that is wanted.
            every_turn: Supervise the answers within the prompt too, each with its end of turn.

        Raises:
            UserError: If the template refuses the prompt, or writes an answer within it otherwise than it stands.
        """
        return self.encode_all([(messages, completion)], every_turn=every_turn)[0]

    def encode_all(self, pairs: Sequence[PromptAndCompletion], *, every_turn: bool = False) -> list[Encoded]:
        """Token ids of several pairs, each the same as alone; a hundred or more together take half as long.

        Args:
            pairs: Prompts and the completions that are wanted for them.
            every_turn: Supervise the answers within the prompts too, each with its end of turn.

        Raises:
            UserError: If the template refuses a prompt, or writes an answer within it otherwise than it stands.
        """
        texts = [self.render(messages) for messages, _ in pairs]
        prompts = self._tokenize(texts)
        answers = list(dict.fromkeys(completion for _, completion in pairs))  # labels come again and again
        ends = {
            answer: ids + self.end_of_turn_ids for answer, ids in zip(answers, self._tokenize(answers), strict=True)
        }
        earlier = [
            self._prompt_spans(messages, text) if every_turn else ()
            for (messages, _), text in zip(pairs, texts, strict=True)
        ]
        return [
            Encoded(prompt + ends[completion], len(prompt), spans)
            for (_, completion), prompt, spans in zip(pairs, prompts, earlier, strict=True)
        ]

    def _prompt_spans(self, messages: Sequence[Message], text: str) -> tuple[Span, ...]:
        """Find the tokens of the answers within a rendered prompt that may be trained on, each with its end of turn.

        A token that belongs in part to what stands before the answer is not supervised: no answer begins with it.
        """
        turns = [index for index, turn in enumerate(messages) if turn.role == "assistant" and turn.learn]
        if not turns:
            return ()
        starts, ends = self._token_offsets(text)
        spans = []
        for index in turns:
            asked, end = self._find_answer(text, messages, index)
            first = next(token for token, start in enumerate(starts) if start >= asked)
            spans.append((first, bisect_left(ends, end) + 1))
        return tuple((first, end) for first, end in spans if first < end)

    def _token_offsets(self, text: str) -> tuple[list[int], list[int]]:
        """Find the character at which each token of a text begins, and the one before which it has ended."""
        if not self.tokenizer.is_fast:
            raise UserError(
                "tokenize.train_on",
                "the tokenizer of model.source cannot say which characters a token stands for",
                do="set it to completion, or choose a model with a fast tokenizer",
            )
        offsets = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        ends = list(accumulate((end for _, end in offsets), max))
        # From where the token before has ended: some tokenizers do not count the blank that a token begins with.
        return [min(start, before) for (start, _), before in zip(offsets, [0, *ends], strict=False)], ends

    def _find_answer(self, text: str, messages: Sequence[Message], index: int) -> Span:
        """Find an answer in a rendered prompt: where the prompt for it ends, and where its turn does.

        Between the two stand the answer and the end of its turn, and no more than whitespace besides.

        Raises:
            UserError: If the template writes what stands before it, or the answer, otherwise than when it was given.
        """
        asked, expected = self.render(messages[:index]), messages[index].content
        rest = text[len(asked) :]
        begin = len(asked) + len(rest) - len(rest.lstrip())
        # Many templates take the blanks from the ends of an answer, and some put one before it.
        for answer, start in ((expected, len(asked)), (expected.lstrip(), begin), (expected.strip(), begin)):
            if text.startswith(asked) and text.startswith(answer + self.end_of_turn_text, start):
                return len(asked), start + len(answer + self.end_of_turn_text)
        raise UserError(
            "tokenize.train_on",
            f"the chat template of model.source writes the answer {expected[:40]!r} otherwise once more was said",
            expected=repr(asked[-20:] + expected[:40]),
            got=repr(text[max(0, len(asked) - 20) : len(asked) + 40]),
            do="set it to completion",
        )

    def _tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        # The template has already written every special token that belongs there.
        if not self.tokenizer.is_fast:
            return [self.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
        bare = self.tokenizer.backend_tokenizer
        if bare.truncation or bare.padding:  # as its file or another caller may have set
            bare.no_truncation()
            bare.no_padding()
        return [encoded.ids for encoded in bare.encode_batch_fast(texts, add_special_tokens=False)]

    def _template_messages(self, messages: Sequence[Message]) -> TemplateMessages:
        """Lay out a prompt as templates take it, with the system message unless it brings one."""
        turns = [{"role": turn.role, "content": turn.content} for turn in messages]
        if self.system and (not messages or messages[0].role != "system"):
            turns.insert(0, {"role": "system", "content": self.system})
        return turns

    def _render(self, turns: TemplateMessages, *, asks: bool) -> str:
        """Render a conversation as `apply_chat_template` does, which first takes apart whatever it may be given."""
        try:
            text = self.template.render(
                messages=turns, tools=None, documents=None, add_generation_prompt=asks, **self.words
            )
        except TemplateError as error:
            raise UserError(
                "model.source",
                f"its chat template refuses these turns: {error}",
                got=", ".join(turn["role"] for turn in turns),
                do="leave prompt.system empty if that is what it refuses, or choose another model",
            ) from error
        return str(text)

    def _end_of_turn(self) -> tuple[list[int], str]:
        """Find what the template writes after an answer, up to its first special token: as tokens, and as text."""
        question, answer = Message("user", "a question"), "an answer"
        rendered = self._render(
            [*self._template_messages([question]), {"role": "assistant", "content": answer}], asks=False
        )
        after = rendered[rendered.rindex(answer) + len(answer) :]
        (tail,) = self._tokenize([after])
        special = set(self.tokenizer.all_special_ids)
        for end, token in enumerate(tail, start=1):
            if token in special:
                word = self.tokenizer.convert_ids_to_tokens(token)
                return tail[:end], after[: after.index(word) + len(word)]
        raise UserError(
            "model.source",
            "its chat template ends an answer without a special token",
            got=repr(rendered[-40:]),
            do="choose a model whose template marks the end of a turn; without it the answer never learns to stop",
        )


IGNORE_INDEX = -100


def training_labels(row: Encoded, start: int) -> list[int]:
    """Give the tokens of a row from a place on; `IGNORE_INDEX` where one is not supervised."""
    labels = [IGNORE_INDEX] * len(row.input_ids)
    for first, end in row.spans:
        labels[first:end] = row.input_ids[first:end]
    return labels[start:]
