"""Laws of the baselines one by one: what each learns, finds, chooses and is given."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from pipeline.baselines.baseline import BaselineTask, PromptMessages, index_of_best, mean_score, prompt_messages
from pipeline.baselines.bm25 import BM25Index, BM25Retriever
from pipeline.baselines.few_shot import FewShot, RetrievedFewShot, sample_examples
from pipeline.baselines.few_shot_prompt import render_with_examples, with_examples
from pipeline.baselines.hidden_states import STATE_BATCH_TOKENS, HiddenStates, batches_by_tokens
from pipeline.baselines.language_model import BaselineLanguageModel
from pipeline.baselines.logistic_regression import LogisticRegressionBaseline
from pipeline.baselines.majority import MajorityBaseline
from pipeline.baselines.nearest_neighbour import NearestNeighbours, nearest_by_cosine
from pipeline.baselines.rag import RetrievalAugmented, read_documents, split_passages
from pipeline.baselines.sentence_embeddings import SentenceEmbeddings
from pipeline.baselines.tfidf import TfidfFeatures
from pipeline.baselines.zero_shot import BestPrompt
from pipeline.errors import UserError
from pipeline.generation.generate import GenerationConfig
from pipeline.metrics.rules import load_rules
from pipeline.model.chat_template import PromptEncoder, load_tokenizer
from pipeline.model.prefix_cache import common_prefix
from pipeline.pairs import Message, Pair
from pipeline.params import Model, Params, Task
from tests.support.chat import SYSTEM

LABELS = ["blue", "green", "red"]
WANTED = BaselineTask("labels", LABELS, "accuracy", ())


def pair(prompt: str, completion: str) -> Pair:
    return Pair((Message("user", prompt),), completion, "a.jsonl", 1, None, b"")


def question(text: str) -> PromptMessages:
    return (Message("user", text),)


@pytest.fixture
def speaker(base: Path) -> BaselineLanguageModel:
    return BaselineLanguageModel(tiny(base), GenerationConfig(LABELS, 8, 4), max_tokens=400)


def tiny(base: Path) -> Model:
    return Model(source=str(base), sha256=None, dtype="float32", attention="sdpa", threads=1)


def test_of_equally_common_completions_the_first_by_name_is_said() -> None:
    """Chance has no say in the majority."""
    baseline = MajorityBaseline()
    baseline.fit([pair("1", "b"), pair("2", "a"), pair("3", "a"), pair("4", "b"), pair("5", "c")], [])
    assert [given.text for given in baseline.answer([question("x"), question("y")])] == ["a", "a"]


def test_the_best_is_the_first_of_the_greatest() -> None:
    """Ties go to the first, and so does the choice where nothing was measured."""
    assert [
        index_of_best([0.1, 0.3, 0.3]),
        index_of_best([0.0, 0.0]),
        index_of_best([None, None]),
        index_of_best([0.5, 0.2]),
    ] == [1, 0, 0, 0]


@pytest.mark.parametrize(
    ("task", "metric", "got", "found"),
    [
        ("labels", "accuracy", ["one", "a b c"], 0.5),
        ("text", "exact_match", ["one", "a b c"], 0.5),
        ("text", "chrf", ["one", "two"], 1),
        ("text", "rules", ["one", "a b c"], 0.5),
        ("json", "fields_f1", ['{"a": 1, "b": 2}', '{"a": 1, "b": 3}'], 0.75),
    ],
)
def test_baselines_choose_by_the_measure_of_the_gate(
    make_params: Any, task: Task, metric: str, got: list[str], found: float
) -> None:
    """The mean over the rows, of whichever measure that is."""
    rules = load_rules(make_params(**{"evaluate.rules": [{"name": "short", "max_words": 1}]}).evaluate.rules, Path())
    wanted = BaselineTask(task, [], metric, rules)
    rows = [pair("1", '{"a": 1, "b": 2}')] * 2 if task == "json" else [pair("1", "one"), pair("2", "two")]
    assert mean_score(wanted, rows, got) == found
    with pytest.raises(ValueError, match="no rows"):
        mean_score(wanted, [], [])


def test_a_classifier_of_one_label_says_that_label(pairs: list[Pair]) -> None:
    """No line can be drawn where there is nothing on its other side."""
    baseline = LogisticRegressionBaseline(TfidfFeatures(), WANTED)
    report = baseline.fit([one for one in pairs if one.completion == "red"], pairs)
    assert {given.text for given in baseline.answer([*map(prompt_messages, pairs)])} == {"red"}
    assert report["labels"] == 1


def test_a_classifier_says_how_likely_its_label_is(pairs: list[Pair]) -> None:
    """The most likely label is predicted; its probability is higher for what was learnt than for unknown words."""
    baseline = LogisticRegressionBaseline(TfidfFeatures(), WANTED)
    baseline.fit(pairs, pairs)
    known, unknown = baseline.answer([pairs[0].messages, question("zebra")])
    assert known.text == pairs[0].completion
    assert 1 >= (known.probability or 0) > (unknown.probability or 0) > 1 / 3 - 1e-6


def test_the_classifier_is_fitted_on_training_rows_alone(pairs: list[Pair]) -> None:
    """What only validation rows say is not among its words, and a label that only they have is never said."""
    baseline = LogisticRegressionBaseline(TfidfFeatures(), WANTED)
    train = [one for one in pairs if one.completion != "red"]
    baseline.fit(train, [*pairs, pair("zebra crossing", "red")])
    words = baseline.features.union.get_feature_names_out()  # type: ignore[attr-defined]
    assert "words__sky" in words
    assert not [word for word in words if "zebra" in word or "rose" in word]
    assert {given.text for given in baseline.answer([*map(prompt_messages, pairs)])} == {"blue", "green"}


@pytest.mark.parametrize("sparse", [False, True])
def test_the_nearest_row_has_the_greatest_cosine(sparse: bool) -> None:
    """Held to the plain computation, for more questions than one block; equals in their order."""
    random = np.random.default_rng(0)
    rows, asked = random.normal(size=(40, 5)), random.normal(size=(300, 5))
    rows[7] = rows[3]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    made = (csr_matrix(rows), csr_matrix(asked)) if sparse else (rows, asked)
    found = nearest_by_cosine(*made, 40)
    cosines = (asked / np.linalg.norm(asked, axis=1, keepdims=True)) @ rows.T
    assert [places[0] for places in found] == [int(row.argmax()) for row in cosines]
    for places, row in zip(found, cosines, strict=True):
        assert sorted(places) == list(range(40))
        assert np.all(np.diff(row[places]) <= 1e-12)
        assert places.index(3) < places.index(7)
    assert nearest_by_cosine(*made, 2) == [places[:2] for places in found]


def test_bm25_finds_what_has_the_rare_words() -> None:
    """A word that few texts have counts for more; case does not count; unknown words find the first ones."""
    index = BM25Index(["the sky is blue", "the grass is green", "the Rose is red", "the the the"])
    assert index.search("what colour is a ROSE?", 1) == [2]
    assert index.search("the grass", 2)[0] == 1
    assert index.search("zebra", 2) == index.search("", 2) == [0, 1]
    assert len(index.search("the", 9)) == 4
    assert BM25Index([]).search("the", 3) == []
    assert BM25Index(["", "?!"]).search("the", 1) == [0]


def test_words_are_numbered_in_their_order_not_in_that_of_a_set() -> None:
    """Python orders a set otherwise in every process; what is found must not depend on that."""
    index = BM25Index([f"word{number % 7} word{number % 5} again" for number in range(60)])
    assert list(index.vocabulary.items()) == [(word, place) for place, word in enumerate(sorted(index.vocabulary))]
    assert len(index.vocabulary) == 8


def test_fixed_examples_are_spread_over_the_labels(pairs: list[Pair]) -> None:
    """One of each label before a second of any, whatever is common; the seed alone decides which."""
    uneven = [*pairs, *[pair(f"more {number}", "red") for number in range(200)]]
    for many in (3, 6, 7):
        chosen = sample_examples(uneven, many, seed=1)
        rows = Counter(one.completion for one in chosen)
        assert (len(chosen), len(rows)) == (many, 3)
        assert max(rows.values()) - min(rows.values()) <= 1
        assert chosen == sample_examples(uneven, many, seed=1) != sample_examples(uneven, many, seed=2)
    assert sample_examples(pairs[:2], 5, seed=1) == sample_examples(pairs[:2], 2, seed=1)


def test_examples_are_turns_before_the_question_and_behind_its_system_message() -> None:
    """A template sees one conversation; an example's own system message stays out of it."""
    own = Pair((Message("system", "other"), Message("user", "q1")), "a1", "a.jsonl", 1, None, b"")
    turns = with_examples((Message("system", "mine"), Message("user", "q2")), [own, pair("q3", "a3")])
    assert [(turn.role, turn.content) for turn in turns] == [
        ("system", "mine"), ("user", "q1"), ("assistant", "a1"), ("user", "q3"), ("assistant", "a3"), ("user", "q2"),
    ]  # fmt: skip
    assert with_examples(question("q"), []) == question("q")


