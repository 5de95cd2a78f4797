"""Estimators and transformers that skl2onnx knows, as ONNX graphs in float64."""

from collections.abc import Sequence
from typing import Any

from builders.compile.candidate import NotCompiled
from builders.compile.pipelines import name


def convert(parts: Sequence[Any], width: int, wanted: Sequence[str]) -> dict[str, bytes]:
    """Graphs over ``x`` [rows, width] by file name: one that answers labels and probabilities, where wanted one with raw scores.

    :param parts: transformers and, last, the predictor.
    :raises NotCompiled: skl2onnx does not know a part, or cannot express one of its options.
    """
    from sklearn.pipeline import Pipeline  # noqa: PLC0415  # what is no model of scikit-learn's brings it in with the tools

    predictor = parts[-1]
    model = Pipeline([(f"s{place}", part) for place, part in enumerate(parts)]) if len(parts) > 1 else predictor
    plain = {"zipmap": False} if hasattr(predictor, "classes_") else {}
    made = {"model.onnx": _graph(model, predictor, width, plain) or _graph(model, predictor, width, {})}
    if "decision_function" in wanted and plain:
        made["scores.onnx"] = _graph(model, predictor, width, {"raw_scores": True, **plain}) or _graph(
            model, predictor, width, {"raw_scores": True}
        )
    return {file: data for file, data in made.items() if data is not None}


def _graph(model: Any, predictor: Any, width: int, options: dict[str, bool]) -> bytes | None:
    """None when the converter does not have one of the options."""
    from skl2onnx import convert_sklearn  # noqa: PLC0415  # one of the compile tools
    from skl2onnx.common.data_types import DoubleTensorType  # noqa: PLC0415

    try:
        found = convert_sklearn(
            model,
            name="model",
            initial_types=[("x", DoubleTensorType([None, width]))],
            options={id(predictor): options} if options else None,
        )
    except Exception as error:  # noqa: BLE001  # a converter fails in any way
        if isinstance(error, NameError) and "Option" in str(error):
            return None
        told = " ".join(str(error).split())[:200]
        raise NotCompiled(f"skl2onnx cannot convert {name(predictor)}: {type(error).__name__}: {told}") from None
    data: bytes = found.SerializeToString(deterministic=True)
    return data
