"""Greedy decoding in batches of similar length, constrained to the label set where there is one."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from pipeline.errors import UserError
from pipeline.generation.decoding import DecodingBatch, can_pack
from pipeline.generation.label_trie import DecodedTokens, LabelTrie
from pipeline.model.chat_template import PromptEncoder
from pipeline.model.prefix_cache import common_prefix, compute_prefix

PROBABILITY_DIGITS = 6


@dataclass(frozen=True)
class GenerationConfig:
    """How to answer: choosing among `labels`, or with free text of at most `max_new_tokens` where there are none."""

    labels: Sequence[str]
    max_new_tokens: int
    batch_size: int
    """Prompts answered together."""


@dataclass(frozen=True)
class Prediction:
    """An answer, whether it was held to the labels, and whether the model says it without being held to anything.

    `probability` is that of the label among all labels, as the model has it when it is held to them; rounded, since
    its last digits are those of the machine. None for free text.
    """

    text: str
    free: bool
    held: bool
    probability: float | None = None
    tokens: int = 0
    """How many it has, the end of its turn among them."""


def answer_prompts(
    model: Any, renderer: PromptEncoder, prompts: Sequence[Sequence[int]], manner: GenerationConfig, progress: str = ""
) -> list[Prediction]:
    """Answer prompts, the most likely token first (greedy), each ending with the end of its turn.

    What all prompts begin with is read once, a row that has ended leaves its batch, and of a label only the tokens
    at which there is a choice wait for each other; the answers are those of `generate_with_transformers`.

    Args:
        model: A causal language model in evaluation mode.
        renderer: Rendering that made the prompts.
        prompts: Token ids of each prompt.
        manner: How to answer.
        progress: Name of a progress bar; empty for none.

    Returns:
        The answers in the order of the prompts. With labels, each is one of them.

    Raises:
        UserError: If the tokenizer makes one of two labels.
    """
    if not prompts:
        return []
    trie = LabelTrie([renderer.encode_completion(label) for label in manner.labels]) if manner.labels else None
    # Read back by its tokens: a tokenizer may give a label other letters or other blanks.
    labels = {decode_text(renderer, renderer.encode_completion(label)): label for label in manner.labels}
    if len(labels) < len(manner.labels):
        alike = sorted(set(manner.labels) - set(labels.values()))
        raise UserError("the labels", f"{alike[0]!r} has the same tokens as another", do="write the two in one way")
    order = sorted(range(len(prompts)), key=lambda index: (len(prompts[index]), index))
    answers = [Prediction("", free=True, held=False)] * len(prompts)
    with progress_bar(len(prompts), progress) as shown, torch.inference_mode():
        batch = batch_answerer(model, renderer, prompts, trie, manner)
        for start in range(0, len(order), manner.batch_size):
            indices = order[start : start + manner.batch_size]
            for index, prediction in zip(indices, batch([prompts[index] for index in indices]), strict=True):
                text = decode_text(renderer, prediction.tokens)
                sure = round(prediction.probability, PROBABILITY_DIGITS) if labels else None
                answers[index] = Prediction(
                    labels[text] if labels else text,
                    prediction.unconstrained_match,
                    bool(labels),
                    sure,
                    len(prediction.tokens),
                )
            shown.update(len(indices))
    return answers


def progress_bar(rows: int, progress: str) -> Any:
    """Give a progress bar over rows; one that nobody sees if it has no name."""
    interval = 0.5 if os.environ.get("TUNESMITH_TERMINAL") else 20  # without a terminal each state is a line
    return tqdm(total=rows, desc=progress, unit="row", mininterval=interval, ncols=88, disable=not progress)


def batch_answerer(
    model: Any,
    renderer: PromptEncoder,
    prompts: Sequence[Sequence[int]],
    trie: LabelTrie | None,
    manner: GenerationConfig,
) -> Callable[[Sequence[Sequence[int]]], list[DecodedTokens]]:
    """Give the function that answers a batch of these prompts."""
    stop = renderer.end_of_turn_ids[-1]
    prefix = common_prefix(prompts)
    memory = compute_prefix(model, prefix or prompts[0], model.device)

    def by_reading(batch: Sequence[Sequence[int]]) -> list[DecodedTokens]:
        reading, behind = DecodingBatch(model, lent, len(batch)), [prompt[len(prefix) :] for prompt in batch]
        logits = reading.prefill_packed(behind) if packing else reading.forward(behind, 1)[:, -1]
        return (
            decode_labels(reading, logits, trie)
            if trie
            else decode_greedy(reading, logits, stop, manner.max_new_tokens)
        )

    def by_generate(batch: Sequence[Sequence[int]]) -> list[DecodedTokens]:
        return generate_with_transformers(
            model, batch, trie, stop, trie.max_label_tokens if trie else manner.max_new_tokens
        )

    if memory is None:
        return by_generate
    lent = memory if prefix else None
    packing = can_pack(model, lent, [prompt[len(prefix) :] for prompt in prompts])
    return by_reading


def decode_labels(reading: DecodingBatch, logits: Tensor, trie: LabelTrie) -> list[DecodedTokens]:
    """Go down the trie with each row: at a fork the most likely way, and where there is one way, all of it at once.

    Args:
        reading: Rows that have read their prompts.
        logits: Shape (rows, words of the vocabulary): of the token that comes next in each.
        trie: The labels.

    Returns:
        A label for each row, and whether each of its tokens was the most likely of all.
    """
    answers = going = [DecodedTokens([]) for _ in logits]
    while True:
        for decoded, likelihood in zip(going, logits, strict=True):
            follow_likeliest(decoded, likelihood, trie)
        going, _ = keep_unfinished(reading, going, [bool(trie.unread_tokens(decoded)) for decoded in going])
        if not going:
            return answers
        unread = [trie.unread_tokens(decoded) for decoded in going]
        # Of who would not say it anyway, only what comes after is of interest.
        wanted = [len(way) if decoded.unconstrained_match else 1 for decoded, way in zip(going, unread, strict=True)]
        logits = reading.forward(unread, max(wanted))
        for decoded, tokens, likeliest in zip(going, unread, logits.argmax(2).tolist(), strict=True):
            decoded.unconstrained_match &= (
                likeliest[len(likeliest) - len(tokens) :][: len(decoded.last_tokens) - 1] == decoded.last_tokens[1:]
            )
        going, indices = keep_unfinished(reading, going, [trie.is_incomplete(decoded.tokens) for decoded in going])
        if not going:
            return answers
        logits = logits[indices, -1]


def keep_unfinished(
    reading: DecodingBatch, going: Sequence[DecodedTokens], whether: Sequence[bool]
) -> tuple[list[DecodedTokens], list[int]]:
    """Keep the unfinished rows; return them with their batch positions."""
    indices = [index for index, stays in enumerate(whether) if stays]
    reading.keep_rows(indices)
    return [going[index] for index in indices], indices


def follow_likeliest(decoded: DecodedTokens, likelihood: Tensor, trie: LabelTrie) -> None:
    """Take the most likely way at a fork, up to the next fork or the end of the label."""
    following = trie.next_tokens[tuple(decoded.tokens)]
    token = following[int(likelihood[following].argmax())]
    decoded.probability *= token_probability(likelihood, following, token)
    decoded.unconstrained_match &= int(likelihood.argmax()) == token
    decoded.last_tokens = trie.follow_single_path(decoded.tokens, token)
    decoded.tokens += decoded.last_tokens


def token_probability(likelihood: Tensor, following: Sequence[int], token: int) -> float:
    """How likely a token is among those that may follow."""
    among = likelihood[following].double().softmax(0)
    return float(among[following.index(token)])


def decode_greedy(reading: DecodingBatch, logits: Tensor, stop: int, max_new_tokens: int) -> list[DecodedTokens]:
    """Write the most likely token after each row until it stops or is long enough.

    Args:
        reading: Rows that have read their prompts.
        logits: Shape (rows, words of the vocabulary): of the token that comes next in each.
        stop: The token that ends an answer.
        max_new_tokens: The longest answer.
    """
    answers = going = [DecodedTokens([]) for _ in logits]
    while True:
        for tokens_so_far, token in zip(going, logits.argmax(1).tolist(), strict=True):
            tokens_so_far.tokens.append(token)
        going, _ = keep_unfinished(
            reading,
            going,
            [
                tokens_so_far.tokens[-1] != stop and len(tokens_so_far.tokens) < max_new_tokens
                for tokens_so_far in going
            ],
        )
        if not going:
            return answers
        logits = reading.forward([tokens_so_far.tokens[-1:] for tokens_so_far in going], 1)[:, -1]


def generate_with_transformers(
    model: Any, prompts: Sequence[Sequence[int]], trie: LabelTrie | None, stop: int, max_new_tokens: int
) -> list[DecodedTokens]:
    """Answer with transformers' own `generate`, which knows every kind of past that a model may keep."""
    width = max(map(len, prompts))
    out = model.generate(
        input_ids=torch.tensor([[stop] * (width - len(prompt)) + list(prompt) for prompt in prompts]).to(model.device),
        attention_mask=torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts]).to(model.device),
        do_sample=False,
        max_new_tokens=max_new_tokens,
        eos_token_id=stop,
        pad_token_id=stop,
        prefix_allowed_tokens_fn=trie.prefix_allowed_tokens(width, stop) if trie else None,
        output_logits=trie is not None,
        return_dict_in_generate=True,
    )
    answers = []
    for row, tokens in enumerate(out.sequences[:, width:].tolist()):
        kept = tokens[: tokens.index(stop) + 1] if stop in tokens else tokens
        answers.append(
            constrained_prediction(kept, trie, [logits[row] for logits in out.logits]) if trie else DecodedTokens(kept)
        )
    return answers


def constrained_prediction(tokens: list[int], trie: LabelTrie, likelihoods: Sequence[Tensor]) -> DecodedTokens:
    """Say of a label how likely it was, and whether the model would have said it by itself.

    Args:
        tokens: The label.
        trie: The labels.
        likelihoods: Of the words of the vocabulary, where each token was taken; those behind the label are not looked
            at.
    """
    decoded = DecodedTokens(tokens)
    for end, (token, likelihood) in enumerate(zip(tokens, likelihoods, strict=False)):
        decoded.unconstrained_match &= int(likelihood.argmax()) == token
        decoded.probability *= token_probability(likelihood, trie.next_tokens[tuple(tokens[:end])], token)
    return decoded


def decode_text(renderer: PromptEncoder, ids: list[int]) -> str:
    """Decode an answer up to the end of its turn."""
    *before, stop = renderer.end_of_turn_ids
    kept = ids[: ids.index(stop)] if stop in ids else ids
    if before and kept[-len(before) :] == before:
        kept = kept[: -len(before)]
    return str(renderer.tokenizer.decode(kept, skip_special_tokens=True))
