"""The one rendering of a pair into tokens, and the one mask law: training, evaluation and serving all come here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError

from pipeline.pairs import Message
from pipeline.problem import Problem


@dataclass(frozen=True)
class Encoded:
    """Token ids of a pair; those from `completion_start` on are supervised, those before are not."""

    input_ids: list[int]
    completion_start: int

    @property
    def prompt_ids(self) -> list[int]:
        """What the model reads before it answers."""
        return self.input_ids[: self.completion_start]


class Renderer:
    """Renders with one tokenizer and one system message.

    Prompt and completion are tokenized apart and joined, so that the model is trained on exactly the prompt tokens
    that it will be given when it answers.

    Args:
        tokenizer: A transformers tokenizer with a chat template.
        system: System message for prompts that bring none; empty for none.

    Raises:
        Problem: If the tokenizer has no chat template, or the template does not end an answer with a special token.
    """

    def __init__(self, tokenizer: Any, system: str) -> None:
        if not tokenizer.chat_template:
            raise Problem(
                "model.source",
                "its tokenizer has no chat template",
                expected="an instruct or chat model",
                do="choose one; a plain base model does not know where a turn ends",
            )
        self.tokenizer = tokenizer
        self.system = system
        self.end_ids = self._end_of_turn()

    def text(self, messages: Sequence[Message]) -> str:
        """Render the prompt as text, up to where the answer begins."""
        return self._template([{"role": m.role, "content": m.content} for m in messages], answer=None)

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of the prompt, up to where the answer begins."""
        return self._ids(self.text(messages))

    def completion(self, completion: str) -> list[int]:
        """Token ids of the answer with the end of its turn: all that is supervised."""
        return self._ids(completion) + self.end_ids

    def encode(self, messages: Sequence[Message], completion: str) -> Encoded:
        """Token ids of the whole pair, and where its supervised part begins."""
        prompt = self.prompt(messages)
        return Encoded(prompt + self.completion(completion), len(prompt))

    def _ids(self, text: str) -> list[int]:
        # The template has already written every special token that belongs there.
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _template(self, turns: list[dict[str, str]], answer: str | None) -> str:
        if self.system and (not turns or turns[0]["role"] != "system"):
            turns = [{"role": "system", "content": self.system}, *turns]
        if answer is not None:
            turns = [*turns, {"role": "assistant", "content": answer}]
        try:
            rendered: str = self.tokenizer.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=answer is None
            )
        except TemplateError as error:
            raise Problem(
                "model.source",
                f"its chat template refuses these turns: {error}",
                got=", ".join(turn["role"] for turn in turns),
                do="leave prompt.system empty if that is what it refuses, or choose another model",
            ) from error
        return rendered

    def _end_of_turn(self) -> list[int]:
        """Find what the template writes after an answer, up to its first special token."""
        answer = "an answer"
        rendered = self._template([{"role": "user", "content": "a question"}], answer)
        tail = self._ids(rendered[rendered.rindex(answer) + len(answer) :])
        special = set(self.tokenizer.all_special_ids)
        for end, token in enumerate(tail, start=1):
            if token in special:
                return tail[:end]
        raise Problem(
            "model.source",
            "its chat template ends an answer without a special token",
            got=repr(rendered[-40:]),
            do="choose a model whose template marks the end of a turn; without it the answer never learns to stop",
        )
