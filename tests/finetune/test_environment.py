"""Laws of what is recorded of a machine."""

import json
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from pipeline.finetune import environment as room
from pipeline.finetune.environment import cpu_vendor, describe_machine, installed_packages


def test_a_machine_is_described_by_what_kernels_are_chosen_by() -> None:
    """The instruction set, who made the CPU, what torch makes of both, the device, and Python."""
    found = describe_machine()
    assert set(found) == {"device", "cpu", "python"}
    assert set(found["cpu"]) == {"machine", "vendor", "kernels"}
    assert found["cpu"]["kernels"] == torch.backends.cpu.get_cpu_capability()
    assert found["python"] == platform.python_version()


@pytest.mark.parametrize(
    ("cpuinfo", "made_by"),
    [
        ("processor\t: 0\nvendor_id\t: AuthenticAMD\nprocessor\t: 1\nvendor_id\t: AuthenticAMD\n", "AuthenticAMD"),
        ("processor\t: 0\nCPU implementer\t: 0x41\n", "0x41"),
        ("", ""),
    ],
)
def test_who_made_the_cpu_is_read_from_the_kernel(cpuinfo: str, made_by: str) -> None:
    """As Linux writes it on x86 and on ARM; empty where nothing says so."""
    assert cpu_vendor(cpuinfo) == made_by


def test_packages_go_by_one_spelling() -> None:
    """Each with the version that is installed."""
    found = installed_packages()
    assert (found["great-expectations"], found["ruamel-yaml"]) == (
        version("great_expectations"),
        version("ruamel.yaml"),
    )


def test_it_looks_at_any_environment_from_any_folder(tmp_path: Path) -> None:
    """As a script it says the same, without the project."""
    done = subprocess.run(
        [sys.executable, "-P", str(room.__file__)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == {**describe_machine(), "packages": installed_packages()}
