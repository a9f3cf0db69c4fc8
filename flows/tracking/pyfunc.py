"""The registered model as MLflow loads it: this file is logged as the model's code."""

from pathlib import Path
from typing import Any

import mlflow
from mlflow.pyfunc import PythonModel

from pipeline.files import read_json
from pipeline.predict import Predictor


class FineTunedModel(PythonModel):  # type: ignore[misc]  # MLflow ships no types
    """A fine-tuned model: texts in, answers out."""

    def load_context(self, context: Any) -> None:
        """Load the base model and the adapter."""
        release = read_json(Path(context.artifacts["release"]))
        self.predictor = Predictor(release, Path(context.artifacts["adapter"]))

    def predict(self, model_input: list[str]) -> list[str]:
        """Answer each text."""
        return self.predictor.predict(model_input)


mlflow.models.set_model(FineTunedModel())
