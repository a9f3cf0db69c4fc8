"""params.yaml: its sections, and how it is read."""

from pipeline.params.data import DATASET, REMOTE, Action, Ingest, Source, Split, Tokenize, Told, Validate
from pipeline.params.judging import Evaluate, Prompt, Register, Retrain, Rule, Task
from pipeline.params.prices import Prices
from pipeline.params.reading import Params, ParamsProblem, load_params, parse_params, read_yaml
from pipeline.params.rivals import Endpoint, Kind, Rivals
from pipeline.params.section import Section
from pipeline.params.training import HUB, Adapter, Finetune, Model

__all__ = [
    "DATASET", "HUB", "REMOTE", "Action", "Adapter", "Endpoint", "Evaluate", "Finetune", "Ingest", "Kind", "Model",
    "Params", "ParamsProblem", "Prices", "Prompt", "Register", "Retrain", "Rivals", "Rule", "Section", "Source",
    "Split", "Task", "Tokenize", "Told", "Validate", "load_params", "parse_params", "read_yaml",
]  # fmt: skip
