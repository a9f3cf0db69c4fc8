"""What every section of params.yaml is, and the kinds of values that several of them have."""

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]

COMMIT = re.compile(r"^[0-9a-f]{40}$")


def require_commit(revision: str) -> None:
    """Refuse a revision of the Hub that may name something else tomorrow."""
    if not COMMIT.match(revision):
        raise ValueError("a branch or tag can move; give the full commit of 40 hex digits after @")


class Section(BaseModel):
    """One section of params.yaml: no unknown keys, no conversions, no changes after reading."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
