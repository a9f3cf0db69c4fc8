"""Laws of the watch: what it takes for a change, what it decides, and whole days of it with the real command."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from flows.service.watch import WatchDecision, decide_action, settled_digests, watch_sources
from flows.tracking.outbox import mark_recorded
from flows.vcs.lock import checkout_lock
from flows.vcs.snapshot import write_snapshot
from pipeline.errors import UserError
from pipeline.hashing import file_digests
from tests.support.repositories import apart, make_checkout, params_of_one_file
from tests.support.tiny_project import NAME, Checkout, make_project

pytestmark = pytest.mark.slow  # each project is made by real stages of DVC, which takes half a minute

TEXTS = [f"where is parcel {n} that I ordered {'long ago ' * (n % 3)}please" for n in range(60)]
QUIET = 0.05
DVC_YAML = """
stages:
  ingest:
    cmd: python -m pipeline.ingest
    deps: [data/raw]
    params: [ingest]
    outs: [data/ingest/pairs.parquet]
  register:
    cmd: cp data/ingest/pairs.parquet data/register/release.json
    deps: [data/ingest/pairs.parquet]
    params: [register]
    outs: [data/register/release.json]
"""


def write_rows(root: Path, texts: Sequence[str], answers: str = "ab") -> None:
    rows = [json.dumps({"prompt": text, "completion": answers[n % len(answers)]}) for n, text in enumerate(texts)]
    (root / "data/raw/a.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")


def change_params(root: Path, section: str, **fields: object) -> None:
    values = json.loads((root / "params.yaml").read_text(encoding="utf-8"))
    values[section] |= fields
    (root / "params.yaml").write_text(json.dumps(values), encoding="utf-8")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project with one run of the past, which is recorded."""
    place = tmp_path_factory.mktemp("watch")
    files = {
        "dvc.yaml": DVC_YAML, "params.yaml": params_of_one_file("a.jsonl"), "data/raw/a.jsonl": "",
        ".gitignore": "/data/ingest/\n/data/register/\n/.tunesmith/\n",
    }  # fmt: skip
    own = {"PATH": f"{Path(sys.executable).parent}:{apart(place)['PATH']}", "MLFLOW_TRACKING_URI": "http://elsewhere"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (apart(place) | own).items():
            patch.setenv(name, value)
        root = make_checkout(place / "project", files)
        (root / "data/register").mkdir()
        write_rows(root, TEXTS)
        assert decide_action(root) == WatchDecision("retrain", "nothing was run here before")
        subprocess.run([sys.executable, "-m", "dvc", "repro", "--quiet"], cwd=root, check=True)
        write_snapshot(root, "r1")
        mark_recorded(root)
        yield root


@pytest.fixture
def project(ran: Path) -> Iterator[Path]:
    """That project; what a test changes in it is put back."""
    before = {path: path.read_bytes() for path in (ran / "params.yaml", ran / "data/raw/a.jsonl")}
    yield ran
    for path, content in before.items():
        path.write_bytes(content)


def test_files_are_given_when_they_have_been_still(project: Path) -> None:
    """A touch gives the same digests; a file that is written all the time is given when that ends."""
    looks = settled_digests(project, QUIET)
    before = next(looks)
    (project / "data/raw/a.jsonl").touch()
    assert next(looks) == before
    seen: list[dict[str, str]] = []
    reader = threading.Thread(target=lambda: seen.append(next(looks)))
    (project / "data/raw/a.jsonl").write_text("first\n", encoding="utf-8")
    reader.start()
    for n in range(20):
        (project / "data/raw/a.jsonl").write_text(f"{n}\n", encoding="utf-8")
        time.sleep(QUIET / 5)
    reader.join()
    assert seen == [next(settled_digests(project, QUIET))]


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (lambda root: write_rows(root, [f"{text} " for text in TEXTS[:3]] + TEXTS[3:]),
         WatchDecision("skip", "3 rows differ by blanks or case alone")),
        (lambda root: write_rows(root, TEXTS[:30]), "ask"),
        (
            lambda root: change_params(root, "register", min_gain=0.01),
            WatchDecision("retrain", "register: params: register"),
        ),
    ],
    ids=["blanks", "half of the rows gone", "a parameter"],
)  # fmt: skip
def test_what_changed_since_the_last_run_decides(
    project: Path, change: Callable[[Path], None], wanted: WatchDecision | str
) -> None:
    """By the rules of params.yaml; a parameter that makes a stage stale calls for a run though no pair changed."""
    change(project)
    choice = decide_action(project)
    assert wanted in (choice, choice.outcome)


def test_pairs_that_dvc_takes_for_those_of_other_sources_are_found(project: Path) -> None:
    """What a file becomes while ingest reads it is what DVC notes; the run is then told to read it again."""
    assert not decide_action(project).mistaken
    lock = (project / "dvc.lock").read_bytes()
    pairs = (project / "data/ingest/pairs.parquet").read_bytes()
    write_rows(project, [*TEXTS[:50], *(f"another, number {n * 37}" for n in range(10))])
    subprocess.run([sys.executable, "-m", "dvc", "repro", "--quiet", "ingest"], cwd=project, check=True)
    (project / "data/ingest/pairs.parquet").unlink()
    (project / "data/ingest/pairs.parquet").write_bytes(pairs)
    subprocess.run([sys.executable, "-m", "dvc", "commit", "--force", "--quiet", "ingest"], cwd=project, check=True)
    mistaken = decide_action(project).mistaken
    (project / "dvc.lock").write_bytes(lock)
    assert mistaken


