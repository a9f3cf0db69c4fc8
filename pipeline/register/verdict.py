"""Was the fine-tuning worth it: ship it, use something simpler, or find more test rows."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.arms import CHAMPION, FINETUNED
from pipeline.holdout.reuse import HoldoutUse
from pipeline.params import Register
from pipeline.register.baseline_comparison import BaselineComparison, cost_rank
from pipeline.register.gate import ARM_NAMES, format_count
from pipeline.register.power import minimum_detectable
from pipeline.stats.paired_comparison import Comparison

VerdictAnswer = Literal["ship", "baseline", "unsure"]
INCONCLUSIVE = "Not enough evidence."
ArmVerdict = Literal["fine-tuned", "beaten", "better", "non-inferior", "undecided"]


@dataclass(frozen=True)
class VerdictLine:
    """A line of the table: an arm with its metric, how much more the fine-tuned model has, and a word.

    `p_value` is corrected for the number of baselines. The word: `beaten`, `better`, `non-inferior` or `undecided`.
    """

    arm: str
    word: ArmVerdict
    value: float
    low: float
    high: float
    n: int
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    p_value: float | None = None


@dataclass(frozen=True)
class Verdict:
    """What to do.

    Args:
        answer: `ship` the fine-tuned model, use a `baseline`, or `unsure`.
        metric: By which measure.
        baseline: Which baseline.
        more_rows: How many more test rows would settle it, if it is not settled and a number of rows can.
        smallest: The smallest gain over the best baseline that these rows show four times in five; None: not any.
        text: All of it for people, a paragraph.
        table: Every arm, the best first.
    """

    answer: VerdictAnswer
    metric: str
    baseline: str | None
    more_rows: int | None
    smallest: float | None
    text: str
    table: tuple[VerdictLine, ...]


def decide_verdict(metrics: Mapping[str, Any], register: Register, use: HoldoutUse | None = None) -> Verdict:
    """Answer whether the fine-tuning was worth it, by the first of these rules that holds.

    1. *Ship*: it is significantly better than every baseline, by more than `min_gain`: the interval of
       each difference and its p-value. All have to be beaten, so nothing is corrected (Berger 1982).
    2. *Use baseline X*: one is significantly better, corrected for the number of baselines (Holm 1979); of several the
       one with the most of the metric. Else a cheaper one is non-inferior: significantly worse by less than
       `equivalent`, corrected likewise; of several the cheapest.
    3. *Unsure*: how many rows would settle it one way or the other, if the differences stay as they were seen.

    Test rows that decided more often than `max_holdout_uses` ship nothing: models chosen by them fit them by chance.
    They may still show that a baseline is better or non-inferior: wear favours the fine-tuned model.

    The champion is no baseline here: it was fine-tuned too. The gate compares with it.
    """
    comparisons = {arm: Comparison.from_dict(one) for arm, one in metrics["comparisons"].items() if arm != CHAMPION}
    compared = BaselineComparison(comparisons, metrics["arms"], register)
    if not comparisons:
        text = "Not enough evidence: no baseline answered that does without fine-tuning."
        return Verdict("unsure", register.metric, None, None, None, text, tuple(verdict_lines(compared, "unsure")))
    answer, baseline = apply_rules(compared)
    spent = use is not None and use.decisions > register.max_holdout_uses
    if spent and answer == "ship":
        answer = "unsure"
    more = rows_needed(compared) if answer == "unsure" and not spent else None
    least = minimum_detectable(
        comparisons[baseline or compared.best], margin=register.min_gain, confidence=register.confidence
    )
    first = verdict_sentence(compared, answer, baseline, more)
    if spent and use is not None:
        first = f"{INCONCLUSIVE if answer == 'unsure' else first} {worn_holdout_sentence(use, register)}"
    text = " ".join((first, numbers_sentence(compared, baseline or compared.best), detectable_sentence(least)))
    return Verdict(answer, register.metric, baseline, more, least, text, tuple(verdict_lines(compared, answer)))


def apply_rules(compared: BaselineComparison) -> tuple[VerdictAnswer, str | None]:
    """Apply the rules."""
    if all(compared.is_beaten(arm) for arm in compared.comparisons):
        return "ship", None
    if better := compared.significantly_better():
        return "baseline", max(better, key=lambda arm: (compared.metric_value(arm), -cost_rank(arm)))
    if alike := compared.non_inferior():
        return "baseline", min(alike, key=cost_rank)
    return "unsure", None


def rows_needed(compared: BaselineComparison) -> int | None:
    """How many more rows would settle it, by whichever rule wants the fewest; None if none will, or millions."""
    ship = [compared.rows_to_beat(arm) for arm in compared.comparisons if not compared.is_beaten(arm)]
    ways = [rows for arm in compared.comparisons for rows in compared.rows_to_prefer(arm)]
    ways += [max(rows for rows in ship if rows is not None)] if None not in ship else []
    n = next(iter(compared.comparisons.values())).n
    return max(1, min(ways) - n) if ways else None


def verdict_lines(compared: BaselineComparison, answer: VerdictAnswer) -> Iterator[VerdictLine]:
    """Write a line for the fine-tuned model and each baseline, the best first."""
    words, p_values = arm_verdicts(compared, answer), compared.corrected_p_values
    for arm in sorted(
        [FINETUNED, *compared.comparisons], key=lambda arm: (-compared.metric_value(arm), cost_rank(arm))
    ):
        own = {
            part: compared.metrics_by_arm[arm][compared.register.metric][part] for part in ("value", "low", "high", "n")
        }
        if arm == FINETUNED:
            yield VerdictLine(arm, "fine-tuned", **own)
            continue
        comparison = compared.comparisons[arm]
        yield VerdictLine(arm, words[arm], **own, difference=comparison.difference, difference_low=comparison.low,
                   difference_high=comparison.high, p_value=p_values[arm])  # fmt: skip


def arm_verdicts(compared: BaselineComparison, answer: VerdictAnswer) -> dict[str, ArmVerdict]:
    """Say of each baseline by itself what is sure of it, corrected for their number unless all are beaten."""
    limit, p_values = 1 - compared.register.confidence, compared.corrected_p_values
    sure = {
        arm for arm in compared.comparisons if compared.is_beaten(arm) and (answer == "ship" or p_values[arm] <= limit)
    }
    words: dict[str, ArmVerdict] = dict.fromkeys(compared.comparisons, "undecided")
    words |= dict.fromkeys(sure, "beaten")
    if answer != "ship":
        words |= dict.fromkeys(compared.non_inferior(), "non-inferior")
    return words | dict.fromkeys(compared.significantly_better(), "better")


def verdict_sentence(
    compared: BaselineComparison, answer: VerdictAnswer, baseline: str | None, more: int | None
) -> str:
    """Say what to do, and why, in a sentence."""
    names = ", ".join(arm_name(arm) for arm in compared.comparisons)
    if answer == "ship":
        least = f" by more than {points_text(compared.register.min_gain)}" if compared.register.min_gain else ""
        return f"Ship the fine-tuned model: it is significantly better{least} than every baseline ({names})."
    if baseline is not None and baseline in compared.significantly_better():
        return f"Use {arm_name(baseline)} instead: it is significantly better than the fine-tuned model."
    if baseline is not None:
        alike = (
            f"is non-inferior, significantly less than {points_text(compared.register.non_inferiority_margin)} behind"
        )
        return f"Use {arm_name(baseline)} instead: it needs no training of its own and {alike}."
    if more is None:
        return "Not enough evidence, and as the differences stand no number of test rows would settle it."
    return f"Not enough evidence: you need about {more:,} more test rows, if the differences stay as they are."


def worn_holdout_sentence(use: HoldoutUse, register: Register) -> str:
    """Say that the test rows decided too often to be believed."""
    return (
        f"These test rows have decided about {format_count(use.decisions)} models, more than the "
        f"{register.max_holdout_uses} that are allowed, and models chosen by the same rows fit them "
        "by chance: bring fresh ones."
    )


def numbers_sentence(compared: BaselineComparison, baseline: str) -> str:
    """Say the numbers of the fine-tuned model, of the baseline that counts, and the difference of the two."""
    metric, comparison = compared.register.metric, compared.comparisons[baseline]
    tuned, other = (compared.metrics_by_arm[arm][metric] for arm in (FINETUNED, baseline))
    of = (
        f", the best of {len(compared.comparisons)} baselines,"
        if baseline == compared.best and len(compared.comparisons) > 1
        else ""
    )
    return (
        f"On {comparison.n:,} held-out test rows, the fine-tuned model has {metric} {percent_text(tuned)}; "
        f"{arm_name(baseline)}{of} {percent_text(other)}. That is {points_text(comparison.difference, signed=True)} "
        f"({100 * compared.register.confidence:g} % interval {100 * comparison.low:+.1f} "
        f"to {100 * comparison.high:+.1f})."
    )


def detectable_sentence(least: float | None) -> str:
    """Say what the test set could have shown."""
    if least is None:
        return "So few test rows can show no gain at all."
    return f"A test of this size shows a true gain of {points_text(least)} or more in four cases of five."


def arm_name(arm: str) -> str:
    """What people call an arm."""
    return ARM_NAMES.get(arm, arm)


def percent_text(metric: Mapping[str, Any]) -> str:
    """Write a metric in percent, with its interval."""
    return f"{100 * metric['value']:.1f} % (95 % interval {100 * metric['low']:.1f} to {100 * metric['high']:.1f})"


def points_text(value: float, *, signed: bool = False) -> str:
    """Write a difference in points of a hundred."""
    number = f"{100 * value:+.1f}" if signed else f"{100 * value:.1f}"
    return f"{number} points"
