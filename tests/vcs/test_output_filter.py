"""Laws of what people see of a stage."""

import pytest

from flows.vcs.output_filter import OutputFilter

STAGE_OUTPUT = b"""Running stage 'tokenize':
> python -m pipeline.tokenize
tokenize: train: 60 rows, 0 too long

tokenize: test: 15 rows, 0 too long
Generating lock file 'dvc.lock'
Updating lock file 'dvc.lock'

To track the changes with git, run:

\tgit add dvc.lock

To enable auto staging, run:

\tdvc config core.autostage true
Use `dvc push` to send your updates to remote storage.
"""
OWN_WORDS = ["tokenize: train: 60 rows, 0 too long", "tokenize: test: 15 rows, 0 too long"]


def shown(*chunks: bytes) -> tuple[bytes, list[str]]:
    """What is written and what is logged when these pieces come."""
    written: list[bytes] = []
    logged: list[str] = []
    screen = OutputFilter(written.append, logged.append)
    for chunk in chunks:
        screen(chunk)
    return b"".join(written), logged


@pytest.mark.parametrize("size", [1, 2, 7, 64, 4096])
def test_own_words_are_shown_and_dvcs_advice_is_not(size: int) -> None:
    """However the output is cut into pieces, just the stage's lines come through, whole."""
    chunks = [STAGE_OUTPUT[start : start + size] for start in range(0, len(STAGE_OUTPUT), size)]
    assert shown(*chunks) == ("".join(f"{line}\n" for line in OWN_WORDS).encode(), OWN_WORDS)


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        (b"Stage 'ingest' didn't change, skipping", False),
        (b"WARNING: 'data/golden_tokens.jsonl' is empty.", False),
        (b"WARNING: 'data/raw' is empty.", True),
        (b"Stage 'ingest' is cached - skipping run, checking out outputs", False),
        (b"Verifying data sources in stage: 'data/raw.dvc'", False),
        (b"ERROR: failed to reproduce 'ingest': failed to run: python -m pipeline.ingest, exited with 1", False),
        (b"   ", False),
        (b"ValueError: a bug", True),
        (b"evaluate: Running stage by stage > python -m something", True),
    ],
)
def test_a_line_is_shown_or_it_is_advice(line: bytes, *, kept: bool) -> None:
    """DVC's account of a stage is left out, its errors and the stage's own lines are not."""
    assert shown(line + b"\n") == ((line + b"\n", [line.decode()]) if kept else (b"", []))


def test_a_stages_last_word_is_logged_and_left_to_the_command_to_say() -> None:
    """The command ends with it; people need not read it twice."""
    line = b"error: a.jsonl: is empty; put pairs into it, or take it out of ingest.sources"
    assert shown(line + b"\n") == (b"", [line.decode()])


def test_a_bar_is_passed_on_at_once_and_logged_only_when_it_is_done() -> None:
    """Each state of a bar reaches the screen as it comes; of all of them only the last is a line of the log."""
    written: list[bytes] = []
    logged: list[str] = []
    screen = OutputFilter(written.append, logged.append)
    seen = []
    for state in (b"\r 0%", b"\r 50%", b"\r 100%"):
        screen(state)
        seen.append(b"".join(written))
    assert seen == [b"\r", b"\r 0%\r", b"\r 0%\r 50%\r"]
    assert logged == []
    screen(b"\ndone\n")
    assert b"".join(written) == b"\r 0%\r 50%\r 100%\ndone\n"
    assert logged == ["100%", "done"]


def test_letters_cut_in_two_come_out_whole() -> None:
    """A piece may end within a letter of several bytes; bytes that are no letter do not stop the run."""
    text = "größer als 5 €".encode()
    assert shown(*(bytes([byte]) for byte in text + b"\n"))[1] == ["größer als 5 €"]
    assert shown(b"bad \xff byte\n")[1] == ["bad \ufffd byte"]
