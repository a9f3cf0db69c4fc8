"""Settings of property tests: the same examples every time, and no deadline, since other work shares the machine."""

from hypothesis import settings

PROPERTY = settings(max_examples=60, derandomize=True, deadline=None)
