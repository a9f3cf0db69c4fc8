"""Language identification: prompts in other languages than the configured ones."""

from collections.abc import Collection
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from pipeline.errors import UserError

MIN_LANGUAGE_PROBABILITY = 0.9
"""Least probability of another language: of 3,080 English questions of some ten words each none reaches it."""


@cache
def load_identifier() -> LanguageIdentifier:
    """Load the model, which takes a second."""
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def other_language(texts: pa.Array, languages: Collection[str] | None) -> npt.NDArray[np.int64]:
    """Say of each text whether it is confidently in a language that is none of these; None: nobody asks.

    Raises:
        UserError: If one of the languages is unknown.
    """
    if languages is None:
        return np.zeros(len(texts), np.int64)
    known = load_identifier().labels
    for code in languages:
        if code not in known:
            raise UserError(
                "params.yaml: validate.languages", "no such language", expected=", ".join(sorted(known)), got=code
            )
    guesses = map(load_identifier().classify, texts.to_pylist())
    return np.fromiter(
        (code not in languages and sure >= MIN_LANGUAGE_PROBABILITY for code, sure in guesses), np.int64, len(texts)
    )
