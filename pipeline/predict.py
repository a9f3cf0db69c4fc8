"""Answers with a released model: its adapter, the base found by its digest, the rendering it was trained with."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.files import read_json
from pipeline.generation.generate import GenerationConfig, answer_prompts
from pipeline.model.adapters import load_base, load_merged, seed_everything
from pipeline.model.base_model import fetch_base_model, find_base_model
from pipeline.model.chat_template import PromptEncoder, load_tokenizer
from pipeline.pairs import Message
from pipeline.params import Model

PREDICT_BATCH_SIZE = 16
MAX_NEW_TOKENS = 256


class Predictor:
    """A released model, loaded.

    Args:
        release: The release that describes it (`release.json`).
        adapter: Folder of its adapter.

    Raises:
        UserError: If its base model is not to be had, or is another one than it was trained on.
    """

    def __init__(self, release: dict[str, Any], adapter: Path) -> None:
        model = Model(**release["model"])
        seed_everything(model, seed=0)
        folder = base_folder(model, release["digests"]["base"])
        self.prompt_encoder = PromptEncoder(load_tokenizer(folder), release["prompt"]["system"])
        self.labels: list[str] = release["labels"]
        self.model = load_merged(load_base(folder, model), adapter)

    def predict(self, texts: Sequence[str]) -> list[str]:
        """Answer some messages; with labels, each answer is one of them."""
        prompts = [self.prompt_encoder.encode_prompt([Message("user", text)]) for text in texts]
        manner = GenerationConfig(self.labels, MAX_NEW_TOKENS, PREDICT_BATCH_SIZE)
        return [prediction.text for prediction in answer_prompts(self.model, self.prompt_encoder, prompts, manner)]


def base_folder(model: Model, digest: str) -> Path:
    """Find the base model by its digest, fetching it if the cache has none."""
    try:
        return find_base_model(digest)
    except UserError:
        base = fetch_base_model(model)
    if base.digest != digest:
        raise UserError(
            model.source, "is not the base that the adapter was trained on", expected=digest, got=base.digest
        )
    return base.folder


def main(folder: Path, texts: Sequence[str]) -> None:
    """Answer texts with the release in a folder that holds champion.json and adapter/, an answer a line."""
    try:
        predictor = Predictor(read_json(folder / "champion.json"), folder / "adapter")
        sys.stdout.write("\n".join(predictor.predict(texts)) + "\n")
    except UserError as problem:
        sys.exit(f"error: {problem}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
