"""Laws of the whole: real runs of the command in a copy of this project, on a tiny model, and what they leave."""

import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from ruamel.yaml import YAML

from flows.vcs.dvc_lock import locked_inputs, locked_outputs
from tests.support.repositories import git
from tests.support.tiny_project import COLOURS, NAME, SOURCE, Checkout, make_project

pytestmark = pytest.mark.slow  # whole runs of the flow take minutes

STAGES = ["ingest", "validate", "tokenize", "baselines", "finetune", "evaluate", "register"]
ANSWER = """
import sys, mlflow
mlflow.set_tracking_uri(sys.argv[1])
print(mlflow.pyfunc.load_model(sys.argv[2]).predict(["what colour is the rose on day 3?"]))
"""


@dataclass(frozen=True)
class Left:
    """What a command left: how it ended, what it said, and a copy of what it wrote into MLflow."""

    done: "subprocess.CompletedProcess[str]"
    runs: tuple[Run, ...]
    mlflow: MlflowClient
    journal: str
    lock: dict[str, dict[str, str]]
    tree: str
    release: dict[str, Any]
    history: tuple[dict[str, Any], ...]

    @property
    def run(self) -> Run:
        """The newest run."""
        return self.runs[0]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Checkout:
    """The tiny project, its first commit made."""
    return make_project(tmp_path_factory.mktemp("retrain"), base)


def text_of(checkout: Checkout, name: str) -> str:
    """A file's text; empty if there is none yet."""
    path = checkout.root / name
    return path.read_text(encoding="utf-8") if path.exists() else ""


def left_by(checkout: Checkout, done: "subprocess.CompletedProcess[str]") -> Left:
    """Take down what is there now, since the next command will change it."""
    private = checkout.root / ".tunesmith"
    journals = sorted((private / "runs").glob("*/journal.jsonl"))
    taken = checkout.root.parent / f"mlflow-{len(list(checkout.root.parent.glob('mlflow-*.db')))}.db"
    with closing(sqlite3.connect(private / "mlflow.db")) as found, closing(sqlite3.connect(taken)) as kept:
        found.backup(kept)
    client = MlflowClient(f"sqlite:///{taken}", f"sqlite:///{taken}")
    experiment = client.get_experiment_by_name(NAME)
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"])
    return Left(
        done,
        tuple(runs),
        client,
        journals[-1].read_text(encoding="utf-8") if journals else "",
        locked_outputs(checkout.root),
        git(checkout.root, "status", "--porcelain"),
        json.loads(text_of(checkout, "data/register/release.json") or "{}"),
        tuple(json.loads(line) for line in text_of(checkout, "data/finetune/history.jsonl").splitlines()),
    )


@pytest.fixture(scope="module")
def failed(checkout: Checkout) -> Left:
    """A run whose first stage fails; what was wrong in params.yaml is mended afterwards."""
    good = (checkout.root / "params.yaml").read_bytes()
    checkout.change(ingest__sources=[SOURCE | {"path": "colors.jsonl"}])
    done = checkout.tunesmith("run")
    (checkout.root / "params.yaml").write_bytes(good)
    return left_by(checkout, done)


@pytest.fixture(scope="module")
def first(checkout: Checkout, failed: Left) -> Left:
    """The first whole run: everything is stale."""
    assert failed.done.returncode == 1, failed.done.stdout
    return left_by(checkout, checkout.tunesmith("run"))


@pytest.fixture(scope="module")
def again(checkout: Checkout, first: Left) -> Left:
    """The same once more: nothing is stale."""
    assert first.done.returncode == 0, first.done.stderr
    return left_by(checkout, checkout.tunesmith("run"))


@pytest.fixture(scope="module")
def status(checkout: Checkout, again: Left) -> str:
    """What `status` says after the two."""
    assert again.done.returncode == 0, again.done.stderr
    return checkout.tunesmith("status").stdout


REPORTS = ("data/validate/report.", "data/validate/data_docs")
"""What the data checks say, also of how far the data are from the champion's."""


