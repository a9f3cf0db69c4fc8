"""How a model answers: greedy, in batches of like length, held to the label set where there is one."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tqdm import tqdm

from pipeline.model import device
from pipeline.prompt import Renderer

Allowed = Callable[[int, torch.Tensor], list[int]]


class LabelTrie:
    """The label set as token sequences: after any beginning, which tokens may come next.

    Args:
        labels: Token ids of each label, with its end of turn; none may be the beginning of another.
    """

    def __init__(self, labels: Sequence[Sequence[int]]) -> None:
        self.next: dict[tuple[int, ...], list[int]] = {}
        for label in labels:
            for end, token in enumerate(label):
                following = self.next.setdefault(tuple(label[:end]), [])
                if token not in following:
                    following.append(token)
        self.longest = max(map(len, labels))

    def allowed(self, prompt_tokens: int, stop: int) -> Allowed:
        """Give what `generate` asks for: the tokens that may follow; only *stop* after a label is complete."""

        def tokens(_row: int, ids: torch.Tensor) -> list[int]:
            return self.next.get(tuple(ids[prompt_tokens:].tolist()), [stop])

        return tokens


@dataclass(frozen=True)
class Manner:
    """How to answer: choosing among `labels`, or with free text of at most `max_new_tokens` where there are none."""

    labels: Sequence[str]
    max_new_tokens: int
    batch_rows: int
    """Prompts answered together."""


def answer(
    model: Any, renderer: Renderer, prompts: Sequence[Sequence[int]], manner: Manner, progress: str = ""
) -> list[str]:
    """Answer prompts, the likeliest token first (greedy), each ending with the end of its turn.

    Args:
        model: A causal language model in evaluation mode.
        renderer: Rendering that made the prompts.
        prompts: Token ids of each prompt.
        manner: How to answer.
        progress: Name of a progress bar; empty for none.

    Returns:
        The answers in the order of the prompts. With labels, each is one of them.
    """
    trie = LabelTrie([renderer.completion(label) for label in manner.labels]) if manner.labels else None
    # Read back by its tokens: a tokenizer may give a label other letters or other blanks.
    labels = {text_of(renderer, renderer.completion(label)): label for label in manner.labels}
    order = sorted(range(len(prompts)), key=lambda place: (len(prompts[place]), place))
    answers = [""] * len(prompts)
    interval = 0.5 if os.environ.get("TUNESMITH_TERMINAL") else 20  # without a terminal each state is a line
    with tqdm(
        total=len(prompts), desc=progress, unit="row", mininterval=interval, ncols=88, disable=not progress
    ) as bar:
        for start in range(0, len(order), manner.batch_rows):
            places = order[start : start + manner.batch_rows]
            texts = answer_batch(model, renderer, [prompts[place] for place in places], trie, manner.max_new_tokens)
            for place, text in zip(places, texts, strict=True):
                answers[place] = labels[text] if labels else text
            bar.update(len(places))
    return answers


def answer_batch(
    model: Any,
    renderer: Renderer,
    prompts: Sequence[Sequence[int]],
    trie: LabelTrie | None,
    max_new_tokens: int,
) -> list[str]:
    """Answer one batch of prompts."""
    width = max(map(len, prompts))
    stop = renderer.end_ids[-1]
    ids = torch.tensor([[stop] * (width - len(prompt)) + list(prompt) for prompt in prompts], device=device())
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=device())
    with torch.inference_mode():
        out = model.generate(
            input_ids=ids,
            attention_mask=mask,
            do_sample=False,
            max_new_tokens=trie.longest if trie else max_new_tokens,
            eos_token_id=stop,
            pad_token_id=stop,
            prefix_allowed_tokens_fn=trie.allowed(width, stop) if trie else None,
        )
    return [text_of(renderer, row[width:].tolist()) for row in out]


def text_of(renderer: Renderer, ids: list[int]) -> str:
    """Decode an answer up to the end of its turn."""
    stop = renderer.end_ids[-1]
    kept = ids[: ids.index(stop)] if stop in ids else ids
    return str(renderer.tokenizer.decode(kept, skip_special_tokens=True))
