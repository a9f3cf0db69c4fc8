"""Laws of the evaluation, on a tiny project that ran through the real stages."""

import json
import shutil
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.baselines import stage as baselines
from pipeline.errors import UserError
from pipeline.evaluate import models
from pipeline.evaluate import stage as evaluate
from pipeline.files import read_json, write_json
from pipeline.hashing import file_digests
from pipeline.metrics.classification import macro_f1_statistic
from pipeline.metrics.metric import proportion
from pipeline.metrics.text import chrf_scores
from pipeline.model.chat_template import PromptEncoder, load_tokenizer
from pipeline.model.tokenized import read_tokens, write_tokens
from pipeline.pairs import read_pairs, write_pairs
from pipeline.params import Params
from pipeline.register import stage as register
from pipeline.stats.label_counts import count_labels
from pipeline.stats.paired_comparison import compare_scores, compare_statistics
from tests.support.chat import SYSTEM
from tests.support.comparisons import TERMS
from tests.support.tiny_params import crown, finished, judged, tiny_params

LABELS = {"accuracy", "calibration_error", "free_label", "macro_f1"}
RULES = [{"name": "short", "max_words": 1}, {"name": "no-g", "must_not_match": "g"}]


@pytest.fixture(scope="module")
def params(base: Path) -> Params:
    return finished(base)[0]


@pytest.fixture(scope="module")
def done(base: Path) -> Path:
    """What all stages but the last left; only to be read."""
    return finished(base)[1]


@pytest.fixture
def data(done: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(done, tmp_path / "data"))


def run(params: Params, data: Path) -> None:
    evaluate.run(params.model, params.prompt, params.evaluate, params.register, data, timed=1)


def columns(data: Path) -> dict[str, list[Any]]:
    return dict(pq.read_table(data / "evaluate" / "predictions.parquet").to_pydict())


def test_every_metric_has_its_value_its_n_and_its_interval(done: Path) -> None:
    """Each measure of each arm holds exactly value, n, low and high, of all the held-out rows."""
    metrics, rows = read_json(done / "evaluate" / "metrics.json"), len(read_pairs(done / "validate" / "test.parquet"))
    assert set(metrics) == {"task", "n", "arms", "metric", "comparisons", "confidence"}
    assert {arm: set(measures) for arm, measures in metrics["arms"].items()} == {
        "zero_shot": LABELS,
        "fine-tuned": LABELS,
    }
    for found in (found for measures in metrics["arms"].values() for found in measures.values()):
        assert set(found) == {"value", "n", "low", "high"}
        assert 0 <= found["low"] <= found["value"] <= found["high"] <= 1
        assert found["n"] == metrics["n"] == rows > 10


def test_each_prediction_stands_beside_its_row(done: Path) -> None:
    """The table has the test rows in their order, with what each arm said, and no answer is other than a label."""
    found, test = columns(done), read_pairs(done / "validate" / "test.parquet")
    assert list(found) == [
        "id", "prompt", "expected", "zero_shot", "fine-tuned", "zero_shot probability", "zero_shot accuracy",
        "zero_shot free_label",
        "fine-tuned probability", "fine-tuned accuracy", "fine-tuned free_label",
    ]  # fmt: skip
    assert (found["id"], found["expected"]) == ([pair.id for pair in test], [pair.completion for pair in test])
    assert found["prompt"] == [pair.prompt for pair in test]
    assert set(found["zero_shot"]) | set(found["fine-tuned"]) <= {"blue", "green", "red"}
    for arm in ("zero_shot", "fine-tuned"):
        assert all(1 / 3 <= sure <= 1 for sure in found[f"{arm} probability"])  # likelier than either other label


def test_the_metrics_are_those_of_the_predictions(done: Path) -> None:
    """Accuracy counted again from the predictions is the accuracy told, and so is the paired comparison."""
    found, metrics = columns(done), read_json(done / "evaluate" / "metrics.json")
    for arm in ("zero_shot", "fine-tuned"):
        right = [said == wanted for said, wanted in zip(found[arm], found["expected"], strict=True)]
        assert found[f"{arm} accuracy"] == [float(hit) for hit in right]
        assert metrics["arms"][arm]["accuracy"] == asdict(proportion(right))
    tuned, base = (np.array(found[f"{arm} accuracy"]) for arm in ("fine-tuned", "zero_shot"))
    wanted = compare_scores("accuracy", tuned, base, TERMS)
    of_labels = count_labels(found["expected"], found["fine-tuned"], found["zero_shot"])
    tuned_f1, base_f1 = (macro_f1_statistic(found["expected"], found[arm]) for arm in ("fine-tuned", "zero_shot"))
    assert metrics["comparisons"] == {
        "zero_shot": {
            **asdict(wanted),
            "classes": {label: asdict(one) for label, one in of_labels.items()},
            "macro_f1": asdict(compare_statistics("macro_f1", tuned_f1, base_f1, len(tuned), TERMS)),
        }
    }
    assert wanted.low > 0.1