def test_the_most_useful_examples_stay_and_the_best_stands_next_to_the_question(speaker: BaselineLanguageModel) -> None:
    """As many as there is room for, to the token; the last of the list go first."""
    renderer, examples = speaker.prompt_encoder(SYSTEM), [pair(f"question {number}", "red") for number in range(4)]
    lengths = [len(renderer.encode_prompt(with_examples(question("sky?"), examples[:many]))) for many in range(5)]
    for many in range(5):
        for room in (lengths[many], lengths[many] + 1):
            prompt, had = render_with_examples(renderer, question("sky?"), examples, room, best_last=True)
            assert (had, len(prompt)) == (many, lengths[many])
    text = renderer.tokenizer.decode(render_with_examples(renderer, question("sky?"), examples, 400, best_last=True)[0])
    assert [text.index(f"question {number}") for number in (3, 2, 1, 0)] == sorted(
        text.index(f"question {number}") for number in range(4)
    )
    with pytest.raises(UserError, match="not even without examples"):
        render_with_examples(renderer, question("sky?"), examples, lengths[0] - 1)


def test_fixed_examples_are_a_beginning_that_all_prompts_share(
    speaker: BaselineLanguageModel, pairs: list[Pair]
) -> None:
    """So that they are read once, whatever the questions are."""
    shots = FewShot(speaker, SYSTEM, many=3, seed=1)
    shots.fit(pairs, [])
    prompts = [render_with_examples(shots.prompt_encoder, one.messages, shots.examples, 400)[0] for one in pairs[:9]]
    examples = shots.prompt_encoder.encode_prompt(with_examples(question(""), shots.examples))
    assert len(common_prefix(prompts)) > len(examples) - 12