@pytest.fixture(scope="module")
def rebuilt(checkout: Checkout, status: str) -> Left:
    """MLflow's database is lost, and made again from the files."""
    assert status
    for path in (checkout.root / ".tunesmith").glob("mlflow.db*"):
        path.unlink()
    return left_by(checkout, checkout.tunesmith("sync"))


@pytest.fixture(scope="module")
def changed(checkout: Checkout, rebuilt: Left) -> Left:
    """A run with another learning rate."""
    assert rebuilt.done.returncode == 0, rebuilt.done.stderr
    checkout.change(finetune__learning_rate=0.02)
    return left_by(checkout, checkout.tunesmith("run"))


@pytest.fixture(scope="module")
def poisoned(checkout: Checkout, changed: Left) -> tuple[Left, str, Left]:
    """A run on data of which one row spells its label otherwise, what `data` says then, and one on mended data."""
    assert changed.done.returncode == 0, changed.done.stderr
    path = checkout.root / "data" / "raw" / "colours.jsonl"
    good = path.read_bytes()
    path.write_bytes(good + b'{"prompt": "what colour is the moss?", "completion": "Green"}\n')
    bad = left_by(checkout, checkout.tunesmith("run"))
    told = checkout.tunesmith("check-data").stdout
    path.write_bytes(good)
    return bad, told, left_by(checkout, checkout.tunesmith("run"))


def test_poisoned_data_stop_the_run_before_it_costs_anything(poisoned: tuple[Left, str, Left], changed: Left) -> None:
    """One line, MLflow's run FAILED with the reasons as a table and the page, the champion where it was."""
    bad, told, _ = poisoned
    reason = (
        "validate: validate.checks.label_spelling: 1 rows break it; expected a label is always spelt the same, in case "
        "and whitespace too; got colours.jsonl row 61; spell it as most rows do, or set it to warn"
    )
    assert bad.done.returncode == 1
    assert bad.done.stderr.splitlines()[-1] == f"error: {reason}"
    assert stages_told(bad.done) == {"ingest": "ran"}
    assert (bad.run.info.status, bad.run.data.tags["tunesmith.error"]) == ("FAILED", reason)
    shown = {item.path for item in bad.mlflow.list_artifacts(bad.run.info.run_id, "data")}
    assert shown == {"data/data_docs", "data/reasons.json", "data/report.html"}
    table = json.loads(Path(bad.mlflow.download_artifacts(bad.run.info.run_id, "data/reasons.json")).read_bytes())
    assert [row[table["columns"].index("reason")] for row in table["data"]] == [
        "stopped",
        "label_spelling",
        "rare_label",
    ]
    champions = [left.mlflow.get_model_version_by_alias(NAME, "champion").version for left in (bad, changed)]
    assert champions[0] == champions[1]
    assert "label_spelling: 1 rows, the run stops; expected: a label is always spelt the same" in told
    assert "more: data/validate/refused/report.html" in told


def test_mended_data_bring_back_what_was_made_of_them(poisoned: tuple[Left, str, Left], changed: Left) -> None:
    """Nothing is trained again: every stage comes back from the cache, as it was."""
    _, _, mended = poisoned
    assert mended.done.returncode == 0, mended.done.stderr
    assert mended.lock == changed.lock


def stages_told(done: "subprocess.CompletedProcess[str]") -> dict[str, str]:
    """What was said of each stage in the end."""
    return dict(re.findall(r"^  (\w+) +(ran|fresh|restored)\b", done.stdout, re.MULTILINE))


def test_a_failing_stage_ends_the_run_with_its_own_line(failed: Left) -> None:
    """Exit 1 with the stage's reason as the one line, no stage behind it started, and MLflow's run FAILED with it."""
    reason = (
        "ingest: params.yaml: ingest.sources: colors.jsonl: no such file; expected a file in data/raw; "
        "check the name, or `dvc pull` the data"
    )
    assert failed.done.returncode == 1
    assert failed.done.stderr.splitlines()[-1] == f"error: {reason}"
    assert "Traceback" not in failed.done.stderr
    assert stages_told(failed.done) == {}
    assert [json.loads(line)["event"] for line in failed.journal.splitlines()] == ["start", "problem"]
    assert [run.info.status for run in failed.runs] == ["FAILED"]
    assert failed.run.data.tags["tunesmith.error"] == reason


