"""How the fine-tuned model compares with each baseline, and what it costs to have one."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.arms import FINETUNED
from pipeline.params import Register
from pipeline.register.gate import is_significant_gain
from pipeline.register.power import required_rows
from pipeline.stats.paired_comparison import Comparison, holm_corrected

ARMS_BY_COST = (
    "majority", "tfidf", "embedding", "sentence_embedding", "zero_shot", "best_prompt", "few_shot", "few_shot_bm25",
    "few_shot_knn", "rag", FINETUNED, "hosted",
)  # fmt: skip
"""Arms from the cheapest to run and keep to the dearest. From `zero_shot` on they host a language model, as the
fine-tuned one does, with prompts that grow; it has the shortest, but is to be trained, kept and trained again. What is
not in the list is not taken to be cheaper."""


def cost_rank(arm: str) -> int:
    """The place of an arm among those by cost; the last for one that is not listed."""
    return ARMS_BY_COST.index(arm) if arm in ARMS_BY_COST else len(ARMS_BY_COST)


@dataclass(frozen=True)
class BaselineComparison:
    """The fine-tuned model against every baseline that does without fine-tuning, and the terms."""

    comparisons: Mapping[str, Comparison]
    metrics_by_arm: Mapping[str, Mapping[str, Any]]
    register: Register

    def metric_value(self, arm: str) -> float:
        """The metric of an arm."""
        return float(self.metrics_by_arm[arm][self.register.metric]["value"])

    @property
    def best(self) -> str:
        """The baseline with the most of the metric; of several the cheapest."""
        return max(self.comparisons, key=lambda arm: (self.metric_value(arm), -cost_rank(arm)))

    @property
    def corrected_p_values(self) -> dict[str, float]:
        """Of "no difference", corrected for the number of baselines."""
        return dict(
            zip(self.comparisons, holm_corrected([one.p_value for one in self.comparisons.values()]), strict=True)
        )

    def is_beaten(self, arm: str) -> bool:
        """Whether the fine-tuned model is significantly better by more than the least gain, looked at by itself."""
        return is_significant_gain(
            self.comparisons[arm], margin=self.register.min_gain, confidence=self.register.confidence
        )

    def significantly_better(self) -> list[str]:
        """Baselines that are significantly better, though they were picked out of many."""
        limit = 1 - self.register.confidence
        return [arm for arm, p in self.corrected_p_values.items() if p <= limit and self.comparisons[arm].high < 0]

    def non_inferior(self) -> list[str]:
        """Cheaper baselines that are non-inferior by the margin, corrected for their number.

        One test to one side, at the level of one side of the interval: a cheaper baseline having *more* speaks for it.
        """
        cheap = [arm for arm in self.comparisons if cost_rank(arm) < cost_rank(FINETUNED)]
        sure = holm_corrected([self.comparisons[arm].p_alike for arm in cheap])
        limit = (1 - self.register.confidence) / 2
        return [arm for arm, p in zip(cheap, sure, strict=True) if p <= limit]

    def rows_to_beat(self, arm: str) -> int | None:
        """How many rows show that a baseline is beaten."""
        return required_rows(self.comparisons[arm], margin=self.register.min_gain, confidence=self.register.confidence)

    def rows_to_prefer(self, arm: str) -> Iterator[int]:
        """Rows that show a baseline to be better, or cheaper and non-inferior, at the level of the first of so many."""
        confidence = 1 - (1 - self.register.confidence) / len(self.comparisons)
        margins = [0.0, -self.register.non_inferiority_margin] if cost_rank(arm) < cost_rank(FINETUNED) else [0.0]
        for margin in margins:
            rows = required_rows(self.comparisons[arm].reversed(), margin=margin, confidence=confidence)
            if rows is not None:
                yield rows
