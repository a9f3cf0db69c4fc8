"""Embeddings of prompts by a sentence model; needs the extra `sentences` (sentence-transformers)."""

from collections.abc import Sequence
from functools import cached_property
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.baselines.baseline import BaselineReport, PromptMessages, prompt_text
from pipeline.baselines.tfidf import FeatureViews
from pipeline.errors import UserError
from pipeline.hashing import file_digests, tree_digest
from pipeline.model.adapters import training_device

SENTENCE_PACKAGE = "sentence_transformers"


class SentenceEmbeddings:
    """Vectors of a sentence model from a local folder (Reimers and Gurevych 2019).

    Args:
        folder: The model, as sentence-transformers writes it.

    Raises:
        UserError: If the package or the folder is not there.
    """

    def __init__(self, folder: Path) -> None:
        if find_spec(SENTENCE_PACKAGE) is None:
            raise UserError(
                "params.yaml: baselines.sentence_model",
                "the package sentence-transformers is not installed",
                do="pip install --constraint constraints.txt --editable '.[sentences]', or take "
                "sentence_embedding out of baselines.enabled",
            )
        if not (folder / "modules.json").is_file():
            raise UserError(
                "params.yaml: baselines.sentence_model",
                "is no folder of a sentence model",
                expected="modules.json in it",
                got=str(folder),
                do="save one there with SentenceTransformer.save",
            )
        self.folder = folder
        self.digest = tree_digest(file_digests(folder))

    @cached_property
    def model(self) -> Any:
        """The model, loaded without the network and without code of its own."""
        package = import_module(SENTENCE_PACKAGE)  # at this place: nothing else needs it, and many do not have it
        return package.SentenceTransformer(
            str(self.folder), device=str(training_device()), local_files_only=True, trust_remote_code=False
        )

    def fit_transform(self, questions: Sequence[PromptMessages]) -> FeatureViews:
        """See the training questions; there is nothing to learn."""
        return self.transform(questions)

    def transform(self, questions: Sequence[PromptMessages]) -> FeatureViews:
        """See questions."""
        texts = [prompt_text(question) for question in questions]
        return {"sentence_embedding": np.asarray(self.model.encode(texts, show_progress_bar=False), np.float32)}

    def count_tokens(self, question: PromptMessages) -> int:
        """Count the tokens that the sentence model reads."""
        return len(self.model.tokenizer(prompt_text(question))["input_ids"])

    def report(self) -> BaselineReport:
        """Tell which model it is."""
        return {"model": self.digest, "sentence-transformers": version("sentence-transformers")}
