import pyarrow as pa
import pytest

from pipeline.errors import UserError
from pipeline.validate.language_id import other_language

TEXTS = pa.array([
    "I am still waiting on my card?",
    "Wo ist mein Paket, das ich letzte Woche bestellt habe?",
    "Où est mon colis que j'attends depuis lundi dernier ?",
    "ok",
    "",
    "12345",
])  # fmt: skip


@pytest.mark.parametrize(
    ("languages", "found"),
    [(None, [0] * 6), (("en",), [0, 1, 1, 0, 0, 0]), (("en", "fr"), [0, 1, 0, 0, 0, 0]), (("de",), [0, 0, 1, 0, 0, 0])],
)
def test_what_is_surely_in_another_language_is_found(languages: tuple[str, ...] | None, found: list[int]) -> None:
    """A text that says too little to be sure of is not."""
    assert other_language(TEXTS, languages).tolist() == found


def test_an_unknown_language_is_named() -> None:
    """With those that are known."""
    with pytest.raises(UserError) as caught:
        other_language(TEXTS, ("en", "xx"))
    assert str(caught.value).startswith("params.yaml: validate.languages: no such language; expected ace, af, am, ")
    assert str(caught.value).endswith("; got xx")
