"""How often test rows decided about a model: data/holdout_uses/, which the flow adds to and register reads.

Whoever sees the scores of a model on some rows and then makes the next one fits these very rows a little, and by how
much nobody sees from them (Dwork et al., "The reusable holdout", Science 349, 2015; Blum and Hardt, "The Ladder", ICML
2015: the error grows with the number of questions that are answered). So it is counted, row by row.

A decision is one model that the gate judged, whatever came of it. The same weights count once, however often they are
judged. A row is the hash of its prompt (see `normalize.text_hash`): one whose completion was mended is not fresh.
"""

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.arrays import UInts
from pipeline.dedup.normalize import normalize, text_hash
from pipeline.files import atomic_write, read_json
from pipeline.holdout.prompts import read_answered_prompts

HOLDOUT_USES_FOLDER = Path("holdout_uses")
"""Below `data/`."""
LAST_USE_FILE = Path("register", "holdout_uses.parquet")
"""Below `data/`: the rows that the last release was decided by."""
HOLDOUT_USES_SCHEMA = pa.schema([("prompt", pa.uint64())])
DIGEST_PREFIX = 16
"""Digits of a digest that name a file."""


@dataclass(frozen=True)
class HoldoutUse:
    """How often the rows of a test set decided.

    Args:
        rows: How many there are.
        fresh: Those that took part in no decision before this one.
        decisions: In how many decisions a row took part on average, this one among them. The mean, since what each row
            was fitted by adds up to what the score of all is too high by: half of the rows fresh, half of that.
    """

    rows: int
    fresh: int
    decisions: float


def answered_prompt_hashes(answers: Path) -> UInts:
    """Give the hash of the prompt of each row that was answered, in the order of the rows."""
    return np.array([text_hash(normalize(prompt)) for prompt in read_answered_prompts(answers)], np.uint64)


def count_holdout_uses(folder: Path, rows: UInts, adapter: str) -> HoldoutUse:
    """Count the decisions of other models in which rows took part, and the one that is about to be made.

    Args:
        folder: Where the decisions of before are.
        rows: The hash of the prompt of each test row.
        adapter: SHA-256 of the weights that are judged now; what was decided about them before is this very decision.
    """
    models = defaultdict(list)
    for path in sorted(folder.glob("*.parquet")):
        models[path.name.split("-")[0]].append(path)
    models.pop(adapter[:DIGEST_PREFIX], None)
    before = np.zeros(len(rows), np.int64)
    for paths in models.values():
        before += np.isin(rows, np.concatenate([read_use(path) for path in paths]))
    return HoldoutUse(len(rows), int(np.sum(before == 0)), 1 + float(np.mean(before)))


def read_use(path: Path) -> UInts:
    """Read the rows of one decision."""
    prompts: UInts = pq.read_table(path, schema=HOLDOUT_USES_SCHEMA)["prompt"].to_numpy()
    return prompts


def write_use(path: Path, rows: UInts) -> None:
    """Write the rows of one decision: the same rows, in whatever order, are the same bytes, which git keeps once."""
    pq.write_table(pa.table([pa.array(np.unique(rows))], schema=HOLDOUT_USES_SCHEMA), path, compression="zstd")


def record_last_use(data: Path) -> bool:
    """Add the decision of the last release to those that are kept; say whether it was not there yet.

    A release of before there was such a record left no rows, and is not counted.

    Args:
        data: The folder of all stages; before the first release there is none in it.
    """
    rows = data / LAST_USE_FILE
    if not rows.exists():
        return False
    adapter = read_json(rows.with_name("release.json"))["digests"]["adapter"]
    target = (
        data
        / HOLDOUT_USES_FOLDER
        / f"{adapter[:DIGEST_PREFIX]}-{hashlib.sha256(rows.read_bytes()).hexdigest()[:DIGEST_PREFIX]}.parquet"
    )
    if target.exists():
        return False
    with atomic_write(target) as part:
        part.write_bytes(rows.read_bytes())
    return True
