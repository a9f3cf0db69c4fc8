"""GitHub's workflows as they are written: their jobs, and the lines of shell in them."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from ruamel.yaml import YAML

from tests.support.repositories import PROJECT

NAMES = ("ci", "reproduce", "retrain")


class Step(NamedTuple):
    """A step, and where it stands."""

    workflow: str
    job: str
    said: dict[str, Any]

    @property
    def shell(self) -> str:
        """Its lines of shell; empty if it uses an action."""
        return str(self.said.get("run", ""))

    def __str__(self) -> str:
        return f"{self.workflow}, {self.job}: {self.said.get('name')}"


def workflow(name: str) -> dict[str, Any]:
    """Read a workflow by YAML 1.2, in which `on` is a word."""
    text = (PROJECT / f".github/workflows/{name}.yml").read_text(encoding="utf-8")
    found: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    return found


def steps() -> Iterator[Step]:
    """All steps of all workflows."""
    for name in NAMES:
        for job, told in workflow(name)["jobs"].items():
            yield from (Step(name, job, said) for said in told["steps"])


def shell(name: str, job: str, step: str) -> str:
    """The lines of shell of one step."""
    (found,) = [one for one in steps() if (one.workflow, one.job, one.said["name"]) == (name, job, step)]
    return found.shell
