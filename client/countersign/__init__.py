"""Countersign's client: `push` from a notebook, `Client` for the rest, `errors` for what can go wrong.

    import countersign
    version = countersign.push(estimator, X_sample, name="payments/feedback-voice")
    version.wait("ready", timeout=600)

Names are loaded when first used, so that the command starts without the HTTP library.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from countersign import errors
    from countersign.client import Client
    from countersign.notebook import push

__all__ = ["Client", "__version__", "errors", "push"]

_HOMES = {"Client": "countersign.client", "push": "countersign.notebook"}


def __getattr__(name: str) -> Any:
    if name == "errors":
        return import_module("countersign.errors")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
