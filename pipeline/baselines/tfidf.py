"""Features of prompts: TF-IDF, and the interface that classifiers and nearest-neighbour search use."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import FeatureUnion
from threadpoolctl import threadpool_limits

from pipeline.baselines.baseline import BaselineReport, PromptMessages, prompt_text
from pipeline.metrics.text import lowercase_words

Matrix = Any
"""Of NumPy, or sparse: a row for each question."""
FeatureViews = Mapping[str, Matrix]
"""Several ways to see the same questions; which one serves best is chosen on validation rows."""

WORD_FEATURES, CHARACTER_FEATURES = 30_000, 50_000
"""Features at most, the most frequent. A classifier has a weight for each of them and each label: memory."""

VECTORIZER_SETTINGS: dict[str, Any] = {"sublinear_tf": True, "dtype": np.float32}


def single_threaded() -> threadpool_limits:
    """Have NumPy and scikit-learn compute on one thread: others would only wait at products as small as theirs."""
    return threadpool_limits(1, user_api="blas")


class FeatureExtractor(Protocol):
    """A way to see questions as numbers."""

    def fit_transform(self, questions: Sequence[PromptMessages]) -> FeatureViews:
        """Learn what there is to learn from training questions, and see them."""
        ...

    def transform(self, questions: Sequence[PromptMessages]) -> FeatureViews:
        """See questions as the training questions were seen."""
        ...

    def count_tokens(self, question: PromptMessages) -> int:
        """Count the tokens that a language model reads for it."""
        ...

    def report(self) -> BaselineReport:
        """Tell what it is made with."""
        ...


class TfidfFeatures:
    """TF-IDF (Sparck Jones 1972) of single words and pairs of them, and of two to five letters within a word."""

    def __init__(self) -> None:
        words = TfidfVectorizer(
            tokenizer=lowercase_words,
            token_pattern=None,
            ngram_range=(1, 2),
            **VECTORIZER_SETTINGS,
            max_features=WORD_FEATURES,
        )
        letters = TfidfVectorizer(
            analyzer="char_wb", ngram_range=(2, 5), **VECTORIZER_SETTINGS, max_features=CHARACTER_FEATURES
        )
        self.union = FeatureUnion([("words", words), ("letters", letters)])

    def fit_transform(self, questions: Sequence[PromptMessages]) -> FeatureViews:
        """Learn the words and letters of the training questions, and how common they are."""
        return {"words and letters": self.union.fit_transform([prompt_text(question) for question in questions])}

    def transform(self, questions: Sequence[PromptMessages]) -> FeatureViews:
        """Weigh the words and letters that the training questions have too."""
        return {"words and letters": self.union.transform([prompt_text(question) for question in questions])}

    def count_tokens(self, question: PromptMessages) -> int:  # noqa: ARG002 -- as every kind of features
        """Count nothing: no language model reads."""
        return 0

    def report(self) -> BaselineReport:
        """Tell how many features were learnt."""
        return {"features": len(self.union.get_feature_names_out())}
