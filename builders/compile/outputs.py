"""Which link, or which node of a graph, gives what each method of the original answers: found by trying, on the rows."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from builders.compile.candidate import Candidate, NotCompiled
from serving import tensors
from serving.forms import links
from serving.forms.cores import session
from serving.tensors import Tensor

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

CLOSE = 1e-5
"""How near a link must come here. Parity is measured later and more strictly; this only tells one link from another."""


def find(
    candidate: Candidate,
    signature: Mapping[str, Any],
    inputs: Sequence[Tensor],
    expected: Mapping[str, Array],
    *,
    names: Sequence[str],
) -> None:
    """Fill ``candidate.outputs``, one for each output of the signature.

    :param expected: what the original answered for ``inputs``, by method.
    :param names: links that make sense for the core.
    :raises NotCompiled: nothing gives what a method answers.
    """
    made = candidate.form()
    with np.errstate(all="ignore"):
        if candidate.core["kind"] == "graphs":
            matrix = made.matrix(inputs)
            candidate.outputs = [_node(candidate, output, matrix, expected) for output in signature["outputs"]]
            return
        scores = made.scores(inputs)
        candidate.outputs = [_link(output, scores, expected[output["name"]], names) for output in signature["outputs"]]


def is_label(output: Mapping[str, Any]) -> bool:
    """Whether the output holds labels, which must be equal, and no scores, which may differ in their last bits."""
    return output["name"] == "predict" and (not output["datatype"].startswith("FP") or "labels" in output)


def _link(output: Mapping[str, Any], scores: Array, expected: Array, names: Sequence[str]) -> dict[str, Any]:
    described = {"name": output["name"], "datatype": output["datatype"]}
    if is_label(output):
        labels = output.get("labels") or sorted(set(expected.tolist()))
        if set(labels) == {1} or set(labels) == {-1}:
            labels = [-1, 1]  # an outlier detector, whatever the rows hold
        if "nearest" in names:
            labels = list(range(scores.shape[1] - 1))  # the clusters, whichever the rows fall into
        for name in (item for item in names if item in links.INDICES):
            places = links.INDICES[name](scores)
            if places.max() < len(labels) and np.array_equal(np.array(labels)[places], expected):
                return described | {"link": name, "labels": list(labels)}
    else:
        for name in (item for item in names if item in links.VALUES):
            values = links.VALUES[name](scores)
            if values.shape == expected.shape and np.allclose(values, expected, rtol=CLOSE, atol=CLOSE, equal_nan=True):
                return described | {"link": name}
    raise NotCompiled(f"its {output['name']} is not what the scores of its arrays say")


def _node(
    candidate: Candidate, output: Mapping[str, Any], matrix: Array, expected: Mapping[str, Array]
) -> dict[str, Any]:
    wanted = expected[output["name"]]
    for file in sorted(candidate.graphs):
        try:
            opened = session(candidate.graphs[file])
            answered = [(node.name, opened.run([node.name], {"x": matrix})[0]) for node in opened.get_outputs()]
        except Exception as error:  # noqa: BLE001  # ONNX Runtime's errors have no common class
            told = " ".join(str(error).split())[-200:]
            raise NotCompiled(f"ONNX Runtime cannot run its graph: {told}") from None
        for node, found in answered:
            for take in (None, "last", "rows"):
                array = _taken(np.asarray(found), take, len(matrix))
                if array.shape == wanted.shape and _alike(array, wanted, labels=is_label(output)):
                    return {
                        "name": output["name"],
                        "datatype": output["datatype"],
                        "file": file,
                        "node": node,
                        "take": take,
                    }
    raise NotCompiled(f"no node of its graph gives what {output['name']} answers")


def _taken(found: Array, take: str | None, rows: int) -> Array:
    if take == "last":
        return found.reshape(rows, -1)[:, -1]
    return found.reshape(rows, -1) if take == "rows" else found


def _alike(array: Array, wanted: Array, *, labels: bool) -> bool:
    if labels:
        return bool(array.tolist() == wanted.tolist())
    if array.dtype.kind not in "fiu":
        return False
    return bool(np.allclose(array, wanted, rtol=CLOSE, atol=CLOSE, equal_nan=True))


def as_array(tensor: Tensor) -> Array:
    """An answer as an array: strings as objects."""
    if tensor.datatype == "BYTES":
        return np.array(tensors.to_strings(tensor), dtype=object).reshape(tensor.shape)
    return tensors.to_array(tensor)
