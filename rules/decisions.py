"""House rules of the demo's decisions that a schema cannot say."""

import json

PAYS = ("refund", "partial_refund", "credit")


def money(answer: str, _prompt: str) -> bool:
    """Say whether a decision gives an amount if, and only if, its action is one that pays."""
    try:
        decision = json.loads(answer)
        return (decision["amount"] > 0) == (decision["action"] in PAYS)
    except (ValueError, KeyError, TypeError):  # no JSON, or none that has these fields
        return False
