"""Embeddings of prompts by the base model: the mean of its hidden states over their tokens."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.baselines.baseline import BaselineReport, PromptMessages
from pipeline.baselines.language_model import BaselineLanguageModel
from pipeline.baselines.tfidf import FeatureViews
from pipeline.generation.generate import progress_bar
from pipeline.model.prefix_cache import common_prefix, compute_prefix, expand_prefix

LAYER_DEPTHS = (0.25, 0.5, 0.75, 1.0)
"""How far up the model its states are looked at: what tells meanings apart best is seldom its last layer."""
STATE_BATCH_TOKENS = 2048
"""Token places that go through the model at once."""

LayerMeans = NDArray[np.float32]
"""Of shape (rows, depths, size of a state)."""


class HiddenStates:
    """Mean states of the rendered prompt, without what all prompts begin with; scaled as the training rows want it.

    The states of questions that it learnt from are kept, so that two baselines read the training rows once.

    Args:
        speaker: The base model.
        system: Its system message.
    """

    def __init__(self, speaker: BaselineLanguageModel, system: str) -> None:
        self.language_model = speaker
        self.prompt_encoder = speaker.prompt_encoder(system)
        self.prefix: list[int] = []
        self.mean = self.std = np.zeros(0, np.float32)
        self.train_means: tuple[list[PromptMessages], LayerMeans] | None = None

    def fit_transform(self, questions: Sequence[PromptMessages]) -> FeatureViews:
        """Read the training questions, and scale each place of their states to mean 0 and deviation 1."""
        if self.train_means is None or self.train_means[0] != list(questions):
            prompts = self._encode_prompts(questions)
            self.prefix = common_prefix(prompts)
            self.train_means = list(questions), self._mean_states(prompts, progress="baselines embedding")
        means = self.train_means[1]
        self.mean, self.std = means.mean(0), np.maximum(means.std(0), 1e-6)
        return self._standardized(means)

    def transform(self, questions: Sequence[PromptMessages]) -> FeatureViews:
        """Read questions."""
        return self._standardized(self._mean_states(self._encode_prompts(questions)))

    def count_tokens(self, question: PromptMessages) -> int:
        """Count the tokens of the rendered prompt."""
        return len(self.prompt_encoder.encode_prompt(question))

    def report(self) -> BaselineReport:
        """Tell the size of a state."""
        return {"features": int(self.mean.shape[-1])}

    def _encode_prompts(self, questions: Sequence[PromptMessages]) -> list[list[int]]:
        return [self.prompt_encoder.encode_prompt(question) for question in questions]

    def _standardized(self, means: LayerMeans) -> FeatureViews:
        scaled = (means - self.mean) / self.std
        return {f"layer {layer}": scaled[:, index] for index, layer in enumerate(self._layer_numbers())}

    def _layer_numbers(self) -> list[int]:
        layers = self.language_model.base_model.config.get_text_config().num_hidden_layers
        return list(dict.fromkeys(max(1, round(depth * layers)) for depth in LAYER_DEPTHS))

    def _mean_states(self, prompts: Sequence[Sequence[int]], progress: str = "") -> LayerMeans:
        """Read prompts, those of similar length together, and average the states of each behind the prefix it has."""
        vectors: list[Any] = [None] * len(prompts)
        begins, base = len(self.prefix), self.language_model.base_model
        order = sorted(range(len(prompts)), key=lambda index: (len(prompts[index]), index))
        sharing = [p for p in order if begins < len(prompts[p]) and list(prompts[p][:begins]) == self.prefix]
        others = [index for index in order if index not in set(sharing)]
        with torch.inference_mode(), progress_bar(len(prompts), progress) as shown:
            memory = compute_prefix(base, self.prefix, base.device) if begins else None
            for indices, lent, start in ((sharing, memory, begins), (others, None, 0)):
                for batch in batches_by_tokens(indices, [len(prompts[index]) for index in indices]):
                    means = self._batch_mean_states([list(prompts[index]) for index in batch], lent, start)
                    for index, mean in zip(batch, means, strict=True):
                        vectors[index] = mean
                    shown.update(len(batch))
        return np.stack(vectors)

    def _batch_mean_states(self, rows: Sequence[list[int]], memory: Any, begins: int) -> LayerMeans:
        """Average the states of some rows over their tokens behind the prefix.

        Args:
            rows: Their tokens, the prefix among them.
            memory: What the model keeps of the prefix; None if it is to be read with each row.
            begins: Tokens of the prefix.
        """
        model, skipped = self.language_model.base_model, begins if memory else 0
        behind = [row[skipped:] for row in rows]
        width = max(map(len, behind))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in behind], device=model.device)
        real = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in behind], device=model.device)
        past = {"past_key_values": expand_prefix(memory, len(rows))} if memory else {}
        states = model.base_model(
            input_ids=ids,
            attention_mask=torch.cat([real.new_ones(len(rows), skipped), real], 1),
            output_hidden_states=True,
            use_cache=bool(memory),
            **past,
        ).hidden_states
        real[:, : begins - skipped] = 0
        weights = (real / real.sum(1, keepdim=True)).unsqueeze(2)
        chosen = [(states[layer].float() * weights).sum(1) for layer in self._layer_numbers()]
        return np.asarray(torch.stack(chosen, 1).cpu().numpy(), np.float32)


def batches_by_tokens(order: Sequence[int], lengths: Sequence[int]) -> list[list[int]]:
    """Put rows that are sorted by length into batches of at most PASS_TOKENS token places, or of one row."""
    batches: list[list[int]] = []
    for index, length in zip(order, lengths, strict=True):
        if batches and length * (len(batches[-1]) + 1) <= STATE_BATCH_TOKENS:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches
