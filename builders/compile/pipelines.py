"""What a model is made of: wrappers taken off, pipelines laid flat."""

from typing import Any


def steps(model: Any) -> list[Any]:
    """The transformers in order, and last the predictor."""
    while hasattr(model, "best_estimator_"):  # a search predicts with the best it found
        model = model.best_estimator_
    if not _is_pipeline(model):
        return [model]
    return [part for _, step in model.steps if step is not None and step != "passthrough" for part in steps(step)]


def name(part: Any) -> str:
    """The class, as people know it."""
    return type(part).__name__


def is_a(part: Any, *names: str) -> bool:
    """Whether the class or one it derives from has one of these names. By name: the library need not be there to ask."""
    return any(cls.__name__ in names for cls in type(part).__mro__)


def _is_pipeline(model: Any) -> bool:
    return is_a(model, "Pipeline") and hasattr(model, "steps")
