"""House rules that a program can check: in params, in a JSON Schema, or in Python that the user wrote."""

import re
import runpy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, SchemaError
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from pipeline.errors import UserError
from pipeline.files import read_json
from pipeline.params import Rule
from pipeline.strict_json import parse_strict

RULES_FOLDER = "rules"
"""Beside data/: the Python and the schemas that rules name. DVC's dependency, so that a change is noticed."""
RuleFunction = Callable[[str, str], object]
"""Takes an answer and the prompt it was given to; says True or False, or a number from 0 to 1."""


@dataclass(frozen=True)
class LoadedRule:
    """A rule with what it names loaded."""

    rule: Rule
    schema_validator: Any
    function: RuleFunction | None

    def score(self, answer: str, prompt: str, row: str) -> float:
        """Say how well an answer keeps the rule: 1 or 0, or what its own function says if it keeps all else.

        Raises:
            UserError: If the function fails, or says something else than it may; or the schema refers to one elsewhere.
        """
        if not follows_rule(self.rule, answer) or not self.matches_schema(answer):
            return 0.0
        return 1.0 if self.function is None else self.call_function(self.function, answer, prompt, row)

    def matches_schema(self, answer: str) -> bool:
        """Say whether an answer is JSON as the schema has it, if there is one."""
        if self.schema_validator is None:
            return True
        try:
            return bool(self.schema_validator.is_valid(parse_strict(answer)))
        except ValueError:
            return False
        except Unresolvable as error:
            raise UserError(
                f"evaluate.rules: {self.rule.name}",
                f"{self.rule.json_schema} refers to what is not in it: {error.ref}",
                do="put it under $defs; nothing is fetched",
            ) from error

    def call_function(self, function: RuleFunction, answer: str, prompt: str, row: str) -> float:
        """Call the function of the rule."""
        where = f"evaluate.rules: {self.rule.name}"
        try:
            result = function(answer, prompt)
        except Exception as error:
            raise UserError(
                where, f"{self.rule.python} failed at test row {row}: {type(error).__name__}: {error}",
                got=f"the answer {answer[:60]!r}", do="mend the function",
            ) from error  # fmt: skip
        if isinstance(result, bool | int | float) and 0 <= result <= 1:
            return float(result)
        raise UserError(
            where, f"{self.rule.python} said something else at test row {row}",
            expected="True, False or a number from 0 to 1", got=repr(result), do="mend the function",
        )  # fmt: skip


def follows_rule(rule: Rule, text: str) -> bool:
    """Say whether a text keeps all of a house rule that can be told from the rule alone."""
    return has_allowed_length(rule, text) and has_allowed_text(rule, text)


def has_allowed_length(rule: Rule, text: str) -> bool:
    """Say whether it is as long as it is to be."""
    words, chars = len(text.split()), len(text)
    return (rule.min_words or 0) <= words <= (rule.max_words or words) and (
        (rule.min_chars or 0) <= chars <= (rule.max_chars or chars)
    )


def has_allowed_text(rule: Rule, text: str) -> bool:
    """Say whether everything is in it that must be, and nothing that must not."""
    return (
        (rule.must_match is None or re.search(rule.must_match, text) is not None)
        and (rule.must_not_match is None or re.search(rule.must_not_match, text) is None)
        and all(part in text for part in rule.must_contain or ())
        and not any(part in text for part in rule.must_not_contain or ())
    )


def load_rules(rules: Sequence[Rule], folder: Path) -> list[LoadedRule]:
    """Load the schemas and the functions that rules name.

    Raises:
        UserError: If one is not there, or is not what it should be.
    """
    return [
        LoadedRule(
            rule,
            load_schema(rule.name, folder / rule.json_schema) if rule.json_schema else None,
            load_function(rule.name, folder, rule.python) if rule.python else None,
        )
        for rule in rules
    ]


def load_schema(name: str, path: Path) -> Any:
    """Load a JSON Schema, of the draft that its `$schema` names, else 2020-12; it cannot ask the network for others.

    `format` is not checked, as the standard has it.

    Raises:
        UserError: If it is not there, or is none.
    """
    where = f"evaluate.rules: {name}"
    try:
        schema = read_json(path)
        kind = validator_for(schema, default=Draft202012Validator)
        kind.check_schema(schema)
    except FileNotFoundError as error:
        raise UserError(where, "no such file", got=f"{RULES_FOLDER}/{path.name}", do="put the schema there") from error
    except (ValueError, SchemaError) as error:
        reason = error.message if isinstance(error, SchemaError) else str(error)
        raise UserError(where, f"{RULES_FOLDER}/{path.name} is no JSON Schema: {reason}", do="mend it") from error
    return kind(schema, registry=Registry())


def load_function(name: str, folder: Path, entry: str) -> RuleFunction:
    """Load a function of a file in the folder of rules; the file runs as it stands, and leaves no bytecode there.

    Raises:
        UserError: If it is not there, or its file fails.
    """
    where, (module, _, called) = f"evaluate.rules: {name}", entry.partition(":")
    path = folder / f"{module}.py"
    if not path.exists():
        raise UserError(
            where, "no such file", got=f"{RULES_FOLDER}/{path.name}", do="write it, with the function in it"
        )
    try:
        names = runpy.run_path(str(path))
    except Exception as error:
        raise UserError(
            where, f"{RULES_FOLDER}/{path.name} failed: {type(error).__name__}: {error}", do="mend the file"
        ) from error
    if not callable(names.get(called)):
        raise UserError(where, f"{RULES_FOLDER}/{path.name} has no function {called}", do="write it there")
    function: RuleFunction = names[called]
    return function
