"""Laws of the trained arms: asked for all rows, then for a few again to time a request; measured against their base."""

from pathlib import Path

import pytest

from pipeline.evaluate.general_knowledge import read_general
from pipeline.evaluate.models import TUNED, Arm, answers_of, arms_of, forgotten, loaded
from pipeline.evaluate.stage import test_rows as rows_of
from pipeline.files import read_json
from pipeline.stats.paired_comparison import Terms
from tests.support.tiny_params import finished

pytestmark = pytest.mark.usefixtures("imported_is_no_garbage")


@pytest.fixture(scope="module")
def arm(base: Path) -> Arm:
    params, data = finished(base)
    labels = read_json(data / "validate" / "labels.json")
    test, prompts = rows_of(data)
    (only,) = arms_of(params.model, params.prompt, labels, test, prompts, data)
    return only


@pytest.mark.parametrize("timed", [0, 2])
def test_timing_requests_changes_no_answer(base: Path, arm: Arm, timed: int) -> None:
    """As many are timed as are asked for; tokens are those of the prompts and of the answers."""
    params, data = finished(base)
    done = answers_of(arm, params.evaluate, timed)
    assert arm.name == TUNED
    assert done.answers == answers_of(arm, params.evaluate, 0).answers
    assert done.cost["request_seconds"]["n"] == timed
    assert (done.cost["rows"], done.cost["tokens_in"]) == (len(arm.prompts), sum(map(len, arm.prompts)))
    assert done.cost["tokens_out"] == sum(answer.tokens for answer in done.answers) > 0
    told = read_json(data / "evaluate" / "cost.json")[TUNED]
    assert {name: told[name] for name in ("rows", "tokens_in", "tokens_out")} == {
        name: done.cost[name] for name in ("rows", "tokens_in", "tokens_out")
    }


def test_the_bare_model_of_an_arm_is_its_base(base: Path, arm: Arm) -> None:
    """What was forgotten is measured between the two, which differ by the adapter."""
    params, data = finished(base)
    bare, whole = loaded(arm, params.evaluate, bare=True), loaded(arm, params.evaluate)
    pairs = zip(bare.parameters(), whole.parameters(), strict=True)
    assert any(not (one == other).all() for one, other in pairs)
    lost = forgotten(arm, params.evaluate, Terms(200, 1, 0.95, 0.02), read_general(data / "general"))
    assert lost["texts"]["rise"]["value"] != 0
