"""The trained arms: the fine-tuned model and the champion, each with its base and its prompts; loaded, asked, timed."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.arms import CHAMPION, FINETUNED
from pipeline.champion import Champion, read_champion
from pipeline.evaluate.forgetting import measure_forgetting
from pipeline.evaluate.general_knowledge import ForgettingProbe
from pipeline.generation.generate import GenerationConfig, Prediction, answer_prompts
from pipeline.generation.latency import elapsed_seconds, measure_latency
from pipeline.model.adapters import load_base, load_merged, seed_everything
from pipeline.model.base_model import BaseModel, fetch_base_model
from pipeline.model.chat_template import PromptEncoder, load_tokenizer
from pipeline.pairs import Pair
from pipeline.params import Evaluate, Model, Prompt
from pipeline.stats.paired_comparison import ComparisonSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainedModel:
    """A trained model that answers here: its base, its adapter, and the prompts it is given."""

    name: str
    base_model: BaseModel
    model_params: Model
    adapter: Path
    prompt_encoder: PromptEncoder
    prompts: Sequence[Sequence[int]]
    labels: Sequence[str]

    @property
    def progress_title(self) -> str:
        """What its bar is called."""
        return f"evaluate {self.name}"


def trained_models(
    model: Model,
    prompt: Prompt,
    labels: Sequence[str],
    test: Sequence[Pair],
    prompts: Sequence[Sequence[int]],
    data: Path,
) -> list[TrainedModel]:
    """List the trained arms: the fine-tuned model, and the champion with its own base and its own prompt."""
    base = fetch_base_model(model)
    renderer = PromptEncoder(load_tokenizer(base.folder), prompt.system)
    tuned = TrainedModel(FINETUNED, base, model, data / "finetune" / "adapter", renderer, prompts, labels)
    champion = read_champion(data / "champion")
    return [tuned] if champion is None else [tuned, champion_model(champion, test)]


def champion_model(champion: Champion, test: Sequence[Pair]) -> TrainedModel:
    """Let the champion answer the rows as it was trained to: its base, its system message, its labels."""
    model = Model(**champion.release["model"])
    base = fetch_base_model(model)
    renderer = PromptEncoder(load_tokenizer(base.folder), champion.release["prompt"]["system"])
    prompts = [renderer.encode_prompt(pair.messages) for pair in test]
    return TrainedModel(CHAMPION, base, model, champion.adapter, renderer, prompts, champion.release["labels"])


@dataclass(frozen=True)
class ModelAnswers:
    """What an arm answered, and what that took."""

    predictions: list[Prediction]
    cost: dict[str, Any]


def load_arm(arm: TrainedModel, evaluate: Evaluate, *, bare: bool = False) -> Any:
    """Load the model of an arm, or the base that it was made of."""
    seed_everything(arm.model_params, evaluate.seed)
    return load_merged(load_base(arm.base_model.folder, arm.model_params), None if bare else arm.adapter)


def forgetting_of(
    arm: TrainedModel, evaluate: Evaluate, terms: ComparisonSettings, general: ForgettingProbe
) -> dict[str, Any]:
    """Measure what an arm forgot of its base."""
    both = partial(load_arm, arm, evaluate, bare=True), partial(load_arm, arm, evaluate)
    forgotten = measure_forgetting(general, *both, arm.prompt_encoder.tokenizer, terms)
    if forgotten["texts"]:
        losses = {name: forgotten["texts"][name]["value"] for name in ("before", "after")}
        log.info("evaluate: loss on general texts %(before).3f nats a token before, %(after).3f after", losses)
    return forgotten


def answer_with(arm: TrainedModel, evaluate: Evaluate, timed: int) -> ModelAnswers:
    """Answer every row with one arm; then some of them again, one by one, to time a request."""
    model = load_arm(arm, evaluate)
    manner = GenerationConfig(arm.labels, evaluate.max_new_tokens, evaluate.batch_size)
    predictions: list[Prediction] = []
    seconds = elapsed_seconds(
        lambda: predictions.extend(
            answer_prompts(model, arm.prompt_encoder, arm.prompts, manner, progress=arm.progress_title)
        )
    )
    log.info(
        "evaluate: %s: %d rows in %.0f s, %.1f rows/s", arm.name, len(predictions), seconds, len(predictions) / seconds
    )
    requests = [
        elapsed_seconds(partial(answer_prompts, model, arm.prompt_encoder, [one], manner))
        for one in arm.prompts[:timed]
    ]
    tokens = {"tokens_in": sum(map(len, arm.prompts)), "tokens_out": sum(one.tokens for one in predictions)}
    return ModelAnswers(
        predictions, {"rows": len(predictions), **tokens, **measure_latency(seconds, len(predictions), requests)}
    )
