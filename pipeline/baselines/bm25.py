"""Texts found by their words: BM25, for training rows and for passages."""

from collections.abc import Sequence

import numpy as np
from bm25s import BM25

from pipeline.baselines.baseline import Question, Report, text_of, words_of
from pipeline.baselines.nearest_neighbour import first_places
from pipeline.pairs import Pair


class WordIndex:
    """BM25 (Robertson et al. 1994; by bm25s, as Lucene scores) of some texts, whose words are compared without case.

    Args:
        texts: What is searched.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        told = [words_of(text) for text in texts]
        # Sorted, since a set's order is another in every process.
        self.words = {word: number for number, word in enumerate(sorted({word for words in told for word in words}))}
        self.many = len(texts)
        self.scores = BM25(method="lucene")
        if self.words:
            self.scores.index(
                ([[self.words[word] for word in words] for words in told], dict(self.words)), show_progress=False
            )

    def places(self, text: str, many: int) -> list[int]:
        """Give the places of the texts that score highest, the highest first; of equals the first."""
        known = [self.words[word] for word in words_of(text) if word in self.words]
        if not known:
            return list(range(min(many, self.many)))
        return first_places(np.asarray(self.scores.get_scores_from_ids(known)), many)


class ByWords:
    """Finds the training rows whose prompts have the words of a question."""

    def __init__(self) -> None:
        self.index = WordIndex([])

    def fit(self, train: Sequence[Pair], validation: Sequence[Pair]) -> Report:  # noqa: ARG002 -- nothing to choose
        """Learn the words of the training rows."""
        self.index = WordIndex([pair.prompt for pair in train])
        return {"words": len(self.index.words)}

    def places(self, questions: Sequence[Question], many: int) -> list[list[int]]:
        """Give the places of the training rows nearest to each question, the nearest first."""
        return [self.index.places(text_of(question), many) for question in questions]

    def tokens(self, question: Question) -> int:  # noqa: ARG002 -- as every search
        """Count nothing: no language model reads."""
        return 0
