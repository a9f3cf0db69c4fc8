"""Laws of the learning curve: trained by the stages' own code, once; told, and shown beside the model it is of."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flows.cli.learning_curve import curve_lines, parse_shares
from pipeline.errors import UserError
from pipeline.files import read_json
from pipeline.finetune import stage as finetune
from pipeline.hashing import file_digests, file_sha256, weights_file
from pipeline.html.render import render_template
from pipeline.learning_curve import run
from pipeline.model.tokenized import read_ids, read_tokens, write_tokens
from pipeline.params import Params
from pipeline.register.report.page import LAYOUT, REPORT_TEMPLATES
from pipeline.register.report.provenance import TracedValue
from tests.support.html_parser import Traced, agrees, recorded
from tests.support.measured_curve import CURVE
from tests.support.tiny_params import finished, tiny_params
from tests.support.tiny_project import Checkout, make_project

pytestmark = pytest.mark.usefixtures("imported_is_no_garbage")

SHARES = [0.25, 0.5]


@pytest.fixture(scope="module")
def params(base: Path) -> Params:
    return finished(base)[0]


@pytest.fixture(scope="module")
def data(base: Path, params: Params, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny project with its curve measured; only to be read, but for the curve."""
    data = Path(shutil.copytree(finished(base)[1], tmp_path_factory.mktemp("curve") / "data"))
    (data / "learning_curve").mkdir()
    run.run(params, data, data.parent / "place", SHARES)
    return data


@pytest.fixture
def own(data: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(data.parent, tmp_path / "own")) / "data"


def told(data: Path) -> dict[str, Any]:
    found: dict[str, Any] = read_json(data / "learning_curve" / "curve.json")
    return found


def models(data: Path) -> dict[str, str]:
    """The weights of the shares, by their folders."""
    return {
        name: digest
        for name, digest in file_digests(data.parent / "place").items()
        if name.endswith("adapter_model.safetensors")
    }


def test_a_share_is_trained_as_the_stage_trains_it(data: Path, params: Params, tmp_path: Path) -> None:
    """The stage on those rows alone makes the same bytes; the smaller share's rows are among the larger's."""
    folders = sorted((data.parent / "place").iterdir(), key=lambda path: len(read_ids(path / "tokenize/train.arrow")))
    small, large = (read_ids(folder / "tokenize/train.arrow") for folder in folders)
    assert set(small) < set(large) < set(read_ids(data / "tokenize/train.arrow"))
    (tmp_path / "tokenize").mkdir()
    for split, wanted in (("train", set(small)), ("validation", None)):
        rows = read_tokens(data / "tokenize" / f"{split}.arrow")
        some = [row for row in rows if wanted is None or row[0] in wanted]
        write_tokens(tmp_path / "tokenize" / f"{split}.arrow", some)
    finetune.run(params.model, params.finetune, tmp_path)
    ours, theirs = (file_sha256(weights_file(place / "finetune/adapter")) for place in (folders[0], tmp_path))
    assert ours == theirs


def test_the_whole_is_the_model_that_the_stages_measured(data: Path) -> None:
    """The last point has the rows, the steps and the metric of the reports; the curve names its adapter."""
    last, metrics = told(data)["shares"][-1], read_json(data / "evaluate/metrics.json")
    wanted = metrics["arms"]["fine-tuned"]["accuracy"]
    assert {name: last[name] for name in wanted} == wanted
    assert (last["share"], last["rows"]) == (1.0, len(read_ids(data / "tokenize/train.arrow")))
    assert told(data)["adapter"] == file_sha256(weights_file(data / "finetune/adapter"))
    assert [one["share"] for one in told(data)["shares"]] == [*SHARES, 1.0]


