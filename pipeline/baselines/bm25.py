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
        self.vocabulary = {
            word: number for number, word in enumerate(sorted({word for words in tokenized for word in words}))
        }
        self.document_count = len(texts)
        self.scorer = BM25(method="lucene")
        if self.vocabulary:
            self.scorer.index(
                ([[self.vocabulary[word] for word in words] for words in tokenized], dict(self.vocabulary)),
                show_progress=False,
            )

    def search(self, text: str, many: int) -> list[int]:
        """Give the places of the texts that score highest, the highest first; of equals the first."""
        known = [self.vocabulary[word] for word in lowercase_words(text) if word in self.vocabulary]
        if not known:
            return list(range(min(many, self.document_count)))
        return top_indices(np.asarray(self.scorer.get_scores_from_ids(known)), many)


class BM25Retriever:
    """Finds the training rows whose prompts have the words of a question."""

    def __init__(self) -> None:
        self.index = BM25Index([])

    def fit(self, train: Sequence[Pair], validation: Sequence[Pair]) -> BaselineReport:  # noqa: ARG002 -- nothing to choose
        """Learn the words of the training rows."""
        self.index = BM25Index([pair.prompt for pair in train])
        return {"words": len(self.index.vocabulary)}

    def retrieve(self, questions: Sequence[PromptMessages], many: int) -> list[list[int]]:
        """Give the places of the training rows nearest to each question, the nearest first."""
        return [self.index.search(prompt_text(question), many) for question in questions]

    def count_tokens(self, question: PromptMessages) -> int:  # noqa: ARG002 -- as every search
        """Count nothing: no language model reads."""
        return 0
