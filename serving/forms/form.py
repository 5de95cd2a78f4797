"""A compiled form, read from its folder and ready to answer."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from serving.forms import links
from serving.forms.columns import Columns, RowsNotTaken
from serving.forms.cores import Centres, Graph, Graphs, Kernel, Linear, Trees
from serving.forms.text import Text
from serving.tensors import Tensor, from_array

__all__ = ["Form", "RowsNotTaken", "load"]

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
SCHEMA = "countersign.form/1"
FILE = "form.json"  # formats.manifest.FORM; the sandbox has no formats
ARRAY = ".npy"
MAPPED = 64 * 1024  # bytes of an array that is not read, but mapped: all processes of a host that serve it hold it once


class UnknownForm(ValueError):
    """`form.json` is of another version than this code."""


def load(folder: Path) -> "Form":
    """Read the form in ``folder``. No file of it can hold code: JSON, arrays without objects, ONNX graphs.

    :raises UnknownForm: it is of another version.
    """
    spec = json.loads((folder / FILE).read_bytes())
    if spec.get("schema") != SCHEMA:
        raise UnknownForm(f"{FILE} is of {spec.get('schema')!r}, this code reads {SCHEMA}")
    arrays = {path.stem: _array(path) for path in folder.glob(f"*{ARRAY}")}
    return Form(spec, arrays, {path.name: path for path in folder.glob("*.onnx")})


def _array(path: Path) -> Array:
    mode: Literal["r"] | None = "r" if path.stat().st_size > MAPPED else None
    return np.asarray(np.load(path, mmap_mode=mode, allow_pickle=False))


class Form:
    """Answers batches. Holds no state between them: it may be called from several threads."""

    def __init__(self, spec: Mapping[str, Any], arrays: Mapping[str, Array], graphs: Mapping[str, Graph]) -> None:
        self.engine: str = spec["engine"]
        self._outputs = {item["name"]: item for item in spec["outputs"]}
        self._labels = {
            name: np.array(item["labels"], dtype=object if isinstance(item["labels"][0], str) else None)
            for name, item in self._outputs.items()
            if item.get("labels")
        }
        stage, core = spec["stage"], spec["core"]["kind"]
        self._text = Text(stage, arrays) if stage["kind"] == "text" else None
        self._columns = None if self._text else Columns(stage, arrays)
        self._graphs = Graphs(spec["outputs"], graphs) if core == "graphs" else None
        self._core: Linear | Kernel | Trees | None = None
        if core == "linear":
            self._core = Linear(arrays)
        elif core == "centres":
            self._core = Centres(arrays)
        elif core == "kernel":
            self._core = Kernel(spec["core"], arrays)
        elif core == "trees":
            self._core = Trees(spec["core"], arrays, graphs["trees.onnx"])

    def answer(self, inputs: Sequence[Tensor], outputs: Sequence[str]) -> list[Tensor]:
        """One tensor per name in ``outputs``, in that order.

        :param inputs: of the signature, in its order and datatypes.
        :raises RowsNotTaken: the original refuses a row like one of these.
        """
        with np.errstate(all="ignore"):  # numbers as they come; the original warns at most
            if self._graphs is not None:
                matrix = self.matrix(inputs)
                answers = [self._graphs.output(self._outputs[name], matrix) for name in outputs]
            else:
                scores = self.scores(inputs)
                answers = [self._linked(name, scores) for name in outputs]
        return [
            from_array(name, self._outputs[name]["datatype"], array)
            for name, array in zip(outputs, answers, strict=True)
        ]

    def matrix(self, inputs: Sequence[Tensor]) -> Array:
        """What the stage makes of numbers and categories: the features the core sees."""
        assert self._columns is not None
        return self._columns(inputs)

    def scores(self, inputs: Sequence[Tensor]) -> Array:
        """What the core computes, before links; of forms that have one."""
        if self._text is not None:
            assert isinstance(self._core, Linear)
            return self._core.of_text(self._text, inputs)
        assert self._core is not None
        return self._core.of_matrix(self.matrix(inputs))

    def _linked(self, name: str, scores: Array) -> Array:
        link = self._outputs[name]["link"]
        labels = self._labels.get(name)
        return links.VALUES[link](scores) if labels is None else np.asarray(labels[links.INDICES[link](scores)])
