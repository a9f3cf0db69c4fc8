"""Which baseline a name in params stands for."""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TypeVar

from pipeline.baselines.baseline import Baseline, Wanted
from pipeline.baselines.bm25 import ByWords
from pipeline.baselines.few_shot import Retrieved, Search, Shots
from pipeline.baselines.hidden_states import States
from pipeline.baselines.hosted import Hosted
from pipeline.baselines.language_model import Speaker
from pipeline.baselines.logistic_regression import Linear
from pipeline.baselines.majority import Majority
from pipeline.baselines.nearest_neighbour import Nearest
from pipeline.baselines.rag import Knowledge
from pipeline.baselines.sentence_embeddings import Sentences
from pipeline.baselines.tfidf import Features, WordsAndLetters
from pipeline.baselines.zero_shot import BestPrompt, Plain
from pipeline.generation.generate import Manner
from pipeline.params import Baselines, Kind, Model

Value = TypeVar("Value")


def baselines_of(
    baselines: Baselines, model: Model, system: str, wanted: Wanted, manner: Manner
) -> Iterator[tuple[Kind, Baseline]]:
    """Make the baselines that are asked for, one after the other; the base model is loaded for the first that needs it.

    Args:
        baselines: Which, and what they may use.
        model: The base model.
        system: Its system message.
        wanted: What is wanted of an answer.
        manner: How the base model answers.
    """
    makers = makers_of(baselines, Speaker(model, manner, baselines.max_seq_length), system, wanted)
    for name in baselines.enabled:
        yield name, makers[name]()


def makers_of(
    baselines: Baselines, speaker: Speaker, system: str, wanted: Wanted
) -> Mapping[Kind, Callable[[], Baseline]]:
    """Say how each kind of baseline is made."""
    states = cache(lambda: States(speaker, system))  # two kinds see the training rows by them, which are read once

    def retrieved(search: Search) -> Retrieved:
        return Retrieved(speaker, system, search, many=baselines.retrieved_examples)

    def hosted() -> Hosted:
        return Hosted(there(baselines.hosted), system, wanted, max_new_tokens=speaker.manner.max_new_tokens)

    return {
        "majority": Majority,
        "tfidf": lambda: learned(WordsAndLetters(), wanted),
        "embedding": lambda: learned(states(), wanted),
        "sentence_embedding": lambda: learned(Sentences(Path(there(baselines.sentence_model))), wanted),
        "zero_shot": lambda: Plain(speaker, system),
        "best_prompt": lambda: BestPrompt(
            speaker, baselines.system_prompts, wanted, rows=baselines.validation_rows, seed=baselines.seed
        ),
        "few_shot": lambda: Shots(speaker, system, many=baselines.few_shot_examples, seed=baselines.seed),
        "few_shot_bm25": lambda: retrieved(ByWords()),
        "few_shot_knn": lambda: retrieved(Nearest(states(), wanted)),
        "rag": lambda: Knowledge(speaker, system, Path(baselines.rag_folder), many=baselines.rag_passages),
        "hosted": hosted,
    }


def learned(features: Features, wanted: Wanted) -> Baseline:
    """Give what learns from features: a linear classifier of labels; of texts, the completion of the nearest row."""
    return Linear(features, wanted) if wanted.labels else Nearest(features, wanted)


def there(value: Value | None) -> Value:
    """Give a value that params have checked to be there."""
    if value is None:
        raise ValueError("params let a baseline through without what it needs")
    return value
