"""Laws of the deployment: what prefect.yaml says exists, and the flow that it names runs the command."""

import subprocess
import sys
from pathlib import Path

from pipeline.params import read_yaml
from tests.support.repositories import PROJECT, apart

LOAD = """
from pathlib import Path
from prefect.cli.deploy._config import _load_deploy_configs_and_actions
from prefect.flows import load_flow_from_entrypoint
from rich.console import Console
(found,), actions = _load_deploy_configs_and_actions(Path("prefect.yaml"), console=Console())
flow = load_flow_from_entrypoint(found["entrypoint"])
print(f"{flow.name}/{found['name']}", found["concurrency_limit"]["limit"], *actions["pull"][0])
"""
RUN = """
import flows.service.deploy
try:
    flows.service.deploy.run_checkout.fn(until="trian")
except flows.service.deploy.UserError as problem:
    print(problem)
"""


def said(code: str, place: Path, folder: Path) -> str:
    """What Python prints in a folder, apart from everything of this user."""
    own = {"PREFECT_HOME": str(place / "prefect"), "PYTHONPATH": str(PROJECT), "DO_NOT_TRACK": "true"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=apart(place) | own, check=True, capture_output=True, text=True
    )  # fmt: skip
    return done.stdout


def test_prefect_reads_the_deployment_and_finds_its_flow(tmp_path: Path) -> None:
    """One run at a time, in the checkout that the worker's environment names."""
    told = said(LOAD, tmp_path, PROJECT)
    assert told == "tunesmith run/checkout 1 prefect.deployments.steps.set_working_directory\n"
    assert read_yaml(PROJECT / "prefect.yaml")["pull"][0].popitem()[1] == {"directory": "{{ $TUNESMITH_CHECKOUT }}"}


def test_a_run_that_fails_fails_the_flow_with_its_own_line(tmp_path: Path) -> None:
    """So that the page of the flow run shows it."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "dvc.yaml").write_text("stages:\n  ingest:\n    cmd: 'true'\n", encoding="utf-8")
    (root / "params.yaml").write_text("model: {\n", encoding="utf-8")
    told = said(RUN, tmp_path, root)
    assert told.startswith(f"{root}: the run failed: params.yaml: not YAML: ")
