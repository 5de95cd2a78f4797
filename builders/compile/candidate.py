"""A compiled form in the making: what it does, its arrays, its graphs; as files that serving reads."""

import io
import json
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from serving.forms.form import ARRAY, FILE, SCHEMA, Form

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


class NotCompiled(Exception):
    """A part of the model has no compiled form; the message completes "not compiled: ..."."""


@dataclass
class Candidate:
    """One way to compute what the model computes. ``outputs`` are found by :mod:`outputs`."""

    engine: str
    stage: dict[str, Any]
    core: dict[str, Any]
    arrays: dict[str, Array] = field(default_factory=dict)
    graphs: dict[str, bytes] = field(default_factory=dict)
    outputs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def spec(self) -> dict[str, Any]:
        """What `form.json` says."""
        return {
            "schema": SCHEMA,
            "engine": self.engine,
            "stage": self.stage,
            "core": self.core,
            "outputs": self.outputs,
        }

    def form(self) -> Form:
        """Itself, ready to answer."""
        return Form(self.spec, self.arrays, self.graphs)

    def files(self) -> dict[str, bytes]:
        """Its files by name; the same model gives the same bytes."""
        found = {FILE: json.dumps(self.spec, ensure_ascii=False, sort_keys=True, allow_nan=False).encode()}
        for name, array in self.arrays.items():
            sink = io.BytesIO()
            np.save(sink, array, allow_pickle=False)
            found[name + ARRAY] = sink.getvalue()
        return found | self.graphs
