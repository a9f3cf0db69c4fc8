"""Laws of the trained arms: asked for all rows, then for a few again to time a request; measured against their base."""

from pathlib import Path

import pytest

from pipeline.arms import FINETUNED
from pipeline.evaluate.general_knowledge import read_probe
from pipeline.evaluate.models import TrainedModel, answer_with, forgetting_of, load_arm, trained_models
from pipeline.evaluate.stage import read_test_rows as rows_of
from pipeline.files import read_json
from pipeline.stats.paired_comparison import ComparisonSettings
from tests.support.tiny_params import finished

pytestmark = pytest.mark.usefixtures("imported_is_no_garbage")


@pytest.fixture(scope="module")
def arm(base: Path) -> TrainedModel:
    params, data = finished(base)
    labels = read_json(data / "validate" / "labels.json")
    test, prompts = rows_of(data)
    (only,) = trained_models(params.model, params.prompt, labels, test, prompts, data)
    return only


@pytest.mark.parametrize("timed", [0, 2])
def test_timing_requests_changes_no_answer(base: Path, arm: TrainedModel, timed: int) -> None:
    """As many are timed as are asked for; tokens are those of the prompts and of the answers."""
    params, data = finished(base)
    done = answer_with(arm, params.evaluate, timed)
    assert arm.name == FINETUNED
    assert done.predictions == answer_with(arm, params.evaluate, 0).predictions
    assert done.cost["request_seconds"]["n"] == timed
    assert (done.cost["rows"], done.cost["tokens_in"]) == (len(arm.prompts), sum(map(len, arm.prompts)))
    assert done.cost["tokens_out"] == sum(answer.tokens for answer in done.predictions) > 0
    told = read_json(data / "evaluate" / "cost.json")[FINETUNED]
    assert {name: told[name] for name in ("rows", "tokens_in", "tokens_out")} == {
        name: done.cost[name] for name in ("rows", "tokens_in", "tokens_out")
    }


def test_the_bare_model_of_an_arm_is_its_base(base: Path, arm: TrainedModel) -> None:
    """What was forgotten is measured between the two, which differ by the adapter."""
    params, data = finished(base)
    bare, whole = load_arm(arm, params.evaluate, bare=True), load_arm(arm, params.evaluate)
    pairs = zip(bare.parameters(), whole.parameters(), strict=True)
    assert any(not (one == other).all() for one, other in pairs)
    lost = forgetting_of(arm, params.evaluate, ComparisonSettings(200, 1, 0.95, 0.02), read_probe(data / "general"))
    assert lost["texts"]["rise"]["value"] != 0