def test_a_question_of_the_training_set_is_given_itself(speaker: BaselineLanguageModel, pairs: list[Pair]) -> None:
    """Both searches find the row that is asked for first."""
    for search in (BM25Retriever(), NearestNeighbours(HiddenStates(speaker, SYSTEM), WANTED)):
        baseline = RetrievedFewShot(speaker, SYSTEM, search, many=2)
        baseline.fit(pairs, pairs[:3])
        assert [places[0] for places in search.retrieve([*map(prompt_messages, pairs[:9])], 2)] == list(range(9))
        assert {given.examples for given in baseline.answer([*map(prompt_messages, pairs[:2])])} == {2}


def test_the_best_system_message_is_chosen_on_validation_rows(
    speaker: BaselineLanguageModel, pairs: list[Pair]
) -> None:
    """Each is tried on the same rows; of equals the first; the labels stand where it asks for them."""
    systems = ["One.", "Say one of {labels}.", "One."]
    baseline = BestPrompt(speaker, systems, WANTED, rows=10, seed=1)
    report = baseline.fit(pairs, pairs)
    merits = [tried["accuracy"] for tried in report["tried"]]
    assert report["chosen_on"] == 10
    assert report["tried"][1]["system"] == "Say one of blue, green, red."
    assert merits[0] == merits[2]
    assert (
        report["chosen"]["system"]
        == report["tried"][index_of_best(merits)]["system"]
        == baseline.chosen.prompt_encoder.system
    )
    again = BestPrompt(speaker, systems, WANTED, rows=10, seed=2).fit(pairs, pairs)
    assert BestPrompt(speaker, systems, WANTED, rows=10, seed=1).fit([], pairs) == report
    assert again["chosen_on"] == 10


def test_states_are_the_means_of_the_plain_computation(speaker: BaselineLanguageModel, pairs: list[Pair]) -> None:
    """Read together behind their shared beginning or each alone and whole: the same states of the same tokens."""
    import torch  # noqa: PLC0415 -- here alone

    states, asked = HiddenStates(speaker, SYSTEM), [one.messages for one in pairs]
    states.fit_transform(asked[:30])
    odd = (Message("system", "Quite another one."), Message("user", "what?"))
    means = states._mean_states([states.prompt_encoder.encode_prompt(one) for one in [*asked[30:], odd]])
    for one, mean in zip([*asked[30:], odd], means, strict=True):
        prompt = states.prompt_encoder.encode_prompt(one)
        begins = len(states.prefix) if prompt[: len(states.prefix)] == states.prefix else 0
        with torch.inference_mode():
            out = speaker.base_model(input_ids=torch.tensor([prompt]), output_hidden_states=True)
        for place, layer in enumerate(states._layer_numbers()):
            wanted = out.hidden_states[layer][0, begins:].mean(0).numpy()
            assert np.abs(mean[place] - wanted).max() < 1e-5 * np.abs(wanted).max()
    assert len(states.prefix) > 10


