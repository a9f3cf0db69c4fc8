"""A value that a file holds, which knows where it stands: whatever a page shows of it can be traced."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup


@dataclass(frozen=True)
class TracedValue:
    """A value in a recorded file. Where a template shows it, it stands in an element that names its source.

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
        """Where it is recorded: the file, and the place in it behind a `#`."""
        return f"{self.file}#{self.pointer}"

    def __html__(self) -> str:
        return self.__html_format__("")

    def __html_format__(self, form: str) -> str:
        """Write the value in HTML, with its source; a number in a format of Python's. MarkupSafe's protocol."""
        text = "-" if self.value is None else format(self.value, form)
        return Markup('<span data-source="{}">{}</span>').format(self.source, text)
