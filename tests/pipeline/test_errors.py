import pytest

from pipeline.errors import UserError

PARTS = {"expected": "a number", "got": "'x'", "do": "mend it"}


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ((), "here: wrong"),
        (("expected",), "here: wrong; expected a number"),
        (("got",), "here: wrong; got 'x'"),
        (("do",), "here: wrong; mend it"),
        (("do", "got"), "here: wrong; got 'x'; mend it"),
        (("do", "expected", "got"), "here: wrong; expected a number; got 'x'; mend it"),
    ],
)
def test_a_problem_says_where_what_expected_got_and_do_in_that_order(given: tuple[str, ...], line: str) -> None:
    """The parts that are given follow in one fixed order, and a part left out leaves no trace."""
    assert str(UserError("here", "wrong", **{name: PARTS[name] for name in given})) == line


def test_a_problem_is_one_line_whatever_goes_into_it() -> None:
    """Line breaks and runs of blanks in any part, as other libraries' messages have them, become single blanks."""
    problem = UserError("a\nfile", "bad\r\n\tstart", expected="x\n\ny", got="  z ", do="mend\nit\n")
    assert str(problem) == "a file: bad start; expected x y; got z ; mend it"


def test_a_problem_keeps_where_and_what_apart_for_programs() -> None:
    """Whoever catches a problem can ask for its place and its fault without reading the line."""
    problem = UserError("params.yaml", "no such file", do="run this elsewhere")
    assert (problem.where, problem.what) == ("params.yaml", "no such file")
