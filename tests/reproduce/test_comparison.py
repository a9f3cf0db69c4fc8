"""Laws of making a past model again: what is otherwise now, and what the comparison says of it."""

import copy
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flows.reproduce.comparison import (
    LOSS_RELATIVE_TOLERANCE,
    NO_CAUSE,
    TOLERANCE_TEXT,
    ReproductionResult,
    RunEvidence,
    compare_evidence,
    judge_steps,
)
from flows.reproduce.differences import (
    InputDifference,
    input_differences,
    machine_differences,
    package_differences,
    param_differences,
)
from flows.reproduce.environment import find_interpreter, install_commands, pinned_versions, requirements
from flows.reproduce.rebuild import reproduction_report
from flows.vcs.dvc_lock import dvc_md5
from tests.support.repositories import PROJECT, git, make_checkout

STAGES = ["ingest", "validate", "tokenize", "baselines", "finetune", "evaluate", "register"]
PATHS = [
    "data/raw", "data/ingest/pairs.parquet",
    *(f"data/validate/{split}.parquet" for split in ("train", "validation", "test")),
    *(f"data/tokenize/{split}.arrow" for split in ("train", "validation", "test")),
    "data/finetune/adapter", "data/evaluate/predictions.parquet", "data/evaluate/metrics.json",
]  # fmt: skip
RELEASE: dict[str, Any] = {
    "digests": {"initial_adapter": "1" * 64, "base": "2" * 64},
    "metrics": {"arms": {"fine-tuned": {"accuracy": {"value": 0.5, "low": 0.4, "high": 0.6}}}},
    "verdict": "promote",
    "reasons": ["significantly better"],
}
THEN = RunEvidence({path: f"{place:032x}" for place, path in enumerate(PATHS)}, RELEASE, [2.0, 1.5, 1.0])
HERE = {
    "device": "cpu",
    "cpu": {"machine": "x86_64", "vendor": "AuthenticAMD", "kernels": "AVX2", "threads": 1},
    "python": "3.11.7",
}
ELSEWHERE = InputDifference("CPU kind", "", "x86_64 AuthenticAMD AVX2", "aarch64 0x41 DEFAULT")
THREADS = InputDifference("thread count", "", "1", "2", "tokenize")
CODE = InputDifference("code", "pipeline/metrics.py", "aaaa", "bbbb", "evaluate")
TORCH = InputDifference("package", "torch", "2.13.0", "2.14.0")


def now(*changed: str, **more: Any) -> RunEvidence:
    """What was found, of which these paths have another digest."""
    return replace(THEN, files={path: "f" * 32 if path in changed else md5 for path, md5 in THEN.files.items()}, **more)


def measured(value: float) -> dict[str, Any]:
    """The release with another accuracy."""
    found = copy.deepcopy(RELEASE)
    found["metrics"]["arms"]["fine-tuned"]["accuracy"]["value"] = value
    return found


def judged(found: RunEvidence, *differences: InputDifference) -> ReproductionResult:
    return judge_steps(compare_evidence(["data/raw"], THEN, found), differences, STAGES)


def test_the_same_digests_are_the_same_model() -> None:
    """Whatever else is otherwise: the proof is in the bytes."""
    assert judged(now(), THREADS, TORCH, ELSEWHERE) == ReproductionResult("identical", "", ())


@pytest.mark.parametrize(
    ("found", "step"),
    [
        (now("data/raw", "data/ingest/pairs.parquet"), "raw data"),
        (now("data/ingest/pairs.parquet", "data/finetune/adapter"), "pairs"),
        (now("data/validate/validation.parquet"), "splits"),
        (now("data/tokenize/test.arrow"), "token ids and masks"),
        (now(release={**RELEASE, "digests": {"initial_adapter": "3" * 64}}), "initial weights"),
        (now(losses=[2.0, 1.5, 1.0000000000000002]), "first losses"),
        (now("data/finetune/adapter", "data/evaluate/predictions.parquet"), "adapter"),
        (now("data/evaluate/predictions.parquet"), "predictions"),
        (now("data/evaluate/metrics.json"), "metrics"),
        (now(release={**RELEASE, "reasons": ["not significantly better"]}), "verdict"),
    ],
)
def test_the_first_rung_that_differs_is_named(found: RunEvidence, step: str) -> None:
    """From the foot; a last bit of a loss is enough. Where nothing is otherwise, that is said."""
    assert judged(found) == ReproductionResult("differs", step, (NO_CAUSE,))