def test_where_training_nearly_has_some_test_rows_the_others_are_summed_up_by_themselves(
    params: Params, data: Path
) -> None:
    """Beside each measure of all rows stands that of the clean ones; the comparison stays that of all."""
    before = read_json(data / "evaluate" / "metrics.json")
    test = read_pairs(data / "validate" / "test.parquet")
    known = [(test[0].id, True), (test[0].id, True), (test[1].id, False), (test[2].id, True)]
    table = pa.table({"test_id": [pair_id for pair_id, _ in known], "trained": [trained for _, trained in known]})
    pq.write_table(table, data / "validate" / "overlaps.parquet")
    run(params, data)
    metrics, found = read_json(data / "evaluate" / "metrics.json"), columns(data)
    clean = [row for row in range(len(test)) if row not in (0, 2)]
    for arm, measures in metrics["arms"].items():
        assert {name: values for name, values in measures.items() if "clean" not in name} == before["arms"][arm]
        assert set(measures) - set(before["arms"][arm]) == {f"{measure} clean" for measure in LABELS}
        right = [found[arm][row] == found["expected"][row] for row in clean]
        assert measures["accuracy clean"] == asdict(proportion(right))
    assert metrics["comparisons"] == before["comparisons"]


def test_the_same_project_gives_the_same_bytes(params: Params, done: Path, data: Path) -> None:
    """A second evaluation writes the same, byte for byte, but for the seconds."""
    run(params, data)
    found, before = (file_digests(place / "evaluate") for place in (data, done))
    assert found | {"cost.json": ""} == before | {"cost.json": ""}
    reports = {f"{name}.json" for name in ("metrics", "details", "forgetting", "cost")}
    assert set(found) == {"predictions.parquet"} | reports


@pytest.fixture
def release(params: Params, data: Path) -> dict[str, Any]:
    """The release of the tiny project."""
    register.run(params.model, params.prompt, params.register, params.prices, data)
    found: dict[str, Any] = read_json(data / "register" / "release.json")
    return found


def test_with_a_champion_there_is_a_champion_arm(params: Params, data: Path, release: dict[str, Any]) -> None:
    """A champion answers the same rows; the very same model gives the same answers and no difference."""
    crown(data, release)
    run(params, data)
    found, metrics = columns(data), read_json(data / "evaluate" / "metrics.json")
    assert list(metrics["arms"]) == ["champion", "fine-tuned", "zero_shot"]
    assert found["champion"] == found["fine-tuned"] != found["zero_shot"]
    against = metrics["comparisons"]["champion"]
    assert [against[name] for name in ("difference", "better", "worse", "p_value")] == [0, 0, 0, 1]
    assert against["low"] < -0.1 < 0.1 < against["high"]
    assert all(one["tuned"] == one["other"] for one in against["classes"].values())


def test_a_champion_answers_as_it_was_trained_to(params: Params, data: Path, release: dict[str, Any]) -> None:
    """The champion is given its own system message and chooses among its own labels."""
    release["prompt"]["system"], release["labels"] = "Another message.", ["red"]
    crown(data, release)
    test, prompts = evaluate.read_test_rows(data)
    *_, arm = models.trained_models(params.model, params.prompt, ["blue"], test, prompts, data)
    renderer = PromptEncoder(load_tokenizer(Path(params.model.source)), "Another message.")
    assert arm.name == "champion"
    assert arm.prompts == [renderer.encode_prompt(pair.messages) for pair in test] != prompts
    assert {found.text for found in models.answer_with(arm, params.evaluate, timed=0).predictions} == {"red"}


def test_only_the_rows_that_tokenize_kept_are_evaluated(base: Path, done: Path, data: Path) -> None:
    """A test row set aside as too long is not asked; the others keep their order and their prompt tokens."""
    kept = read_tokens(done / "tokenize" / "test.arrow")[1::2]
    write_tokens(data / "tokenize" / "test.arrow", kept)
    test, prompts = evaluate.read_test_rows(data)
    assert [pair.id for pair in test] == [pair_id for pair_id, _ in kept]
    renderer = PromptEncoder(load_tokenizer(base), SYSTEM)
    assert prompts == [renderer.encode_prompt(pair.messages) for pair in test]


