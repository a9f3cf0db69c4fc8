"""What each arm costs in money, and from how many requests on the fine-tuned model has earned back its training.

Prices are those of params, seconds and tokens those that were measured. What runs on a machine of one's own costs the
seconds that it takes, the machine kept busy: one that idles costs the more per request the longer it waits. A hosted
model costs its tokens.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

from pipeline.arms import FINETUNED, HOSTED
from pipeline.params import Prices

PRICED_REQUESTS = 1000
"""Requests that a price is told of."""
HOUR = 3600
NOT_KNOWN = "not known"


@dataclass(frozen=True)
class ArmUsage:
    """What an arm took: seconds to make it, rows a second, tokens a row, seconds of a request by itself.

    None for what nobody told.
    """

    fit_seconds: float
    rows_per_second: float
    tokens_in: float | None
    tokens_out: float | None
    request_p50: float | None
    request_p95: float | None


@dataclass(frozen=True)
class ArmCost:
    """What an arm costs.

    Args:
        arm: Its name.
        upfront: What making it cost, once.
        per_1000: What a thousand requests cost; None if it is not known.
        rows_per_second: Many rows answered together.
        request_p50: Seconds of a request by itself, in the middle.
        request_p95: Of 95 in 100 requests, at most.
        tokens_in: That a request reads.
        tokens_out: That it writes.
        break_even: The request from which on the fine-tuned model costs less in all; None if it never does, or if that
            is not known.
        earned_back: The same in words.
    """

    arm: str
    upfront: float
    per_1000: float | None
    rows_per_second: float
    request_p50: float | None
    request_p95: float | None
    tokens_in: float | None
    tokens_out: float | None
    break_even: int | None = None
    earned_back: str = ""


def read_usage(files: Mapping[str, Any]) -> dict[str, ArmUsage]:
    """Gather what each arm took from the files of the stages.

    Args:
        files: `finetune/cost.json`, `evaluate/cost.json`, `baselines/cost.json` and `baselines/report.json`.
    """
    reports, baselines = files["baselines/report.json"]["baselines"], files["baselines/cost.json"]
    usage = {name: arm_usage(cost, reports[name], cost["fit_seconds"]) for name, cost in baselines.items()}
    trained = files["finetune/cost.json"]["seconds"]
    for name, cost in files["evaluate/cost.json"].items():  # what made the champion is spent, whatever comes
        usage[name] = arm_usage(cost, cost, trained if name == FINETUNED else 0.0)
    return usage


def arm_usage(cost: Mapping[str, Any], report: Mapping[str, Any], made_seconds: float) -> ArmUsage:
    """Put together what an arm took, tokens by the row."""
    each = [None if report[name] is None else report[name] / report["rows"] for name in ("tokens_in", "tokens_out")]
    request = cost["request_seconds"]
    return ArmUsage(made_seconds, cost["rows_per_second"], each[0], each[1], request["p50"], request["p95"])


def arm_costs(arms: Mapping[str, ArmUsage], prices: Prices) -> Iterator[ArmCost]:
    """Give what each arm costs, the fine-tuned one first."""
    priced = {name: arm_cost(name, took, prices) for name, took in arms.items()}
    own = priced.pop(FINETUNED)
    yield own
    for other in priced.values():
        volume = None if other.per_1000 is None else break_even(own, other)
        words = NOT_KNOWN if other.per_1000 is None else break_even_phrase(volume)
        yield ArmCost(**{**asdict(other), "break_even": volume, "earned_back": words})


def arm_cost(name: str, took: ArmUsage, prices: Prices) -> ArmCost:
    """Give what an arm costs by itself."""
    upfront = 0.0 if name == HOSTED else took.fit_seconds * prices.machine_hour / HOUR
    each = hosted_price(took, prices) if name == HOSTED else prices.machine_hour / HOUR / took.rows_per_second
    return ArmCost(
        name, upfront, None if each is None else PRICED_REQUESTS * each, took.rows_per_second, took.request_p50,
        took.request_p95, took.tokens_in, took.tokens_out,
    )  # fmt: skip


def hosted_price(took: ArmUsage, prices: Prices) -> float | None:
    """Give what a request to a hosted model costs; None if its tokens or their price are not known."""
    parts = ((took.tokens_in, prices.tokens_in_million), (took.tokens_out, prices.tokens_out_million))
    known = [tokens * price / 1e6 for tokens, price in parts if tokens is not None and price is not None]
    return sum(known) if len(known) == len(parts) else None


def break_even(own: ArmCost, other: ArmCost) -> int | None:
    """Give the first request from which on one arm costs less in all than another; None if that never lasts.

    Raises:
        ValueError: If what a request costs is not known.
    """
    if own.per_1000 is None or other.per_1000 is None:
        raise ValueError("what a request costs must be known")
    # In whole fractions: where both cost the same at a whole number of requests, a rounded quotient may fall short.
    more = Fraction(own.upfront) - Fraction(other.upfront)
    saved = (Fraction(other.per_1000) - Fraction(own.per_1000)) / PRICED_REQUESTS
    if saved < 0 or (saved == 0 and more >= 0):
        return None
    return 1 if more < 0 else math.floor(more / saved) + 1


def break_even_phrase(volume: int | None) -> str:
    """Say a break-even volume."""
    if volume is None:
        return "never"
    return "from the first request on" if volume == 1 else f"from {volume:,} requests on"


def cost_sentence(costs: Mapping[str, ArmCost], baseline: str, called: str, currency: str) -> str:
    """Say to whoever pays what the fine-tuned model costs beside a baseline."""
    own, other = costs[FINETUNED], costs[baseline]
    made = f"The training cost {format_money(own.upfront, currency)}"
    if own.per_1000 is None or other.per_1000 is None:
        return f"{made}; what a thousand answers of {called} cost is not known: its tokens or their price are not told."
    ours, theirs = format_money(own.per_1000, currency), format_money(other.per_1000, currency)
    each = f"a thousand answers cost {ours}, by {called} {theirs}"
    if other.break_even is None:
        return f"{made} and {each}: against it that is never earned back."
    return f"{made} and {each}: against it that is earned back {other.earned_back}."


def format_money(amount: float, currency: str) -> str:
    """Write an amount: from a hundred on in whole units, smaller ones with three digits that tell something."""
    return f"{currency} {amount:,.0f}" if amount >= 100 else f"{currency} {amount:.3g}"