def test_states_are_scaled_by_the_training_rows(speaker: BaselineLanguageModel, pairs: list[Pair]) -> None:
    """Mean 0 and deviation 1 over those that it learnt from, whatever comes later."""
    states, asked = HiddenStates(speaker, SYSTEM), [one.messages for one in pairs]
    learnt = states.fit_transform(asked[:40])
    for view in learnt.values():
        assert np.abs(view.mean(0)).max() < 1e-3
        assert np.abs(view.std(0) - 1).max() < 1e-2
    before = states.transform(asked[40:])
    states.transform(asked[:1])
    for name, view in states.transform(asked[40:]).items():
        assert np.array_equal(view, before[name])


def test_rows_of_like_length_are_read_together_within_bounds() -> None:
    """No batch has more places than the bound, but for a single row that has by itself."""
    lengths = [*range(1, 60), STATE_BATCH_TOKENS + 5]
    batches = batches_by_tokens(list(range(60)), lengths)
    assert [place for batch in batches for place in batch] == list(range(60))
    assert all(len(batch) * max(lengths[p] for p in batch) <= STATE_BATCH_TOKENS for batch in batches[:-1])
    assert batches[-1] == [59]


def test_passages_are_whole_paragraphs() -> None:
    """Nothing of a text is lost or cut; short paragraphs go together, a long one stays by itself."""
    short, long = "a few words here", " ".join(["word"] * 150)
    text = f"# Head\n\n{short}\n\n{long}\n\n\n\n{short}\n"
    assert split_passages(text) == [f"# Head\n\n{short}", long, short]
    assert split_passages("  \n\n ") == []


def test_only_texts_are_looked_up_in(tmp_path: Path, speaker: BaselineLanguageModel) -> None:
    """Every .md and .txt below the folder but its README.md, by name; or one text that is named."""
    (tmp_path / "deep").mkdir()
    for name in ("b.md", "a.txt", "README.md", "c.pdf", "deep/d.txt"):
        (tmp_path / name).write_text(f"words of {name}", encoding="utf-8")
    assert [path.name for path in read_documents(tmp_path)] == ["a.txt", "b.md", "d.txt"]
    assert read_documents(tmp_path / "README.md") == [tmp_path / "README.md"]
    baseline = RetrievalAugmented(speaker, SYSTEM, tmp_path, many=1)
    told = {"files": ["a.txt", "b.md", "d.txt"], "passages": 3, "examples_wanted": 1}
    assert baseline.fit([], []) == {**told, "prompt_tokens_at_most": speaker.prompt_token_budget}


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_without_texts_is_refused(tmp_path: Path, speaker: BaselineLanguageModel, there: bool) -> None:
    """So that nobody takes the answers for those of what the folder should have held."""
    folder = tmp_path if there else tmp_path / "gone"
    (tmp_path / "README.md").write_text("what this is for", encoding="utf-8")
    with pytest.raises(UserError) as caught:
        RetrievalAugmented(speaker, SYSTEM, folder, many=1).fit([], [])
    assert str(caught.value) == (
        "params.yaml: baselines.rag_folder: holds no texts; expected files that end in .md or .txt; README.md is not read; "  # noqa: E501
        f"got {folder}; put some there, or take rag out of baselines.enabled"
    )


def test_a_text_that_is_not_utf8_is_refused(tmp_path: Path, speaker: BaselineLanguageModel) -> None:
    """Nothing of it is guessed."""
    (tmp_path / "a.txt").write_bytes(b"caf\xe9")
    with pytest.raises(UserError) as caught:
        RetrievalAugmented(speaker, SYSTEM, tmp_path, many=1).fit([], [])
    assert str(caught.value) == f"{tmp_path / 'a.txt'}: is not UTF-8; got byte 3; save it as UTF-8"


def test_passages_stand_in_the_system_message(tmp_path: Path, speaker: BaselineLanguageModel) -> None:
    """Those that have the words of the question, behind the message that is there anyway."""
    (tmp_path / "a.md").write_text("\n\n".join(f"{w} {'x ' * 119}" for w in ("grass", "sky")), encoding="utf-8")
    baseline = RetrievalAugmented(speaker, SYSTEM, tmp_path, many=1)
    baseline.fit([], [])
    wide = BaselineLanguageModel(speaker.model_params, speaker.generation_config, max_tokens=512)
    baseline.language_model = wide
    prompt, had = baseline._render_with_passages(wide.prompt_encoder(SYSTEM), question("what of the sky?"))
    text = wide.tokenizer.decode(prompt)
    assert had == 1
    assert text.startswith(f"<|im_start|>system\n{SYSTEM}\n\nWhat may help to answer:\n\nsky x x")
    assert "grass" not in text


