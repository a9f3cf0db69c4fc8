"""Row formats: OpenAI messages, ShareGPT, Alpaca, prompt and completion; the turns of a row, or why it has none."""

from typing import Any, NamedTuple

from pipeline.params import Source

ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
"""As OpenAI names them; `developer` is what its newer models call the system."""
SHAREGPT_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}
TOOL_ROLES = {"tool", "function", "function_call", "function_response", "observation", "ipython"}
TOOL_FIELDS = ("tools", "functions", "parallel_tool_calls")
PREFERENCE_FIELDS = {"rejected", "rejected_response", "preferred_output", "non_preferred_output"}
"""Fields of preference data, as TRL, ms-swift and OpenAI name them."""
UNSUPPORTED_FIELDS = PREFERENCE_FIELDS.union(TOOL_FIELDS)

EMPTY_VALUES: tuple[Any, ...] = (None, False, "", "[]", [])
"""Values of a field that says nothing, as tables and merged files have them."""


class ChatTurn(NamedTuple):
    """Who speaks, what is said, and whether it may be trained on: not if it is an answer of weight 0."""

    role: str
    content: Any
    learn: bool = True


ChatTurns = list[ChatTurn]


class NotAPair(Exception):
    """A row that cannot be read as a pair: a reason code, and what stood there."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def read_chat_turns(row: dict[str, Any], source: Source) -> ChatTurns:
    """Find the turns of a row, the answer last, by whichever shape it has.

    Known shapes: columns named in params; OpenAI `messages`; ShareGPT `conversations`; Alpaca `instruction`, `input`,
    `output`; `prompt` and `completion`.

    Raises:
        NotAPair: If it has none of them, or holds what is not trained on.
    """
    if source.prompt_column is not None and source.completion_column is not None:
        return [
            ChatTurn("user", named_column(row, source.prompt_column)),
            ChatTurn("assistant", named_column(row, source.completion_column)),
        ]
    reject_unsupported(row)
    if "messages" in row:
        return [*system_turn(row), *read_openai(conversation_list(row["messages"]))]
    if "conversations" in row:
        return [*system_turn(row), *read_sharegpt(conversation_list(row["conversations"]))]
    if "instruction" in row and "output" in row:
        return [*system_turn(row), ChatTurn("user", alpaca_prompt(row)), ChatTurn("assistant", row["output"])]
    if "prompt" in row and "completion" in row:
        return [*system_turn(row), ChatTurn("user", row["prompt"]), ChatTurn("assistant", row["completion"])]
    raise NotAPair("no_known_shape", f"fields: {', '.join(sorted(map(str, row))) or 'none'}")


def reject_unsupported(row: dict[str, Any]) -> None:
    """Refuse rows that are meant for another kind of training."""
    if UNSUPPORTED_FIELDS.isdisjoint(row):
        return
    if any(row.get(name) not in EMPTY_VALUES for name in PREFERENCE_FIELDS):
        explanation = (
            "two answers of which one is preferred, which are not trained on; write the better one as completion"
        )
        raise NotAPair("preference", explanation)
    for name in TOOL_FIELDS:
        if row.get(name) not in EMPTY_VALUES:
            raise NotAPair("tools", f"the row has {name}, which are not trained on")


def system_turn(row: dict[str, Any]) -> ChatTurns:
    """Take the system message that stands beside the turns, if there is one."""
    return [ChatTurn("system", row["system"])] if row.get("system") else []


def named_column(row: dict[str, Any], column: str) -> Any:
    """Look up a named column."""
    if column not in row:
        raise NotAPair("no_such_column", f"no {column!r} among: {', '.join(sorted(map(str, row)))}")
    return row[column]


def alpaca_prompt(row: dict[str, Any]) -> Any:
    """Join Alpaca's instruction and input; what is no text is given back, to be named as such."""
    if row.get("history"):
        raise NotAPair("history", "turns before the instruction; write the row as messages")
    parts = [part for part in (row["instruction"], row.get("input")) if part not in ("", None)]
    odd = [part for part in parts if not isinstance(part, str)]
    return odd[0] if odd else "\n\n".join(parts)


def conversation_list(value: Any) -> list[dict[str, Any]]:
    """Check that a conversation is a list of objects."""
    if not isinstance(value, list) or not all(isinstance(turn, dict) for turn in value):
        raise NotAPair("bad_turns", f"expected a list of turns, got {type(value).__name__}")
    if any(turn.get("tool_calls") or turn.get("function_call") for turn in value):
        raise NotAPair("tool_calls", "a turn calls tools, which are not trained on")
    return value


def normalized_role(role: Any, roles: dict[str, str]) -> str:
    """Give our name of a role."""
    if isinstance(role, str) and role in roles:
        return roles[role]
    if isinstance(role, str) and role in TOOL_ROLES:
        raise NotAPair("tool_role", f"a turn is by {role!r}, which is not trained on")
    raise NotAPair("unknown_role", f"got {role!r}")


def read_openai(turns: list[dict[str, Any]]) -> ChatTurns:
    """Read turns as OpenAI writes them: parts of text as one text, weights heeded."""
    roles = [normalized_role(turn.get("role"), ROLES) for turn in turns]
    learnt = [is_trained_on(role, turn.get("weight")) for role, turn in zip(roles, turns, strict=True)]
    if not all(learnt[-1:]):
        raise NotAPair("weight_zero", "the last answer has weight 0: it is not to be trained on")
    return [
        ChatTurn(role, turn_text(role, turn), learn) for role, turn, learn in zip(roles, turns, learnt, strict=True)
    ]


def read_sharegpt(turns: list[dict[str, Any]]) -> ChatTurns:
    """Read turns as ShareGPT writes them."""
    return [ChatTurn(normalized_role(turn.get("from"), SHAREGPT_ROLES), turn.get("value")) for turn in turns]


def is_trained_on(role: str, weight: Any) -> bool:
    """Say whether a turn may be trained on, by its weight; one without may."""
    if weight is None:
        return True
    if role != "assistant":
        raise NotAPair("bad_weight", f"the {role} turn has a weight; only answers have one")
    if isinstance(weight, bool) or weight not in (0, 1):
        raise NotAPair("bad_weight", f"expected 0 or 1, got {weight!r}")
    return bool(weight)


def turn_text(role: str, turn: dict[str, Any]) -> Any:
    """Take what a turn says, parts of text joined; what is no text is given back, to be named as such."""
    for name in ("refusal", "audio"):
        if turn.get(name):
            raise NotAPair("not_only_text", f"the {role} turn has {name}")
    content = turn.get("content")
    if not isinstance(content, list) or not content or not all(isinstance(part, dict) for part in content):
        return content
    for part in content:
        if part.get("type") != "text" or not isinstance(part.get("text"), str):
            raise NotAPair("not_only_text", f"the {role} turn has a part of type {part.get('type')!r} that is no text")
    return "".join(part["text"] for part in content)


def require_role_order(roles: list[str]) -> None:
    """Check that system speaks first if at all, then user and assistant in turn, the assistant last."""
    if not roles or roles[-1] != "assistant":
        raise NotAPair("no_answer", f"the last turn is by {roles[-1] if roles else ''!r}, not by the assistant")
    if "user" not in roles:
        raise NotAPair("no_question", "no user turn before the answer")
    first = 1 if roles[0] == "system" else 0
    for index in range(first, len(roles)):
        wanted = "assistant" if (index - first) % 2 else "user"
        if roles[index] != wanted:
            raise NotAPair("role_order", f"turn {index + 1} is by {roles[index]!r}; expected {wanted!r}")
