"""The environment that a stage's bytes may depend on: device, kind of CPU, Python, packages.

Run as a script it prints all of it as JSON, and needs nothing of the project: it can look at any environment.
"""

import json
import platform
import re
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import torch

CPUINFO = Path("/proc/cpuinfo")


def describe_machine() -> dict[str, Any]:
    """Describe the machine and the interpreter."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    return {
        "device": gpu or "cpu",
        "cpu": {
            "machine": platform.machine(),
            "vendor": cpu_vendor(CPUINFO.read_text(encoding="utf-8") if CPUINFO.exists() else ""),
            "kernels": torch.backends.cpu.get_cpu_capability(),
        },
        "python": platform.python_version(),
    }


def cpu_vendor(cpuinfo: str) -> str:
    """Find who made the CPU, since libraries choose their kernels by that too; empty where the kernel does not say."""
    vendor = re.search(r"^(?:vendor_id|CPU implementer)\s*:\s*(\S+)", cpuinfo, re.MULTILINE)
    return vendor[1] if vendor else ""


def installed_packages() -> dict[str, str]:
    """List the version of every package there is, by its canonical name."""
    versions = {str(each.metadata["Name"]): each.version for each in distributions()}
    return {re.sub(r"[-_.]+", "-", name).lower(): number for name, number in sorted(versions.items())}


if __name__ == "__main__":
    json.dump({**describe_machine(), "packages": installed_packages()}, sys.stdout)
