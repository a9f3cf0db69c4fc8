"""Retrieval-augmented generation: the base model with passages from a folder of texts."""

from collections.abc import Sequence
from pathlib import Path

from pipeline.baselines.baseline import BaselineReport, PromptMessages, prompt_text
from pipeline.baselines.bm25 import BM25Index
from pipeline.baselines.few_shot import answer_by_example_count
from pipeline.baselines.few_shot_prompt import render_prompt, without_system_message
from pipeline.baselines.language_model import BaselineLanguageModel
from pipeline.errors import UserError
from pipeline.generation.predictions import BaselinePrediction
from pipeline.model.chat_template import PromptEncoder
from pipeline.pairs import Message, Pair

DOCUMENT_SUFFIXES = (".md", ".txt")
FOLDER_NOTE = "README.md"
"""Of such a folder: it tells people what the folder is for."""
PASSAGE_WORDS = 120
"""Paragraphs are put together up to so many words; a longer one is a passage by itself."""
PASSAGES_HEADING = "What may help to answer:"


class RetrievalAugmented:
    """Answers with the passages that have the words of each question in its system message.

    Args:
        speaker: The base model.
        system: Its system message.
        source: Folder of texts, or one text.
        many: How many passages.
    """

    def __init__(self, speaker: BaselineLanguageModel, system: str, source: Path, *, many: int) -> None:
        self.language_model = speaker
        self.system_message = system
        self.documents_path = source
        self.passage_count = many
        self.passages: list[str] = []
        self.index = BM25Index([])

    def fit(self, train: Sequence[Pair], validation: Sequence[Pair]) -> BaselineReport:  # noqa: ARG002 -- it reads the folder
        """Read the texts and learn their words."""
        files = read_documents(self.documents_path)
        self.passages = [passage for file in files for passage in split_passages(read_document(file))]
        self.index = BM25Index(self.passages)
        report = {"files": [file.name for file in files], "passages": len(self.passages)}
        wanted = min(self.passage_count, len(self.passages))
        return {**report, "examples_wanted": wanted, "prompt_tokens_at_most": self.language_model.prompt_token_budget}

    def answer(self, questions: Sequence[PromptMessages]) -> list[BaselinePrediction]:
        """Answer questions, each with the passages that fit."""
        renderer = self.language_model.prompt_encoder(self.system_message)
        return answer_by_example_count(
            self.language_model, renderer, [self._render_with_passages(renderer, question) for question in questions]
        )

    def _render_with_passages(self, renderer: PromptEncoder, question: PromptMessages) -> tuple[list[int], int]:
        """Render a question with as many of its passages as there is room for."""
        passages = [self.passages[index] for index in self.index.search(prompt_text(question), self.passage_count)]
        own = question[0].content if question and question[0].role == "system" else self.system_message
        for many in range(len(passages), 0, -1):
            system = "\n\n".join([*([own] if own else []), PASSAGES_HEADING, *passages[:many]])
            prompt = renderer.encode_prompt(with_system_message(question, system))
            if len(prompt) <= self.language_model.prompt_token_budget:
                return prompt, many
        return render_prompt(renderer, question, self.language_model.prompt_token_budget), 0


def with_system_message(question: PromptMessages, system: str) -> PromptMessages:
    """Give a question this system message instead of what it has."""
    return (Message("system", system), *without_system_message(question))


def read_documents(source: Path) -> list[Path]:
    """List the texts of a folder and of those in it, in the order of their names; or the one text.

    Raises:
        UserError: If there are none.
    """
    files = (
        [source]
        if source.is_file()
        else sorted(p for p in source.rglob("*") if p.suffix in DOCUMENT_SUFFIXES and p.is_file())
    )
    texts = [path for path in files if path.name != FOLDER_NOTE or path == source]
    if not texts:
        raise UserError(
            "params.yaml: baselines.rag_folder",
            "holds no texts",
            expected=f"files that end in {' or '.join(DOCUMENT_SUFFIXES)}; {FOLDER_NOTE} is not read",
            got=str(source),
            do="put some there, or take rag out of baselines.enabled",
        )
    return texts


def read_document(file: Path) -> str:
    """Read a text.

    Raises:
        UserError: If it is not UTF-8.
    """
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(str(file), "is not UTF-8", got=f"byte {error.start}", do="save it as UTF-8") from error


def split_passages(text: str) -> list[str]:
    """Cut a text into passages: whole paragraphs, as many as PASSAGE_WORDS allow."""
    passages: list[str] = []
    words = PASSAGE_WORDS
    for paragraph in (part.strip() for part in text.split("\n\n")):
        long = len(paragraph.split())
        if paragraph and passages and words + long <= PASSAGE_WORDS:
            passages[-1] += f"\n\n{paragraph}"
            words += long
        elif paragraph:
            passages.append(paragraph)
            words = long
    return passages
