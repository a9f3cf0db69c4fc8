"""params.yaml: its sections, and how it is read."""

from pipeline.params.baselines import Baselines, Endpoint, Kind
from pipeline.params.data import DATASET, REMOTE, Action, Ingest, Source, Split, Tokenize, Told, Validate
from pipeline.params.evaluation import Evaluate, Prompt, Register, Retrain, Rule, Task
from pipeline.params.load import Params, ParamsProblem, load_params, parse_params, read_yaml
from pipeline.params.prices import Prices
from pipeline.params.section import Section
from pipeline.params.training import HUB, Adapter, Finetune, Model

__all__ = [
    "DATASET",
    "HUB",
    "REMOTE",
    "Action",
    "Adapter",
    "Baselines",
    "Endpoint",
    "Evaluate",
    "Finetune",
    "Ingest",
    "Kind",
    "Model",
    "Params",
    "ParamsProblem",
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
    "Told",
    "Validate",
    "load_params",
    "parse_params",
    "read_yaml",
]  # fmt: skip
