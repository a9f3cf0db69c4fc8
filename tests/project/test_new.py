"""Laws of a new repository of this shape round a user's own pairs."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flows.project.new import UserData, fill_params, guess_task, is_template_data, looks_like_labels, make_project
from flows.vcs.dvc import stale_stages
from pipeline.errors import UserError
from pipeline.params import Task, load_params, read_yaml
from tests.support.repositories import PROJECT, apart, git

CSV = "text,label\n" + "".join(f"message {n},{'ab'[n % 2]}\n" for n in range(12))


@dataclass(frozen=True)
class Made:
    """A project that was made, from what, and what was said of it."""

    folder: Path
    given: UserData
    said: list[str]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """A project round two tables, made where git knows no user."""
    place = tmp_path_factory.mktemp("new")
    for name in ("train.csv", "held out.csv"):
        (place / name).write_text(CSV, encoding="utf-8")
    given = UserData(place / "train.csv", place / "held out.csv", "text", "label")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in apart(place).items():
            patch.setenv(name, value)
        for who in ("AUTHOR", "COMMITTER"):
            patch.delenv(f"GIT_{who}_NAME")
            patch.delenv(f"GIT_{who}_EMAIL")
        said = make_project(place / "my intents", given)
        yield Made(place / "my intents", given, said)


@pytest.fixture
def apart_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in apart(tmp_path).items():
        monkeypatch.setenv(name, value)


def given(pairs: Path, prompt: str | None = None, completion: str | None = None) -> UserData:
    return UserData(pairs, None, prompt, completion)


def test_a_new_project_says_what_was_made_and_what_comes_next(made: Made) -> None:
    """Which files, which task and why, and the next two commands."""
    assert made.said == [
        f"made {made.folder}: train.csv, held out.csv tracked by DVC, params.yaml filled in, first commit made",
        "train.csv: 12 pairs",
        "held out.csv: 12 pairs",
        "task: labels, since the completions look like labels",
        "read params.yaml, above all prompt.system; then:",
        f"  cd '{made.folder}' && make setup && .venv/bin/tunesmith run",
    ]


def test_a_new_project_is_this_one_but_for_its_data(made: Made) -> None:
    """Every file that git tracks here is there, but for the state of our own data; only params.yaml differs."""
    ours = {name for name in git(PROJECT, "ls-files", "-z").split("\0") if name and (PROJECT / name).exists()}
    theirs = set(git(made.folder, "ls-files", "-z").split("\0")) - {""}
    assert ours - {"dvc.lock"} | {"data/raw.dvc", "data/.gitignore"} == theirs
    differ = {name for name in ours & theirs if (PROJECT / name).read_bytes() != (made.folder / name).read_bytes()}
    assert "params.yaml" in differ
    assert differ <= {"params.yaml", "data/raw.dvc", "data/.gitignore", "data/promotions.jsonl"}


def test_a_new_project_is_committed_whole(made: Made) -> None:
    """One commit, nothing left over, made in our name where git knows no user's."""
    assert git(made.folder, "status", "--porcelain") == ""
    assert git(made.folder, "log", "--format=%s|%an|%ae") == (
        "Start from tunesmith with our own pairs|tunesmith|tunesmith@localhost"
    )
    assert git(made.folder, "branch", "--show-current") == "main"


def test_the_users_files_are_kept_by_dvc(made: Made) -> None:
    """Byte for byte below data/raw, tracked by DVC and unknown to git; the stages wait to be run."""
    raw = made.folder / "data" / "raw"
    assert {path.name: path.read_bytes() for path in raw.iterdir()} == {
        path.name: path.read_bytes() for path in made.given.files
    }
    assert git(made.folder, "ls-files", "data/raw") == ""
    assert "data/raw.dvc" not in stale_stages(made.folder)


def test_params_point_at_the_users_files(made: Made) -> None:
    """Each file is a source with its columns, the test set named as such, the task and its metric chosen to fit."""
    params = load_params(made.folder / "params.yaml")
    assert params.ingest.folder == "data/raw"
    told = [(one.path, one.split, one.prompt_column, one.completion_column) for one in params.ingest.sources]
    assert told == [("train.csv", None, "text", "label"), ("held out.csv", "test", "text", "label")]
    assert (params.prompt.task, params.register.metric, params.register.name) == ("labels", "accuracy", "my-intents")


