"""The promotion log: who was champion when, by whom and why; append-only, kept in git."""

import getpass
import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from flows.paths import PROMOTIONS
from pipeline.errors import UserError

PromotionKind = Literal["gate", "promote", "rollback"]


@dataclass(frozen=True)
class Promotion:
    """One change of the champion of a name.

    Args:
        name: The model's name.
        adapter: SHA-256 of the weights that became champion.
        before: SHA-256 of those that were it until then; None if none were.
        how: `gate`: the verdict of register; `promote` and `rollback`: a person, by the command of that name.
        why: In words.
        state: The commit of the state that made the weights; None if it is not known.
        who: The user in whose name it was done; whoever runs this.
        at: When, in UTC; now.
    """

    name: str
    adapter: str
    before: str | None
    how: PromotionKind
    why: str
    state: str | None
    who: str = field(default_factory=getpass.getuser)
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @property
    def summary(self) -> str:
        """The promotion in one line."""
        over = f" in place of {self.before[:12]}" if self.before else ""
        return f"{self.at} {self.how} by {self.who}: {self.adapter[:12]}{over}: {self.why}"


def read_promotions(root: Path, name: str) -> list[Promotion]:
    """Read the moves of a name, the oldest first.

    Raises:
        UserError: If a line is no move.
    """
    path = root / PROMOTIONS
    lines = path.read_text(encoding="utf-8").split("\n") if path.exists() else []  # a reason may hold other line ends
    promotions = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            promotions.append(Promotion(**json.loads(line)))
        except (TypeError, json.JSONDecodeError) as error:
            raise UserError(
                f"{PROMOTIONS} line {number}", "is no move of a champion", do="bring the file back with git"
            ) from error
    return [move for move in promotions if move.name == name]


def append_promotion(root: Path, move: Promotion) -> None:
    """Add a move, on a line of its own whatever an editor made of the last one."""
    path = root / PROMOTIONS
    cut = path.exists() and path.read_bytes()[-1:] not in (b"", b"\n")
    with path.open("a", encoding="utf-8") as lines:
        lines.write(("\n" if cut else "") + json.dumps(asdict(move), ensure_ascii=False) + "\n")


def succession(promotions: list[Promotion]) -> list[str]:
    """List the champions that one can go back to, the present one last: a rollback takes back what put it there.

    A merge of two branches may leave one rollback twice; it counts once.
    """
    champions: list[str] = []
    for move in promotions:
        if move.before and not champions:
            champions.append(move.before)
        if move.how == "rollback" and move.adapter in champions:
            while champions[-1] != move.adapter:
                champions.pop()
        else:
            champions.append(move.adapter)
    return champions


def commit_of_promotion(promotions: list[Promotion], adapter: str) -> str | None:
    """Give the commit of the state that made these weights, as far as a move names it."""
    return next((move.state for move in promotions if move.adapter == adapter and move.state), None)