def test_a_failed_run_leaves_the_tree_as_it_was(failed: Left) -> None:
    """No lock file, no output, nothing that git would see; and no version of a model."""
    assert (failed.tree, failed.lock, failed.release) == ("", {}, {})
    assert failed.mlflow.search_registered_models() == []


def test_a_run_brings_every_stage_up_to_date(first: Left) -> None:
    """Exit 0; each stage ran once, in order, and DVC's lock file knows the outputs of all of them."""
    assert first.done.returncode == 0, first.done.stderr
    assert list(stages_told(first.done).items()) == [(stage, "ran") for stage in STAGES]
    assert [json.loads(line)["event"] for line in first.journal.splitlines()] == ["start", "end"] * len(STAGES)
    assert list(first.lock) == sorted(first.lock, key=STAGES.index) == STAGES


def test_a_run_leaves_nothing_in_the_tree_but_the_lock_file(first: Left) -> None:
    """And the record of its champion; what belongs to the checkout alone lies where git does not look."""
    assert first.tree == " M data/promotions.jsonl\n?? dvc.lock"


def test_a_run_ends_with_the_results_and_where_to_look(first: Left) -> None:
    """The table of arms, the verdict, and the run and version that MLflow has."""
    said = first.done.stdout
    assert re.search(r"^zero_shot +accuracy +0\.\d{3} ", said, re.MULTILINE)
    assert re.search(r"^fine-tuned +accuracy +\d\.\d{3} ", said, re.MULTILINE)
    assert f"7 of 7 stages run; MLflow run {first.run.info.run_id[:8]}, {NAME} version 1" in said
    assert "verdict    promoted" in said
    assert f"worth it?  {first.release['worth']['text']}" in said
    assert re.search(r"^ {11}zero_shot +0\.\d{3} +\+0\.\d{3} \(.*beaten", said, re.MULTILINE)


def test_a_run_is_recorded_as_finished_with_its_curves(first: Left) -> None:
    """Each point of the training's own history is there, once, and so is every held-out measure."""
    assert [run.info.status for run in first.runs] == ["FINISHED", "FAILED"]
    for name in ("train_loss", "train_learning_rate", "validation_loss"):
        sent = first.mlflow.get_metric_history(first.run.info.run_id, name.replace("_", "/", 1))
        wanted = [(point["step"], point[name]) for point in first.history if name in point]
        assert wanted
        assert [(point.step, point.value) for point in sent] == wanted
    assert {"zero_shot/accuracy", "fine-tuned/accuracy", "fine-tuned/macro_f1"} < set(first.run.data.metrics)


def test_a_run_says_what_made_the_model(first: Left, checkout: Checkout) -> None:
    """Commit and exact state, DVC's digests from the sources to the adapter, the base, the packages, the threads."""
    tags = first.run.data.tags
    assert tags["git.commit"] == git(checkout.root, "rev-parse", "HEAD")
    assert tags["git.clean"] == "True"
    assert tags["base.digest"] == first.release["digests"]["base"]
    assert tags["dvc.train"] == first.lock["validate"]["data/validate/train.parquet"]
    assert tags["dvc.adapter"] == first.lock["finetune"]["data/finetune/adapter"]
    assert tags["threads"] == "1"
    assert {"torch", "transformers", "peft"} <= {line.split("==")[0] for line in tags["packages"].split(", ")}
    assert tags["tunesmith.verdict"] == "promote"


def test_the_exact_state_of_a_run_can_be_checked_out(first: Left, checkout: Checkout) -> None:
    """The snapshot holds the lock file of this run, with the very digests that the tags name."""
    state = first.run.data.tags["git.snapshot"]
    lock = YAML(typ="safe", pure=True).load(git(checkout.root, "show", f"{state}:dvc.lock"))["stages"]
    (adapter,) = [out["md5"] for out in lock["finetune"]["outs"] if out["path"] == "data/finetune/adapter"]
    assert adapter == first.run.data.tags["dvc.adapter"]
    assert state in git(checkout.root, "for-each-ref", "--format=%(objectname)", "refs/tunesmith/runs").split("\n")
    raw = [md5 for path, md5 in locked_inputs(checkout.root, "ingest").items() if path == "data/raw"]
    assert first.run.data.tags["dvc.sources"] == ", ".join(raw)


