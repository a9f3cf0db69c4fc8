"""The base model as the baselines use it: loaded once, held to labels where there are any, asked within its limits."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from pipeline.errors import Problem
from pipeline.generation.generate import Manner, answer
from pipeline.generation.predictions import Given
from pipeline.model.adapters import load_base, merged
from pipeline.model.base_model import fetch
from pipeline.model.chat_template import Renderer, load_tokenizer
from pipeline.params import Model


class Speaker:
    """A base model that is loaded when it is first asked.

    Args:
        model: Which, and how it is computed.
        manner: How it answers.
        max_tokens: Of a prompt with its answer.
    """

    def __init__(self, model: Model, manner: Manner, max_tokens: int) -> None:
        self.params = model
        self.manner = manner
        self.max_tokens = max_tokens

    @cached_property
    def base(self) -> Any:
        """The model, in evaluation mode."""
        return merged(load_base(fetch(self.params).folder, self.params), None)

    @cached_property
    def tokenizer(self) -> Any:
        """Its tokenizer."""
        return load_tokenizer(fetch(self.params).folder)

    def renderer(self, system: str) -> Renderer:
        """Give the rendering with a system message."""
        return Renderer(self.tokenizer, system)

    @cached_property
    def room(self) -> int:
        """Tokens that a prompt may have, so that the longest answer still fits behind it.

        Raises:
            Problem: If there is no room for a prompt.
        """
        reads = getattr(self.base.config.get_text_config(), "max_position_embeddings", None) or self.max_tokens
        renderer = self.renderer("")
        labels = [len(renderer.completion(label)) for label in self.manner.labels]
        room = min(reads, self.max_tokens) - max(labels, default=self.manner.max_new_tokens)
        if room < 1:
            raise Problem(
                "params.yaml: baselines.max_seq_length",
                "leaves no room for a prompt beside the answer",
                got=f"{self.max_tokens}; the model reads {reads}",
                do="raise it, or lower evaluate.max_new_tokens",
            )
        return room

    def say(self, renderer: Renderer, prompts: Sequence[Sequence[int]], progress: str = "") -> list[Given]:
        """Answer prompts."""
        found = answer(self.base, renderer, prompts, self.manner, progress=f"baselines {progress}" if progress else "")
        return [
            Given(said.text, said.free, said.held, len(prompt), said.tokens, probability=said.probability)
            for said, prompt in zip(found, prompts, strict=True)
        ]
