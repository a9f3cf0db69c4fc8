"""params.yaml as it is edited by commands: order, comments and layout stay."""

from typing import Any

from ruamel.yaml import YAML


def editable_yaml() -> YAML:
    """A reader and writer of YAML that keeps comments, and lays out as params.yaml is written."""
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 120
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.add_representer(type(None), represent_null)
    return yaml


def represent_null(representer: Any, _none: None) -> Any:
    """Write `null`, as params.yaml has it, and not nothing."""
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")