def test_the_splits_are_data_sets_of_the_run(first: Left) -> None:
    """Each with its role, and the digest that DVC keeps it under."""
    told = {
        one.tags[0].value: (one.dataset.name, one.dataset.digest)
        for one in first.run.inputs.dataset_inputs
    }  # fmt: skip
    digest = {name: first.lock["validate"][f"data/validate/{name}.parquet"] for name in ("train", "validation", "test")}
    assert told == {
        "training": ("train", digest["train"]),
        "validation": ("validation", digest["validation"]),
        "testing": ("test", digest["test"]),
    }


def test_the_champion_answers_by_its_alias(first: Left, checkout: Checkout) -> None:
    """MLflow loads the version by name and alias, far from the project, and it answers with a label."""
    version = first.mlflow.get_model_version_by_alias(NAME, "champion")
    assert version.version == first.mlflow.get_model_version_by_alias(NAME, "challenger").version
    assert version.tags["tunesmith.adapter"] == first.release["digests"]["adapter"]
    far = checkout.root.parent / "home"
    place = first.mlflow.tracking_uri
    done = subprocess.run(
        [sys.executable, "-c", ANSWER, place, f"models:/{NAME}@champion"],
        cwd=far, env=checkout.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] in {f"['{colour}']" for colour in COLOURS.values()}


def test_afterwards_all_is_fresh_and_there_is_nothing_to_do(again: Left, first: Left, checkout: Checkout) -> None:
    """A second run starts no stage, makes no run in MLflow, and says so."""
    assert (again.done.returncode, again.done.stdout) == (
        0,
        "nothing to do: all 7 stages are fresh, no stage was run\n",
    )
    assert [run.info.run_id for run in again.runs] == [run.info.run_id for run in first.runs]
    assert (again.journal, again.lock) == (first.journal, first.lock)
    assert len(list((checkout.root / ".tunesmith" / "runs").iterdir())) >= 1


def test_afterwards_status_shows_every_stage_fresh_and_the_champion(status: str, first: Left) -> None:
    """A line for each stage in its order, and who the champion is by now."""
    digest = first.release["digests"]["adapter"]
    assert [line.split() for line in status.splitlines()] == [
        *([stage, "fresh"] for stage in STAGES),
        ["champion", f"{NAME},", "adapter", digest[:12]],
    ]


def test_a_lost_mlflow_comes_back_from_the_files(rebuilt: Left, first: Left) -> None:
    """`sync` makes the run, the version and the alias again, with the same curves, measures, data sets and tags."""
    assert rebuilt.done.returncode == 0, rebuilt.done.stderr
    assert len(rebuilt.runs) == 1
    assert rebuilt.run.info.status == "FINISHED"
    assert rebuilt.run.data.metrics == first.run.data.metrics
    assert rebuilt.run.data.params == first.run.data.params
    assert rebuilt.run.inputs.to_dictionary() == first.run.inputs.to_dictionary()
    for tag in ("git.commit", "dvc.train", "dvc.adapter", "base.digest", "packages", "tunesmith.release"):
        assert rebuilt.run.data.tags[tag] == first.run.data.tags[tag]
    old, new = (left.mlflow.get_model_version_by_alias(NAME, "champion") for left in (first, rebuilt))
    assert new.tags == old.tags | {"git.snapshot": new.tags["git.snapshot"]}


def test_only_what_depends_on_a_change_runs_again(changed: Left, rebuilt: Left) -> None:
    """Another learning rate trains, evaluates and registers anew; data, tokens and baselines are left alone.

    The checks look at the data once more, since there is a champion now that learnt from some.
    """
    assert changed.done.returncode == 0, changed.done.stderr
    assert stages_told(changed.done) == {
        "ingest": "fresh", "validate": "ran", "tokenize": "fresh", "baselines": "fresh",
        "finetune": "ran", "evaluate": "ran", "register": "ran",
    }  # fmt: skip
    for stage in ("ingest", "validate", "tokenize", "baselines"):
        now, then = (
            {path: md5 for path, md5 in left.lock[stage].items() if not path.startswith(REPORTS)}
            for left in (changed, rebuilt)
        )
        assert now == then
    assert changed.lock["finetune"]["data/finetune/adapter"] != rebuilt.lock["finetune"]["data/finetune/adapter"]
    assert (len(changed.runs), changed.run.info.status) == (2, "FINISHED")
    assert changed.run.data.params["finetune.learning_rate"] == "0.02"


