"""A hosted model behind an OpenAI-compatible API. What it answers tomorrow nobody promises: the report says so."""

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from pipeline.baselines.baseline import BaselineReport, BaselineTask, PromptMessages
from pipeline.baselines.few_shot_prompt import without_system_message
from pipeline.errors import UserError
from pipeline.generation.predictions import BaselinePrediction
from pipeline.pairs import Pair
from pipeline.params import HostedEndpoint

API_KEY_VARIABLE = "TUNESMITH_ENDPOINT_KEY"
"""Environment: the key; none is sent if it is not set."""
RETRIED_STATUSES = (429, 502, 503, 504)
"""Answers of a server, or of what stands before it, that say no more than: later."""
FIRST_RETRY_SECONDS = 1.0
"""Before the second try; doubled before each further one."""
LABEL_INSTRUCTION = "Answer with one of these labels and nothing else: "
ANSWER_MARKUP = " \t\n.\"'`*"


class HostedModel:
    """A hosted model with a system message; with labels it is told them, and what it says is no label stays as it is.

    Args:
        endpoint: Where it is.
        system: Its system message.
        wanted: What is wanted of an answer.
        max_new_tokens: The longest answer.
    """

    def __init__(self, endpoint: HostedEndpoint, system: str, wanted: BaselineTask, *, max_new_tokens: int) -> None:
        self.endpoint = endpoint
        among = [LABEL_INSTRUCTION + ", ".join(wanted.labels)] if wanted.labels else []
        self.system = "\n\n".join([*([system] if system else []), *among])
        self.labels = {label.casefold(): label for label in wanted.labels}
        self.max_new_tokens = max_new_tokens

    def fit(self, train: Sequence[Pair], validation: Sequence[Pair]) -> BaselineReport:  # noqa: ARG002 -- nothing to learn
        """Learn nothing."""
        told = {"url": self.endpoint.url, "model": self.endpoint.model, "system": self.system}
        return {**told, "reproducible": False, "why": "a hosted model may answer otherwise at any time"}

    def answer(self, questions: Sequence[PromptMessages]) -> list[BaselinePrediction]:
        """Ask, several requests at once.

        Raises:
            UserError: If the endpoint cannot be reached, refuses, or answers otherwise than the protocol says.
        """
        key = os.environ.get(API_KEY_VARIABLE, "")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        with (
            httpx.Client(headers=headers, timeout=self.endpoint.timeout_seconds) as client,
            ThreadPoolExecutor(self.endpoint.parallel) as pool,
        ):
            return list(pool.map(lambda question: self._given(client, question), questions))

    def _given(self, client: httpx.Client, question: PromptMessages) -> BaselinePrediction:
        body = {
            "model": self.endpoint.model,
            "messages": self._turns(question),
            "temperature": 0,
            "max_tokens": self.max_new_tokens,
        }
        said = self._posted(client, body)
        try:
            text, usage = said["choices"][0]["message"]["content"] or "", said.get("usage") or {}
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise self._problem("did not answer as the protocol says", got=str(said)[:200]) from error
        label = self.labels.get(text.strip(ANSWER_MARKUP).casefold(), text)
        free = text in self.labels.values() if self.labels else None
        return BaselinePrediction(label, free, None, usage.get("prompt_tokens"), usage.get("completion_tokens"))

    def _turns(self, question: PromptMessages) -> list[dict[str, str]]:
        """Lay out a question as the protocol wants it; its own system message, if any, stands before ours."""
        own = [message.content for message in question[:1] if message.role == "system"]
        system = "\n\n".join([*own, *([self.system] if self.system else [])])
        turns = [{"role": message.role, "content": message.content} for message in without_system_message(question)]
        return [*([{"role": "system", "content": system}] if system else []), *turns]

    def _posted(self, client: httpx.Client, body: dict[str, Any]) -> Any:
        """Send a request; again after a network fault, and where the server says that it is busy."""
        url, wrong = f"{self.endpoint.url.rstrip('/')}/chat/completions", ""
        for number in range(self.endpoint.tries):
            if number:
                time.sleep(FIRST_RETRY_SECONDS * 2 ** (number - 1))
            try:
                answered = client.post(url, json=body)
            except httpx.TransportError as error:
                wrong = f"{type(error).__name__}: {error}"
                continue
            if answered.status_code not in RETRIED_STATUSES:
                return self._read(answered)
            wrong = f"HTTP {answered.status_code}"
        raise self._problem(f"could not be reached in {self.endpoint.tries} tries", got=wrong)

    def _read(self, answered: httpx.Response) -> Any:
        if answered.status_code != httpx.codes.OK:
            raise self._problem("refused the request", got=f"HTTP {answered.status_code}: {answered.text[:200]}")
        try:
            return answered.json()
        except ValueError as error:
            raise self._problem("did not answer with JSON", got=answered.text[:200]) from error

    def _problem(self, what: str, *, got: str) -> UserError:
        do = f"check baselines.hosted and {API_KEY_VARIABLE}, or take hosted out of baselines.enabled"
        return UserError(self.endpoint.url, what, got=got, do=do)
