"""Section on prices: what running and training cost, for the page and the verdict's words, never for its choice."""

from typing import Annotated

from pydantic import Field

from pipeline.params.section import Section

Price = Annotated[float, Field(ge=0)]


class Prices(Section):
    """What people pay; read by register alone, so that another price trains and answers nothing anew."""

    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    """ISO 4217, as in EUR."""
    machine_hour: Price
    """An hour of this machine, on which everything but a hosted model runs."""
    tokens_in_million: Price | None
    tokens_out_million: Price | None
    """A million tokens that the baseline `endpoint` reads, and writes; null: not known, and then nor is its cost."""
