"""BM25 retrieval of training rows and passages."""

from collections.abc import Sequence

import numpy as np
from bm25s import BM25

from pipeline.baselines.baseline import BaselineReport, PromptMessages, prompt_text
from pipeline.baselines.nearest_neighbour import top_indices
from pipeline.metrics.text import lowercase_words
from pipeline.pairs import Pair


class BM25Index:
    """BM25 (Robertson et al. 1994; by bm25s, as Lucene scores) of some texts, whose words are compared without case.

    Args:
        texts: What is searched.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        tokenized = [lowercase_words(text) for text in texts]
        # Sorted, since a set's order is another in every process.
        self.words = {
            word: number for number, word in enumerate(sorted({word for words in tokenized for word in words}))
        }
        self.many = len(texts)
        self.scores = BM25(method="lucene")
        if self.words:
            self.scores.index(
                ([[self.words[word] for word in words] for words in tokenized], dict(self.words)), show_progress=False
            )

    def places(self, text: str, many: int) -> list[int]:
        """Give the places of the texts that score highest, the highest first; of equals the first."""
        known = [self.words[word] for word in lowercase_words(text) if word in self.words]
        if not known:
            return list(range(min(many, self.many)))
        return top_indices(np.asarray(self.scores.get_scores_from_ids(known)), many)


class BM25Retriever:
    """Finds the training rows whose prompts have the words of a question."""

    def __init__(self) -> None:
        self.index = BM25Index([])

    def fit(self, train: Sequence[Pair], validation: Sequence[Pair]) -> BaselineReport:  # noqa: ARG002 -- nothing to choose
        """Learn the words of the training rows."""
        self.index = BM25Index([pair.prompt for pair in train])
        return {"words": len(self.index.words)}

    def places(self, questions: Sequence[PromptMessages], many: int) -> list[list[int]]:
        """Give the places of the training rows nearest to each question, the nearest first."""
        return [self.index.places(prompt_text(question), many) for question in questions]

    def tokens(self, question: PromptMessages) -> int:  # noqa: ARG002 -- as every search
        """Count nothing: no language model reads."""
        return 0
