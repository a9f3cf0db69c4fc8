"""Section on the baselines: what might do as well without a fine-tune, and what each of them may use."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from pipeline.params.section import Positive, Section, Seed

BaselineName = Literal[
    "majority", "tfidf", "embedding", "sentence_embedding", "zero_shot", "best_prompt", "few_shot", "few_shot_bm25",
    "few_shot_knn",
    "rag", "hosted",
]  # fmt: skip


class HostedEndpoint(Section):
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

    enabled: Annotated[tuple[BaselineName, ...], Field(min_length=1)]
    """`majority`: the most frequent completion; `tfidf`, `embedding` and `sentence_embedding`: a linear classifier on
    words and letters, on hidden states of the base model, on embeddings of `sentence_model` (where completions are
    texts: the completion of the nearest training row); `zero_shot`: the base model with `prompt.system`; `best_prompt`:
    with the best of `system_prompts`; `few_shot`: with fixed examples; `few_shot_bm25` and `few_shot_knn`: with the
    training rows nearest to each question, by words or by hidden states; `rag`: with passages of a folder; `hosted`: a
    hosted model."""
    system_prompts: tuple[str, ...]
    """System messages to choose among; `{labels}` in one stands for all labels."""
    validation_rows: Positive
    """Validation rows, at most, on which a system message is chosen: a seeded sample of them."""
    few_shot_examples: Positive
    """Examples, the same for every row."""
    retrieved_examples: Positive
    """Examples, for each row those of the nearest training rows."""
    max_seq_length: Positive
    """Of a prompt with its examples and of the answer; never more than the model can read. What has more gets fewer
    examples."""
    rag_folder: Annotated[str, Field(min_length=1)]
    """A folder of `.md` and `.txt` files, or one such file."""
    rag_passages: Positive
    """Passages of it that each row is given."""
    sentence_model: Annotated[str, Field(min_length=1)] | None
    """A local folder as sentence-transformers writes it."""
    hosted: HostedEndpoint | None
    latency_rows: Positive
    """Test rows that are answered once more, one by one, to time a request; of no account for any answer."""
    seed: Seed

    @field_validator("enabled")
    @classmethod
    def once_each(cls, enabled: tuple[BaselineName, ...]) -> tuple[BaselineName, ...]:
        """An arm goes by the name of its baseline."""
        for name in enabled:
            if enabled.count(name) > 1:
                raise ValueError(f"{name} is named twice")
        return enabled

    @model_validator(mode="after")
    def has_what_it_needs(self) -> Self:
        """A baseline that is asked for has what it answers with."""
        needs = {"best_prompt": self.system_prompts, "sentence_embedding": self.sentence_model, "hosted": self.hosted}
        fields = {"best_prompt": "system_prompts", "sentence_embedding": "sentence_model", "hosted": "hosted"}
        for name, there in needs.items():
            if name in self.enabled and not there:
                raise ValueError(f"baselines.{fields[name]} must be given when baselines.enabled names {name}")
        return self