def test_what_cannot_be_compared_is_run_for_the_run_to_say_why(project: Path) -> None:
    """It then fails with this very line, and MLflow shows it."""
    (project / "data/raw/a.jsonl").write_text("no json\n", encoding="utf-8")
    choice = decide_action(project)
    assert choice.outcome == "retrain"
    assert choice.why.startswith("the pairs cannot be compared: ingest: data/raw/a.jsonl: not one row is a pair;")


def test_a_checkout_has_one_watch(project: Path) -> None:
    """The second is told of the first; a run beside it is no second watch."""
    with (
        checkout_lock(project, "tunesmith run"),
        checkout_lock(project, "tunesmith watch", "watching"),
        pytest.raises(UserError, match="busy: `tunesmith watch` is going on"),
    ):
        watch_sources(project, print)


class Watching:
    """A watch of the real command in a checkout, and what it has said."""

    def __init__(self, checkout: Checkout) -> None:
        self.root = checkout.root
        self.log = checkout.root.parent / "watch.log"
        self.command = [sys.executable, "-m", "flows.cli", "watch", "--quiet", "0.5"]
        self.environment = checkout.environment | {"PYTHONUNBUFFERED": "1"}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, or another one after it."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=self.root, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )

    def kill(self) -> None:
        """Kill it as nothing can prevent."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def said(self, words: str) -> int:
        """How often it has said this."""
        return self.log.read_text(encoding="utf-8").count(words) if self.log.exists() else 0

    def wait(self, words: str, times: int) -> None:
        """Wait until it has said this so often."""
        deadline = time.monotonic() + 200
        while self.said(words) < times:
            assert time.monotonic() < deadline, self.log.read_text(encoding="utf-8")
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text(encoding="utf-8")
            time.sleep(0.2)

    def runs(self) -> int:
        """How many runs were begun."""
        return len(list((self.root / ".tunesmith" / "runs").glob("*")))


@pytest.fixture
def watching(tmp_path: Path, base: Path) -> Iterator[Watching]:
    """A watch over the tiny project."""
    made = Watching(make_project(tmp_path, base))
    made.start()
    yield made
    if made.process is not None and made.process.poll() is None:
        os.killpg(made.process.pid, signal.SIGKILL)
        made.process.wait()


def append(root: Path, first: int, count: int = 30) -> None:
    """Add rows of a kind that the project has."""
    with (root / "data/raw/colours.jsonl").open("a", encoding="utf-8") as out:
        for n in range(first, first + count):
            out.write(json.dumps({"prompt": f"what colour is the sky on day {n}?", "completion": "blue"}) + "\n")


def kill_in_training(watching: Watching) -> None:
    """Kill the watch in its first run, which dies with it; the sources change, and another watch goes on."""
    watching.wait("  finetune   ...", 1)
    watching.kill()
    append(watching.root, 100)
    watching.start()
    watching.wait("the run ended, ", 1)
    assert watching.said("a run was cut off") == 1


def touch_and_kill(watching: Watching) -> None:
    """Nothing has changed, for this watch or the next."""
    runs = watching.runs()
    (watching.root / "data/raw/colours.jsonl").touch()
    time.sleep(2)
    watching.kill()
    watching.start()
    watching.wait("watching params.yaml", 3)
    time.sleep(2)
    assert watching.runs() == runs


def change_during_a_run(watching: Watching) -> None:
    """Twenty changes lead to one run."""
    runs = watching.runs()
    append(watching.root, 200)
    watching.wait("  validate   ...", 3)
    for n in range(20):
        append(watching.root, 300 + 2 * n, 2)
        time.sleep(0.2)
    watching.wait("the run ended, ", 4)  # one of them was told as the last of the watch before
    time.sleep(2)
    assert watching.runs() == runs + 2


def poison(watching: Watching) -> None:
    """The run stops at the data; when they are mended, all is what it was."""
    path, champion = watching.root / "data/raw/colours.jsonl", watching.root / ".tunesmith" / "champions" / NAME
    good, before = path.read_bytes(), digests_of(champion)
    path.write_bytes(good + b'{"prompt": "what colour is the moss?", "completion": "Blue"}\n')
    watching.wait("the run failed: validate: validate.checks.label_spelling", 1)
    path.write_bytes(good)
    watching.wait("the run made no other model", 1)
    assert digests_of(champion) == before != {}


def digests_of(folder: Path) -> dict[str, str]:
    return file_digests(folder) if folder.exists() else {}


def test_each_change_is_run_once_and_nothing_else(watching: Watching) -> None:
    """The first run, cut off; a touch; rows during a run; bad data, then good again: the watch is there to the end."""
    kill_in_training(watching)
    touch_and_kill(watching)
    change_during_a_run(watching)
    poison(watching)
    assert watching.process is not None
    assert watching.process.poll() is None