def test_a_change_that_is_not_committed_is_told_and_kept(changed: Left, checkout: Checkout) -> None:
    """The tree was not its commit, the tags say so, and the state that was run is kept all the same."""
    tags = changed.run.data.tags
    assert tags["git.clean"] == "False"
    assert "learning_rate: 0.02" in git(checkout.root, "show", f"{tags['git.snapshot']}:params.yaml")
    assert tags["git.commit"] == git(checkout.root, "rev-parse", f"{tags['git.snapshot']}^")


def test_the_new_candidate_met_the_champion(changed: Left, first: Left) -> None:
    """The champion of the first run answered the same rows, and the gate compared the two."""
    metrics = changed.release["metrics"]
    assert (
        set(metrics["arms"]) == set(metrics["comparisons"]) | {"fine-tuned"} == {"zero_shot", "fine-tuned", "champion"}
    )
    assert changed.release["champion_before"] == first.release["digests"]["adapter"]
    assert "champion/accuracy" in changed.run.data.metrics
    assert changed.run.data.tags["tunesmith.verdict"] == changed.release["verdict"] == "keep"
    named = {alias: changed.mlflow.get_model_version_by_alias(NAME, alias) for alias in ("champion", "challenger")}
    assert {alias: str(version.version) for alias, version in named.items()} == {"champion": "1", "challenger": "2"}


def test_every_model_that_is_judged_is_one_decision_of_the_test_rows(
    first: Left, changed: Left, poisoned: tuple[Left, str, Left], checkout: Checkout
) -> None:
    """The second model is the second decision, in MLflow too; what comes back from the cache is none; git is told."""
    assert [left.release["held_out"]["decisions"] for left in (first, changed, poisoned[2])] == [1, 2, 2]
    assert [left.run.data.metrics["test set decisions"] for left in (first, changed)] == [1, 2]
    assert changed.release["reasons"][-1].startswith("holdout use 2 of ")
    assert poisoned[2].release == changed.release
    state, decided = (
        changed.run.data.tags["git.snapshot"],
        f"data/holdout_uses/{first.release['digests']['adapter'][:16]}-",
    )
    (held,) = git(checkout.root, "diff", "--name-only", f"{state}^", state, "--", "data/holdout_uses").splitlines()
    assert held.startswith(decided)


def test_every_run_says_what_changed_in_the_pairs(first: Left, changed: Left, poisoned: tuple[Left, str, Left]) -> None:
    """Before the first there is nothing to compare with; afterwards what the champion was made from."""
    assert first.run.data.tags["difference.decision"].startswith("not known: the pairs: there are none of before")
    for left in (changed, poisoned[2]):
        tags = left.run.data.tags
        assert tags["difference.against"].startswith("the champion (")
        assert (tags["difference.decision"], tags["difference.reasons"]) == ("skip", "the pairs are the same")


def test_the_plan_says_what_a_run_will_cost_and_leaves_it_to_be_run(changed: Left, checkout: Checkout) -> None:
    """Counted and measured on what is tokenized; no stage behind that is run, no run recorded, no champion moved."""
    journals = sorted((checkout.root / ".tunesmith" / "runs").glob("*"))
    planned = checkout.tunesmith("estimate")
    assert (planned.returncode, planned.stderr) == (0, "")
    said = [line.split()[0] for line in planned.stdout.splitlines() if line]
    assert said[-8:] == ["rows", "tokens", "computed", "steps", "training", "answers", "memory", "disk"]
    assert "nothing to do" not in planned.stdout
    assert locked_outputs(checkout.root) == changed.lock
    assert sorted((checkout.root / ".tunesmith" / "runs").glob("*")) == journals
