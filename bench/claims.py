"""Two ways of doing the same work, timed in turn: how many times as fast one is as the other, and how sure that is."""

import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

RESULTS = Path("data/bench")


@dataclass(frozen=True)
class Claim:
    """A claim as it was measured.

    Args:
        name: What `make bench CLAIM=...` calls it.
        unit: What is counted per second.
        ours: Of each round, units per second of tunesmith.
        peers: The same of each peer, by name.
    """

    name: str
    unit: str
    ours: Sequence[float]
    peers: dict[str, Sequence[float]]

    def ratios(self, peer: str) -> list[float]:
        """Of each round, how many times as fast as a peer we were."""
        return [own / other for own, other in zip(self.ours, self.peers[peer], strict=True)]

    def lines(self) -> list[str]:
        """Put it into words, a line for each peer."""
        own = statistics.median(self.ours)
        found = []
        for peer, speeds in self.peers.items():
            ratios = self.ratios(peer)
            found.append(
                f"{self.name:<14} {statistics.median(ratios):6.2f} x {peer:<30} (n={len(ratios)}, {min(ratios):.2f} to "
                f"{max(ratios):.2f}); {own:.2f} against {statistics.median(speeds):.2f} {self.unit}/s"
            )
        return found

    def write(self, **more: object) -> None:
        """Keep it in data/bench/, with the machine that it was measured on."""
        RESULTS.mkdir(parents=True, exist_ok=True)
        told = {
            "claim": self.name,
            "unit": f"{self.unit}/s",
            "ours": statistics.median(self.ours),
            "peers": {
                peer: {
                    "speed": statistics.median(speeds),
                    "ratio": statistics.median(self.ratios(peer)),
                    "min": min(self.ratios(peer)),
                    "max": max(self.ratios(peer)),
                    "n": len(speeds),
                }
                for peer, speeds in self.peers.items()
            },
            "hardware": {
                "machine": platform.machine(),
                "kernels": torch.backends.cpu.get_cpu_capability(),
                "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
                "threads": torch.get_num_threads(),
            },
            **more,
        }
        (RESULTS / f"{self.name}.json").write_text(json.dumps(told, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def in_turn(
    name: str, unit: str, ours: Callable[[int], float], peers: dict[str, Callable[[int], float]], rounds: int
) -> Claim:
    """Time ours and each peer in turn.

    Args:
        name: Of the claim.
        unit: What the functions count.
        ours: Does the work of a round, warms up before it, and returns units per second.
        peers: The same for each peer.
        rounds: How many rounds count.
    """
    own: list[float] = []
    others: dict[str, list[float]] = {peer: [] for peer in peers}
    for turn in range(rounds):
        for peer, work in peers.items():
            others[peer].append(work(turn))
        own.append(ours(turn))
        speeds = ", ".join(f"{peer} {found[-1]:.2f}" for peer, found in [("ours", own), *others.items()])
        sys.stderr.write(f"{name}: round {turn + 1} of {rounds}, {unit}/s: {speeds}\n")
    return Claim(name, unit, own, dict(others))


def gemm_peak() -> float:
    """Multiply-adds per second that the machine reaches in one large product of matrices, times two (FLOP/s)."""
    size = 2048
    first, second = torch.rand(size, size), torch.rand(size, size)
    best = float("inf")
    for _ in range(12):
        started = time.perf_counter()
        first @ second
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best
