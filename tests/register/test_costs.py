"""Laws of what arms cost: at the break-even volume both cost the same, below it one, above it the other."""

import itertools
from dataclasses import replace
from typing import Any

import pytest

from pipeline.params import Prices
from pipeline.register.costs import ArmCost, ArmUsage, arm_costs, break_even, cost_sentence, format_money, read_usage

PRICES = Prices(currency="EUR", machine_hour=0.36, tokens_in_million=2.0, tokens_out_million=10.0)
TUNED = ArmUsage(3600, 4.0, 100, 5, 0.3, 0.4)
UNTIMED: dict[str, Any] = {
    **dict.fromkeys(("request_p50", "request_p95", "tokens_in", "tokens_out")),
    "rows_per_second": 1.0,
}
ARMS = {
    "zero_shot": ArmUsage(0.0, 2.0, 110, 5, 0.5, 0.6),
    "tfidf": ArmUsage(7.0, 1000.0, 0, 0, 0.001, 0.002),
    "hosted": ArmUsage(90.0, 1.5, 500, 20, 0.6, 2.0),
}


def told(prices: Prices = PRICES, **arms: ArmUsage) -> dict[str, ArmCost]:
    """Give what each arm costs, the fine-tuned one among them."""
    return {line.arm: line for line in arm_costs({"fine-tuned": TUNED, **(arms or ARMS)}, prices)}


def spent(line: ArmCost, requests: int) -> float:
    """What an arm has cost after so many requests."""
    return line.upfront + (line.per_1000 or 0.0) / 1000 * requests


def test_a_machine_costs_its_seconds_and_a_hosted_model_its_tokens() -> None:
    """At 0.36 an hour a second is a ten-thousandth; making a hosted model cost nothing."""
    found = told()
    assert (found["fine-tuned"].upfront, found["fine-tuned"].per_1000) == pytest.approx((0.36, 0.025))
    assert (found["zero_shot"].upfront, found["zero_shot"].per_1000) == pytest.approx((0.0, 0.05))
    assert (found["hosted"].upfront, found["hosted"].per_1000) == pytest.approx((0.0, 1.2))


@pytest.mark.parametrize(
    ("rate", "made"), list(itertools.product([0.5, 2.0, 3.9, 3.999], [0.0, 100.0, 3599.9])), ids=str
)
def test_at_the_volume_the_cheaper_one_changes(rate: float, made: float) -> None:
    """One request before it the fine-tuned model has cost no less, at it less, and so ever after."""
    found = told(zero_shot=replace(ARMS["zero_shot"], rows_per_second=rate, fit_seconds=made))
    own, other = found["fine-tuned"], found["zero_shot"]
    volume = other.break_even
    assert volume is not None
    slack = 1e-9 * spent(own, volume)
    assert spent(own, volume - 1) >= spent(other, volume - 1) - slack
    assert spent(own, volume) < spent(other, volume) + slack
    assert all(spent(own, volume * times) < spent(other, volume * times) for times in (2, 1000))


@pytest.mark.parametrize(
    ("rate", "made", "volume", "words"),
    [
        (2.0, 3600.0, 1, "from the first request on"),  # as dear to make, dearer to ask
        (2.0, 7200.0, 1, "from the first request on"),
        (4.0, 7200.0, 1, "from the first request on"),  # as dear to ask, dearer to make
        (4.0, 3600.0, None, "never"),  # the same in all
        (4.0, 0.0, None, "never"),
        (8.0, 0.0, None, "never"),
        (8.0, 7200.0, None, "never"),  # cheaper at first, dearer in the end
        (2.0, 0.0, 14401, "from 14,401 requests on"),
    ],
)
def test_the_ends_are_said_in_words(rate: float, made: float, volume: int | None, words: str) -> None:
    """Equal costs are no gain, and a gain that does not last is none."""
    found = told(zero_shot=replace(ARMS["zero_shot"], rows_per_second=rate, fit_seconds=made))["zero_shot"]
    assert (found.break_even, found.earned_back) == (volume, words)


def test_other_prices_change_no_volume_among_arms_of_one_machine() -> None:
    """All of it is seconds."""
    dear = told(PRICES.model_copy(update={"machine_hour": 36.0}))
    assert [dear[arm].break_even for arm in ("zero_shot", "tfidf")] == [
        told()[arm].break_even for arm in ("zero_shot", "tfidf")
    ]


@pytest.mark.parametrize("gap", [{"tokens_in_million": None}, {"tokens_out_million": None}])
def test_a_price_that_is_not_known_makes_no_cost(gap: dict[str, Any]) -> None:
    """Nor a break-even volume; the sentence says so."""
    found = told(PRICES.model_copy(update=gap))
    assert (found["hosted"].per_1000, found["hosted"].earned_back) == (None, "not known")
    assert "is not known: its tokens or their price" in cost_sentence(found, "hosted", "the hosted model", "EUR")
    with pytest.raises(ValueError, match="must be known"):
        break_even(found["fine-tuned"], found["hosted"])


def test_the_sentence_tells_both_prices_and_when_it_pays() -> None:
    """For whoever pays."""
    told_of = "The training cost EUR 0.36 and a thousand answers cost EUR 0.025, by the base model EUR 0.05: "
    assert cost_sentence(told(), "zero_shot", "the base model", "EUR") == told_of + (
        "against it that is earned back from 14,401 requests on."
    )
    assert cost_sentence(told(), "tfidf", "tfidf", "EUR").endswith("against it that is never earned back.")


@pytest.mark.parametrize(
    ("amount", "words"), [(0.0000123, "EUR 1.23e-05"), (0.5, "EUR 0.5"), (12.345, "EUR 12.3"), (12345.6, "EUR 12,346")]
)
def test_amounts_are_written_to_three_digits(amount: float, words: str) -> None:
    """Thousands by their commas."""
    assert format_money(amount, "EUR") == words


def test_what_was_taken_is_gathered_from_the_files() -> None:
    """Tokens by the row; what made the champion is spent."""
    request = {"request_seconds": {"n": 1, "p50": 0.1, "p95": 0.2}, "rows_per_second": 3.0}
    answered = {**request, "rows": 4, "tokens_in": 40, "tokens_out": 8}
    found = read_usage(
        {
            "finetune/cost.json": {"seconds": 231.0},
            "evaluate/cost.json": {"fine-tuned": answered, "champion": answered},
            "baselines/cost.json": {"zero_shot": {**request, "fit_seconds": 2.0}},
            "baselines/report.json": {"baselines": {"zero_shot": {"rows": 4, "tokens_in": None, "tokens_out": 2}}},
        }
    )
    assert found == {
        "zero_shot": ArmUsage(2.0, 3.0, None, 0.5, 0.1, 0.2),
        "fine-tuned": ArmUsage(231.0, 3.0, 10, 2, 0.1, 0.2),
        "champion": ArmUsage(0.0, 3.0, 10, 2, 0.1, 0.2),
    }


@pytest.mark.parametrize("gain", range(1, 60, 7))
def test_a_tie_at_a_whole_number_of_requests_is_not_yet_a_gain(gain: int) -> None:
    """One request later it is, whatever a rounded quotient would say."""
    own = ArmCost("fine-tuned", upfront=float(gain), per_1000=1.0, **UNTIMED)
    other = ArmCost("zero_shot", upfront=0.0, per_1000=101.0, **UNTIMED)
    assert break_even(own, other) == 10 * gain + 1
