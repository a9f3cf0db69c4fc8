"""Which rival a name in params stands for."""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TypeVar

from pipeline.generate import Manner
from pipeline.params import Kind, Model, Rivals
from pipeline.rival.endpoint import Hosted
from pipeline.rival.features import Features, WordsAndLetters
from pipeline.rival.knowledge import Knowledge
from pipeline.rival.linear import Linear
from pipeline.rival.majority import Majority
from pipeline.rival.nearest import Nearest
from pipeline.rival.prompts import BestPrompt, Plain
from pipeline.rival.sentences import Sentences
from pipeline.rival.shape import Rival, Wanted
from pipeline.rival.shots import Retrieved, Search, Shots
from pipeline.rival.speaker import Speaker
from pipeline.rival.states import States
from pipeline.rival.words import ByWords

Value = TypeVar("Value")


def rivals_of(
    rivals: Rivals, model: Model, system: str, wanted: Wanted, manner: Manner
) -> Iterator[tuple[Kind, Rival]]:
    """Make the rivals that are asked for, one after the other; the base model is loaded for the first that needs it.

    Args:
        rivals: Which, and what they may use.
        model: The base model.
        system: Its system message.
        wanted: What is wanted of an answer.
        manner: How the base model answers.
    """
    makers = makers_of(rivals, Speaker(model, manner, rivals.max_tokens), system, wanted)
    for name in rivals.which:
        yield name, makers[name]()


def makers_of(rivals: Rivals, speaker: Speaker, system: str, wanted: Wanted) -> Mapping[Kind, Callable[[], Rival]]:
    """Say how each kind of rival is made."""
    states = cache(lambda: States(speaker, system))  # two kinds see the training rows by them, which are read once

    def retrieved(search: Search) -> Retrieved:
        return Retrieved(speaker, system, search, many=rivals.retrieved_shots)

    def hosted() -> Hosted:
        return Hosted(there(rivals.endpoint), system, wanted, max_new_tokens=speaker.manner.max_new_tokens)

    return {
        "majority": Majority,
        "tfidf": lambda: learned(WordsAndLetters(), wanted),
        "embedding": lambda: learned(states(), wanted),
        "sentences": lambda: learned(Sentences(Path(there(rivals.sentence_model))), wanted),
        "base": lambda: Plain(speaker, system),
        "prompts": lambda: BestPrompt(speaker, rivals.systems, wanted, rows=rivals.choose_rows, seed=rivals.seed),
        "shots": lambda: Shots(speaker, system, many=rivals.fixed_shots, seed=rivals.seed),
        "retrieved": lambda: retrieved(ByWords()),
        "retrieved_states": lambda: retrieved(Nearest(states(), wanted)),
        "knowledge": lambda: Knowledge(speaker, system, Path(rivals.knowledge), many=rivals.passages),
        "endpoint": hosted,
    }


def learned(features: Features, wanted: Wanted) -> Rival:
    """Give what learns from features: a linear classifier of labels; of texts, the completion of the nearest row."""
    return Linear(features, wanted) if wanted.labels else Nearest(features, wanted)


def there(value: Value | None) -> Value:
    """Give a value that params have checked to be there."""
    if value is None:
        raise ValueError("params let a rival through without what it needs")
    return value
