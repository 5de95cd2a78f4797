"""Fitted vectorizers of text, alone or side by side in a FeatureUnion, as the stage of `serving.forms.text`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from builders.compile.candidate import NotCompiled
from builders.compile.pipelines import is_a, name, steps

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


@dataclass
class Texts:
    """The stage, its arrays, and how many terms it knows. ``kept``: places the core sees, None for all of them."""

    vectorizers: list[dict[str, Any]] = field(default_factory=list)
    arrays: dict[str, Array] = field(default_factory=dict)
    size: int = 0
    kept: Array | None = None


def read(transformers: Sequence[Any]) -> Texts:
    """:raises NotCompiled: naming the part or the option that has no compiled form."""
    if not transformers:
        raise NotCompiled("the estimator takes text without a vectorizer before it")
    made = Texts()
    rest = list(transformers)
    first = rest.pop(0)
    if is_a(first, "FeatureUnion"):
        weights = first.transformer_weights or {}
        for label, part in first.transformer_list:
            if part not in ("drop", None):
                _read_branch(made, steps(part), float(weights.get(label, 1.0)))
    else:
        branch = [first]
        if rest and is_a(rest[0], "TfidfTransformer"):
            branch.append(rest.pop(0))
        _read_branch(made, branch, 1.0)
    if rest and hasattr(rest[0], "get_support"):  # SelectKBest and its kind
        made.kept = np.flatnonzero(rest.pop(0).get_support())
    if rest:
        raise NotCompiled(f"{name(rest[0])} after the vectorizer has no compiled form")
    return made


def _read_branch(made: Texts, branch: list[Any], factor: float) -> None:
    vectorizer, weighting = branch[0], branch[0]
    if not is_a(vectorizer, "CountVectorizer"):  # TfidfVectorizer derives from it
        raise NotCompiled(f"{name(vectorizer)} has no compiled form")
    if len(branch) == 2 and is_a(branch[1], "TfidfTransformer") and not is_a(vectorizer, "TfidfVectorizer"):
        weighting = branch[1]
    elif len(branch) > 1:
        raise NotCompiled(f"{name(branch[1])} after {name(vectorizer)} has no compiled form")
    for option in ("tokenizer", "preprocessor"):
        if getattr(vectorizer, option) is not None:
            raise NotCompiled(f"{name(vectorizer)} has a {option} of its own")
    if vectorizer.analyzer not in ("word", "char", "char_wb") or vectorizer.strip_accents not in (
        None,
        "ascii",
        "unicode",
    ):
        raise NotCompiled(f"{name(vectorizer)} has an analyzer of its own")
    if vectorizer.input != "content":
        raise NotCompiled(f"{name(vectorizer)} reads files")
    terms = sorted(vectorizer.vocabulary_, key=vectorizer.vocabulary_.__getitem__)
    weighted = is_a(weighting, "TfidfVectorizer", "TfidfTransformer")
    idf = None
    if weighted and weighting.use_idf:
        idf = f"idf{len(made.vectorizers)}"
        made.arrays[idf] = np.asarray(weighting.idf_, dtype=np.float64)
    made.vectorizers.append(
        {
            "analyzer": vectorizer.analyzer,
            "lowercase": bool(vectorizer.lowercase),
            "strip_accents": vectorizer.strip_accents,
            "ngram_range": [int(bound) for bound in vectorizer.ngram_range],
            "token_pattern": vectorizer.token_pattern if vectorizer.analyzer == "word" else None,
            "stop_words": sorted(vectorizer.get_stop_words() or ()) if vectorizer.analyzer == "word" else [],
            "binary": bool(vectorizer.binary),
            "sublinear": bool(weighted and weighting.sublinear_tf),
            "norm": weighting.norm if weighted else None,
            "idf": idf,
            "factor": factor,
            "offset": made.size,
            "terms": terms,
        }
    )
    made.size += len(terms)
