"""Laws of the demo's decisions: what the schema, the policy and the page say of them holds for every row."""

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from pipeline.metrics.rules import LoadedRule, load_rules
from pipeline.params import load_params
from tests.support.paths import PROJECT

DEMO = PROJECT / "data" / "demo"
PAGE = (DEMO / "README.md").read_text(encoding="utf-8")
SCHEMA: dict[str, Any] = json.loads((PROJECT / "rules" / "decisions.schema.json").read_text(encoding="utf-8"))
FIELDS: dict[str, Any] = SCHEMA["properties"]
POLICY: dict[str, str] = dict(
    re.findall(
        r"^### (R\d+)\. (.*?)(?=^### |\Z)", (DEMO / "policy.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
)
"""The text of each rule."""
PAYS = {"refund", "partial_refund", "credit"}
ON_RECORD = (
    r"lawyer|solicitor|barrister|\bcourt\b|Standards|newspaper|papers?\b|local press|Gazette|Evening Post|Herald|Radio"
)
"""Those for whom a person has to look, as the messages name them."""
SPELT = {
    "eleven pounds": 11,
    "twelve pounds": 12,
    "fourteen pounds": 14,
    "seventeen pounds fifty": 17.5,
    "thirty-one pounds": 31,
    "fifty pounds": 50,
}
"""Amounts that messages tell in words."""
DECISION = '{"action":"refund","amount":42.5,"rule":"R7","label":"shop","needs_human":false}'
"""Of the form that is asked for."""


@dataclass(frozen=True)
class Case:
    """A message and what was decided."""

    row: int
    message: str
    answer: str

    @property
    def decision(self) -> dict[str, Any]:
        """The answer, read."""
        return dict(json.loads(self.answer))

    def told(self) -> set[float]:
        """Every number in the message, in figures or as an amount in words."""
        words = {value for words, value in SPELT.items() if words in self.message.lower()}
        return words | {float(number) for number in re.findall(r"\d+(?:\.\d+)?", self.message)}


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    lines = (DEMO / "decisions.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [Case(number, row["prompt"], row["completion"]) for number, row in enumerate(rows, start=1)]


@pytest.fixture(scope="module")
def rules() -> list[LoadedRule]:
    return load_rules(load_params(DEMO / "decisions.params.yaml").evaluate.rules, PROJECT / "rules")


def broken(rules: list[LoadedRule], text: str) -> list[str]:
    """The house rules that a text breaks."""
    return [rule.rule.name for rule in rules if not rule.score(text, "a message", "0123")]


def wrong(cases: list[Case], *, holds: Callable[[Case], bool]) -> list[tuple[int, str, str]]:
    """The rows for which something does not hold, as they stand in the file."""
    return [(case.row, case.message, case.answer) for case in cases if not holds(case)]


def test_there_are_many_cases(cases: list[Case]) -> None:
    """At least 260, each of 8 to 110 words."""
    assert len(cases) >= 260
    assert wrong(cases, holds=lambda case: 8 <= len(case.message.split()) <= 110) == []


def test_every_decision_is_one_by_the_schema(cases: list[Case]) -> None:
    """Which is a schema itself, asks for every field and knows no other."""
    Draft202012Validator.check_schema(SCHEMA)
    valid = Draft202012Validator(SCHEMA).is_valid
    assert wrong(cases, holds=lambda case: valid(case.decision)) == []
    assert SCHEMA["required"] == list(FIELDS)
    assert not valid(json.loads(DECISION) | {"mood": "fine"})
    assert not valid(json.loads(DECISION) | {"amount": -1})


def test_a_decision_is_written_in_one_way(cases: list[Case], rules: list[LoadedRule]) -> None:
    """Fields in the schema's order, no blanks, amounts without needless zeros: the same decision is the same text."""
    assert wrong(cases, holds=lambda case: json.dumps(case.decision, separators=(",", ":")) == case.answer) == []
    assert wrong(cases, holds=lambda case: list(case.decision) == list(FIELDS)) == []
    assert wrong(cases, holds=lambda case: broken(rules, case.answer) == []) == []


def test_the_rules_are_numbered_alike_everywhere(cases: list[Case]) -> None:
    """In the policy, in the schema, on the page, and in the rows, each at least five times."""
    decisive = Counter(case.decision["rule"] for case in cases)
    assert list(POLICY) == FIELDS["rule"]["enum"]
    assert re.findall(r"^\| (R\d+) \|", PAGE, re.MULTILINE) == list(POLICY)
    assert set(decisive) == set(POLICY)
    assert min(decisive.values()) >= 5


def test_no_action_rules_the_rest(cases: list[Case]) -> None:
    """Each occurs at least in one row of twenty, and none in more than 35 of 100."""
    actions = Counter(case.decision["action"] for case in cases)
    assert set(actions) == set(FIELDS["action"]["enum"])
    assert max(actions.values()) <= 0.35 * len(cases)
    assert min(actions.values()) >= 0.05 * len(cases)


@pytest.mark.parametrize("field", ["action", "label"])
@pytest.mark.parametrize("number", POLICY)
def test_a_rule_leads_to_what_it_names(cases: list[Case], number: str, field: str) -> None:
    """Rows that a rule decides have each outcome that its text names, more than once, and no other."""
    outcomes = Counter(case.decision[field] for case in cases if case.decision["rule"] == number)
    assert set(outcomes) == set(re.findall(r"`(\w+)`", POLICY[number])) & set(FIELDS[field]["enum"])
    assert min(outcomes.values()) > 1


def test_money_is_given_by_those_actions_that_give_it(cases: list[Case]) -> None:
    """Any other has the amount 0; and where nothing is decided for the customer, nothing is sent back."""
    assert wrong(cases, holds=lambda case: (case.decision["amount"] > 0) == (case.decision["action"] in PAYS)) == []
    given = [case for case in cases if case.decision["action"] in {"refuse", "hold"}]
    assert wrong(given, holds=lambda case: case.decision["label"] == "none") == []


def test_a_person_looks_when_the_policy_says_so(cases: list[Case]) -> None:
    """For R1, R2, amounts above £200, and whoever names the law, the authorities or the press; for nobody else."""

    def needed(case: Case) -> bool:
        found = case.decision
        return found["rule"] in {"R1", "R2"} or found["amount"] > 200 or bool(re.search(ON_RECORD, case.message))

    assert wrong(cases, holds=lambda case: case.decision["needs_human"] == needed(case)) == []


def follows(case: Case) -> bool:
    """Whether the amount follows from the numbers of the message in the way of its rule."""
    amount, told = case.decision["amount"], case.told()
    rule, action = case.decision["rule"], case.decision["action"]
    if action not in PAYS:
        return True
    if rule == "R8":
        sums = {sum(kept) for many in (1, 2, 3) for kept in combinations_with_replacement(told, many)}
        return any(whole - amount in sums for whole in told)
    if rule == "R11" and action == "credit":
        return amount in {5, 10}
    if rule == "R12":
        gaps = {(high - low) * many for high in told for low in told for many in (1, 2)} | told
        return amount in gaps if amount < 25 else amount == 25
    if action == "partial_refund" and rule != "R11":
        return bool({2 * amount, 4 * amount} & told)
    return amount in told


def test_every_amount_follows_from_the_message(cases: list[Case]) -> None:
    """The price, a half or a quarter of it, a difference, a sum that the policy names: nothing has to be guessed."""
    assert wrong(cases, holds=follows) == []
    paid = next(case for case in cases if case.decision["amount"] > 25 and case.decision["action"] == "refund")
    dearer = paid.answer.replace('"amount":', '"amount":9')
    assert not follows(Case(paid.row, paid.message, dearer))


def test_a_decision_of_the_form_breaks_no_rule(rules: list[LoadedRule]) -> None:
    """The one that the next test breaks rule by rule."""
    assert broken(rules, DECISION) == []


@pytest.mark.parametrize(
    ("rule", "old", "new"),
    [
        ("schema", "R7", "R13"),
        ("schema", "shop", "courier"),
        ("schema", "false", '"no"'),
        ("schema", ',"rule"', ',"mood":"fine","rule"'),
        ("schema", ',"needs_human":false', ""),
        ("money", "42.5", "0"),
        ("money", "refund", "refuse"),
        ("one_line", ",", ",\n"),
    ],
)
def test_each_rule_can_be_broken_alone(rules: list[LoadedRule], rule: str, old: str, new: str) -> None:
    """A rule that nothing breaks would prove nothing: each finds its own fault, and no other rule does."""
    assert old in DECISION
    assert broken(rules, DECISION.replace(old, new)) == [rule]


@pytest.mark.parametrize("text", ["", "I am sorry", f"Well: {DECISION}", "[]", '{"amount":"42"}', DECISION[:-1]])
def test_what_is_no_decision_breaks_the_rules_and_no_run(rules: list[LoadedRule], text: str) -> None:
    """However a model fails, it is told as a rule that is broken."""
    assert {"schema", "money"} <= set(broken(rules, text))


def test_the_page_of_the_demo_names_the_fields() -> None:
    """In the schema's order."""
    assert re.findall(r'^\| `"(\w+)"` \|', PAGE, re.MULTILINE) == list(FIELDS)
