"""The numbers of `make map`, held: a flat folder, a stray module or a name with two meanings does not come back."""

from bench.structure import measure_structure
from tests.support.paths import PROJECT

FOUND = measure_structure(PROJECT)


def test_the_top_of_the_packages_stays_small() -> None:
    """A new module goes into a package."""
    assert FOUND.top_modules["pipeline"] <= 15
    assert FOUND.top_modules["flows"] <= 3


def test_what_one_stage_alone_reaches_lies_in_its_package() -> None:
    """None of them stands in a shared place."""
    assert {stage: names for stage, names in FOUND.stray_modules.items() if names} == {}


def test_dvc_yaml_names_few_pieces_of_code() -> None:
    """Folders, not lists of files."""
    assert FOUND.code_dependencies <= 70


def test_no_name_has_two_meanings() -> None:
    """Apart from `run`, `main` and `log`, a top-level name is defined once."""
    assert dict(FOUND.repeated_names) == {}


def test_functions_fit_a_glance() -> None:
    """In the median at most 8 lines with their docstring, nine in ten at most 20."""
    lengths = sorted(FOUND.function_lengths)
    assert lengths[len(lengths) // 2] <= 8
    assert lengths[int(0.9 * (len(lengths) - 1))] <= 20