def test_a_sentence_model_needs_its_package_and_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing is said before anything is computed."""
    monkeypatch.setattr("pipeline.baselines.sentence_embeddings.SENTENCE_PACKAGE", "no_such_package")
    with pytest.raises(UserError) as caught:
        SentenceEmbeddings(tmp_path)
    assert str(caught.value) == (
        "params.yaml: baselines.sentence_model: the package sentence-transformers is not installed; pip install "
        "--constraint constraints.txt --editable '.[sentences]', or take sentence_embedding out of baselines.enabled"
    )
    monkeypatch.setattr("pipeline.baselines.sentence_embeddings.SENTENCE_PACKAGE", "json")
    with pytest.raises(UserError) as caught:
        SentenceEmbeddings(tmp_path)
    assert str(caught.value) == (
        "params.yaml: baselines.sentence_model: is no folder of a sentence model; expected modules.json in it; got "
        f"{tmp_path}; save one there with SentenceTransformer.save"
    )


def test_a_sentence_model_sees_questions_as_its_package_does(base: Path, tmp_path: Path, pairs: list[Pair]) -> None:
    """The vectors are those of the package; a classifier learns from them; the report names the model by its digest."""
    package = pytest.importorskip("sentence_transformers", reason="the extra `sentences` is not installed")
    modules = package.sentence_transformer.modules
    word = modules.Transformer(str(base))
    whole = package.SentenceTransformer(modules=[word, modules.Pooling(word.get_embedding_dimension())], device="cpu")
    whole.save(str(tmp_path / "model"))
    baseline = LogisticRegressionBaseline(SentenceEmbeddings(tmp_path / "model"), WANTED)
    report = baseline.fit(pairs[:45], pairs[45:])
    (view,) = baseline.features.transform([pairs[0].messages]).values()
    assert np.allclose(view, whole.encode([pairs[0].prompt]), atol=1e-6)
    assert [given.text for given in baseline.answer([one.messages for one in pairs[45:]])] == [
        one.completion for one in pairs[45:]
    ]
    assert len(report["model"]) == 64


def test_a_prompt_has_room_for_the_longest_answer_behind_it(base: Path) -> None:
    """Never more than the model reads, whatever the params say; no room at all is an error."""
    manner = GenerationConfig(LABELS, 8, 4)
    longest = max(len(PromptEncoder(load_tokenizer(base), "").encode_completion(label)) for label in LABELS)
    assert BaselineLanguageModel(tiny(base), manner, max_tokens=100).prompt_token_budget == 100 - longest
    assert BaselineLanguageModel(tiny(base), manner, max_tokens=9999).prompt_token_budget == 512 - longest
    assert BaselineLanguageModel(tiny(base), GenerationConfig([], 8, 4), max_tokens=100).prompt_token_budget == 92
    with pytest.raises(UserError, match="leaves no room for a prompt beside the answer"):
        _ = BaselineLanguageModel(tiny(base), GenerationConfig([], 128, 4), max_tokens=100).prompt_token_budget


def test_params_ask_for_nothing_that_is_not_there(make_params: Any) -> None:
    """A baseline that needs a value is refused without it, and none is named twice."""
    for change, line in (
        (
            {"baselines.enabled": ["best_prompt"], "baselines.system_prompts": []},
            "baselines.system_prompts must be given when baselines.enabled names best_prompt",
        ),
        ({"baselines.enabled": ["hosted"]}, "baselines.hosted must be given when baselines.enabled names hosted"),
        (
            {"baselines.enabled": ["sentence_embedding"]},
            "baselines.sentence_model must be given when baselines.enabled names sentence_embedding",
        ),
    ):
        with pytest.raises(UserError, match=line):
            make_params(**change)
    with pytest.raises(UserError, match="zero_shot is named twice"):
        make_params(**{"baselines.enabled": ["zero_shot", "tfidf", "zero_shot"]})
    with pytest.raises(UserError, match=r"baselines\.enabled: "):
        make_params(**{"baselines.enabled": []})
    made: Params = make_params(**{"baselines.enabled": ["tfidf"], "baselines.system_prompts": []})
    assert made.baselines.enabled == ("tfidf",)
