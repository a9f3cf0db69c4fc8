"""One run of the finetune stage on small rows."""

import json
from dataclasses import dataclass
from pathlib import Path

from pipeline.finetune import stage as finetune
from pipeline.hashing import file_digests
from pipeline.model.chat_template import Encoded
from pipeline.model.tokenized import write_tokens
from pipeline.params import Params

HISTORY, WEIGHTS, COST = "history.jsonl", "adapter/adapter_model.safetensors", "cost.json"


@dataclass(frozen=True)
class Done:
    """A finished run: what it wrote, the base model's files before it, and the seconds that all of it took."""

    data: Path
    digests: dict[str, str]
    base_before: dict[str, str]
    seconds: float

    @property
    def history(self) -> list[dict[str, float]]:
        """The points of the curves."""
        lines = (self.data / "finetune" / HISTORY).read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]


def write_rows(data: Path, train: list[Encoded], validation: list[Encoded]) -> None:
    """Lay down what tokenize leaves."""
    (data / "tokenize").mkdir(parents=True)
    for split, rows in {"train": train, "validation": validation}.items():
        write_tokens(data / "tokenize" / f"{split}.arrow", [(str(place), row) for place, row in enumerate(rows)])


def run(params: Params, data: Path) -> dict[str, str]:
    """Run the stage; the digests of all that it wrote."""
    finetune.run(params.model, params.finetune, data)
    return file_digests(data / "finetune")
