"""Laws of what MLflow is told, on a real database in a folder of the test's own."""

import json
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from flows.review.data_diff import DiffBase
from flows.tracking.artifacts import log_data_diff
from flows.tracking.client import experiment_id, mlflow_client
from flows.tracking.release import detail_tables_of, holdout_metrics, result_metrics, run_description
from flows.tracking.runs import (
    METRICS_PER_CALL,
    TrackingRun,
    begin_mlflow_run,
    close_killed_runs,
    flatten_params,
    read_points,
    ship_points,
    stream_history,
)
from flows.tracking.versions import CHAMPION_NAME, find_version, version_of_alias
from flows.vcs.states import CommitState
from pipeline.errors import UserError
from pipeline.params import Params, parse_params, read_yaml
from tests.support.paths import PROJECT
from tests.support.repositories import apart

POINTS: list[dict[str, Any]] = [
    {"step": 1, "epoch": 0.5, "train_loss": 2.0, "train_grad_norm": 1.0},
    {"step": 2, "epoch": 1.0, "train_loss": 1.0, "train_grad_norm": 0.5},
    {"step": 2, "epoch": 1.0, "validation_loss": 1.5},
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project with a database of its own, made once; each test uses runs of its own."""
    place = tmp_path_factory.mktemp("record")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID"):
            patch.setenv(name, "")  # so that what MLflow sets itself is forgotten afterwards
            patch.delenv(name)
        for name, value in apart(place).items():
            patch.setenv(name, value)
        patch.chdir(place)
        mlflow_client(place)
        yield place


@pytest.fixture(scope="module")
def params() -> Params:
    return parse_params(read_yaml(PROJECT / "params.yaml"))


@pytest.fixture
def run(root: Path, params: Params) -> TrackingRun:
    return begin_mlflow_run(root, params, "a run")


def curve(run: TrackingRun, name: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in mlflow_client(run.root).get_metric_history(run.id, name)]


def test_the_database_lies_in_the_project_and_lets_readers_read(root: Path) -> None:
    """In the private folder, in the mode in which the pages can be read while a run writes."""
    with closing(sqlite3.connect(root / ".tunesmith" / "mlflow.db")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("SELECT count(*) FROM experiments").fetchone()[0] >= 1


def test_an_experiment_is_made_once_and_keeps_its_files_in_the_project(root: Path) -> None:
    """Its name finds it again; what its runs leave does not lie in the tree."""
    made = experiment_id(root, "colours")
    assert experiment_id(root, "colours") == made != experiment_id(root, "sounds")
    found = mlflow_client(root).get_experiment(made)
    assert found.artifact_location == (root / ".tunesmith" / "mlartifacts").as_uri()


def test_a_database_of_ones_own_keeps_no_files_so_the_project_does(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a server has a place for files; with any database, they do not land in the tree, which git keeps."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/.tunesmith/mlflow.db")
    made = mlflow_client(tmp_path).get_experiment(experiment_id(tmp_path, "elsewhere"))
    assert made.artifact_location == (tmp_path / ".tunesmith" / "mlartifacts").as_uri()


def test_a_run_begins_with_everything_that_params_say(run: TrackingRun, params: Params) -> None:
    """Each value under its dotted name, the run RUNNING and known by its checkout."""
    found = mlflow_client(run.root).get_run(run.id)
    assert found.data.params == flatten_params(params)
    assert (found.info.status, found.info.run_name) == ("RUNNING", "a run")
    assert found.data.tags["tunesmith.checkout"] == str(run.root)


def test_every_value_of_params_has_a_name(params: Params) -> None:
    """Text as it is, all else as JSON, lists too; only what is empty text is left out, which MLflow would refuse."""
    told = flatten_params(params)
    wanted = {
        f"{section}.{key}": value
        for section, values in read_yaml(PROJECT / "params.yaml").items()
        for key, value in values.items()
    }
    assert set(told) == {name for name, value in wanted.items() if value != ""}
    for name, value in told.items():
        assert wanted[name] == (value if isinstance(wanted[name], str) else json.loads(value))


@pytest.mark.parametrize("status", ["FINISHED", "FAILED"])
def test_a_run_ends_as_it_is_told(run: TrackingRun, status: str) -> None:
    """And bears the tags that it was given, cut where MLflow would refuse them."""
    run.set_tags({"threads": 2, "git.clean": True, "long": "x" * 9000})
    run.end(status)
    found = mlflow_client(run.root).get_run(run.id)
    assert found.info.status == status
    assert (found.data.tags["threads"], found.data.tags["git.clean"]) == ("2", "True")
    assert set(found.data.tags["long"]) == {"x"}


def test_points_that_are_sent_twice_are_there_once(run: TrackingRun) -> None:
    """Sent live, again in part, and once more in full: each point of a curve stands once at its step."""
    for points in (POINTS[:1], POINTS[:2], POINTS, POINTS):
        ship_points(run, points)
    assert curve(run, "train/loss") == [(1, 2.0), (2, 1.0)]
    assert curve(run, "train/grad_norm") == [(1, 1.0), (2, 0.5)]
    assert curve(run, "validation/loss") == [(2, 1.5)]
    assert set(mlflow_client(run.root).get_run(run.id).data.metrics) == {
        "train/loss",
        "train/grad_norm",
        "validation/loss",
    }


def test_a_long_curve_is_sent_whole(run: TrackingRun) -> None:
    """More points than one call takes."""
    ship_points(run, [{"step": step, "train_loss": float(step)} for step in range(METRICS_PER_CALL + 200)])
    assert curve(run, "train/loss") == [(step, float(step)) for step in range(METRICS_PER_CALL + 200)]


@pytest.mark.parametrize(
    ("text", "points"),
    [
        (None, []),
        ("", []),
        ('{"step": 1}\n{"step": 2}\n', [{"step": 1}, {"step": 2}]),
        ('{"step": 1}\n{"step": 2', [{"step": 1}]),
        ('{"step": 1}\n{"step": 2}', [{"step": 1}]),
    ],
)
def test_a_point_that_is_still_being_written_is_left_for_later(
    tmp_path: Path, text: str | None, points: list[dict[str, Any]]
) -> None:
    """Only whole lines are points."""
    if text is not None:
        (tmp_path / "live.jsonl").write_text(text, encoding="utf-8")
    assert read_points(tmp_path / "live.jsonl") == points


def test_a_curve_grows_in_mlflow_while_the_training_writes_it(run: TrackingRun, tmp_path: Path) -> None:
    """Points are there before the training is over, those of a later moment too, each once."""
    history, deadline = tmp_path / "live.jsonl", monotonic() + 30
    with stream_history(run, history):
        for number in (1, 2):
            with history.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps({"step": number, "train_loss": number}) + "\n")
            for _ in count():
                if len(curve(run, "train/loss")) >= number or monotonic() > deadline:
                    break
    assert curve(run, "train/loss") == [(1, 1.0), (2, 2.0)]


def test_what_a_killed_run_left_is_ended_and_nothing_else(root: Path, params: Params, run: TrackingRun) -> None:
    """Runs of this checkout that still seem to run are KILLED; ended ones and those of other checkouts stay."""
    close_killed_runs(root, params)
    dead, done = (begin_mlflow_run(root, params, name) for name in ("dead", "done"))
    elsewhere = begin_mlflow_run(root, params, "elsewhere")
    elsewhere.set_tags({"tunesmith.checkout": "/another/checkout"})
    done.end("FINISHED")
    assert close_killed_runs(root, params) == 1
    status = {one.id: mlflow_client(root).get_run(one.id).info.status for one in (run, dead, done, elsewhere)}
    assert status == {run.id: "KILLED", dead.id: "KILLED", done.id: "FINISHED", elsewhere.id: "RUNNING"}


def test_a_checkout_may_lie_in_a_folder_of_any_name(
    root: Path, tmp_path: Path, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An apostrophe in its path does not hide its dead runs."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/.tunesmith/mlflow.db")
    place = tmp_path / "Tom's models"
    place.mkdir()
    run = begin_mlflow_run(place, params, "dead")
    assert close_killed_runs(place, params) == 1
    assert mlflow_client(place).get_run(run.id).info.status == "KILLED"


def test_what_is_not_there_is_not_found(root: Path) -> None:
    """Neither a version of an unknown adapter nor an alias of an unknown model; asking makes nothing."""
    assert find_version(root, "colours", "0" * 64) is None
    assert version_of_alias(root, "colours", CHAMPION_NAME) is None
    assert mlflow_client(root).search_registered_models() == []


def test_a_server_that_does_not_answer_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named, with what to do, before a stage is begun."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(UserError) as told:
        mlflow_client(tmp_path)
    assert str(told.value).startswith(f"{address}: MLflow does not answer: ")
    assert str(told.value).endswith("; start it, or unset MLFLOW_TRACKING_URI")


def test_the_held_out_results_are_numbers_of_the_run(run: TrackingRun) -> None:
    """MLflow takes every measure of every arm, each gain with the end that the gate reads, and the number of rows."""
    measure = {"value": 0.5, "low": 0.25, "high": 0.75, "n": 8}
    gain = {"metric": "rules", "difference": 0.375, "low": -0.125, "high": 0.625, "n": 8, "p_value": 0.5}
    arms = {arm: {"rules": measure, "rule:no-price_1.x": measure} for arm in ("zero_shot", "fine-tuned", "champion")}
    told = result_metrics({"arms": arms, "comparisons": {"zero_shot": gain, "champion": gain}, "n": 8})
    mlflow_client(run.root).log_batch(run.id, metrics=told)
    found = mlflow_client(run.root).get_run(run.id).data.metrics
    assert {f"{arm}/{name}" for arm, measures in arms.items() for name in measures} < set(found)
    assert sorted(found.values()) == [-0.125] * 2 + [0.375] * 2 + [0.5] * 6 + [8.0]


def test_how_often_the_test_rows_decided_is_a_number_of_the_run(run: TrackingRun) -> None:
    """A release of before that was counted has none, and is recorded all the same."""
    told = holdout_metrics({"held_out": {"rows": 8, "fresh": 2, "decisions": 3.75, "limit": 20}})
    mlflow_client(run.root).log_batch(run.id, metrics=told)
    assert mlflow_client(run.root).get_run(run.id).data.metrics["test set decisions"] == 3.75
    assert holdout_metrics({"verdict": "keep"}) == []


def test_what_the_numbers_are_made_of_are_tables_of_the_run(run: TrackingRun) -> None:
    """A line for each label and measure, each confusion, each tenth and each field; recorded twice, they stand once."""
    half = {"value": 0.5, "low": 0.25, "high": 0.75, "n": 8}
    labels = {
        "classes": {"$5 % off": {"recall": half, "f1": half}},
        "confusion": {"$5 % off": {"$5 % off": 4, "other": 4}},
        "reliability": [{"from": 0.9, "to": 1.0, "probability": 0.95, "right": half}],
    }
    for _ in range(2):
        for name, table in detail_tables_of({"zero_shot": {"fields": {"a[0]": half}}, "fine-tuned": labels}).items():
            run.log_table_once(table, f"evaluation/{name}.json")
    connected = mlflow_client(run.root)
    told = {
        name: json.loads(Path(connected.download_artifacts(run.id, f"evaluation/{name}.json")).read_bytes())["data"]
        for name in ("classes", "confusion", "reliability", "fields")
    }
    assert told == {
        "classes": [["fine-tuned", "$5 % off", name, 0.5, 0.25, 0.75, 8] for name in ("recall", "f1")],
        "confusion": [["fine-tuned", "$5 % off", "$5 % off", 4], ["fine-tuned", "$5 % off", "other", 4]],
        "reliability": [["fine-tuned", 0.9, 1.0, 0.95, 0.5, 0.25, 0.75, 8]],
        "fields": [["zero_shot", "a[0]", 0.5, 0.25, 0.75, 8]],
    }
    assert detail_tables_of({"fine-tuned": {}}) == {}


def test_the_verdict_is_the_first_thing_that_is_read() -> None:
    """In bold, with every reason below it."""
    told = run_description({"verdict": "keep", "reasons": ["not significantly better", "too few rows"]})
    assert told == "**not promoted: recorded as challenger**\n- not significantly better\n- too few rows"
    worth = {"worth": {"text": "Use tfidf instead."}}
    assert run_description({"verdict": "promote", "reasons": ["better"], **worth}).endswith(
        "\n- better\n\nUse tfidf instead."
    )


def test_a_run_carries_how_the_pairs_changed(run: TrackingRun) -> None:
    """The decision as tags, the rows of each kind, the labels that came or went and the first rows as tables."""
    example = {"kind": "added", "source": "a.jsonl", "row": 3, "prompt_before": None, "prompt_after": "hello"}
    change = {
        "learnt": {"added": 2, "removed": 0}, "tested": {"added": 1, "removed": 0},
        "new_labels": {"blue": 3}, "vanished_labels": {}, "drift": {"labels": 0.25, "prompt lengths": 0.5},
    }  # fmt: skip
    decision = {"outcome": "ask", "reasons": ["new labels", "drift"]}
    against = DiffBase(CommitState("0" * 40, {}, {}), "the champion")
    log_data_diff(run, against, {"change": change, "decision": decision, "examples": [example]})
    connected = mlflow_client(run.root)
    found = connected.get_run(run.id)
    assert {name: value for name, value in found.data.tags.items() if name.startswith("difference.")} == {
        "difference.against": f"the champion ({'0' * 40})",
        "difference.decision": "ask",
        "difference.reasons": "new labels; drift",
    }
    assert found.data.metrics == {"drift/labels": 0.25, "drift/prompt lengths": 0.5}
    tables = {
        name: json.loads(Path(connected.download_artifacts(run.id, f"difference/{name}.json")).read_bytes())["data"]
        for name in ("rows", "labels", "examples")
    }
    assert tables == {
        "rows": [["added", 2, 1], ["removed", 0, 0]],
        "labels": [["blue", "new", 3]],
        "examples": [["added", "a.jsonl", 3, None, "hello"]],
    }
