"""The base model that the baselines share: loaded lazily and once, constrained to the labels where there are any."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from pipeline.errors import UserError
from pipeline.generation.generate import GenerationConfig, answer_prompts
from pipeline.generation.predictions import BaselinePrediction
from pipeline.model.adapters import load_base, load_merged
from pipeline.model.base_model import fetch_base_model
from pipeline.model.chat_template import PromptEncoder, load_tokenizer
from pipeline.params import Model


class BaselineLanguageModel:
    """A base model that is loaded when it is first asked.

    Args:
        model: Which, and how it is computed.
        manner: How it answers.
        max_tokens: Of a prompt with its answer.
    """

    def __init__(self, model: Model, manner: GenerationConfig, max_tokens: int) -> None:
        self.model_params = model
        self.generation_config = manner
        self.max_seq_length = max_tokens

    @cached_property
    def base_model(self) -> Any:
        """The model, in evaluation mode."""
        return load_merged(load_base(fetch_base_model(self.model_params).folder, self.model_params), None)

    @cached_property
    def tokenizer(self) -> Any:
        """Its tokenizer."""
        return load_tokenizer(fetch_base_model(self.model_params).folder)

    def prompt_encoder(self, system: str) -> PromptEncoder:
        """Give the rendering with a system message."""
        return PromptEncoder(self.tokenizer, system)

    @cached_property
    def prompt_token_budget(self) -> int:
        """Tokens that a prompt may have, so that the longest answer still fits behind it.

        Raises:
            UserError: If there is no room for a prompt.
        """
        reads = (
            getattr(self.base_model.config.get_text_config(), "max_position_embeddings", None) or self.max_seq_length
        )
        renderer = self.prompt_encoder("")
        labels = [len(renderer.encode_completion(label)) for label in self.generation_config.labels]
        room = min(reads, self.max_seq_length) - max(labels, default=self.generation_config.max_new_tokens)
        if room < 1:
            raise UserError(
                "params.yaml: baselines.max_seq_length",
                "leaves no room for a prompt beside the answer",
                got=f"{self.max_seq_length}; the model reads {reads}",
                do="raise it, or lower evaluate.max_new_tokens",
            )
        return room

    def generate(
        self, renderer: PromptEncoder, prompts: Sequence[Sequence[int]], progress: str = ""
    ) -> list[BaselinePrediction]:
        """Answer prompts."""
        predictions = answer_prompts(
            self.base_model,
            renderer,
            prompts,
            self.generation_config,
            progress=f"baselines {progress}" if progress else "",
        )
        return [
            BaselinePrediction(
                prediction.text,
                prediction.free,
                prediction.held,
                len(prompt),
                prediction.tokens,
                probability=prediction.probability,
            )
            for prediction, prompt in zip(predictions, prompts, strict=True)
        ]
