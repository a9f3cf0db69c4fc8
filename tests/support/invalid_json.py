"""Texts that are not JSON, by the standard."""

NOT_JSON = [
    "", "yes", "{", '{"a": 1,}', "{'a': 1}", '```json\n{"a": 1}\n```', '{"a": 1} and more', "NaN", "[Infinity]",
    '{"a": 1, "a": 2}', '[{"b": {"a": 1, "a": 1}}]', "[" * 100_000, "1" * 5000,
]  # fmt: skip
