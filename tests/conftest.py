"""Small real things: pairs, params, a tokenizer and a 2-layer model built here; one torch thread, no network."""

import copy
import gc
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.chat import CHATML, SPECIAL, SYSTEM
from tests.support.paths import PROJECT

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"  # read by torch when it is first imported

import pytest

from pipeline.pairs import Message, Pair
from pipeline.params import Params, parse_params, read_yaml
from tests.support.unit_tier import MODEL_FIXTURES, is_slow_to_import

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from pipeline.model.chat_template import Encoded


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the tier that runs in seconds."""
    parser.addoption(
        "--unit", action="store_true", help="only tests without torch, tools and processes; `make test-unit` runs them"
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out files that need torch, a tool or processes, in the unit tier."""
    is_test = collection_path.name.startswith("test_") and collection_path.suffix == ".py"
    return True if config.getoption("--unit") and is_test and is_slow_to_import(collection_path) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests whose fixtures build the tiny model, in the unit tier."""
    if config.getoption("--unit"):
        items[:] = [item for item in items if not MODEL_FIXTURES & set(getattr(item, "fixturenames", ()))]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a unit tier that imported torch all the same: it would no longer take seconds."""
    if session.config.getoption("--unit") and "torch" in sys.modules:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        sys.stderr.write("\ntests/support/unit_tier.py: a test of the unit tier imported torch\n")


@pytest.fixture(scope="session")
def tokenizer() -> "PreTrainedTokenizerFast":
    """A byte-level BPE tokenizer with ChatML, trained here on a few sentences."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers  # noqa: PLC0415 -- see --unit
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415

    bare = Tokenizer(models.BPE())
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    texts = ["the sky is blue and the grass is green", "what colour is the rose, red or blue?", "system user assistant"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bare.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=320, special_tokens=SPECIAL, initial_alphabet=alphabet)
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bare,
        pad_token="<|pad|>",
        eos_token="<|im_end|>",
        bos_token="<|im_start|>",
        chat_template=CHATML,
    )


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory, tokenizer: "PreTrainedTokenizerFast") -> Path:
    """A folder with a 2-layer Llama and its tokenizer, as `model.source` may name it."""
    import torch  # noqa: PLC0415 -- see --unit
    from transformers import LlamaConfig, LlamaForCausalLM  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=True,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def project_params() -> dict[str, Any]:
    """params.yaml as plain values; only to be copied."""
    values: dict[str, Any] = read_yaml(PROJECT / "params.yaml")
    return values


@pytest.fixture
def values(base: Path, project_params: dict[str, Any]) -> dict[str, Any]:
    """params.yaml as plain values, made small: the tiny model, few epochs."""
    found = copy.deepcopy(project_params)
    found["model"] |= {"source": str(base), "sha256": None, "threads": 1}
    found["prompt"]["system"] = SYSTEM
    small = {"rank": 4, "alpha": 8, "epochs": 2, "batch_size": 4, "learning_rate": 0.01}
    found["finetune"] |= small
    found["evaluate"] |= {"batch_size": 8, "max_new_tokens": 8, "bootstrap_resamples": 200}
    return found


@pytest.fixture
def make_params(values: dict[str, Any]) -> Callable[..., Params]:
    """Give a function that makes typed params, with values replaced by their dotted names ("finetune.rank")."""

    def make(**replaced: Any) -> Params:
        wanted = copy.deepcopy(values)
        for name, value in replaced.items():
            *parents, last = name.split(".")
            section = wanted
            for parent in parents:
                section = section[parent]
            section[last] = value
        return parse_params(wanted)

    return make


@pytest.fixture
def pairs() -> list[Pair]:
    """Sixty pairs of three labels, each prompt different."""
    colours = {"sky": "blue", "grass": "green", "rose": "red"}
    found = []
    for number in range(20):
        for thing, colour in colours.items():
            messages = (Message("user", f"what colour is the {thing} on day {number}?"),)
            found.append(Pair(messages, colour, "colours.jsonl", len(found) + 1, None, b"{}"))
    return found


@pytest.fixture(scope="session")
def rows(tokenizer: "PreTrainedTokenizerFast") -> "list[Encoded]":
    """The rows of the tiny project, encoded."""
    from pipeline.model.chat_template import PromptEncoder  # noqa: PLC0415 -- see --unit
    from tests.support.tiny_params import ROWS  # noqa: PLC0415 -- tiny imports this file

    renderer = PromptEncoder(tokenizer, SYSTEM)
    return [renderer.encode((Message("user", prompt),), completion) for prompt, completion in ROWS]


@pytest.fixture(scope="module")
def imported_is_no_garbage() -> Iterator[None]:
    """Keep the Trainer, which collects garbage at every start, from searching all that was imported."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