def test_the_rest_of_params_is_kept_with_its_comments(made: Made) -> None:
    """What has nothing to do with the user's data stays as it is here, and so do the comments."""
    ours, theirs = read_yaml(PROJECT / "params.yaml"), read_yaml(made.folder / "params.yaml")
    for section in ("model", "validate", "tokenize", "finetune"):
        assert theirs[section] == ours[section]
    text = (PROJECT / "params.yaml").read_text(encoding="utf-8")
    model = text[text.index("\nmodel:") : text.index("\nprompt:")]
    assert [line for line in model.splitlines() if "#" in line]
    assert model in (made.folder / "params.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("task", ["labels", "text", "json"])
def test_the_baselines_speak_of_no_shop_of_ours(tmp_path: Path, task: Task) -> None:
    """System messages to try are such as fit any pairs of their kind, and the same baselines answer as here."""
    shutil.copy(PROJECT / "params.yaml", tmp_path)
    fill_params(tmp_path / "params.yaml", given(tmp_path / "a.csv"), "mine", task)
    baselines = load_params(tmp_path / "params.yaml").baselines
    assert len(baselines.system_prompts) == 2
    assert all(("{labels}" in system) is (task == "labels") for system in baselines.system_prompts)
    assert not [system for system in baselines.system_prompts if "shop" in system or "customer" in system]
    assert baselines.enabled == load_params(PROJECT / "params.yaml").baselines.enabled


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("support", "support"),
        ("my intents!", "my-intents"),
        ("v1.2_final", "v1.2_final"),
        ("..hidden", "hidden"),
        ("---", "model"),
        ("größe", "gr--e"),
        ("日本", "model"),
    ],
)
def test_the_model_is_named_after_the_folder(tmp_path: Path, folder: str, name: str) -> None:
    """As far as a model's name may hold it; params.yaml is right whatever the folder is called."""
    shutil.copy(PROJECT / "params.yaml", tmp_path)
    fill_params(tmp_path / "params.yaml", given(tmp_path / "a.csv"), folder, "labels")
    assert load_params(tmp_path / "params.yaml").register.name == name


@pytest.mark.parametrize(
    ("completions", "labels"),
    [
        (["a", "b"] * 3, True),
        (["a"] * 3, True),
        (["a", "b"] * 2 + ["c"], False),
        ([], False),
        (["x" * 60] * 9, True),
        (["x" * 61] * 9, False),
        ([str(n % 200) for n in range(600)], True),
        ([str(n % 201) for n in range(900)], False),
        ([f"an answer of its own, number {n}" for n in range(50)], False),
    ],
)
def test_labels_are_few_and_short_and_come_again(completions: list[str], *, labels: bool) -> None:
    """Else the completions are free text."""
    assert looks_like_labels(completions) is labels


@pytest.mark.usefixtures("apart_here")
@pytest.mark.parametrize("shape", ["pairs.json", "chat.jsonl", "sharegpt.jsonl", "alpaca.jsonl", "pairs[1].tsv"])
def test_the_task_is_that_of_the_completions_whatever_the_format(tmp_path: Path, shape: str) -> None:
    """The project's own first stage reads the rows: the same rows, the same task, and the same count."""
    rows = [(f"message {n}", "ab"[n % 2]) for n in range(12)]
    match shape:
        case "pairs.json":
            text = json.dumps([{"prompt": prompt, "completion": label} for prompt, label in rows])
        case "chat.jsonl":
            turns = [[("user", prompt), ("assistant", label)] for prompt, label in rows]
            text = "\n".join(json.dumps({"messages": [{"role": r, "content": c} for r, c in two]}) for two in turns)
        case "sharegpt.jsonl":
            turns = [[("human", prompt), ("gpt", label)] for prompt, label in rows]
            text = "\n".join(json.dumps({"conversations": [{"from": r, "value": c} for r, c in two]}) for two in turns)
        case "alpaca.jsonl":
            text = "\n".join(json.dumps({"instruction": prompt, "output": label}) for prompt, label in rows)
        case _:
            text = "prompt\tcompletion\n" + "\n".join("\t".join(row) for row in rows) + "\n"
    (tmp_path / shape).write_text(text, encoding="utf-8")
    said = make_project(tmp_path / "new", given(tmp_path / shape))
    assert said[1:3] == [f"{shape}: 12 pairs", "task: labels, since the completions look like labels"]
    assert load_params(tmp_path / "new" / "params.yaml").prompt.task == "labels"


@dataclass(frozen=True)
class Wrong:
    """What is given wrongly, and what is said of it."""

    files: dict[str, bytes]
    columns: tuple[str | None, str | None]
    error: str


WRONG = {
    "unknown column": Wrong(
        {"a.csv": b"text,label\nx,a\n"},
        ("text", "category"),
        "ingest: data/raw/a.csv: has no column 'category'; got text, label; name its columns in ingest.sources",
    ),
    "unknown column in lines": Wrong(
        {"a.jsonl": b'{"text": "x", "label": "a"}\n'},
        ("text", "category"),
        "ingest: data/raw/a.jsonl: not one row is a pair; got 1 no_such_column; first: a.jsonl row 1: no 'category' "
        "among: label, text; write them as prompt and completion, messages, conversations, or instruction and output, "
        "or name the columns in ingest.sources",
    ),
    "empty": Wrong(
        {"a.jsonl": b""},
        (None, None),
        "ingest: data/raw/a.jsonl: is empty; put pairs into it, or take it out of ingest.sources",
    ),
    "binary": Wrong(
        {"a.jsonl": b"\x00\x01"},
        (None, None),
        "ingest: data/raw/a.jsonl: is binary; expected jsonl in UTF-8; export it as text, or name its format or its "
        "encoding in ingest.sources",
    ),
    "test file without pairs": Wrong(
        {"a.jsonl": b'{"prompt": "x", "completion": "a"}\n', "b.jsonl": b'{"what": "ever"}\n'},
        (None, None),
        "b.jsonl: not one row is a pair; got 1 rows; write them as the pairs are written",
    ),
    "a field longer than CSV readers like": Wrong(
        {"a.csv": b"text,label\n" + b"x" * 200_000 + b",a\n", "b.csv": b"text,label\n"},
        ("text", "label"),
        "b.csv: not one row is a pair; got 0 rows; write them as the pairs are written",
    ),
    "one column alone": Wrong(
        {"a.csv": b"text,label\nx,a\n"},
        ("text", None),
        "--prompt-column and --completion-column: only one is given; name both, or neither",
    ),
    "same name": Wrong(
        {"a.csv": b"text,label\nx,a\n", "there/a.csv": b"text,label\nx,a\n"},
        (None, None),
        "a.csv: both files have this name; rename one",
    ),
}


