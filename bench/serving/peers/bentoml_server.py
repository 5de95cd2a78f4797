"""BentoML's service: each model as an endpoint, and as one with BentoML's adaptive batching.

bentoml serve bentoml_server:Models, with the folder of the models in BENCH_MODELS.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bentoml
import joblib
import pandas as pd

FOLDER = Path(os.environ["BENCH_MODELS"])
KINDS = {"logistic": list[list[float]], "forest": list[list[float]], "neighbours": list[list[float]]}
KINDS |= {"text": list[str], "mixed": list[list[Any]]}


def endpoint(name: str, *, batching: bool) -> Any:
    """One endpoint of the service; rows in, predictions out."""
    model = joblib.load(FOLDER / f"{name}.joblib")
    route = f"/{name}-batching" if batching else f"/{name}"

    def predict(self: Any, rows: Any) -> Any:  # noqa: ARG001 - BentoML calls it as a method
        table = pd.DataFrame(rows, columns=model.feature_names_in_) if name == "mixed" else rows
        return model.predict(table).tolist()

    predict.__name__ = f"{name}_batching" if batching else name
    predict.__annotations__ = {"rows": KINDS[name], "return": list[Any]}
    make: Callable[[Any], Any] = bentoml.api(route=route, batchable=batching)
    return make(predict)


def attributes() -> dict[str, Any]:
    """The endpoints of the service, by name."""
    return {
        f"{name}_batching" if batching else name: endpoint(name, batching=batching)
        for name in KINDS
        if (FOLDER / f"{name}.joblib").is_file()
        for batching in (False, True)
    }


Models = bentoml.service(workers=1, traffic={"timeout": 120})(type("Models", (), attributes()))
