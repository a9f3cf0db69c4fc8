"""All that we use of transformers without its promise to keep it, under names of our own and behind a version guard.

Trainer is not imported here: stages that only render prompts need this module too, and it takes seconds.
"""

from abc import ABC, abstractmethod
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from torch.utils.data import Sampler

from pipeline.errors import UserError

KNOWN_VERSION = "5.23"
"""The minor version whose private parts these are; a new one is entered here once the tests pass with it."""


def require_known_transformers() -> None:
    """Refuse a version of transformers whose private parts may be others.

    Raises:
        UserError: If another minor version is installed.
    """
    installed = version("transformers")
    if installed.split(".")[:2] != KNOWN_VERSION.split("."):
        raise UserError(
            "package transformers",
            "parts of it that are not public may have changed",
            expected=f"{KNOWN_VERSION}.x",
            got=installed,
            do="install the version that constraints.txt pins",
        )


def compile_template(template: str) -> Any:
    """Compile a chat template as the tokenizer does.

    Raises:
        UserError: If another minor version of transformers is installed.
    """
    require_known_transformers()
    from transformers.utils.chat_template_utils import _compile_jinja_template  # noqa: PLC0415 -- behind the guard

    return _compile_jinja_template(template)


def attention_implementation(model: Any) -> str:
    """Name the attention that a model is set to."""
    name: str = model.config._attn_implementation  # noqa: SLF001 -- this module is where it is read
    return name


def use_one_device(arguments: Any) -> None:
    """Keep torch's DataParallel, which would tear a pass apart, from a machine with several GPUs."""
    arguments._n_gpu = 1  # noqa: SLF001 -- this module is where it is set


class LossSums(NamedTuple):
    """The losses that the Trainer has summed up since the step that it logged last, and before, and that step."""

    since_log: float
    before: float
    last_logged: int


def loss_sums(trainer: Any) -> LossSums:
    """Read the sums that the Trainer logs from."""
    return LossSums(float(trainer._tr_loss), trainer._total_loss_scalar, trainer._globalstep_last_logged)  # noqa: SLF001


def restore_loss_sums(trainer: Any, sums: LossSums) -> None:
    """Set the sums to those of a checkpoint, at the beginning of a training."""
    trainer._tr_loss += sums.since_log  # noqa: SLF001 -- in place: the training loop holds the same tensor
    trainer._total_loss_scalar = sums.before  # noqa: SLF001
    trainer._globalstep_last_logged = sums.last_logged  # noqa: SLF001


def save_training_state(trainer: Any, folder: Path) -> None:
    """Write the states of optimizer, schedule and random numbers, which the Trainer reads when it resumes."""
    trainer._save_optimizer_and_scheduler(str(folder))  # noqa: SLF001
    trainer._save_rng_state(str(folder))  # noqa: SLF001


class TrainerHooks(ABC):
    """What the Trainer leaves to private methods, as public ones; named before `Trainer` among the bases of a class."""

    @abstractmethod
    def train_sampler(self) -> Sampler[int]:
        """Make the sampler of the rows."""

    @abstractmethod
    def write_checkpoint(self) -> None:
        """Write a checkpoint, since a callback has asked for it."""

    @abstractmethod
    def load_weights(self, checkpoint: Path) -> None:
        """Set the weights to those of a checkpoint."""

    def _get_train_sampler(self, _train_dataset: Any = None) -> Sampler[int]:
        return self.train_sampler()

    def _save_checkpoint(self, _model: Any, _trial: Any) -> None:
        self.write_checkpoint()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:  # noqa: ARG002 -- theirs
        self.load_weights(Path(resume_from_checkpoint))
