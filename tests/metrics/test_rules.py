"""Laws of house rules: what they allow, what they load, and how their own code may fail."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UserError
from pipeline.metrics.rules import LoadedRule, follows_rule, load_rules
from pipeline.params import Rule

SCHEMA = {
    "type": "object",
    "properties": {"action": {"enum": ["refund", "refuse"]}, "amount": {"type": "number", "minimum": 0}},
    "required": ["action"],
    "additionalProperties": False,
}
CODE = """
from dataclasses import dataclass
import re

@dataclass
class Seen:
    words: int

def repeated(answer: str, prompt: str) -> bool:
    return set(re.findall(r"#\\d+", prompt)) <= set(re.findall(r"#\\d+", answer))

def share(answer, prompt):
    return len(answer) / Seen(10).words

def fails(answer, prompt):
    return 1 / len(answer)

NOT_A_FUNCTION = 3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of rules: a schema, a file of Python, and what is none of either."""
    (tmp_path / "decision.json").write_text(json.dumps(SCHEMA), encoding="utf-8")
    (tmp_path / "orders.py").write_text(CODE, encoding="utf-8")
    (tmp_path / "broken.py").write_text("import no_such_module\n", encoding="utf-8")
    (tmp_path / "broken.json").write_text("{", encoding="utf-8")
    (tmp_path / "odd.json").write_text('{"type": "objekt"}', encoding="utf-8")
    (tmp_path / "far.json").write_text('{"$ref": "https://localhost/other.json"}', encoding="utf-8")
    return tmp_path


def loaded(folder: Path, **parts: Any) -> LoadedRule:
    (rule,) = load_rules([Rule(name="a-rule", **parts)], folder)
    return rule


def score(rule: LoadedRule, answer: str, prompt: str = "") -> float:
    return rule.score(answer, prompt, "0123")


@pytest.mark.parametrize(
    ("rule", "kept", "broken"),
    [
        ({"must_match": "^Dear "}, "Dear you", "Hello, Dear you"),
        ({"must_match": "team$"}, "the team", "team work"),
        ({"must_not_match": "(?i)sorry"}, "Thank you", "we are SORRY"),
        ({"min_words": 3}, "one two three", "one  two"),
        ({"max_words": 2}, "one\n two", "one two three"),
        ({"must_match": "a", "max_words": 1}, "a", "a a"),
        ({"must_contain": ("(a)", "b")}, "b (a)", "a b"),
        ({"must_not_contain": ("a.c", "B")}, "abc", "a.c"),
        ({"must_not_contain": ("a.c", "B")}, "abc", "B"),
        ({"min_chars": 3}, "héé", "éé"),
        ({"max_chars": 3}, "世界!", "世界!!"),
        ({"min_words": 1, "max_chars": 1}, "a", ""),
    ],
)
def test_a_rule_is_kept_or_broken(rule: dict[str, Any], kept: str, broken: str) -> None:
    """A text keeps a rule only if it keeps every part of it; patterns are searched anywhere in it."""
    asked = Rule(name="a-rule", **rule)
    assert (follows_rule(asked, kept), follows_rule(asked, broken)) == (True, False)


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        ('{"action": "refund", "amount": 3}', True),
        (' {"amount": 3.50, "action": "refuse"}\n', True),
        ('{"action": "refund", "amount": -1}', False),
        ('{"action": "Refund"}', False),
        ('{"amount": 3}', False),
        ('{"action": "refund", "why": ""}', False),
        ('{"action": "refund", "action": "refuse"}', False),
        ('{"action": "refund"', False),
        ("", False),
    ],
)
def test_a_schema_allows_what_it_says(folder: Path, answer: str, kept: bool) -> None:
    """An answer keeps it if it is JSON, and such JSON."""
    assert score(loaded(folder, json_schema="decision.json"), answer) == float(kept)


def test_a_function_is_given_the_answer_and_its_prompt(folder: Path) -> None:
    """True is 1, False is 0, and a number is itself."""
    rule = loaded(folder, python="orders:repeated")
    assert score(rule, "your order #17", "where is #17?") == 1.0
    assert score(rule, "your order", "where is #17?") == 0.0
    assert score(loaded(folder, python="orders:share"), "abc") == 0.3


def test_a_rule_is_kept_only_if_each_part_is(folder: Path) -> None:
    """Where a text breaks another part, the function is not asked."""
    rule = loaded(folder, python="orders:fails", must_match="^a")
    assert score(rule, "a") == 1.0
    assert score(rule, "") == 0.0


def test_what_a_rule_loads_leaves_nothing_in_its_folder(folder: Path) -> None:
    """DVC sees the folder before and after: bytecode in it would make the stage stale."""
    before = sorted(folder.iterdir())
    score(loaded(folder, python="orders:share"), "abc")
    assert sorted(folder.iterdir()) == before


BROKEN = "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"
ODD = "'objekt' is not valid under any of the given schemas"
NO_MODULE = "ModuleNotFoundError: No module named 'no_such_module'"


@pytest.mark.parametrize(
    ("parts", "line"),
    [
        ({"json_schema": "none.json"}, "no such file; got rules/none.json; put the schema there"),
        ({"json_schema": "broken.json"}, f"rules/broken.json is no JSON Schema: {BROKEN}; mend it"),
        ({"json_schema": "odd.json"}, f"rules/odd.json is no JSON Schema: {ODD}; mend it"),
        ({"python": "none:f"}, "no such file; got rules/none.py; write it, with the function in it"),
        ({"python": "orders:none"}, "rules/orders.py has no function none; write it there"),
        ({"python": "orders:NOT_A_FUNCTION"}, "rules/orders.py has no function NOT_A_FUNCTION; write it there"),
        ({"python": "broken:f"}, f"rules/broken.py failed: {NO_MODULE}; mend the file"),
    ],
)
def test_what_cannot_be_loaded_is_a_problem(folder: Path, parts: dict[str, str], line: str) -> None:
    """In one line that names the rule and the file, before anything is answered."""
    with pytest.raises(UserError) as caught:
        loaded(folder, **parts)
    assert str(caught.value) == f"evaluate.rules: a-rule: {line}"


ELSE = "said something else at test row 0123; expected True, False or a number from 0 to 1; got"


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("1 / 0", "failed at test row 0123: ZeroDivisionError: division by zero; got the answer 'a'"),
        ("None", f"{ELSE} None"),
        ("1.5", f"{ELSE} 1.5"),
        ("float('nan')", f"{ELSE} nan"),
    ],
)
def test_a_function_that_fails_stops_the_run(folder: Path, code: str, line: str) -> None:
    """The rule and the row are named; nothing counts as kept or broken that was not looked at."""
    (folder / "odd.py").write_text(f"def f(answer, prompt):\n    return {code}\n", encoding="utf-8")
    with pytest.raises(UserError) as caught:
        score(loaded(folder, python="odd:f"), "a")
    assert str(caught.value) == f"evaluate.rules: a-rule: odd:f {line}; mend the function"


def test_a_schema_fetches_nothing(folder: Path) -> None:
    """What it refers to elsewhere is not asked for."""
    with pytest.raises(UserError) as caught:
        score(loaded(folder, json_schema="far.json"), "{}")
    assert str(caught.value) == (
        "evaluate.rules: a-rule: far.json refers to what is not in it: https://localhost/other.json; "
        "put it under $defs; nothing is fetched"
    )
