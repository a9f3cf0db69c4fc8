"""The checks of every pair: a numeric column and its bounds."""

from dataclasses import dataclass

from pipeline.params import MaskableAction, Validate


@dataclass(frozen=True)
class RowCheck:
    """An expectation of every pair.

    Args:
        reason: Its code: in params, in the quarantine, on the page.
        expects: What is so of a good pair.
        column: The number that tells.
        least: Its smallest good value, or None.
        most: Its largest good value, or None.
        fix: What to do about pairs of which it is not so.
        fault: Whether the pair itself is wrong, and not only its neighbour's neighbour: faults count against
            `validate.max_quarantined_share`.
    """

    reason: str
    expects: str
    column: str
    least: int | None
    most: int | None
    fix: str
    fault: bool = True


def all_checks(validate: Validate) -> list[RowCheck]:
    """List all checks in their order; a pair that breaks several goes by the first."""
    return [*text_checks(validate), *neighbour_checks(validate), *balance_checks(validate)]


def text_checks(validate: Validate) -> list[RowCheck]:
    """List the checks of a pair by itself."""
    most, longest, languages = validate.max_prompt_chars, validate.max_completion_chars, validate.languages or ("any",)
    return [
        RowCheck(
            "empty_prompt", "the prompt is not empty", "question_seen", 1, None, "write it, or take the row out",
        ),
        RowCheck("empty_completion", "the completion is not empty", "completion_seen", 1, None,
              "write it, or take the row out"),
        RowCheck("prompt_too_long", f"the prompt has at most {most:,} characters", "prompt_chars", None, most,
              "shorten it, or raise validate.max_prompt_chars"),
        RowCheck("completion_too_long", f"the completion has at most {longest:,} characters", "completion_chars", None,
              longest, "shorten it, or raise validate.max_completion_chars"),
        RowCheck("control_characters", "no control or replacement characters", "control_chars", None, 0,
              "export the text again as UTF-8, without terminal codes"),
        RowCheck("mojibake", "no text that was decoded wrongly", "mojibake", None, 0,
              "export it again in the encoding it has, or name that as the source's encoding"),
        RowCheck("markup", "no words of chat templates, such as <|im_start|> or [INST]", "markup", None, 0,
              "take them out: the model would read them as the end of a turn"),
        RowCheck("secret", "no keys, tokens or other secrets", "secrets", None, 0,
              "take it out and revoke it: a model repeats what it was trained on"),
        RowCheck("pii", "no e-mail addresses, telephone, card or bank account numbers", "personal", None, 0,
              "take it out, or set validate.checks.pii to mask"),
        RowCheck("other_language", f"the question is in one of validate.languages ({', '.join(languages)})",
              "other_language", None, 0, "take it out, or add its language to validate.languages"),
        RowCheck("answer_in_prompt", "the completion does not stand in the prompt", "answer_in_prompt", None, 0,
              "take it out of the prompt, unless to copy it is the task"),
        RowCheck("not_json", "the completion is JSON, where prompt.task is json", "not_json", None, 0,
              "mend it; no key twice, no NaN"),
        RowCheck("unknown_label", "the completion is one of validate.labels", "label_unknown", None, 0,
              "mend the label, or add it to validate.labels"),
        RowCheck("label_spelling", "a label is always spelt the same, in case and whitespace too",
              "label_spelling", None, 0,
              "spell it as most rows do"),
    ]  # fmt: skip


def neighbour_checks(validate: Validate) -> list[RowCheck]:
    """List the checks of a pair among the others that are left by then."""
    alike = validate.near_duplicate_similarity
    return [
        RowCheck("duplicate", "no second copy of the same pair", "copy", None, 0, "take the copies out", fault=False),
        RowCheck("also_in_test", "no row of another split has the prompt of a test row", "in_test", None, 0,
              "take it out of one of them", fault=False),
        RowCheck("also_in_validation", "no training row has the prompt of a validation row", "in_validation", None, 0,
              "take it out of one of them", fault=False),
        RowCheck("scored_before",
              f"no row outside the test set is, or nearly is, one of an earlier test set (similarity {alike:g})",
              "scored_before", None, 0, "nothing: what a model was scored on is never trained on", fault=False),
        RowCheck("near_test", f"no training row is a near-duplicate of a given held-out set (similarity {alike:g})",
              "near_test", None, 0, "take it out of one of them: it makes the test easier than the world", fault=False),
        RowCheck("near_heldout",
              f"no training row is a near-duplicate of a row drawn for test or validation (similarity {alike:g})",
              "near_heldout", None, 0, "nothing: it is left out so that what is held out stays unseen", fault=False),
        RowCheck("near_duplicate", f"no two rows are near-duplicates with the same completion (similarity {alike:g})",
              "near_copies", None, 0, "keep one of them", fault=False),
        RowCheck("conflict", "one prompt has one completion", "answers", None, 1, "decide which completion is right"),
        RowCheck("near_conflict", f"near-duplicate prompts have one completion (similarity {alike:g})",
              "near_conflicts", None, 0, "decide whether both completions are right"),
    ]  # fmt: skip


def balance_checks(validate: Validate) -> list[RowCheck]:
    """List the checks of how many rows are left in the end."""
    few, many = validate.min_label_rows, validate.max_label_share
    return [
        RowCheck("rare_label", f"each label has at least {few:,} training rows", "label_rows", few, None,
              "add rows with this label, or merge it with another"),
        RowCheck("dominant_label", f"no label has more than {many:.1%} of the training rows", "label_share", None,
              int(1000 * many + 1e-6), "add rows with other labels"),
    ]  # fmt: skip


def drift_check(validate: Validate) -> RowCheck:
    """Give the check of all training rows together, of which each thing that may have moved is a line."""
    most = validate.max_drift
    return RowCheck(
        "drift",
        f"labels, lengths and words are spread as the champion's were (total variation up to {most:g})",
        "drift",
        None,
        int(1000 * most + 1e-6),
        "look whether the source still is what it was; if the world has changed, go on",
        fault=False,
    )


def action_of(check: RowCheck, validate: Validate) -> MaskableAction:
    """Say what becomes of pairs that break a check; off, if what it compares with was not said."""
    compared = {"other_language": validate.languages, "unknown_label": validate.labels}
    action: MaskableAction = getattr(validate.checks, check.reason)
    return "off" if check.reason in compared and compared[check.reason] is None else action
