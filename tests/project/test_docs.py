"""The README and the pages of docs/ tell the truth: links lead somewhere, and commands and params exist."""

import re
from pathlib import Path

import pytest
import typer

from flows.cli.main import app
from pipeline.params import read_yaml
from tests.support.paths import PROJECT

PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
COMMANDS = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
PARAMS = read_yaml(PROJECT / "params.yaml")


def links(page: Path) -> list[Path]:
    """The files that a page links to."""
    found = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    return [(page.parent / target).resolve() for target in found]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page: Path) -> None:
    """A page that moved is missed here."""
    assert [target for target in links(page) if not target.exists()] == []


def test_every_page_is_reached_from_the_readme() -> None:
    """Nobody has to know the folder."""
    assert {page.resolve() for page in PAGES[1:]} <= set(links(PAGES[0]))


def test_the_readme_is_short() -> None:
    """What is longer belongs into docs/."""
    assert len(PAGES[0].read_text(encoding="utf-8").splitlines()) <= 200


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_is_named_exists(page: Path) -> None:
    """In code, `tunesmith X` is a command of the help."""
    text = page.read_text(encoding="utf-8")
    code = re.findall(r"`([^`]+)`", text) + re.findall(r"^```\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    named = {name for part in code for name in re.findall(r"\btunesmith ([a-z][a-z-]*)", part)}
    assert named - COMMANDS == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_param_that_is_named_exists(page: Path) -> None:
    """In code, `section.key` is a value of params.yaml."""
    named = re.findall(r"`(\w+)\.(\w+)`", page.read_text(encoding="utf-8"))
    wrong = [
        f"{section}.{key}"
        for section, key in named
        if isinstance(PARAMS.get(section), dict) and key not in {*PARAMS[section], *PARAMS["validate"]["checks"]}
    ]
    assert wrong == []