def test_free_text_has_measures_of_its_own(base: Path, data: Path) -> None:
    """For text there are measures of texts and the house rules, each with its interval, and nothing of labels."""
    params = tiny_params(base, **{"prompt.task": "text", "register.metric": "chrf", "evaluate.rules": RULES})
    write_json(data / "validate" / "labels.json", [])
    run(params, data)
    metrics, found = read_json(data / "evaluate" / "metrics.json"), columns(data)
    measures = {"exact_match", "chrf", "rouge_l", "length_ratio", "rules", "rule:short", "rule:no-g"}
    assert {arm: set(of_arm) for arm, of_arm in metrics["arms"].items()} == {
        "zero_shot": measures,
        "fine-tuned": measures,
    }
    against = metrics["comparisons"]["zero_shot"]
    assert (against["metric"], against["classes"]) == ("chrf", {})
    assert "macro_f1" not in against
    assert found["fine-tuned chrf"] == chrf_scores(found["expected"], found["fine-tuned"]).tolist()


def test_json_has_measures_of_its_own(base: Path, data: Path) -> None:
    """Answers of a model that knows nothing of JSON are measured as what they are; each field has its share."""
    rules = [{"name": "schema", "json_schema": "colour.json"}, {"name": "own", "python": "own:short"}]
    params = tiny_params(base, **{"prompt.task": "json", "register.metric": "fields_f1", "evaluate.rules": rules})
    (data.parent / "rules").mkdir()
    write_json(data.parent / "rules" / "colour.json", {"required": ["colour"]})
    (data.parent / "rules" / "own.py").write_text("def short(answer, prompt):\n    return len(answer) < 3\n")
    write_json(data / "validate" / "labels.json", [])
    pairs = read_pairs(data / "validate" / "test.parquet")
    asked = [replace(pair, completion=json.dumps({"colour": pair.completion})) for pair in pairs]
    write_pairs(data / "validate" / "test.parquet", asked)
    tokens = {
        pair.id: encoded
        for pair, (_, encoded) in zip(asked, read_tokens(data / "tokenize" / "test.arrow"), strict=True)
    }
    write_tokens(data / "tokenize" / "test.arrow", list(tokens.items()))
    baselines.run(params.model, params.prompt, params.baselines, judged(params), data)
    run(params, data)
    metrics, details = (read_json(data / "evaluate" / f"{name}.json") for name in ("metrics", "details"))
    measures = {"json_valid", "json_exact", "fields_f1", "fields_f1_micro", "rules", "rule:schema", "rule:own"}
    assert {arm: set(of_arm) for arm, of_arm in metrics["arms"].items()} == {
        "zero_shot": measures,
        "fine-tuned": measures,
    }
    assert metrics["comparisons"]["zero_shot"]["metric"] == "fields_f1"
    assert details["fine-tuned"] == {"fields": {"colour": asdict(proportion([False] * len(asked)))}}


def test_the_details_are_those_of_the_predictions(done: Path) -> None:
    """Confusions, tenths and the recall of a label, counted again from what each arm said."""
    found, details = columns(done), read_json(done / "evaluate" / "details.json")
    for arm in ("zero_shot", "fine-tuned"):
        told = details[arm]
        pairs = Counter(zip(found["expected"], found[arm], strict=True))
        assert {(want, said): n for want, row in told["confusion"].items() for said, n in row.items()} == pairs
        hits = [said == "blue" for want, said in zip(found["expected"], found[arm], strict=True) if want == "blue"]
        assert told["classes"]["blue"]["recall"] == asdict(proportion(hits))
        assert sum(tenth["right"]["n"] for tenth in told["reliability"]) == len(found[arm])


def test_what_is_out_of_scope_is_measured_if_a_label_says_so(params: Params, base: Path, data: Path) -> None:
    """The field is live: a label named there has its own measures, and all others stay as they were."""
    before = read_json(data / "evaluate" / "metrics.json")
    run(tiny_params(base, **{"ingest.folder": params.ingest.folder, "evaluate.out_of_scope_label": "blue"}), data)
    after = read_json(data / "evaluate" / "metrics.json")
    for arm, measures in after["arms"].items():
        added = set(measures) - set(before["arms"][arm])
        assert added >= {"out_of_scope_recall", "out_of_scope_auroc"}
        assert {name: values for name, values in measures.items() if name not in added} == before["arms"][arm]


def test_a_label_for_what_is_out_of_scope_must_be_one(base: Path, data: Path) -> None:
    """Before anything is answered, since what was written before stays."""
    with pytest.raises(UserError) as caught:
        run(tiny_params(base, **{"evaluate.out_of_scope_label": "none"}), data)
    assert str(caught.value) == (
        "evaluate.out_of_scope_label: no pair has this label; expected null, or one of blue, green, red; got none; "
        "name the label that says so"
    )
    assert (data / "evaluate" / "metrics.json").exists()
