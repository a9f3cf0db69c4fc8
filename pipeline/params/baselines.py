"""Section on the baselines: what might do as well without a fine-tune, and what each of them may use."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from pipeline.params.section import Positive, Section, Seed

Kind = Literal[
    "majority", "tfidf", "embedding", "sentences", "base", "prompts", "shots", "retrieved", "retrieved_states",
    "knowledge", "endpoint",
]  # fmt: skip


class Endpoint(Section):
    """A hosted model behind an OpenAI-compatible API; its key is in the environment, as TUNESMITH_ENDPOINT_KEY."""

    url: Annotated[str, Field(pattern=r"^https?://[^\s/]+(/\S*)?$")]
    """Up to what stands before `/chat/completions`, as in `https://HOST/v1`."""
    model: Annotated[str, Field(min_length=1)]
    parallel: Positive
    """Requests at once."""
    timeout_seconds: Positive
    """Of one try."""
    tries: Positive
    """How often a request is sent before a network fault ends the run."""


class Baselines(Section):
    """Which baselines answer the test rows, in this order, and how."""

    which: Annotated[tuple[Kind, ...], Field(min_length=1)]
    """`majority`: the commonest completion; `tfidf`, `embedding` and `sentences`: a linear classifier on words and
    letters, on states of the base model, on those of `sentence_model` (where completions are texts: the completion of
    the nearest training row); `base`: the base model as it is; `prompts`: it with the best of `systems`; `shots`: with
    fixed examples; `retrieved` and `retrieved_states`: with the training rows nearest to each question, by words or by
    states; `knowledge`: with passages of a folder; `endpoint`: a hosted model."""
    systems: tuple[str, ...]
    """System messages to choose among; `{labels}` in one stands for all labels."""
    choose_rows: Positive
    """Validation rows, at most, on which a system message is chosen: a seeded sample of them."""
    fixed_shots: Positive
    """Examples, the same for every row."""
    retrieved_shots: Positive
    """Examples, for each row those of the nearest training rows."""
    max_tokens: Positive
    """Of a prompt with its examples and of the answer; never more than the model can read. What has more gets fewer
    examples."""
    knowledge: Annotated[str, Field(min_length=1)]
    """A folder of `.md` and `.txt` files, or one such file."""
    passages: Positive
    """Passages of it that each row is given."""
    sentence_model: Annotated[str, Field(min_length=1)] | None
    """A local folder as sentence-transformers writes it."""
    endpoint: Endpoint | None
    timed_rows: Positive
    """Test rows that are answered once more, one by one, to time a request; of no account for any answer."""
    seed: Seed

    @field_validator("which")
    @classmethod
    def once_each(cls, which: tuple[Kind, ...]) -> tuple[Kind, ...]:
        """An arm goes by the name of its baseline."""
        for name in which:
            if which.count(name) > 1:
                raise ValueError(f"{name} is named twice")
        return which

    @model_validator(mode="after")
    def has_what_it_needs(self) -> Self:
        """A baseline that is asked for has what it answers with."""
        needs = {"prompts": self.systems, "sentences": self.sentence_model, "endpoint": self.endpoint}
        fields = {"prompts": "systems", "sentences": "sentence_model", "endpoint": "endpoint"}
        for name, there in needs.items():
            if name in self.which and not there:
                raise ValueError(f"baselines.{fields[name]} must be given when baselines.which names {name}")
        return self
