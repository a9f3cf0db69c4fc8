"""The private parts of transformers that we use are there, and another version is refused in one line."""

import pytest
import transformers
from transformers import Trainer

from pipeline.errors import UserError
from pipeline.model import transformers_private
from pipeline.model.transformers_private import TrainerHooks, compile_template, require_known_transformers


def test_the_installed_version_is_the_known_one() -> None:
    """The version that is pinned, and so tested, is the one that the guard lets pass."""
    require_known_transformers()
    assert transformers.__version__.startswith(f"{transformers_private.KNOWN_VERSION}.")


@pytest.mark.parametrize("version", ["5.22.1", "5.24.0", "6.23.0", "5.230.0"])
def test_another_version_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    """Also where nothing but a template is compiled; the line says which version is wanted, and how to get it."""
    monkeypatch.setattr(transformers_private, "version", lambda _name: version)
    with pytest.raises(UserError) as refused:
        compile_template("{{ messages }}")
    assert str(refused.value) == (
        "package transformers: parts of it that are not public may have changed; expected 5.23.x; "
        f"got {version}; install the version that constraints.txt pins"
    )


def test_every_hook_overrides_a_method_of_the_trainer() -> None:
    """A method that the Trainer no longer has would never be called."""
    hooks = [name for name in vars(TrainerHooks) if name.startswith("_") and not name.startswith(("__", "_abc"))]
    assert sorted(hooks) == ["_get_train_sampler", "_load_from_checkpoint", "_save_checkpoint"]
    assert all(callable(getattr(Trainer, name)) for name in hooks)


def test_a_compiled_template_renders_as_the_tokenizer_does() -> None:
    """It is cut off after blocks as a tokenizer's template is, which jinja by itself does not do."""
    assert compile_template("{% if true %}\n  {{ word }}\n{% endif %}\n").render(word="yes") == "  yes\n"
