import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from pipeline.files import count_values
from pipeline.ingest.stage import read_file
from pipeline.metrics.rules import follows_rule
from pipeline.pairs import Pair, Quarantined
from pipeline.params import Params, load_params
from pipeline.validate.columns import split_group
from pipeline.validate.findings import NOT_QUARANTINED
from tests.support.checked_pairs import Found
from tests.support.paths import PROJECT
from tests.support.sources import asked, records_of

DEMO = PROJECT / "data" / "demo"
SETS = ("triage.jsonl", "replies.jsonl", "decisions.jsonl")
PAGE = (DEMO / "README.md").read_text(encoding="utf-8")
REPLY = (
    "Hello Ada, your kettle is on the van and the fare is £3.95, paid with the order on Monday. It is a calm van "
    "with a calm driver. Next step: open the door when the bell rings. Warmly, the Quillmoor team"
)
"""Keeps every house rule."""


def rows_of(name: str) -> list[Pair | Quarantined]:
    """Read a demo file as ingest does."""
    return list(read_file(asked(), name, records_of(DEMO / name, asked())))


def pairs_of(name: str) -> list[Pair]:
    """Read a demo file of which every row must be a pair."""
    rows = rows_of(name)
    assert [row for row in rows if isinstance(row, Quarantined)] == []
    return [row for row in rows if isinstance(row, Pair)]


@pytest.fixture(scope="module")
def triage() -> list[Pair]:
    return pairs_of("triage.jsonl")


@pytest.fixture(scope="module")
def replies() -> list[Pair]:
    return pairs_of("replies.jsonl")


@pytest.fixture(scope="module")
def decisions() -> list[Pair]:
    return pairs_of("decisions.jsonl")


@pytest.fixture(scope="module")
def every(triage: list[Pair], replies: list[Pair], decisions: list[Pair]) -> list[Pair]:
    """The rows of all three sets."""
    return [*triage, *replies, *decisions]


@pytest.fixture(scope="module")
def params() -> Params:
    return load_params(DEMO / "replies.params.yaml")


def with_a_near_one(texts: Sequence[str], *, least: float = 0.7) -> float:
    """Share of texts that have another at this Jaccard likeness of their lower-case character 4-grams or above."""
    grams = [{text[at : at + 4] for at in range(len(text) - 3)} or {text} for text in map(str.lower, texts)]
    column = {gram: place for place, gram in enumerate(sorted(set.union(*grams)))}
    has = np.zeros((len(texts), len(column)), dtype=np.float32)
    for row, found in enumerate(grams):
        has[row, [column[gram] for gram in found]] = 1
    both, size = has @ has.T, has.sum(axis=1)
    likeness = both / (size[:, None] + size[None, :] - both)
    np.fill_diagonal(likeness, 0)
    return float((likeness.max(axis=1) >= least).mean())


def broken_rules(params: Params, text: str) -> list[str]:
    """The house rules that a text breaks."""
    return [rule.name for rule in params.evaluate.rules if not follows_rule(rule, text)]


def test_the_measure_of_near_copies_sees_them() -> None:
    """A text with one word changed is a near copy, one on the same matter is not, and case does not matter."""
    one = "The kettle that I ordered on Monday has still not come, where is it now?"
    texts = [
        one,
        one.replace("Monday", "Sunday").upper(),
        "Where is the kettle that I bought at the start of the week?",
    ]
    assert with_a_near_one(texts) == pytest.approx(2 / 3)
    assert with_a_near_one(texts[1:]) == 0


def test_triage_is_large_enough_and_balanced(triage: list[Pair]) -> None:
    """At least 600 messages in at least 12 categories, as many of each."""
    labels = count_values(pair.completion for pair in triage)
    assert len(triage) >= 600
    assert len(labels) >= 12
    assert len(set(labels.values())) == 1


def test_replies_are_many_enough(replies: list[Pair]) -> None:
    """At least 250 messages with their replies."""
    assert len(replies) >= 250


@pytest.mark.parametrize("name", SETS)
def test_hardly_any_message_is_near_another(name: str) -> None:
    """Fewer than 2 % of the prompts of a set have another that is nearly the same: no templates."""
    assert with_a_near_one([pair.prompt for pair in pairs_of(name)]) < 0.02


