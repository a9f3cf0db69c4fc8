"""A value that a file holds, which knows where it stands: whatever a page shows of it can be traced."""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any


@dataclass(frozen=True)
class TracedValue:
    """A value in a recorded file.

    Args:
        file: Below `data/`.
        value: What stands there, as JSON has it.
        pointer: Where in the file (JSON Pointer, RFC 6901); empty for all of it.
    """

    file: str
    value: Any
    pointer: str = ""

    def __getitem__(self, key: str | int) -> "TracedValue":
        """Go to a member of an object or an item of a list.

        Raises:
            KeyError, IndexError: If there is none.
        """
        step = str(key).replace("~", "~0").replace("/", "~1")
        return TracedValue(self.file, self.value[key], f"{self.pointer}/{step}")

    def __iter__(self) -> Iterator["TracedValue"]:
        """Give the items of a list, or the members of an object, in their order."""
        keys = self.value if isinstance(self.value, dict) else range(len(self.value))
        return (self[key] for key in keys)

    def __contains__(self, key: object) -> bool:
        """Say whether an object has a member."""
        return key in self.value

    @property
    def key(self) -> str:
        """The name under which it stands."""
        return self.pointer.rpartition("/")[2].replace("~1", "/").replace("~0", "~")

    @property
    def source(self) -> str:
        """The attribute that tells of an element where what it shows is recorded."""
        return f"data-source='{escape(f'{self.file}#{self.pointer}')}'"

    def shown(self, form: str = "") -> str:
        """Write the value in HTML, with its source; a number in a format of Python's."""
        return f"<span {self.source}>{escape(format(self.value, form))}</span>"


def interval_text(metric: TracedValue, form: str = ".3f", *, low: str = "low", high: str = "high") -> str:
    """Write both ends of an interval."""
    return f"{metric[low].shown(form)} to {metric[high].shown(form)}"


def metric_cell(metric: TracedValue) -> str:
    """Write a metric as a cell: its value, and in small its interval and of how many rows it is."""
    return (
        f"<td class='n'>{metric['value'].shown('.3f')}"
        f"<br><small>{interval_text(metric)}, n {metric['n'].shown(',')}</small></td>"
    )
