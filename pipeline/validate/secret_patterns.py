"""Patterns of keys and tokens: those of `detect-secrets`, which others maintain, and a few that it lacks."""

import re
from typing import cast

from detect_secrets.plugins.azure_storage_key import AzureStorageKeyDetector
from detect_secrets.plugins.base import RegexBasedDetector
from detect_secrets.plugins.discord import DiscordBotTokenDetector
from detect_secrets.plugins.github_token import GitHubTokenDetector
from detect_secrets.plugins.gitlab_token import GitLabTokenDetector
from detect_secrets.plugins.mailchimp import MailchimpDetector
from detect_secrets.plugins.pypi_token import PypiTokenDetector
from detect_secrets.plugins.sendgrid import SendGridDetector
from detect_secrets.plugins.slack import SlackDetector
from detect_secrets.plugins.square_oauth import SquareOAuthDetector
from detect_secrets.plugins.stripe import StripeDetector
from detect_secrets.plugins.telegram_token import TelegramBotTokenDetector
from detect_secrets.plugins.twilio import TwilioKeyDetector

DETECTORS: tuple[type[RegexBasedDetector], ...] = (
    AzureStorageKeyDetector, DiscordBotTokenDetector, GitHubTokenDetector, GitLabTokenDetector, MailchimpDetector,
    PypiTokenDetector, SendGridDetector, SlackDetector, SquareOAuthDetector, StripeDetector, TelegramBotTokenDetector,
    TwilioKeyDetector,
)  # fmt: skip
"""Tokens that tell by themselves. Not those that need code around them (`password = "..."`, entropy: a text is no code)
or that take quadratic time (`//.+/:_authToken=`)."""
OWN_PATTERNS = (
    # With its body, which a detector of files may leave out.
    r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----(?:[\s\S]*?-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|[\s\S]*)",
    r"\b(?:A3T[A-Z0-9]|ABIA|ACCA|AKIA|ASIA)[0-9A-Z]{16}\b",  # its end: a long word in capitals is no key
    r"\bgh[pousr]_[A-Za-z0-9]{36,}",
    r"\bgithub_pat_[A-Za-z0-9_]{40,}",
    r"\bxox[abprs]-[A-Za-z0-9-]{10,}",
    r"\bsk-[A-Za-z0-9_-]{20,}",
    r"\bAIza[A-Za-z0-9_-]{35}",
    r"\bhf_[A-Za-z0-9]{30,}",
    r"\bnpm_[A-Za-z0-9]{36}\b",
    r"\b[sr]k_live_[A-Za-z0-9]{20,}",
    r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]+",
)
"""First, since they take the whole of a token that is longer than it was once."""


def portable_pattern(pattern: re.Pattern[str]) -> str:
    """Write a detector's pattern in the syntax that RE2 and Python have in common, from the beginning of a word.

    RE2 cannot look ahead to where a word ends; what is left of the word is taken with the token instead.
    """
    open_end = re.sub(r"\{(\d+),\d+\}\(\?!\\w\)", r"{\1,}", pattern.pattern)
    text = open_end.replace(r"(?!\w)", r"[A-Za-z0-9_-]*")
    return rf"\b(?{'i' if pattern.flags & re.IGNORECASE else ''}:{text})"


def detector_patterns(detector: type[RegexBasedDetector]) -> list[str]:
    """Give the patterns of a detector, in the common syntax."""
    return [portable_pattern(pattern) for pattern in cast("list[re.Pattern[str]]", detector.denylist)]


SECRET_PATTERN = "|".join((*OWN_PATTERNS, *(found for detector in DETECTORS for found in detector_patterns(detector))))