def test_hardly_any_reply_is_near_another(replies: list[Pair]) -> None:
    """Nor do the replies repeat each other."""
    assert with_a_near_one([pair.completion for pair in replies]) < 0.02


def test_no_two_sets_share_a_message(every: list[Pair]) -> None:
    """No message stands in two sets, so that one may be tested on while the other is trained on."""
    assert max(count_values(split_group(pair.prompt) for pair in every).values()) == 1


def test_every_reply_keeps_every_house_rule(replies: list[Pair], params: Params) -> None:
    """The rules that the model is scored by hold for what it is trained on."""
    broken = {pair.row: broken_rules(params, pair.completion) for pair in replies}
    assert {row: rules for row, rules in broken.items() if rules} == {}


def test_a_reply_can_keep_all_the_rules(params: Params) -> None:
    """The reply that the next test breaks rule by rule breaks none by itself."""
    assert broken_rules(params, REPLY) == []


@pytest.mark.parametrize(
    ("rule", "old", "new"),
    [
        ("greeting", "Hello Ada,", "Dear Ada,"),
        ("greeting", "Hello Ada,", "Well, hello Ada,"),
        ("sign_off", "Warmly, the Quillmoor team", "Warmly, the team"),
        ("sign_off", "Quillmoor team", "Quillmoor team."),
        ("next_step", "Next step: open", "Please open"),
        ("next_step", "It is a calm van", "Next step: wait for a calm van"),
        ("length", " and the fare is £3.95, paid with the order on Monday. It is a calm van with a calm driver.", "."),
        ("length", "calm van", "calm " * 30 + "van"),
        ("no_exclamation", "the bell rings.", "the bell rings!"),
        ("no_stock_phrases", "It is a calm van", "Unfortunately it is a calm van"),
        ("no_stock_phrases", "It is a calm van", "Rest Assured, it is a calm van"),
        ("money", "£3.95", "£3"),
        ("money", "£3.95", "£3.9"),
        ("money", "£3.95", "3 pounds"),
        ("money", "£3.95", "€3.95"),
        ("one_paragraph", " Warmly", "\nWarmly"),
    ],
)
def test_each_house_rule_can_be_broken_alone(params: Params, rule: str, old: str, new: str) -> None:
    """A rule that nothing breaks would prove nothing: each finds its own fault, and no other rule does."""
    assert old in REPLY
    assert broken_rules(params, REPLY.replace(old, new)) == [rule]


@pytest.mark.parametrize("name", SETS)
def test_the_demo_rows_pass_the_checks(params: Params, name: str) -> None:
    """Not one row of the demo breaks a check: no copies, nothing nearly the same, nothing empty or odd."""
    found = Found(pairs_of(name), params.validate)
    assert {item.check.reason: item.places.tolist() for item in found.findings if len(item.places)} == {}


@pytest.mark.parametrize(
    "pattern",
    [r"\S@\S", r"https?:|www\.|\.(com|co\.uk|org|net)\b", r"(\+44|\b0)[\d ]{9,}", r"\d([ -]?\d){11,}"],
    ids=["e-mail", "address", "telephone", "card"],
)
def test_nobody_can_be_found_by_the_demo(every: list[Pair], pattern: str) -> None:
    """No e-mail address, web address, telephone or card number stands in a row."""
    texts = [text for pair in every for text in (pair.prompt, pair.completion)]
    assert [text for text in texts if re.search(pattern, text)] == []


@pytest.mark.parametrize(
    ("name", "task", "metric"), [("replies", "text", "rules"), ("decisions", "json", "json_exact")]
)
def test_the_params_of_a_set_are_those_of_triage_but_for_the_set(name: str, task: str, metric: str) -> None:
    """They can stand in place of params.yaml as they are: the same model and checks, a task and a metric of its own."""
    triage, params = (load_params(DEMO / f"{of}.params.yaml") for of in ("triage", name))
    assert params.model == triage.model
    assert params.ingest.folder == triage.ingest.folder
    assert params.validate.checks == triage.validate.checks
    assert (params.prompt.task, params.register.metric) == (task, metric)


