"""From a loaded model to candidates and the rows to compare them on."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from builders.compile import columns, edges, graphs, linear, outputs, pipelines, texts, trees
from builders.compile.candidate import Candidate, NotCompiled
from builders.compile.original import Original
from serving import forms, tensors
from serving.forms import links

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

_SHARES = ("share", "larger_share", "identity", "largest")
_CENTRES = ("distances", "nearest")
_SCORES = tuple(name for name in (*links.VALUES, *links.INDICES) if name not in ("share", "larger_share", *_CENTRES))


def make(
    model: Any, signature: Mapping[str, Any], sample: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, Any], list[bytes]]:
    """Head and data of the frame that the program prints."""
    original = Original(model, signature, list(sample[0]))
    left_out: list[dict[str, str]] = []
    drafts = list(_drafts(original, original.limits(sample[0]), left_out))
    thresholds = [pair for draft in drafts for pair in draft.thresholds]
    edge = edges.records(signature, original.columns, sample, thresholds)
    refused = set(original.refused(edge))
    taken = [*sample, *(record for place, record in enumerate(edge) if place not in refused)]
    inputs = original.encode(taken)
    expected = original.answer(inputs)
    arrays = {tensor.name: outputs.as_array(tensor) for tensor in expected}
    made = []
    for draft in drafts:
        try:
            outputs.find(draft.candidate, signature, inputs, arrays, names=draft.links)
        except NotCompiled as error:
            left_out.append({"engine": draft.candidate.engine, "reason": str(error)})
        except forms.RowsNotTaken:  # not its words: they may quote a row
            left_out.append({"engine": draft.candidate.engine, "reason": "it refuses rows that the original answers"})
        else:
            made.append(draft.candidate)
    names = [{"name": item["name"], "label": outputs.is_label(item)} for item in signature["outputs"]]
    rows = [tensors.pack({"outputs": names, "inputs": len(inputs), "sample": len(sample)}, [*inputs, *expected])]
    if refused:
        rows.append(tensors.pack({}, original.encode([edge[place] for place in sorted(refused)])))
    blobs = [b"".join(map(bytes, frame)) for frame in rows]
    files = [candidate.files() for candidate in made]
    head = {
        "candidates": [
            {"engine": candidate.engine, "files": [{"path": path, "size": len(data)} for path, data in found.items()]}
            for candidate, found in zip(made, files, strict=True)
        ],
        "left_out": left_out,
        "rows": [len(blob) for blob in blobs],
    }
    return head, [*(data for found in files for data in found.values()), *blobs]


class _Draft:
    """A candidate whose outputs are not known yet, and what helps to find and to test them."""

    def __init__(
        self, candidate: Candidate, links_: Sequence[str], thresholds: Sequence[tuple[int, float]] = ()
    ) -> None:
        self.candidate, self.links, self.thresholds = candidate, links_, thresholds


def _drafts(original: Original, limits: Array | None, left_out: list[dict[str, str]]) -> Iterator[_Draft]:
    """By preference: arrays and trees of our own, which keep the library's float64, before converted graphs.

    The order is fixed, so that one model always compiles to one form; docs/compiled.md holds the measurements behind it.
    """
    if any("content_type" in item for item in original.signature["inputs"]):
        left_out.append({"engine": "arrays", "reason": "columns of dates have no compiled form"})
        return
    parts = pipelines.steps(original.model)
    makers: list[tuple[str, Callable[[], _Draft]]]
    if original.signature["layout"] == "text":
        makers = [("arrays", functools.partial(_of_text, parts))]
    else:
        makers = [("arrays", functools.partial(_own, original, parts, limits))]
        makers.append(("onnx", functools.partial(_graph, original, parts, limits)))
    for engine, maker in makers:
        try:
            draft = maker()
            yield draft
            if draft.candidate.core["kind"] == "trees":
                return  # a converted graph of the same trees would be no faster, and rounds them to float32
        except NotCompiled as error:
            left_out.append({"engine": engine, "reason": str(error)})
        except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
            told = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            left_out.append({"engine": engine, "reason": f"this version of its library keeps it otherwise ({told})"})


def _of_text(parts: Sequence[Any]) -> _Draft:
    found = texts.read(parts[:-1])
    predictor = _with_counts_as_flags(parts[-1], found)
    centres = linear.read_centres(predictor)
    core = centres or linear.read(predictor)
    if core is None:
        raise NotCompiled(f"{pipelines.name(parts[-1])} over text has no compiled form")
    coef, intercept = core
    if found.kept is not None:
        chosen, coef = coef, np.zeros((found.size, coef.shape[1]))
        coef[found.kept] = chosen
    if len(coef) != found.size:
        raise NotCompiled(f"{pipelines.name(parts[-1])} knows {len(coef)} terms, the vectorizers {found.size}")
    arrays = {**found.arrays, "coef": np.ascontiguousarray(coef), "intercept": intercept}
    stage = {"kind": "text", "vectorizers": found.vectorizers}
    kind = "centres" if centres else "linear"
    return _Draft(Candidate("arrays", stage, {"kind": kind}, arrays), _CENTRES if centres else _SCORES)


def _with_counts_as_flags(predictor: Any, found: texts.Texts) -> Any:
    """BernoulliNB looks only whether a term is there: the vectorizers then count to one and weigh nothing."""
    if pipelines.is_a(predictor, "BernoulliNB"):
        if predictor.binarize != 0.0:
            raise NotCompiled(f"BernoulliNB has the threshold {predictor.binarize}")
        for item in found.vectorizers:
            item |= {"binary": True, "sublinear": False, "norm": None, "idf": None, "factor": 1.0}
        found.arrays.clear()
    return predictor


def _own(original: Original, parts: Sequence[Any], limits: Array | None) -> _Draft:
    """A linear map or trees over the matrix."""
    matrix, predictor = _matrix(original, parts, limits), parts[-1]
    if matrix.rest:
        raise NotCompiled(f"{pipelines.name(matrix.rest[0])} has no array form")
    ensemble = trees.read(predictor)
    if ensemble is not None:
        graph, table = trees.graph(ensemble, matrix.width)
        arrays = matrix.arrays | {"start": ensemble.start}
        if table is not None:
            arrays["table"] = table
        core = {
            "kind": "trees",
            "single": ensemble.single,
            "nought": ensemble.nought,
            "divisor": ensemble.divisor,
            "isolation": ensemble.isolation,
            "offset": ensemble.offset,
        }
        candidate = Candidate("onnx", matrix.stage, core, arrays, {"trees.onnx": graph})
        names = ("only", *_SHARES) if ensemble.shares else _SCORES
        return _Draft(candidate, names, _thresholds(ensemble, matrix.origins))
    kernel = linear.read_kernel(predictor)
    if kernel is not None:
        core, arrays = kernel
        return _Draft(Candidate("arrays", matrix.stage, core, matrix.arrays | arrays), _SCORES)
    centres = linear.read_centres(predictor)
    read = centres or linear.read(predictor)
    if read is None or len(read[0]) != matrix.width:
        raise NotCompiled(f"{pipelines.name(predictor)} has no array form")
    arrays = matrix.arrays | {"coef": read[0], "intercept": read[1]}
    kind = "centres" if centres else "linear"
    return _Draft(Candidate("arrays", matrix.stage, {"kind": kind}, arrays), _CENTRES if centres else _SCORES)


def _graph(original: Original, parts: Sequence[Any], limits: Array | None) -> _Draft:
    """What skl2onnx makes of everything after the blocks."""
    matrix = _matrix(original, parts, limits)
    wanted = [item["name"] for item in original.signature["outputs"]]
    made = graphs.convert([*matrix.rest, parts[-1]], matrix.width, wanted)
    return _Draft(Candidate("onnx", matrix.stage, {"kind": "graphs"}, matrix.arrays, made), ())


class _Matrix(NamedTuple):
    """The stage that makes the matrix, and the transformers that come after it."""

    stage: dict[str, Any]
    arrays: dict[str, Array]
    width: int
    origins: list[int | None]
    rest: list[Any]


def _matrix(original: Original, parts: Sequence[Any], limits: Array | None) -> _Matrix:
    if original.signature["layout"] == "matrix":
        is_text = [False] * len(original.columns)
    else:
        is_text = [item["datatype"] == "BYTES" for item in original.signature["inputs"]]
    found, rest = columns.read(parts[:-1], is_text)
    arrays = {} if found is None else dict(found.arrays)
    if limits is not None:
        arrays["limits"] = limits
    stage = {"kind": "columns", "blocks": None if found is None else found.blocks}
    origins: list[int | None] = list(range(len(is_text))) if found is None else found.origins
    return _Matrix(stage, arrays, len(origins), origins, rest)


def _thresholds(ensemble: trees.Ensemble, origins: Sequence[int | None]) -> list[tuple[int, float]]:
    """Thresholds by input, for inputs whose values reach the trees unchanged."""
    return [(origin, value) for feature, value in ensemble.thresholds() if (origin := origins[feature]) is not None]
