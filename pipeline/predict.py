"""Answers with a released model: its adapter, the base found by its digest, the rendering it was trained with."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import Problem
from pipeline.files import read_json
from pipeline.generation.generate import Manner, answer
from pipeline.model.adapters import load_base, merged, settle
from pipeline.model.base_model import fetch, find
from pipeline.model.chat_template import Renderer, load_tokenizer
from pipeline.pairs import Message
from pipeline.params import Model

BATCH_ROWS = 16
MAX_NEW_TOKENS = 256


class Predictor:
    """A released model, loaded.

    Args:
        release: The release that describes it (`release.json`).
        adapter: Folder of its adapter.

    Raises:
        Problem: If its base model is not to be had, or is another one than it was trained on.
    """

    def __init__(self, release: dict[str, Any], adapter: Path) -> None:
        model = Model(**release["model"])
        settle(model, seed=0)
        folder = base_folder(model, release["digests"]["base"])
        self.renderer = Renderer(load_tokenizer(folder), release["prompt"]["system"])
        self.labels: list[str] = release["labels"]
        self.model = merged(load_base(folder, model), adapter)

    def answers(self, texts: Sequence[str]) -> list[str]:
        """Answer some messages; with labels, each answer is one of them."""
        prompts = [self.renderer.prompt([Message("user", text)]) for text in texts]
        manner = Manner(self.labels, MAX_NEW_TOKENS, BATCH_ROWS)
        return [found.text for found in answer(self.model, self.renderer, prompts, manner)]


def base_folder(model: Model, digest: str) -> Path:
    """Find the base model by its digest, fetching it if the cache has none."""
    try:
        return find(digest)
    except Problem:
        base = fetch(model)
    if base.digest != digest:
        raise Problem(model.source, "is not the base that the adapter was trained on", expected=digest, got=base.digest)
    return base.folder


def main(folder: Path, texts: Sequence[str]) -> None:
    """Answer texts with the release in a folder that holds champion.json and adapter/, an answer a line."""
    try:
        predictor = Predictor(read_json(folder / "champion.json"), folder / "adapter")
        sys.stdout.write("\n".join(predictor.answers(texts)) + "\n")
    except Problem as problem:
        sys.exit(f"error: {problem}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
