"""Where things are: the project's folder, its private folder for runs and databases, and the settings of the tools."""

import json
import os
from pathlib import Path

from pipeline.errors import UserError
from pipeline.files import atomic_write

STATE_FOLDER = ".tunesmith"
RUNS_FOLDER = "runs"
"""Below it: a folder for each run."""

PARAMS_YAML, DVC_YAML, DVC_LOCK = "params.yaml", "dvc.yaml", "dvc.lock"
PROMOTIONS = "data/promotions.jsonl"
"""The log of promotions, kept in git."""
BYTECODE_FOLDER = "__pycache__"
"""What Python leaves beside code that it runs: no input of any stage, as .dvcignore says to DVC."""

TOOL_SETTINGS = {
    # No tool tells anybody outside what is done here.
    "DO_NOT_TRACK": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_MODEL_CATALOG_URI": "",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "DVC_NO_ANALYTICS": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # A database or server that is away must not hold up a training for minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "GIT_PYTHON_REFRESH": "quiet",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",  # a failing stage says one line by itself
    "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": "http://127.0.0.1:4200",
    "ALEMBIC_LOG_LEVEL": "WARNING",
}


def project_root() -> Path:
    """The project's folder: this one, or the nearest above it that holds dvc.yaml and params.yaml.

    Raises:
        UserError: If there is none.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "dvc.yaml").exists() and (folder / "params.yaml").exists():
            return folder
    raise UserError(
        str(here),
        "is not in a tunesmith project",
        expected="dvc.yaml and params.yaml",
        do="go there, or make one with `tunesmith new`",
    )


def state_dir(folder: Path) -> Path:
    """The folder of what belongs to this checkout alone: lock, journals, databases, servers, the current champion."""
    state_folder = folder / STATE_FOLDER
    state_folder.mkdir(exist_ok=True)
    return state_folder


def write_json_atomic(path: Path, values: object) -> None:
    """Write plain values as JSON, whole or not at all, and down to the disk before this returns."""
    write_text_atomic(path, json.dumps(values, indent=1))


def write_text_atomic(path: Path, text: str) -> None:
    """Write a text, whole or not at all, and down to the disk before this returns."""
    with atomic_write(path) as part:
        part.write_text(text, encoding="utf-8")


def mlflow_database(folder: Path) -> Path:
    """The project's own MLflow database."""
    return state_dir(folder) / "mlflow.db"


def tracking_uri(folder: Path) -> str:
    """Where MLflow's data is: MLFLOW_TRACKING_URI, else the project's own database, named in full."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{mlflow_database(folder)}"


def uses_local_mlflow(folder: Path) -> bool:
    """Whether the project keeps MLflow's data itself.

    Asked of the address, not of the environment: MLflow writes the address that it is given into the environment.
    """
    return tracking_uri(folder) == f"sqlite:///{mlflow_database(folder)}"


def configure_tools() -> None:
    """Tell the tools where to keep their things and to keep quiet; what the user has set stays."""
    for name, value in TOOL_SETTINGS.items():
        os.environ.setdefault(name, value)
    for name, value in tool_folders().items():
        os.environ.setdefault(name, value)


def tool_folders() -> dict[str, str]:
    """Where tools keep their things for the project that we stand in; nothing outside one.

    Outside a project only commands run that need none of these tools.
    """
    try:
        state_folder = state_dir(project_root())
    except UserError:
        return {}
    return {"PREFECT_HOME": str(state_folder / "prefect"), "DVC_SITE_CACHE_DIR": str(state_folder / "dvc")}


def change_folder(folder: Path) -> None:
    """Go on as if started in another folder: what was set for the project here is set for the one there."""
    for name, value in tool_folders().items():
        if os.environ.get(name) == value:
            del os.environ[name]
    os.chdir(folder)
    configure_tools()
