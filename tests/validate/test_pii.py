import pyarrow as pa
import pytest

from pipeline.pairs import PAIRS_SCHEMA, Message, Pair
from pipeline.validate.pii import count_pii, mask_pairs, mask_text

GOOD_CARD, GOOD_IBAN = "4111 1111 1111 1111", "DE89 3704 0044 0532 0130 00"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("write to Ann.Lee+shop@mail.example.org, please", "write to [e-mail], please"),
        (f"my card {GOOD_CARD} is lost", "my card [card] is lost"),
        ("card 4111-1111-1111-1111", "card [card]"),
        ("card 4111111111111112 fails its check digit", "card 4111111111111112 fails its check digit"),
        ("order 9111111111111111", "order 9111111111111111"),
        (f"pay to {GOOD_IBAN}.", "pay to [iban]."),
        ("pay to DE89370400440532013000", "pay to [iban]"),
        ("pay to DE00 3704 0044 0532 0130 00", "pay to DE00 3704 0044 0532 0130 00"),
        ("call +44 20 7946 0958 now", "call [phone] now"),
        ("+49 (30) 901820", "[phone]"),
        ("+1 000 000 0000", "+1 000 000 0000"),
        ("4111 1111 1111 1111 12/27", "[card] 12/27"),
        ("+1 415 555 2671 5 items", "[phone] 5 items"),
        ("room 12345678, 2024-01-31", "room 12345678, 2024-01-31"),
        ("a@b", "a@b"),
        ("two: a@b.example and c@d.example", "two: [e-mail] and [e-mail]"),
        ("", ""),
    ],
)
def test_what_is_personal_is_masked_and_what_only_looks_like_it_stays(text: str, left: str) -> None:
    """A card and an IBAN need their check digits, a phone number its country's plan; counted is what is masked."""
    assert mask_text(text, secrets=False) == left
    assert count_pii(pa.array([text]), secrets=False).tolist() == [left.count("[")]
    assert mask_text(text, secrets=True) == text


@pytest.mark.parametrize(
    "secret",
    [
        "AKIA" + "ABCDEFGHIJKLMNOP",
        "ghp_" + "a1B2" * 9,
        "github_pat_" + "a1B2" * 10,
        "glpat-" + "a1B2" * 5,
        "xoxb-" + "1234567890",
        "sk-" + "a1B2" * 6,
        "AIza" + "a1B2c" * 7,
        "hf_" + "abcDEF" * 5,
        "sk_live_" + "a1B2" * 5,
        "-----BEGIN RSA PRIVATE KEY-----",
        "eyJhbGciOiJIUzI1." + "eyJzdWIiOiIxMjM0" + ".abc_-123",
    ],
)
def test_keys_and_tokens_are_found(secret: str) -> None:
    """Each kind of key that services hand out is a secret, and nothing personal."""
    text = f"use {secret} here"
    assert count_pii(pa.array([text, "no key"]), secrets=True).tolist() == [1, 0]
    assert mask_text(text, secrets=True) == ("use [secret]" if "BEGIN" in secret else "use [secret] here")
    assert count_pii(pa.array([text]), secrets=False).tolist() == [0]


@pytest.mark.parametrize(
    "secret",
    [
        "ghp_" + "a1B2" * 20,
        "xoxb-1234567890-1234567890-abcdefghijkl",
        "sk-proj-" + "a1B2" * 30,
        "-----BEGIN PRIVATE KEY-----\nMIIEvQ\nabc=\n-----END PRIVATE KEY-----",
    ],
)
def test_nothing_is_left_of_a_secret_that_is_longer(secret: str) -> None:
    """The whole of it is masked, a key's body too."""
    assert mask_text(f"use {secret} here", secrets=True) == "use [secret] here"


def test_a_masked_pair_is_another_pair_without_a_trace_of_what_was_masked() -> None:
    """Prompt, completion and the row as it was are masked; other rows of the batch keep their bytes."""
    mail = "ann@mail.example"
    found = [
        Pair((Message("system", "s"), Message("user", f"I am {mail}")), f"Hello {mail}", "a.jsonl", 1, None,
             f'{{"{mail}"}}'.encode()),
        Pair((Message("user", f"and {mail}"),), "x", "a.jsonl", 2, None, b"{}"),
    ]  # fmt: skip
    rows = [
        {"id": pair.id, "messages": [vars(turn) for turn in pair.messages], "completion": pair.completion,
         "source": pair.source, "row": pair.row, "split": pair.split, "raw": pair.raw}
        for pair in found
    ]  # fmt: skip
    batch = pa.RecordBatch.from_pylist(rows, schema=PAIRS_SCHEMA)
    texts = pa.array(["I am ann@mail.example", "nothing"])
    first, second = mask_pairs(batch, texts, secrets=False).to_pylist()
    assert mail not in str(first)
    assert (first["messages"][1]["content"], first["completion"]) == ("I am [e-mail]", "Hello [e-mail]")
    assert first["id"] != found[0].id
    assert second == rows[1]
    assert mask_pairs(batch, texts, secrets=True) is batch
