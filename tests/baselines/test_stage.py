"""Laws of the stage of the baselines, on a tiny project that ran through the real stages before it."""

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.baselines import stage as baselines
from pipeline.errors import UserError
from pipeline.evaluate import stage as evaluate
from pipeline.files import read_json, write_json
from pipeline.generation.generate import GenerationConfig, answer_prompts
from pipeline.generation.predictions import BaselinePrediction, read_baseline_predictions, write_baseline_predictions
from pipeline.hashing import file_sha256
from pipeline.model.adapters import load_base, load_merged
from pipeline.model.chat_template import PromptEncoder, load_tokenizer
from pipeline.model.tokenized import read_tokens, write_tokens
from pipeline.pairs import Message, Pair, read_pairs, write_pairs
from pipeline.params import Params
from tests.support.chat import SYSTEM
from tests.support.tiny_params import finished, judged, tiny_params

WHICH = [
    "majority",
    "tfidf",
    "embedding",
    "zero_shot",
    "best_prompt",
    "few_shot",
    "few_shot_bm25",
    "few_shot_knn",
    "rag",
]
CHANGED = {
    "baselines.enabled": WHICH, "baselines.max_seq_length": 400, "baselines.latency_rows": 2,
    "baselines.system_prompts": ["Name it.", "Which of {labels}?"],
}  # fmt: skip


@pytest.fixture(scope="module")
def knowledge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with something to look up."""
    folder = tmp_path_factory.mktemp("knowledge")
    (folder / "colours.md").write_text("The sky is blue.\n\nGrass is green.\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def params(base: Path, knowledge: Path) -> Params:
    return tiny_params(base, **CHANGED, **{"baselines.rag_folder": str(knowledge)})


@pytest.fixture(scope="module")
def done(base: Path, params: Params, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What all stages left, with every baseline that needs nothing from outside; only to be read."""
    data = Path(shutil.copytree(finished(base)[1], tmp_path_factory.mktemp("baselines") / "data"))
    run(params, data)
    return data


@pytest.fixture
def data(done: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(done, tmp_path / "data"))


def run(params: Params, data: Path) -> None:
    baselines.run(params.model, params.prompt, params.baselines, judged(params), data)


