"""Calibration: whether predictions made with 80 % confidence are right 80 times in a hundred."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipeline.arrays import Floats, Indices
from pipeline.metrics.metric import Metric, bootstrap_metric, count_by_kind, proportion

CALIBRATION_BINS = 10


@dataclass(frozen=True)
class Confidences:
    """The confidence of each prediction, and which were right.

    Args:
        probabilities: Of its answer, from 0 to 1.
        correct: 1 or 0.
    """

    probabilities: Floats
    correct: Floats

    @property
    def bin_numbers(self) -> Indices:
        """The tenth in which each probability lies; 0.1 lies in the first, as in (0, 0.1]."""
        return np.clip(np.ceil(self.probabilities * CALIBRATION_BINS).astype(np.intp) - 1, 0, CALIBRATION_BINS - 1)


def expected_calibration_error(sure: Confidences, resamples: int, seed: int) -> Metric:
    """Expected calibration error (Naeini et al. 2015; Guo et al. 2017) in ten bins of equal width: smaller is better.

    The gap between how sure the answers of a bin are and how many are right, a mean over the rows. On few rows it is
    too large, and more so on draws of them, since chance makes gaps too: hence an interval that reaches far up.
    """
    gaps, bins = sure.correct - sure.probabilities, sure.bin_numbers

    def error(rows: Indices) -> Floats:
        errors: Floats = np.abs(count_by_kind(bins[rows], CALIBRATION_BINS, gaps[rows])).sum(axis=1) / rows.shape[1]
        return errors

    return bootstrap_metric(error, len(gaps), resamples, seed)


def reliability_bins(sure: Confidences) -> list[dict[str, Any]]:
    """Report for each bin that has rows its edges, its mean confidence and its accuracy."""
    reliability, bins = [], sure.bin_numbers
    for index in sorted(set(bins.tolist())):
        inside = bins == index
        reliability.append(
            {
                "from": index / CALIBRATION_BINS,
                "to": (index + 1) / CALIBRATION_BINS,
                "probability": float(sure.probabilities[inside].mean()),
                "right": asdict(proportion(sure.correct[inside])),
            }
        )
    return reliability


def confidences_of(probabilities: Sequence[float | None], right: Floats) -> Confidences | None:
    """Collect the confidences of an arm; None if a row has none."""
    known = [probability for probability in probabilities if probability is not None]
    return Confidences(np.array(known), right) if known and len(known) == len(right) else None