BROKEN: list[tuple[str | None, str]] = [
    ("not_json", '{"prompt": "this line ends too early"'),
    ("empty_prompt", '{"prompt": "   "'),
    ("no_known_shape", '{"prompt": "An answer is missing here."}'),
    ("empty_completion", '{"prompt": "The label is empty."'),
    ("not_text", '{"prompt": 42'),
    ("not_an_object", '["prompt", "completion"]'),
    ("no_answer", '{"messages": [{"role": "user"'),
    ("unknown_role", '{"messages": [{"role": "clerk"'),
    ("bad_turns", '{"messages": "no list of turns"}'),
    ("no_question", '{"messages": [{"role": "assistant"'),
    ("no_known_shape", '{"question": "Fields that nobody named."'),
    ("control_characters", '{"prompt": "A bell rings in this text.'),
    ("not_utf8", '{"prompt": "These bytes are not UTF-8: '),
    (None, '{"prompt": "Where is my parcel, again?"'),
    ("duplicate", '{"prompt": "Where is my parcel, again?"'),
]
"""Why each row of broken.jsonl is set aside, and how it begins. Row 14 is good, and row 15 repeats it."""


@pytest.fixture(scope="module")
def reasons(params: Params) -> dict[int, Any]:
    """Why each row of broken.jsonl is set aside, by ingest or by validate; None for a row that is kept."""
    rows = rows_of("broken.jsonl")
    pairs = [row for row in rows if isinstance(row, Pair)]
    found = Found(pairs, params.validate)
    why = [None if number == NOT_QUARANTINED else found.findings[number].check.reason for number in found.why]
    unread = {row.row: row.reason for row in rows if isinstance(row, Quarantined)}
    assert len(rows) == len(unread) + len(why)
    return {**unread, **{pair.row: reason for pair, reason in zip(pairs, why, strict=True)}}


@pytest.mark.parametrize("row", range(1, len(BROKEN) + 1), ids=lambda row: f"{row}-{BROKEN[row - 1][0]}")
def test_each_broken_row_is_set_aside_for_its_own_fault(reasons: dict[int, Any], row: int) -> None:
    """Every row of broken.jsonl is wrong in the way that is noted here, and found for that."""
    reason, begins = BROKEN[row - 1]
    assert (DEMO / "broken.jsonl").read_bytes().splitlines()[row - 1].startswith(begins.encode())
    assert reasons[row] == reason


def test_no_broken_row_is_unnoted(reasons: dict[int, Any]) -> None:
    """The table above names every row of the file."""
    assert sorted(reasons) == list(range(1, len(BROKEN) + 1))


@pytest.mark.parametrize("name", [*SETS, "broken.jsonl"])
def test_the_page_of_the_demo_counts_its_rows(name: str) -> None:
    """data/demo/README.md says how many rows each file has."""
    said = re.search(rf"^\| `{re.escape(name)}` \| (\d+) \|", PAGE, re.MULTILINE)
    assert said is not None
    assert int(said[1]) == len((DEMO / name).read_bytes().splitlines())


def test_the_page_of_the_demo_names_the_categories(triage: list[Pair]) -> None:
    """The categories explained are those that occur, each once, with as many rows as it says."""
    named = re.findall(r"^\| `([a-z_]+)` \|", PAGE, re.MULTILINE)
    each = re.search(r"one of (\d+) categories, (\d+) rows each", PAGE)
    assert each is not None
    assert sorted(named) == sorted({pair.completion for pair in triage})
    assert [int(number) for number in each.groups()] == [len(named), len(triage) // len(named)]


def test_the_page_of_the_demo_names_the_rules(params: Params) -> None:
    """The house rules explained are those that are checked, in their order."""
    assert re.findall(r"^\d+\. `([a-z_]+)`:", PAGE, re.MULTILINE) == [rule.name for rule in params.evaluate.rules]


def test_the_page_of_the_demo_gives_the_lengths(every: list[Pair]) -> None:
    """Prompts are between as few and as many words long as the page says."""
    said = re.search(r"Lengths run from (\d+) to (\d+) words", PAGE)
    assert said is not None
    words = [len(pair.prompt.split()) for pair in every]
    assert int(said[1]) <= min(words)
    assert max(words) <= int(said[2])


def test_every_line_of_the_demo_holds_nothing_but_a_pair() -> None:
    """Rows have the two fields of a pair, both text without blanks around it."""
    for name in SETS:
        for line in (DEMO / name).read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            assert set(row) == {"prompt", "completion"}
            assert all(value == value.strip() for value in row.values())
