"""The trained arms: the fine-tuned model and the champion, each with its base and its prompts; loaded, asked, timed."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.champion import Champion, read_champion
from pipeline.evaluate.forgetting import forgetting
from pipeline.evaluate.general_knowledge import General
from pipeline.generation.generate import Answer, Manner, answer
from pipeline.generation.latency import costs, seconds_of
from pipeline.model.adapters import load_base, merged, settle
from pipeline.model.base_model import Base, fetch
from pipeline.model.chat_template import Renderer, load_tokenizer
from pipeline.pairs import Pair
from pipeline.params import Evaluate, Model, Prompt
from pipeline.stats.paired_comparison import Terms

log = logging.getLogger(__name__)

TUNED, CHAMPION = "fine-tuned", "champion"


@dataclass(frozen=True)
class Arm:
    """A trained model that answers here: its base, its adapter, and the prompts it is given."""

    name: str
    base: Base
    model: Model
    adapter: Path
    renderer: Renderer
    prompts: Sequence[Sequence[int]]
    labels: Sequence[str]

    @property
    def title(self) -> str:
        """What its bar is called."""
        return f"evaluate {self.name}"


def arms_of(
    model: Model,
    prompt: Prompt,
    labels: Sequence[str],
    test: Sequence[Pair],
    prompts: Sequence[Sequence[int]],
    data: Path,
) -> list[Arm]:
    """List the trained arms: the fine-tuned model, and the champion with its own base and its own prompt."""
    base = fetch(model)
    renderer = Renderer(load_tokenizer(base.folder), prompt.system)
    tuned = Arm(TUNED, base, model, data / "finetune" / "adapter", renderer, prompts, labels)
    champion = read_champion(data / "champion")
    return [tuned] if champion is None else [tuned, champion_arm(champion, test)]


def champion_arm(champion: Champion, test: Sequence[Pair]) -> Arm:
    """Let the champion answer the rows as it was trained to: its base, its system message, its labels."""
    model = Model(**champion.release["model"])
    base = fetch(model)
    renderer = Renderer(load_tokenizer(base.folder), champion.release["prompt"]["system"])
    prompts = [renderer.prompt(pair.messages) for pair in test]
    return Arm(CHAMPION, base, model, champion.adapter, renderer, prompts, champion.release["labels"])


@dataclass(frozen=True)
class Answered:
    """What an arm answered, and what that took."""

    answers: list[Answer]
    cost: dict[str, Any]


def loaded(arm: Arm, evaluate: Evaluate, *, bare: bool = False) -> Any:
    """Load the model of an arm, or the base that it was made of."""
    settle(arm.model, evaluate.seed)
    return merged(load_base(arm.base.folder, arm.model), None if bare else arm.adapter)


def forgotten(arm: Arm, evaluate: Evaluate, terms: Terms, general: General) -> dict[str, Any]:
    """Measure what an arm forgot of its base."""
    both = partial(loaded, arm, evaluate, bare=True), partial(loaded, arm, evaluate)
    found = forgetting(general, *both, arm.renderer.tokenizer, terms)
    if found["texts"]:
        told = {name: found["texts"][name]["value"] for name in ("before", "after")}
        log.info("evaluate: loss on general texts %(before).3f nats a token before, %(after).3f after", told)
    return found


def answers_of(arm: Arm, evaluate: Evaluate, timed: int) -> Answered:
    """Answer every row with one arm; then some of them again, one by one, to time a request."""
    model = loaded(arm, evaluate)
    manner = Manner(arm.labels, evaluate.max_new_tokens, evaluate.batch_size)
    found: list[Answer] = []
    seconds = seconds_of(lambda: found.extend(answer(model, arm.renderer, arm.prompts, manner, progress=arm.title)))
    log.info("evaluate: %s: %d rows in %.0f s, %.1f rows/s", arm.name, len(found), seconds, len(found) / seconds)
    requests = [seconds_of(partial(answer, model, arm.renderer, [one], manner)) for one in arm.prompts[:timed]]
    tokens = {"tokens_in": sum(map(len, arm.prompts)), "tokens_out": sum(one.tokens for one in found)}
    return Answered(found, {"rows": len(found), **tokens, **costs(seconds, len(found), requests)})
