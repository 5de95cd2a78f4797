"""The stage of text models: n-grams of words or characters, counted and weighted as scikit-learn's vectorizers do it."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from serving.forms.columns import RowsNotTaken
from serving.tensors import Tensor, to_strings

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
_SPACES = re.compile(r"\s\s+")
TOGETHER = 4096  # terms whose rows are gathered at once: some MB at most, however many texts came


@dataclass(slots=True)
class Terms:
    """The terms of some texts, one text after the other.

    :param places: of each term in the core's arrays.
    :param weights: of each term in its text.
    :param counts: how many terms each text has.
    """

    places: Array
    weights: Array
    counts: Array

    def times(self, matrix: Array) -> Array:
        """For each text the sum of its terms' rows of ``matrix`` [terms known, k], each times its weight."""
        if len(self.counts) == 1:
            return np.asarray(self.weights @ matrix[self.places])[None]
        sums = np.zeros((len(self.counts), matrix.shape[1]))
        ends = self.counts.cumsum()
        first = 0
        while first < len(ends):
            start = ends[first] - self.counts[first]
            last = max(first + 1, int(ends.searchsorted(start + TOGETHER, side="right")))
            part = matrix[self.places[start : ends[last - 1]]]
            part *= self.weights[start : ends[last - 1], None]
            sums[first:last] = _sums(part, self.counts[first:last])
            first = last
        return sums

    def squares(self) -> Array:
        """The sum of the squared weights of each text."""
        return _sums(self.weights**2, self.counts)


def _sums(values: Array, counts: Array) -> Array:
    """The sums of ``counts[0]`` of the values, of the ``counts[1]`` after them, and so on; 0 of none."""
    if len(counts) == 1:
        return np.asarray(values.sum(axis=0, keepdims=True))
    sums = np.zeros((len(counts), *values.shape[1:]))
    some = counts > 0
    if len(values):
        sums[some] = np.add.reduceat(values, (counts.cumsum() - counts)[some], axis=0)
    return sums


class Text:
    """Vectorizers side by side."""

    def __init__(self, spec: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        self._vectorizers = [Vectorizer(item, arrays) for item in spec["vectorizers"]]

    def __call__(self, inputs: Sequence[Tensor]) -> list[Terms]:
        """What each vectorizer finds.

        :raises RowsNotTaken: a text is missing.
        """
        texts: list[str] = []
        for text in to_strings(inputs[0]):
            if text is None:
                raise RowsNotTaken("a text is missing, and this model takes no missing texts")
            texts.append(text)
        return [vectorizer(texts) for vectorizer in self._vectorizers]


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
        analyzers: dict[str, Callable[[str], Iterable[str]]] = {
            "word": self._words,
            "char": self._characters,
            "char_wb": self._characters_of_words,
        }
        self._analyze = analyzers[spec["analyzer"]]

    def __call__(self, texts: Sequence[str]) -> Terms:
        known = self._terms
        places: list[int] = []
        times: list[int] = []
        counts = []
        for text in texts:
            plain = text.lower() if self._lowercase else text
            if self._accents is not None:
                plain = self._accents(plain)
            # One after the other: the terms of a long text together take hundreds of times its size.
            found = Counter(known[term] for term in self._analyze(plain) if term in known)
            places += found
            times += found.values()
            counts.append(len(found))
        weights = np.ones(len(places)) if self._binary else np.array(times, dtype=np.float64)
        if self._sublinear:
            weights = np.log(weights) + 1.0
        terms = Terms(np.array(places, dtype=np.intp), weights, np.array(counts, dtype=np.intp))
        if self._idf is not None:
            weights *= self._idf[terms.places]
        if self._norm is not None:
            sizes = np.sqrt(terms.squares()) if self._norm == "l2" else _sums(np.abs(weights), terms.counts)
            sizes[sizes == 0.0] = 1.0
            weights /= sizes.repeat(terms.counts)
        if self._factor != 1.0:
            weights *= self._factor
        if self._offset:
            terms.places += self._offset
        return terms

    def _words(self, text: str) -> Iterable[str]:
        assert self._find is not None
        words: list[str] = self._find(text)
        if self._stop_words:
            words = [word for word in words if word not in self._stop_words]
        return words if self._most == 1 else self._runs(words)

    def _runs(self, words: list[str]) -> Iterator[str]:
        if self._least == 1:
            yield from words
        for size in range(max(2, self._least), min(self._most, len(words)) + 1):
            for start in range(len(words) - size + 1):
                yield " ".join(words[start : start + size])

    def _characters(self, text: str) -> Iterator[str]:
        text = _SPACES.sub(" ", text)
        for size in range(self._least, min(self._most, len(text)) + 1):
            for start in range(len(text) - size + 1):
                yield text[start : start + size]

    def _characters_of_words(self, text: str) -> Iterator[str]:
        for word in _SPACES.sub(" ", text).split():
            padded = f" {word} "
            for size in range(self._least, self._most + 1):
                yield padded[:size]
                for start in range(1, len(padded) - size + 1):
                    yield padded[start : start + size]
                if len(padded) <= size:  # a short word counts once
                    break


def _strip_unicode(text: str) -> str:
    if text.isascii():
        return text
    return "".join(mark for mark in unicodedata.normalize("NFKD", text) if not unicodedata.combining(mark))


def _strip_ascii(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ASCII", "ignore").decode("ASCII")


_ACCENTS: dict[str | None, Callable[[str], str] | None] = {None: None, "unicode": _strip_unicode, "ascii": _strip_ascii}