@pytest.mark.usefixtures("apart_here")
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_what_does_not_fit_is_refused_and_nothing_is_left(tmp_path: Path, wrong: Wrong) -> None:
    """The reason is one line, and the folder is not there afterwards, so that the next try is not in its own way."""
    for name, content in wrong.files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    pairs, *test = (tmp_path / name for name in wrong.files)
    with pytest.raises(UserError) as refused:
        make_project(tmp_path / "new", UserData(pairs, test[0] if test else None, *wrong.columns))
    assert str(refused.value) == wrong.error.format(pairs=pairs)
    assert not [path for path in tmp_path.iterdir() if "new" in path.name]


def test_a_file_in_the_place_of_the_folder_is_left_alone(tmp_path: Path) -> None:
    """It exists already, and below it no folder can be made."""
    (tmp_path / "a.jsonl").write_text(json.dumps({"prompt": "x", "completion": "a"}), encoding="utf-8")
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match="exists already"):
        make_project(tmp_path / "file", given(tmp_path / "a.jsonl"))
    with pytest.raises(UserError, match="could not be made: Not a directory"):
        make_project(tmp_path / "file" / "new", given(tmp_path / "a.jsonl"))
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"


@pytest.mark.usefixtures("apart_here")
def test_a_table_that_is_not_utf8_is_a_problem_and_no_traceback(tmp_path: Path) -> None:
    """As ingest says it, before anything is made."""
    (tmp_path / "a.csv").write_bytes("text,label\ngrün,a\n".encode("latin-1"))
    with pytest.raises(UserError, match="UTF-8"):
        make_project(tmp_path / "new", given(tmp_path / "a.csv", "text", "label"))
    assert not (tmp_path / "new").exists()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    """The user's files are never mixed with ours."""
    (tmp_path / "a.jsonl").write_text(json.dumps({"prompt": "x", "completion": "a"}), encoding="utf-8")
    before: dict[Path, Any] = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UserError) as refused:
        make_project(tmp_path, given(tmp_path / "a.jsonl"))
    assert str(refused.value) == f"{tmp_path}: exists already; name a folder that is not there yet"
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_was_tested_of_our_data_stays_here() -> None:
    """A new repository has its own; the folder and what it is for go with it."""
    for folder in ("data/scored_prompts", "data/holdout_uses"):
        assert is_template_data(f"{folder}/0123456789abcdef.parquet")
        assert not is_template_data(f"{folder}/README.md")
    assert not is_template_data("params.yaml")


@pytest.mark.parametrize(
    ("completions", "task"),
    [
        (['{"do": "pay"}'] * 9, "json"), (['{"do": "pay"}', "[1, 2]", " {} "], "json"), (["1", "2"] * 9, "labels"),
        (['{"do": "pay"}'] * 9 + ["pay"], "labels"), (["null"] * 9, "labels"), ([], "text"),
        ([f'{{"sum": {n}' for n in range(9)], "text"),
    ],
)  # fmt: skip
def test_completions_that_are_json_make_a_json_task(completions: list[str], task: Task) -> None:
    """Objects and lists, every one of them: a number or a word is JSON too, but nobody means it so."""
    assert guess_task(completions) == task


def test_a_json_task_is_measured_as_one(tmp_path: Path) -> None:
    """And what stands for nothing is written as in the template, its comment behind it."""
    shutil.copy(PROJECT / "params.yaml", tmp_path)
    fill_params(tmp_path / "params.yaml", given(tmp_path / "a.csv"), "mine", "json")
    params = load_params(tmp_path / "params.yaml")
    assert (params.prompt.task, params.register.metric) == ("json", "json_exact")
    text = (tmp_path / "params.yaml").read_text(encoding="utf-8")
    first = (PROJECT / "params.yaml").read_text(encoding="utf-8")
    for field in ("sha256", "encoding", "delimiter", "split", "per_label", "patience", "max_drift"):
        (line,) = [line for line in first.splitlines() if line.startswith((f"      {field}: ", f"  {field}: "))][:1]
        assert line in text.splitlines()