def test_the_cause_is_sought_below_the_rung() -> None:
    """Code of a later stage cannot have changed the adapter, nor threads the pairs; a package can have changed all."""
    assert judged(now("data/finetune/adapter"), CODE, THREADS, TORCH).reasons == (str(THREADS), str(TORCH))
    assert judged(now("data/evaluate/metrics.json"), CODE, THREADS).reasons == (str(CODE), str(THREADS))
    assert judged(now("data/ingest/pairs.parquet"), CODE, THREADS, TORCH).reasons == (str(TORCH),)


def test_raw_data_differ_by_themselves() -> None:
    """No package is blamed for them."""
    data = InputDifference("data", "data/raw", "0" * 12, "f" * 12, "ingest")
    assert judged(now("data/raw"), TORCH, data).reasons == (f"data data/raw: {'0' * 12} then, {'f' * 12} now",)


def test_another_kind_of_machine_has_a_tolerance_that_is_named() -> None:
    """Losses near the recorded ones, measures within their intervals; other bytes of weights are no fault."""
    found = now("data/finetune/adapter", "data/evaluate/metrics.json", losses=[2.0, 1.501, 1.0], release=measured(0.45))
    assert judged(found, ELSEWHERE) == ReproductionResult(
        "within tolerance", "first losses", (str(ELSEWHERE), TOLERANCE_TEXT)
    )
    assert str(judged(found, ELSEWHERE)) == "within tolerance"
    assert judged(found, THREADS) == ReproductionResult("differs", "first losses", (str(THREADS),))


@pytest.mark.parametrize(
    ("found", "step"),
    [
        (now(losses=[2.0, 1.5 * (1 + 2 * LOSS_RELATIVE_TOLERANCE), 1.0]), "first losses"),
        (now(losses=[2.0, 1.5]), "first losses"),
        (now("data/evaluate/metrics.json", release=measured(0.61)), "metrics"),
        (now("data/tokenize/train.arrow"), "token ids and masks"),
    ],
)
def test_beyond_the_tolerance_it_differs_there_too(found: RunEvidence, step: str) -> None:
    """And what is not computed has the same bytes on every machine."""
    assert judged(found, ELSEWHERE) == ReproductionResult(
        "differs", step, (str(ELSEWHERE),) if "token" not in step else (NO_CAUSE,)
    )


def test_the_ladder_is_a_line_for_each_rung_and_then_the_outcome() -> None:
    """What was recorded, what was found, what that means; and where to look."""
    found = now("data/finetune/adapter")
    steps = compare_evidence(["data/raw"], THEN, found)
    lines = reproduction_report(steps, judge_steps(steps, [THREADS], STAGES), elsewhere=False)
    assert len(lines) == 1 + len(steps) + 3
    assert lines[1] == "raw data             000000000000  000000000000  same"
    assert lines[7] == "adapter              000000000000  ffffffffffff  differs"
    assert lines[-3:-1] == ["differs at adapter; likely cause:", "  thread count: 1 then, 2 now"]
    assert lines[-1].startswith("look at    .tunesmith/reproduce ")


def test_the_machine_is_told_apart_by_what_its_kernels_are_chosen_by() -> None:
    """Another maker of the CPU is another kind; a record without its maker is not held against one."""
    other = {**HERE, "cpu": {**HERE["cpu"], "vendor": "GenuineIntel"}, "python": "3.12.1", "device": "NVIDIA H100"}
    assert [str(one) for one in machine_differences(HERE, other)] == [
        "device: cpu then, NVIDIA H100 now",
        "CPU kind: x86_64 AuthenticAMD AVX2 then, x86_64 GenuineIntel AVX2 now",
        "Python: 3.11.7 then, 3.12.1 now",
    ]
    assert list(machine_differences(HERE, HERE)) == []


def test_packages_are_compared_with_the_record_and_else_with_the_pins() -> None:
    """A build is part of what was recorded; a pin names none."""
    found = package_differences(
        {"torch": "2.13.0+cu130"}, {"torch": "2.13.0", "pandas": "3.0.0", "scipy": "1.17.0", "dvc": "3.67.0"},
        {"torch": "2.13.0+cpu", "pandas": "3.0.0+local", "scipy": "1.18.0"},
    )  # fmt: skip
    assert [str(one) for one in found] == [
        "package torch: 2.13.0+cu130 then, 2.13.0+cpu now",
        "package scipy: 1.17.0 then, 1.18.0 now",
        "package dvc: 3.67.0 then, not installed now",
    ]


