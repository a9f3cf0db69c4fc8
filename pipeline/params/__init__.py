"""params.yaml: its sections, and how it is read."""

from pipeline.params.baselines import BaselineName, Baselines, HostedEndpoint
from pipeline.params.data import (
    DATASET,
    REMOTE,
    DatasetAction,
    Ingest,
    MaskableAction,
    Source,
    Split,
    Tokenize,
    Validate,
)
from pipeline.params.evaluation import Evaluate, Prompt, Register, Retrain, Rule, Task
from pipeline.params.load import Params, ParamsError, load_params, parse_params, read_yaml
from pipeline.params.prices import Prices
from pipeline.params.section import Section
from pipeline.params.training import HUB_ADDRESS, Adapter, Finetune, Model

__all__ = [
    "DATASET",
    "HUB_ADDRESS",
    "REMOTE",
    "Adapter",
    "BaselineName",
    "Baselines",
    "DatasetAction",
    "Evaluate",
    "Finetune",
    "HostedEndpoint",
    "Ingest",
    "MaskableAction",
    "Model",
    "Params",
    "ParamsError",
    "Prices",
    "Prompt",
    "Register",
    "Retrain",
    "Rule",
    "Section",
    "Source",
    "Split",
    "Task",
    "Tokenize",
    "Validate",
    "load_params",
    "parse_params",
    "read_yaml",
]  # fmt: skip
