"""The stage of text models: n-grams of words or characters, counted and weighted as scikit-learn's vectorizers do it."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from serving.forms.columns import RowsNotTaken
from serving.tensors import Tensor, to_strings

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
_SPACES = re.compile(r"\s\s+")


class Text:
    """Vectorizers side by side; a row comes out as the places and weights of the terms it has."""

    def __init__(self, spec: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        self._vectorizers = [Vectorizer(item, arrays) for item in spec["vectorizers"]]

    def rows(self, inputs: Sequence[Tensor]) -> Iterator[tuple[list[int], Array]]:
        """Per text: places of its terms in the core's arrays, and their weights.

        :raises RowsNotTaken: a text is missing.
        """
        for text in to_strings(inputs[0]):
            if text is None:
                raise RowsNotTaken("a text is missing, and this model takes no missing texts")
            if len(self._vectorizers) == 1:
                yield self._vectorizers[0](text)
                continue
            parts = [vectorizer(text) for vectorizer in self._vectorizers]
            yield [place for places, _ in parts for place in places], np.concatenate([weights for _, weights in parts])


class Vectorizer:
    """One fitted TfidfVectorizer or CountVectorizer."""

    def __init__(self, spec: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        self._terms = {term: place for place, term in enumerate(spec["terms"])}
        self._offset = spec["offset"]
        self._idf = arrays.get(spec["idf"]) if spec["idf"] else None
        self._binary, self._sublinear = spec["binary"], spec["sublinear"]
        self._norm, self._factor = spec["norm"], spec["factor"]
        self._lowercase, self._accents = spec["lowercase"], _ACCENTS[spec["strip_accents"]]
        self._least, self._most = spec["ngram_range"]
        self._stop_words = frozenset(spec["stop_words"])
        self._find = re.compile(spec["token_pattern"]).findall if spec["token_pattern"] else None
        analyzers: dict[str, Callable[[str], list[str]]] = {
            "word": self._words,
            "char": self._characters,
            "char_wb": self._characters_of_words,
        }
        self._analyze = analyzers[spec["analyzer"]]

    def __call__(self, text: str) -> tuple[list[int], Array]:
        if self._lowercase:
            text = text.lower()
        if self._accents is not None:
            text = self._accents(text)
        known = self._terms
        counts = Counter([known[term] for term in self._analyze(text) if term in known])
        places = list(counts)
        if self._binary:
            weights = np.ones(len(places))
        else:
            weights = np.fromiter(counts.values(), dtype=np.float64, count=len(places))
        if self._sublinear:
            weights = np.log(weights) + 1.0
        if self._idf is not None:
            weights = weights * self._idf[places]
        if self._norm is not None and places:
            size = np.sqrt(weights @ weights) if self._norm == "l2" else np.abs(weights).sum()
            if size > 0.0:
                weights = weights / size
        if self._factor != 1.0:
            weights = weights * self._factor
        return ([place + self._offset for place in places] if self._offset else places), weights

    def _words(self, text: str) -> list[str]:
        assert self._find is not None
        words = self._find(text)
        if self._stop_words:
            words = [word for word in words if word not in self._stop_words]
        if self._most == 1:
            return words
        found = words if self._least == 1 else []
        return found + [
            " ".join(words[start : start + size])
            for size in range(max(2, self._least), min(self._most, len(words)) + 1)
            for start in range(len(words) - size + 1)
        ]

    def _characters(self, text: str) -> list[str]:
        return list(self._pieces(_SPACES.sub(" ", text)))

    def _pieces(self, text: str) -> Iterator[str]:
        for size in range(self._least, min(self._most, len(text)) + 1):
            for start in range(len(text) - size + 1):
                yield text[start : start + size]

    def _characters_of_words(self, text: str) -> list[str]:
        found = []
        for word in _SPACES.sub(" ", text).split():
            padded = f" {word} "
            for size in range(self._least, self._most + 1):
                found.append(padded[:size])
                found += [padded[start : start + size] for start in range(1, len(padded) - size + 1)]
                if len(padded) <= size:  # a short word counts once
                    break
        return found


def _strip_unicode(text: str) -> str:
    if text.isascii():
        return text
    return "".join(mark for mark in unicodedata.normalize("NFKD", text) if not unicodedata.combining(mark))


def _strip_ascii(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ASCII", "ignore").decode("ASCII")


_ACCENTS: dict[str | None, Callable[[str], str] | None] = {None: None, "unicode": _strip_unicode, "ascii": _strip_ascii}
