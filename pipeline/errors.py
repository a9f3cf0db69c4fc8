"""The one exception that a user is meant to read: one line that says where, what, and what to do."""


class UserError(Exception):
    """Something that the user can put right; shown as one line, without a traceback.

    Args:
        where: The file, row or parameter, as precisely as it is known.
        what: What is wrong there.
        expected: What would have been right; left out when *what* says it.
        got: What was there instead.
        do: What to do about it.
    """

    def __init__(self, where: str, what: str, *, expected: str = "", got: str = "", do: str = "") -> None:
        parts = [f"{where}: {what}"]
        if expected:
            parts.append(f"expected {expected}")
        if got:
            parts.append(f"got {got}")
        if do:
            parts.append(do)
        super().__init__(" ".join("; ".join(parts).split()))
        self.where = where
        self.what = what
