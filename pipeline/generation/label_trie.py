"""The labels as a trie of token sequences, and the tokens of an answer that follows it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

PrefixAllowedTokens = Callable[[int, Tensor], list[int]]


@dataclass
class DecodedTokens:
    """The tokens of an answer, and whether the model would have said the same without being held to the labels."""

    tokens: list[int]
    unconstrained_match: bool = True
    probability: float = 1.0
    """Of a label among all labels: at each fork of the trie, of its way among the ways that there are, multiplied."""
    last_tokens: list[int] = field(default_factory=list)
    """Those of its tokens that were taken last, at a fork of the trie and behind it."""


class LabelTrie:
    """The label set as token sequences: after any beginning, which tokens may come next.

    Args:
        labels: Token ids of each label, with its end of turn; none may be the beginning of another.
    """

    def __init__(self, labels: Sequence[Sequence[int]]) -> None:
        self.next_tokens: dict[tuple[int, ...], list[int]] = {}
        for label in labels:
            for end, token in enumerate(label):
                following = self.next_tokens.setdefault(tuple(label[:end]), [])
                if token not in following:
                    following.append(token)
        self.max_label_tokens = max(map(len, labels))

    def follow_single_path(self, tokens: Sequence[int], token: int) -> list[int]:
        """Follow a label from a token on, as long as there is one way to go."""
        way = [token]
        while len(following := self.next_tokens.get((*tokens, *way), [])) == 1:
            way += following
        return way

    def is_incomplete(self, tokens: Sequence[int]) -> bool:
        """Say whether a beginning is no whole label yet."""
        return tuple(tokens) in self.next_tokens

    def unread_tokens(self, decoded: DecodedTokens) -> list[int]:
        """Of the way taken last, what the model must read.

        All of it before a fork. At the end of a label nothing follows its last token, and the others are read only to
        see whether the model would say them by itself, as long as it may.
        """
        if self.is_incomplete(decoded.tokens):
            return decoded.last_tokens
        return decoded.last_tokens[:-1] if decoded.unconstrained_match else []

    def prefix_allowed_tokens(self, prompt_tokens: int, stop: int) -> PrefixAllowedTokens:
        """Give what transformers' `generate` asks for: tokens that may follow; only *stop* after a whole label."""

        def tokens(_row: int, ids: Tensor) -> list[int]:
            return self.next_tokens.get(tuple(ids[prompt_tokens:].tolist()), [stop])

        return tokens
