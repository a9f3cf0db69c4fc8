"""A hosted model behind an OpenAI-compatible API. What it answers tomorrow nobody promises: the report says so."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from openai import APIConnectionError, APIStatusError, Omit, OpenAI

from pipeline.baselines.baseline import BaselineReport, BaselineTask, PromptMessages
from pipeline.baselines.few_shot_prompt import without_system_message
from pipeline.errors import UserError
from pipeline.generation.predictions import BaselinePrediction
from pipeline.pairs import Pair
from pipeline.params import HostedEndpoint

API_KEY_VARIABLE = "TUNESMITH_ENDPOINT_KEY"
"""Environment: the key; none is sent if it is not set."""
RETRIED_STATUSES = (408, 409, 429)
"""Refusals that the client tries again, besides all faults of a server, from SERVER_ERROR on."""
SERVER_ERROR = 500
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
        self.system_message = "\n\n".join([*([system] if system else []), *among])
        self.labels_by_casefold = {label.casefold(): label for label in wanted.labels}
        self.max_new_tokens = max_new_tokens

    def fit(self, train: Sequence[Pair], validation: Sequence[Pair]) -> BaselineReport:  # noqa: ARG002 -- nothing to learn
        """Learn nothing."""
        report = {"url": self.endpoint.url, "model": self.endpoint.model, "system": self.system_message}
        return {**report, "reproducible": False, "why": "a hosted model may answer otherwise at any time"}

    def answer(self, questions: Sequence[PromptMessages]) -> list[BaselinePrediction]:
        """Ask, several requests at once.

        Raises:
            UserError: If the endpoint cannot be reached, refuses, or answers otherwise than the protocol says.
        """
        with self._client() as client, ThreadPoolExecutor(self.endpoint.parallel) as pool:
            return list(pool.map(lambda question: self._predict(client, question), questions))

    def _client(self) -> OpenAI:
        """Connect: busy servers, timeouts and broken connections are tried again, as `Retry-After` says if it is sent.

        Without a key no `Authorization` is sent, and no setting of OpenAI's own in the environment counts.
        """
        return OpenAI(
            base_url=self.endpoint.url,
            api_key=os.environ.get(API_KEY_VARIABLE) or "none",
            timeout=self.endpoint.timeout_seconds,
            max_retries=self.endpoint.tries - 1,
        )

    def _predict(self, client: OpenAI, question: PromptMessages) -> BaselinePrediction:
        response = self._complete(client, self._request_messages(question))
        try:
            text, usage = response["choices"][0]["message"]["content"] or "", response.get("usage") or {}
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise self._problem("did not answer as the protocol says", got=str(response)[:200]) from error
        label = self.labels_by_casefold.get(text.strip(ANSWER_MARKUP).casefold(), text)
        free = text in self.labels_by_casefold.values() if self.labels_by_casefold else None
        return BaselinePrediction(label, free, None, usage.get("prompt_tokens"), usage.get("completion_tokens"))

    def _request_messages(self, question: PromptMessages) -> list[dict[str, str]]:
        """Lay out a question as the protocol wants it; its own system message, if any, stands before ours."""
        own = [message.content for message in question[:1] if message.role == "system"]
        system = "\n\n".join([*own, *([self.system_message] if self.system_message else [])])
        turns = [{"role": message.role, "content": message.content} for message in without_system_message(question)]
        return [*([{"role": "system", "content": system}] if system else []), *turns]

    def _complete(self, client: OpenAI, turns: list[Any]) -> Any:
        """Send a request and give the JSON of its answer, whatever is in it."""
        left_out = ["OpenAI-Organization", "OpenAI-Project"]
        if not os.environ.get(API_KEY_VARIABLE):
            left_out.append("Authorization")
        try:
            answered = client.chat.completions.with_raw_response.create(
                model=self.endpoint.model,
                messages=turns,
                temperature=0,
                max_tokens=self.max_new_tokens,
                extra_headers=dict.fromkeys(left_out, Omit()),
            )
        except APIConnectionError as error:
            cause = error.__cause__ or error
            raise self._unreachable(f"{type(cause).__name__}: {cause}") from error
        except APIStatusError as error:
            if error.status_code in RETRIED_STATUSES or error.status_code >= SERVER_ERROR:
                raise self._unreachable(f"HTTP {error.status_code}") from error
            got = f"HTTP {error.status_code}: {error.response.text[:200]}"
            raise self._problem("refused the request", got=got) from error
        try:
            return answered.http_response.json()
        except ValueError as error:
            raise self._problem("did not answer with JSON", got=answered.http_response.text[:200]) from error

    def _unreachable(self, got: str) -> UserError:
        return self._problem(f"could not be reached in {self.endpoint.tries} tries", got=got)

    def _problem(self, what: str, *, got: str) -> UserError:
        do = f"check baselines.hosted and {API_KEY_VARIABLE}, or take hosted out of baselines.enabled"
        return UserError(self.endpoint.url, what, got=got, do=do)
