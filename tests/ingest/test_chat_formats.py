from typing import Any

import pytest

from pipeline.ingest.chat_formats import ChatTurn, NotAPair, read_chat_turns, require_role_order
from tests.support.sources import asked

TURNS = [ChatTurn("user", "Why?"), ChatTurn("assistant", "So.")]
SYSTEM = ChatTurn("system", "s")
MESSAGES = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]


@pytest.mark.parametrize(
    ("row", "turns"),
    [
        ({"prompt": "Why?", "completion": "So."}, TURNS),
        ({"system": "s", "prompt": "Why?", "completion": "So."}, [SYSTEM, *TURNS]),
        ({"messages": MESSAGES}, TURNS),
        ({"messages": [{"role": "developer", "content": "s"}, *MESSAGES]}, [SYSTEM, *TURNS]),
        ({"messages": [MESSAGES[0], {**MESSAGES[1], "weight": 1}]}, TURNS),
        ({"messages": [MESSAGES[0], {**MESSAGES[1], "weight": 0}, *MESSAGES]},
         [TURNS[0], ChatTurn("assistant", "So.", learn=False), *TURNS]),
        ({"messages": MESSAGES, "tools": [], "functions": None, "parallel_tool_calls": False}, TURNS),
        ({"prompt": "Why?", "completion": "So.", "rejected": None, "tools": "[]"}, TURNS),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "Wh"}, {"type": "text", "text": "y?"}]},
                       MESSAGES[1]]}, TURNS),
        ({"conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So."}]}, TURNS),
        ({"instruction": "Why?", "input": "", "output": "So."}, TURNS),
        ({"instruction": "Why?", "input": "this", "output": "So."}, [ChatTurn("user", "Why?\n\nthis"), TURNS[1]]),
    ],
)  # fmt: skip
def test_every_known_shape_has_its_turns(row: dict[str, Any], turns: list[ChatTurn]) -> None:
    """Roles by one name, parts of text as one text, and which answers may not be trained on."""
    assert read_chat_turns(row, asked()) == turns


def test_named_columns_go_before_every_shape() -> None:
    """Whatever else the row has."""
    source = asked(prompt_column="q", completion_column="a")
    assert read_chat_turns({"q": "Why?", "a": "So.", "messages": "no", "rejected": "x"}, source) == TURNS


@pytest.mark.parametrize("field", ["rejected", "preferred_output", "non_preferred_output", "rejected_response"])
def test_preferences_are_named_as_such(field: str) -> None:
    """They are another kind of training."""
    with pytest.raises(NotAPair) as caught:
        read_chat_turns({"prompt": "Why?", "completion": "So.", field: "x"}, asked())
    assert caught.value.reason == "preference"


@pytest.mark.parametrize(
    ("roles", "reason"),
    [
        ("ua", None),
        ("sua", None),
        ("uaua", None),
        ("usa", "role_order"),
        ("uua", "role_order"),
        ("suaa", "role_order"),
        ("aua", "role_order"),
        ("sa", "no_question"),
        ("u", "no_answer"),
        ("", "no_answer"),
    ],
)
def test_speakers_take_turns(roles: str, reason: str | None) -> None:
    """System first if at all, then user and assistant, the assistant last."""
    names = [{"s": "system", "u": "user", "a": "assistant"}[role] for role in roles]
    if reason is None:
        require_role_order(names)
        return
    with pytest.raises(NotAPair) as caught:
        require_role_order(names)
    assert caught.value.reason == reason