def table(data: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of each baseline."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in pq.read_table(data / "baselines" / "answers.parquet").to_pylist():
        found.setdefault(row.pop("baseline"), []).append(row)
    return found


def reports(data: Path) -> dict[str, Any]:
    """What each baseline tells of itself."""
    found: dict[str, Any] = read_json(data / "baselines" / "report.json")["baselines"]
    return found


def said(data: Path) -> dict[str, list[str]]:
    return {name: [row["answer"] for row in rows] for name, rows in table(data).items()}


def test_each_baseline_answers_each_test_row_once_in_the_order_asked_for(done: Path) -> None:
    """Baselines come in the order of the params, each with the test rows in theirs; they answer with labels only."""
    found, test = table(done), read_pairs(done / "validate" / "test.parquet")
    assert list(found) == WHICH
    for rows in found.values():
        assert [row["id"] for row in rows] == [pair.id for pair in test]
        assert {row["answer"] for row in rows} <= {"blue", "green", "red"}
    assert set(reports(done)) == set(read_json(done / "baselines" / "cost.json")) == set(WHICH)


def test_what_is_no_language_model_reads_and_writes_nothing(done: Path, base: Path) -> None:
    """Tokens are counted as they were read; a label's are those of its completion, its end of turn among them."""
    found, renderer = table(done), PromptEncoder(load_tokenizer(base), SYSTEM)
    prompts = [row.prompt_ids for _, row in read_tokens(done / "tokenize" / "test.arrow")]
    for name in ("majority", "tfidf"):
        assert {(row["tokens_in"], row["tokens_out"], row["free"], row["held"]) for row in found[name]} == {
            (0, 0, None, None)
        }
    assert [row["tokens_in"] for row in found["embedding"]] == [len(prompt) for prompt in prompts]
    for row, prompt in zip(found["zero_shot"], prompts, strict=True):
        assert (row["tokens_in"], row["held"]) == (len(prompt), True)
        assert row["tokens_out"] == len(renderer.encode_completion(row["answer"]))
    for name in ("zero_shot", "few_shot_knn"):
        reported = reports(done)[name]
        assert reported["tokens_in"] == sum(row["tokens_in"] for row in found[name])
        assert reported["tokens_out"] == sum(row["tokens_out"] for row in found[name])


def test_the_base_answers_as_it_does_by_itself(params: Params, done: Path, base: Path) -> None:
    """The baseline `base` is the untouched model on the very prompts that tokenize made."""
    prompts = [row.prompt_ids for _, row in read_tokens(done / "tokenize" / "test.arrow")]
    model = load_merged(load_base(base, params.model), None)
    alone = answer_prompts(
        model, PromptEncoder(load_tokenizer(base), SYSTEM), prompts, GenerationConfig(["blue", "green", "red"], 8, 4)
    )
    assert [(row["answer"], row["free"]) for row in table(done)["zero_shot"]] == [(one.text, one.free) for one in alone]


def test_the_majority_is_that_of_the_training_rows(done: Path) -> None:
    """Not that of the validation or test rows."""
    train = Counter(pair.completion for pair in read_pairs(done / "validate" / "train.parquet"))
    assert set(said(done)["majority"]) == {train.most_common(1)[0][0]}
    assert reports(done)["majority"] == {
        "completion": "blue", "of": train.total(), "rows": 12, "tokens_in": 0, "tokens_out": 0,
    }  # fmt: skip


def test_the_linear_baselines_learn_what_is_easy(done: Path) -> None:
    """The thing that is named gives the colour away: words and states both find it on rows they never saw."""
    wanted = [pair.completion for pair in read_pairs(done / "validate" / "test.parquet")]
    for name in ("tfidf", "embedding"):
        assert said(done)[name] == wanted


def test_the_same_project_gives_the_same_bytes(params: Params, done: Path, data: Path) -> None:
    """A second run writes the same answers and the same report; only what it cost may differ."""
    run(params, data)
    for name in ("answers.parquet", "report.json"):
        assert file_sha256(data / "baselines" / name) == file_sha256(done / "baselines" / name)


def test_no_baseline_sees_what_a_test_row_wants(params: Params, done: Path, data: Path) -> None:
    """With every completion of the test rows replaced, all answers, choices and token counts stay as they were."""
    test = read_pairs(data / "validate" / "test.parquet")
    turned = [replace(pair, completion="red" if pair.completion == "blue" else "blue") for pair in test]
    write_pairs(data / "validate" / "test.parquet", turned)
    encoded = [row for _, row in read_tokens(data / "tokenize" / "test.arrow")]
    write_tokens(data / "tokenize" / "test.arrow", zip([pair.id for pair in turned], encoded, strict=True))
    run(params, data)
    before, after = table(done), table(data)
    for row in (row for rows in (*before.values(), *after.values()) for row in rows):
        del row["id"]
    assert after == before
    assert reports(data) == reports(done)


def test_what_is_learnt_is_the_same_whatever_the_test_rows_are(params: Params, done: Path, data: Path) -> None:
    """With one test row left, each baseline answers it as it did among all, and chose what it had chosen."""
    kept = read_tokens(data / "tokenize" / "test.arrow")[3:4]
    write_tokens(data / "tokenize" / "test.arrow", kept)
    run(params, data)
    assert {name: rows[0] for name, rows in table(data).items()} == {
        name: rows[3] for name, rows in table(done).items()
    }
    for name, report in reports(data).items():
        then = reports(done)[name]
        learnt = set(then) - {"rows", "tokens_in", "tokens_out", "rows_by_examples"}
        assert {part: report[part] for part in learnt} == {part: then[part] for part in learnt}


def test_examples_that_do_not_fit_are_left_out_and_told(
    params: Params, done: Path, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A prompt never has more tokens than there is room for; who has fewer examples is counted, by baseline."""
    room = 250 - max(
        len(PromptEncoder(load_tokenizer(Path(params.model.source)), "").encode_completion(c)) for c in ("green", "red")
    )
    fewer = params.baselines.model_copy(update={"max_seq_length": 250, "enabled": ("few_shot", "few_shot_bm25")})
    with caplog.at_level("WARNING"):
        baselines.run(params.model, params.prompt, fewer, judged(params), data)
    found, before = table(data), table(done)
    for name in ("few_shot", "few_shot_bm25"):
        assert max(row["tokens_in"] for row in found[name]) <= room
        had = Counter(str(row["examples"]) for row in found[name])
        assert reports(data)[name]["rows_by_examples"] == dict(had)
    assert {row["examples"] for row in before["few_shot"]} == {8}
    assert {row["examples"] for row in found["few_shot"]} < set(range(1, 8))
    told = "; ".join(record.message for record in caplog.records)
    assert "baselines: few_shot: not all 8 examples fit: " in told
    assert "few_shot_bm25" not in told


def test_a_row_that_does_not_fit_without_examples_stops_the_run(params: Params, data: Path) -> None:
    """It is not cut, and not left out."""
    tight = params.baselines.model_copy(update={"max_seq_length": 30, "enabled": ("few_shot",)})
    with pytest.raises(UserError) as caught:
        baselines.run(params.model, params.prompt, tight, judged(params), data)
    assert str(caught.value).startswith(
        "params.yaml: baselines.max_seq_length: a test or validation row does not fit, not even without examples; expected at "  # noqa: E501
        "most 26 tokens beside the answer; got "
    )
    assert (data / "baselines" / "answers.parquet").exists()


def test_without_validation_rows_the_first_choice_is_taken_and_told(params: Params, data: Path) -> None:
    """Nothing is chosen on training or test rows instead."""
    write_tokens(data / "tokenize" / "validation.arrow", [])
    run(params, data)
    report = reports(data)
    assert report["best_prompt"]["chosen"] == {"system": "Name it."}
    assert report["tfidf"]["chosen"] == {"C": 1.0, "view": "words and letters"}
    assert report["embedding"]["chosen"] == {"C": 1.0, "view": "layer 1"}
    for name in ("best_prompt", "tfidf", "embedding", "few_shot_knn"):
        assert report[name]["chosen_on"] == 0
        assert {tried["accuracy"] for tried in report[name]["tried"]} == {None}


def test_for_free_text_the_learners_say_what_the_nearest_row_says(base: Path, data: Path) -> None:
    """Without labels there is nothing to classify: every answer is a completion of a training row."""
    params = tiny_params(base, **CHANGED, **{"prompt.task": "text", "register.metric": "chrf"})
    write_json(data / "validate" / "labels.json", [])
    learners = params.baselines.model_copy(update={"enabled": ("majority", "tfidf", "embedding", "best_prompt")})
    baselines.run(params.model, params.prompt, learners, judged(params), data)
    found, report = table(data), reports(data)
    trained = {pair.completion for pair in read_pairs(data / "validate" / "train.parquet")}
    wanted = [pair.completion for pair in read_pairs(data / "validate" / "test.parquet")]
    for name in ("tfidf", "embedding"):
        assert [row["answer"] for row in found[name]] == wanted
        assert {row["answer"] for row in found[name]} <= trained
        assert "C" not in report[name]["chosen"]
    assert {row["held"] for row in found["best_prompt"]} == {False}
    assert all(0 < row["tokens_out"] <= 8 for row in found["best_prompt"])


def test_each_baseline_is_an_arm_of_the_evaluation(params: Params, done: Path, data: Path) -> None:
    """Its answers are scored on the same rows; the fine-tuned model is compared with each."""
    evaluate.run(params.model, params.prompt, params.evaluate, params.register, data, timed=1)
    metrics = read_json(data / "evaluate" / "metrics.json")
    predictions = pq.read_table(data / "evaluate" / "predictions.parquet").to_pydict()
    assert set(metrics["arms"]) == {*WHICH, "fine-tuned"}
    assert set(metrics["comparisons"]) == set(WHICH)
    assert {name: predictions[name] for name in WHICH} == said(done)
    free = {name: arm["free_label"]["value"] for name, arm in metrics["arms"].items()}
    assert (free["majority"], free["tfidf"], free["zero_shot"]) == (1.0, 1.0, 0.0)


def test_without_the_base_among_the_baselines_the_others_are_compared_with(params: Params, data: Path) -> None:
    """No arm is taken for granted but the fine-tuned one."""
    few = params.baselines.model_copy(update={"enabled": ("tfidf", "majority")})
    baselines.run(params.model, params.prompt, few, judged(params), data)
    evaluate.run(params.model, params.prompt, params.evaluate, params.register, data, timed=1)
    metrics = read_json(data / "evaluate" / "metrics.json")
    assert set(metrics["arms"]) == {"tfidf", "majority", "fine-tuned"}
    assert set(metrics["comparisons"]) == {"tfidf", "majority"}


@pytest.mark.parametrize("change", ["fewer", "others", "order"])
def test_answers_to_other_rows_are_refused(tmp_path: Path, change: str) -> None:
    """Answers that are not those of the test rows, each and in order, are never scored."""
    ids = ["a", "b", "c"]
    answered = {"fewer": ["a", "b"], "others": ["a", "b", "d"], "order": ["a", "c", "b"]}[change]
    path = tmp_path / "answers.parquet"
    write_baseline_predictions(path, answered, {"zero_shot": [BaselinePrediction("x")] * len(answered)})
    with pytest.raises(UserError) as caught:
        read_baseline_predictions(path, ids)
    counted = {"fewer": "2, 2", "others": "3, 2", "order": "3, 3"}[change]
    assert str(caught.value) == (
        f"{path}: the rows that zero_shot answered are not the test rows; expected 3 rows, in the order of "
        f"data/tokenize/test.arrow; got {counted} of them test rows; let the baselines answer anew: `tunesmith run`"
    )


def test_answers_come_back_as_they_were_written(tmp_path: Path) -> None:
    """Unknown, false and zero stay three different things."""
    given = [
        BaselinePrediction("a", None, None, 0, 0),
        BaselinePrediction("", free=False, held=True, tokens_in=None, tokens_out=3, examples=2),
    ]
    write_baseline_predictions(tmp_path / "answers.parquet", ["1", "2"], {"one": given, "other": given[::-1]})
    assert read_baseline_predictions(tmp_path / "answers.parquet", ["1", "2"]) == {"one": given, "other": given[::-1]}


def test_a_system_message_of_its_own_goes_before_the_examples(params: Params, data: Path) -> None:
    """Rows that bring one keep it, once, where a template wants it."""
    test = read_pairs(data / "validate" / "test.parquet")
    own = [replace(pair, messages=(Message("system", "Say red."), *pair.messages)) for pair in test]
    write_pairs(data / "validate" / "test.parquet", own)
    write_tokens(data / "tokenize" / "test.arrow", zip([p.id for p in own], encoded(params, own), strict=True))
    run(params, data)
    assert {name: len(rows) for name, rows in table(data).items()} == dict.fromkeys(WHICH, 12)


def encoded(params: Params, pairs: list[Pair]) -> list[Any]:
    renderer = PromptEncoder(load_tokenizer(Path(params.model.source)), SYSTEM)
    return [renderer.encode(pair.messages, pair.completion) for pair in pairs]