def test_what_was_measured_is_not_trained_again(own: Path, params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked again, all comes from what is kept, and says the same; a share more trains that share alone."""
    before, first, trained = models(own), told(own), []
    whole = finetune.train_and_write

    def counted(*given: Any) -> None:
        trained.append(given[-1])
        whole(*given)

    monkeypatch.setattr(finetune, "train_and_write", counted)
    run.run(params, own, own.parent / "place", SHARES)
    assert (models(own), told(own), trained) == (before, first, [])
    run.run(params, own, own.parent / "place", [0.1, *SHARES])
    assert len(trained) == 1
    assert before.items() < models(own).items()


def test_other_params_train_other_models(own: Path, params: Params, base: Path) -> None:
    """A change of the recipe finds nothing that is kept; one of how answers are scored finds all of it."""
    before = models(own)
    scored = replace(params, register=params.register.model_copy(update={"confidence": 0.9}))
    run.run(scored, own, own.parent / "place", SHARES)
    assert models(own) == before
    changed = tiny_params(base, **{"finetune.learning_rate": 0.02})
    run.run(replace(params, finetune=changed.finetune), own, own.parent / "place", SHARES[:1])
    assert before.items() < models(own).items()


@pytest.mark.parametrize(("told_of", "shares"), [("10,25,50", [0.1, 0.25, 0.5]), ("50, 2.5,50", [0.025, 0.5])])
def test_shares_are_read_in_percent(told_of: str, shares: list[float]) -> None:
    """Rising, each once."""
    assert parse_shares(told_of) == shares


@pytest.mark.parametrize("told_of", ["", "0", "100", "10;20", "ten", "-5", "nan"])
def test_what_is_no_share_is_refused(told_of: str) -> None:
    """In one line."""
    with pytest.raises(UserError, match="--shares: is no share of the rows; expected numbers between 0 and 100"):
        parse_shares(told_of)


def part(found: dict[str, Any], adapter: str = "a" * 64, test: str = "c" * 64, metric: str = "accuracy") -> str:
    """Render the part of the page, as a page does."""
    told = {"digests": {"adapter": adapter, "test": test}, "worth": {"metric": metric}}
    release = TracedValue("register/release.json", told)
    curve = TracedValue("learning_curve/curve.json", found)
    return render_template(REPORT_TEMPLATES, "learning_curve.html.j2", curve=curve, release=release, **LAYOUT)


def test_every_number_of_the_curve_is_traced(tmp_path: Path) -> None:
    """To its place in curve.json; the picture has a point for each share, and the law beyond them dashed."""
    (tmp_path / "learning_curve").mkdir()
    (tmp_path / "learning_curve/curve.json").write_text(json.dumps(CURVE), encoding="utf-8")
    page = part(CURVE)
    shown = Traced(page).shown
    assert [text for source, text in shown if not agrees(text, recorded(tmp_path, source))] == []
    assert {f"learning_curve/curve.json#/shares/{place}/value" for place in range(3)} <= {source for source, _ in shown}
    assert (page.count("<circle"), page.count("law ahead")) == (3, 1)


def test_a_curve_of_another_model_is_not_shown() -> None:
    """It says so."""
    assert "is of another model" in part(CURVE, "b" * 64)
    assert "0.520" not in part(CURVE, "b" * 64)
    assert "is of other test rows" in part(CURVE, test="b" * 64)
    assert "is of another metric" in part(CURVE, metric="macro_f1")


def test_labels_are_named_only_if_they_stand_out() -> None:
    """Else it says that none does."""
    assert "No label stands out" in " ".join(curve_lines(CURVE))
    out = {**CURVE, "labels": [{**CURVE["labels"][0], "stands_out": True}]}
    assert "gained significantly from the last of the rows: a & b (+50 points, 12 rows)" in " ".join(curve_lines(out))


@pytest.fixture(scope="module")
def checkout(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    return make_project(tmp_path_factory.mktemp("curved"), base)


@pytest.mark.slow
def test_the_command_measures_and_the_next_run_shows_it(checkout: Checkout) -> None:
    """Before a run there is nothing to measure beside; after it the curve is measured, and register shows it."""
    early = checkout.tunesmith("learning-curve")
    assert (early.returncode, early.stderr.count("\n")) == (1, 1)
    assert "the model of all rows is to be there first" in early.stderr
    assert checkout.tunesmith("run").returncode == 0
    done = checkout.tunesmith("learning-curve", "--shares", "25,50")
    assert done.returncode == 0, done.stderr
    assert "training rows  accuracy" in done.stdout
    again = checkout.tunesmith("run")
    assert again.returncode == 0, again.stderr
    assert "finetune   fresh, skipped" in again.stdout  # others run too: the first run made a champion
    page = (checkout.root / "data/register/report.html").read_text(encoding="utf-8")
    assert "What more training rows would bring" in page
    assert "another model" not in page
