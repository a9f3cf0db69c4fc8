"""Which edit makes which stage stale: the table that the folders of the code stand for."""

from pathlib import Path

import pytest

from pipeline.params import read_yaml
from tests.support.paths import PROJECT

DVC = read_yaml(PROJECT / "dvc.yaml")["stages"]
EDITS = {
    "pipeline/finetune/packed_loss.py": ["finetune"],
    "pipeline/finetune/trainer.py": ["finetune"],
    "pipeline/dedup/minhash.py": ["validate"],
    "pipeline/validate/report.py": ["validate"],
    "pipeline/ingest/chat_formats.py": ["ingest"],
    "pipeline/tokenize/preview.py": ["tokenize"],
    "pipeline/baselines/tfidf.py": ["baselines"],
    "pipeline/register/report/templates/report.css": ["register"],
    "pipeline/register/gate.py": ["register"],
    "pipeline/metrics/calibration.py": ["baselines", "evaluate"],
    "pipeline/generation/decoding.py": ["baselines", "evaluate"],
    "pipeline/stats/paired_proportions.py": ["evaluate", "register"],
    "pipeline/model/chat_template.py": ["tokenize", "baselines", "finetune", "evaluate"],
    "pipeline/learning_curve/power_law.py": [],
    "pipeline/errors.py": [],
}
"""A file, and the stages that DVC finds stale when it is edited: by themselves, not for what came out of others."""


@pytest.mark.parametrize(("path", "stale"), EDITS.items())
def test_an_edit_makes_its_stages_stale_and_no_others(path: str, stale: list[str]) -> None:
    """A stage is stale by an edit of what lies in its dependencies."""
    assert (PROJECT / path).is_file()
    reading = [name for name, stage in DVC.items() if any(Path(path).is_relative_to(dep) for dep in stage["deps"])]
    assert reading == stale
