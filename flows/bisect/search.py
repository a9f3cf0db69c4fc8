"""The search: which step to evaluate next, so that few are evaluated."""

from collections.abc import Callable, Collection


def search_steps(size: int, is_bad: Callable[[int], bool | None], cheap: Collection[int] = ()) -> tuple[int, int]:
    """Find where good turns to bad among steps of which the first is taken for good and the last for bad.

    Looks at no more than log2(size - 1) steps, rounded up, that are not cheap, and at one more for each of which
    nothing can be said. Neither end is looked at.

    Args:
        size: How many steps there are.
        is_bad: Says of a step whether it is bad; None if that cannot be said. Asked once of a step.
        cheap: Steps that cost nothing to look at; they are looked at first.

    Returns:
        The last step that is good and the first that is bad. Nothing can be said of those between them.
    """
    good, bad, unknown = 0, size - 1, set[int]()
    while left := [step for step in range(good + 1, bad) if step not in unknown]:
        known = [step for step in left if step in cheap]
        step = min(known or left, key=lambda step: abs(2 * step - good - bad))
        answer = is_bad(step)
        if answer is None:
            unknown.add(step)
        elif answer:
            bad = step
        else:
            good = step
    return good, bad
