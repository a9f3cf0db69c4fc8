"""`tunesmith run --set`: values written into params.yaml, whose comments and order stay."""

import difflib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from flows.paths import write_text_atomic
from flows.project.params_file import editable_yaml
from pipeline.errors import UserError
from pipeline.params import parse_params, read_yaml


def override_params(path: Path, settings: Sequence[str]) -> Iterator[str]:
    """Write SECTION.KEY=VALUE settings into params.yaml, checked as a whole first; give the difference, a line each.

    Values are YAML 1.2: `5`, `1e-3`, `true`, `null`, `[tfidf, majority]`, or text.

    Raises:
        UserError: If params.yaml cannot be read, a setting names no value of it, or the result is not valid; nothing is
            written then.
    """
    if not settings:
        return
    read_yaml(path)  # refuses what is missing or no YAML, in one line
    before = path.read_text(encoding="utf-8")
    yaml = editable_yaml()
    values = yaml.load(before)
    for setting in settings:
        set_value(values, setting)
    out = io.StringIO()
    yaml.dump(values, out)
    after = out.getvalue()
    parse_params(YAML(typ="safe", pure=True).load(after), where=path.name)
    write_text_atomic(path, after)
    yield from difflib.unified_diff(
        before.splitlines(), after.splitlines(), f"{path.name} before", f"{path.name} now", lineterm="", n=0
    )


def set_value(values: Any, setting: str) -> None:
    """Set one value.

    Raises:
        UserError: If the setting is not of the form SECTION.KEY=VALUE, or there is no such key.
    """
    name, equals, text = setting.partition("=")
    *above, key = name.split(".")
    section = values
    for part in above:
        section = section.get(part) if isinstance(section, dict) else None
    if not equals or not above or not isinstance(section, dict) or key not in section:
        raise UserError(
            f"--set {setting}",
            "names no value of params.yaml",
            expected="SECTION.KEY=VALUE, as in finetune.epochs=5",
            do="look the key up in params.yaml",
        )
    try:
        section[key] = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise UserError(f"--set {setting}", "its value is not YAML", do="quote it") from error
