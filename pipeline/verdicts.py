"""What the verdicts of the gate are called wherever people read them."""

VERDICT_WORDS = {
    "promote": "promoted: it is the champion now",
    "keep": "not promoted: recorded as challenger",
    "unchanged": "unchanged: these weights are the champion's already",
}
