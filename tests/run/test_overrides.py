"""Laws of `tunesmith run --set`: checked before it is written, comments kept, the difference shown."""

from pathlib import Path

import pytest

from flows.run.overrides import override_params
from pipeline.errors import UserError
from pipeline.params import load_params
from tests.support.paths import PROJECT


@pytest.fixture
def params(tmp_path: Path) -> Path:
    """A copy of the project's params.yaml."""
    path = tmp_path / "params.yaml"
    path.write_bytes((PROJECT / "params.yaml").read_bytes())
    return path


def test_a_value_is_written_and_the_difference_shown(params: Path) -> None:
    """Only the lines of the values change; their comments stay."""
    before = params.read_text(encoding="utf-8").splitlines()
    shown = list(override_params(params, ["finetune.epochs=5", "validate.checks.drift=off"]))
    after = params.read_text(encoding="utf-8").splitlines()
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert (load_params(params).finetune.epochs, load_params(params).validate.checks.drift) == (5, "off")
    assert [(old.split(":")[0].strip(), new.split(":")[0].strip()) for old, new in changed] == [
        ("drift", "drift"), ("epochs", "epochs"),
    ]  # fmt: skip
    assert [line for line in shown if line.startswith("+  epochs")] == ["+  epochs: 5"]
    assert [old.partition("#")[2] for old, _ in changed] == [new.partition("#")[2] for _, new in changed]


def test_without_settings_nothing_is_touched(params: Path) -> None:
    """The file keeps its bytes."""
    assert list(override_params(params, [])) == []
    assert params.read_bytes() == (PROJECT / "params.yaml").read_bytes()


def test_params_that_are_no_yaml_are_told_in_a_line(params: Path) -> None:
    """As every other command does."""
    params.write_text("model: [", encoding="utf-8")
    with pytest.raises(UserError, match=r"^params\.yaml: not YAML: "):
        list(override_params(params, ["finetune.epochs=5"]))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("finetune.epoch=5", "--set finetune.epoch=5: names no value of params.yaml"),
        ("epochs=5", "--set epochs=5: names no value of params.yaml"),
        ("finetune.epochs", "--set finetune.epochs: names no value of params.yaml"),
        ("finetune.epochs=many", "params.yaml: one value is wrong"),
        ("finetune.epochs=[1", "--set finetune.epochs=[1: its value is not YAML"),
    ],
)
def test_a_wrong_setting_changes_nothing(params: Path, setting: str, said: str) -> None:
    """It is refused with the setting named, and params.yaml keeps its bytes."""
    with pytest.raises(UserError) as caught:
        list(override_params(params, ["finetune.rank=8", setting]))
    assert str(caught.value).startswith(said)
    assert params.read_bytes() == (PROJECT / "params.yaml").read_bytes()
