"""Prompts of the baselines that a language model answers: a question, and before it the examples that fit."""

from collections.abc import Sequence

from pipeline.baselines.baseline import PromptMessages
from pipeline.errors import UserError
from pipeline.model.chat_template import PromptEncoder
from pipeline.pairs import Message, Pair


def render_prompt(renderer: PromptEncoder, question: PromptMessages, room: int) -> list[int]:
    """Render a question.

    Raises:
        UserError: If it has more tokens than there is room for.
    """
    prompt = renderer.encode_prompt(question)
    if len(prompt) > room:
        raise UserError(
            "params.yaml: baselines.max_seq_length",
            "a test or validation row does not fit, not even without examples",
            expected=f"at most {room} tokens beside the answer",
            got=f"{len(prompt)} with the system message {renderer.system[:40]!r}",
            do="raise it, as far as the model reads, or shorten the system message",
        )
    return prompt


def render_with_examples(
    renderer: PromptEncoder, question: PromptMessages, examples: Sequence[Pair], room: int, *, best_last: bool = False
) -> tuple[list[int], int]:
    """Render a question behind as many examples as there is room for; the last ones go first.

    Args:
        renderer: The rendering.
        question: What is asked.
        examples: Pairs, the most useful first.
        room: Tokens that the prompt may have.
        best_last: Put the most useful example next to the question.

    Returns:
        The prompt, and how many examples it has.

    Raises:
        UserError: If there is no room for the question alone.
    """
    for many in range(len(examples), 0, -1):
        chosen = examples[:many][::-1] if best_last else examples[:many]
        prompt = renderer.encode_prompt(with_examples(question, chosen))
        if len(prompt) <= room:
            return prompt, many
    return render_prompt(renderer, question, room), 0


def with_examples(question: PromptMessages, examples: Sequence[Pair]) -> PromptMessages:
    """Put examples before a question as turns of one conversation, behind the system message that it may bring."""
    systems = tuple(message for message in question[:1] if message.role == "system")
    turns = tuple(
        message
        for pair in examples
        for message in (*without_system_message(pair.messages), Message("assistant", pair.completion))
    )  # fmt: skip
    return (*systems, *turns, *without_system_message(question))


def without_system_message(messages: PromptMessages) -> PromptMessages:
    """Leave out the system message."""
    return messages[1:] if messages and messages[0].role == "system" else messages