def test_params_are_compared_where_a_stage_reads_them() -> None:
    """Changed, new and gone values, each with the first stage that reads it; the threads by their own name."""
    lock = {
        "tokenize": {"params": {"params.yaml": {"model": {"threads": 1}, "tokenize": {"max_seq_length": 10}}}},
        "finetune": {"params": {"params.yaml": {"model": {"threads": 1}, "finetune": {"seed": 1, "old": {"a": 1}}}}},
    }
    params = {
        "model": {"threads": 2},
        "tokenize": {"max_seq_length": 10},
        "finetune": {"seed": 1, "new": 3},
        "other": {"a": 1},
    }
    assert list(param_differences(lock, params)) == [
        THREADS,
        InputDifference("params", "finetune.new", "not there", "3", "finetune"),
        InputDifference("params", "finetune.old.a", "1", "not there", "finetune"),
    ]


def test_of_a_section_of_which_a_stage_reads_one_value_only_that_is_compared() -> None:
    """A stage that reads `register.metric` knows nothing of `register.name`, nor of what only begins alike."""
    lock = {"baselines": {"params": {"params.yaml": {"register.metric": "chrf", "evaluate.rules": [1]}}}}
    params = {"register": {"metric": "rules", "name": "new", "metrics": 3}, "evaluate": {"rules": [1], "seed": 2}}
    assert list(param_differences(lock, params)) == [
        InputDifference("params", "register.metric", "chrf", "rules", "baselines")
    ]


def test_inputs_are_compared_once_and_outputs_are_not(tmp_path: Path) -> None:
    """Code and data, each with the first stage that reads it; what a stage writes is for the comparison."""
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline/a.py").write_text("a\n", encoding="utf-8")
    (tmp_path / "raw").write_text("raw\n", encoding="utf-8")
    good = {"path": "raw", "md5": dvc_md5(tmp_path / "raw")}
    code, gone = {"path": "pipeline/a.py", "md5": "0" * 32}, {"path": "lost", "md5": "1" * 32}
    lock = {
        "ingest": {"deps": [good, code], "outs": [{"path": "out", "md5": "2" * 32}]},
        "validate": {"deps": [code, gone, {"path": "out", "md5": "2" * 32}]},
    }
    assert list(input_differences(tmp_path, lock)) == [
        InputDifference("code", "pipeline/a.py", "0" * 12, dvc_md5(tmp_path / "pipeline/a.py")[:12], "ingest"),
        InputDifference("data", "lost", "1" * 12, "missing", "validate"),
    ]


def test_of_a_changed_folder_the_files_are_named(tmp_path: Path) -> None:
    """Those that git can tell; many of them are cut."""
    files = {f"pipeline/stats/{name}.py": f"{name} = 1\n" for name in "abcdefg"}
    tree = make_checkout(tmp_path / "tree", files, dvc=False)
    locked = dvc_md5(tree / "pipeline/stats")
    lock = {"evaluate": {"deps": [{"path": "pipeline/stats", "md5": locked}]}}
    (tree / "pipeline/stats/c.py").write_text("c = 2\n", encoding="utf-8")
    git(tree, "commit", "--quiet", "--all", "-m", "second")
    now = dvc_md5(tree / "pipeline/stats")
    (difference,) = input_differences(tree, lock)
    assert str(difference) == f"code pipeline/stats (c.py): {locked[:12]} then, {now[:12]} now"
    for name in files:
        (tree / name).write_text("", encoding="utf-8")
    (difference,) = input_differences(tree, lock)
    assert str(difference).startswith("code pipeline/stats (a.py, b.py, c.py, d.py, e.py, ...): ")


def test_an_environment_is_what_the_state_asks_for_in_the_versions_that_it_pins(tmp_path: Path) -> None:
    """Not what this checkout asks for; and in an interpreter of the version that was recorded, if there is one."""
    (tmp_path / "pyproject.toml").write_text(
        '[project]\ndependencies = ["Torch>=2", "ruamel.yaml"]\n', encoding="utf-8"
    )
    (tmp_path / "constraints.txt").write_text(
        "torch==2.13.0\nruamel_yaml==0.19.1 # x\nruff==0.17.0\n", encoding="utf-8"
    )
    assert requirements(tmp_path) == ["Torch>=2", "ruamel.yaml"]
    assert pinned_versions(tmp_path) == {"torch": "2.13.0", "ruamel-yaml": "0.19.1"}
    assert install_commands(Path("env/bin/python"), tmp_path, requirements(tmp_path)) == [
        "env/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
        "--constraint", f"{tmp_path}/constraints.txt", "Torch>=2", "ruamel.yaml",
    ]  # fmt: skip
    assert find_interpreter("2.99.1") == sys.executable


def test_every_pin_of_what_the_project_asks_for_is_read() -> None:
    """None of its direct dependencies is compared with nothing."""
    assert len(pinned_versions(PROJECT)) == len(requirements(PROJECT))
