"""Which baseline a name in params stands for."""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TypeVar

from pipeline.baselines.baseline import Baseline, BaselineTask
from pipeline.baselines.bm25 import BM25Retriever
from pipeline.baselines.few_shot import ExampleRetriever, FewShot, RetrievedFewShot
from pipeline.baselines.hidden_states import HiddenStates
from pipeline.baselines.hosted import HostedModel
from pipeline.baselines.language_model import BaselineLanguageModel
from pipeline.baselines.logistic_regression import LogisticRegressionBaseline
from pipeline.baselines.majority import MajorityBaseline
from pipeline.baselines.nearest_neighbour import NearestNeighbours
from pipeline.baselines.rag import RetrievalAugmented
from pipeline.baselines.sentence_embeddings import SentenceEmbeddings
from pipeline.baselines.tfidf import FeatureExtractor, TfidfFeatures
from pipeline.baselines.zero_shot import BestPrompt, ZeroShot
from pipeline.generation.generate import GenerationConfig
from pipeline.params import BaselineName, Baselines, Model

Value = TypeVar("Value")


def make_baselines(
    baselines: Baselines, model: Model, system: str, wanted: BaselineTask, manner: GenerationConfig
) -> Iterator[tuple[BaselineName, Baseline]]:
    """Make the baselines that are asked for, one after the other; the base model is loaded for the first that needs it.

    Args:
        baselines: Which, and what they may use.
        model: The base model.
        system: Its system message.
        wanted: What is wanted of an answer.
        manner: How the base model answers.
    """
    makers = baseline_factories(
        baselines, BaselineLanguageModel(model, manner, baselines.max_seq_length), system, wanted
    )
    for name in baselines.enabled:
        yield name, makers[name]()


def baseline_factories(
    baselines: Baselines, speaker: BaselineLanguageModel, system: str, wanted: BaselineTask
) -> Mapping[BaselineName, Callable[[], Baseline]]:
    """Say how each kind of baseline is made."""
    states = cache(
        lambda: HiddenStates(speaker, system)
    )  # two kinds see the training rows by them, which are read once

    def retrieved(search: ExampleRetriever) -> RetrievedFewShot:
        return RetrievedFewShot(speaker, system, search, many=baselines.retrieved_examples)

    def hosted() -> HostedModel:
        return HostedModel(
            required(baselines.hosted), system, wanted, max_new_tokens=speaker.generation_config.max_new_tokens
        )

    return {
        "majority": MajorityBaseline,
        "tfidf": lambda: feature_baseline(TfidfFeatures(), wanted),
        "embedding": lambda: feature_baseline(states(), wanted),
        "sentence_embedding": lambda: feature_baseline(
            SentenceEmbeddings(Path(required(baselines.sentence_model))), wanted
        ),
        "zero_shot": lambda: ZeroShot(speaker, system),
        "best_prompt": lambda: BestPrompt(
            speaker, baselines.system_prompts, wanted, rows=baselines.validation_rows, seed=baselines.seed
        ),
        "few_shot": lambda: FewShot(speaker, system, many=baselines.few_shot_examples, seed=baselines.seed),
        "few_shot_bm25": lambda: retrieved(BM25Retriever()),
        "few_shot_knn": lambda: retrieved(NearestNeighbours(states(), wanted)),
        "rag": lambda: RetrievalAugmented(speaker, system, Path(baselines.rag_folder), many=baselines.rag_passages),
        "hosted": hosted,
    }


def feature_baseline(features: FeatureExtractor, wanted: BaselineTask) -> Baseline:
    """Give what learns from features: a linear classifier of labels; of texts, the completion of the nearest row."""
    return LogisticRegressionBaseline(features, wanted) if wanted.labels else NearestNeighbours(features, wanted)


def required(value: Value | None) -> Value:
    """Give a value that params have checked to be there."""
    if value is None:
        raise ValueError("params let a baseline through without what it needs")
    return value
