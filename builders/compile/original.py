"""The model as its own library answers it: what every candidate is held against."""

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from serving import introspection, tensors
from serving.estimators import answer, features
from serving.tensors import Tensor

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Record: TypeAlias = Mapping[str, Any]

_LARGEST_SINGLE = math.nextafter(3.4028235677973366e38, 0.0)  # from there on float32 rounds to infinity
_MOST_PROBED = 40


class Original:
    """A loaded model with its signature and the order of its sample's columns."""

    def __init__(self, model: Any, signature: Mapping[str, Any], columns: Sequence[str]) -> None:
        self.model, self.signature, self.columns = model, signature, list(columns)

    def encode(self, records: Sequence[Record]) -> list[Tensor]:
        """Records as the tensors of a request."""
        return introspection.encode(dict(self.signature), self.columns, [dict(record) for record in records])

    def answer(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """One tensor for each output, as the process of this model would send it.

        :raises Exception: it refuses a row, in its library's own way.
        """
        rows = features(dict(self.signature), list(inputs))
        count = inputs[0].shape[0]
        return [
            tensors.from_array(item["name"], item["datatype"], answer(self.model, item["name"], rows, count))
            for item in self.signature["outputs"]
        ]

    def refused(self, records: Sequence[Record]) -> list[int]:
        """Places of the records that it does not answer, found by halves."""
        if not records:
            return []
        try:
            self.answer(self.encode(records))
        except Exception:  # noqa: BLE001  # whatever it raises, it does not take one of these
            if len(records) == 1:
                return [0]
            half = len(records) // 2
            return self.refused(records[:half]) + [half + place for place in self.refused(records[half:])]
        return []

    def limits(self, record: Record) -> Array | None:
        """The largest number each column of floats takes, found by sending larger ones; None when it takes all.

        scikit-learn refuses infinities, and what becomes infinite in float32 where it computes in that. A compiled form would
        answer them.
        """
        if self.signature["layout"] == "text":
            return None
        if self.signature["layout"] == "matrix":
            places = [(name, True) for name in self.columns]
        else:
            numeric = [item for item in self.signature["inputs"] if item["datatype"] != "BYTES"]
            places = [(item["name"], item["datatype"] == "FP64") for item in numeric]
        found = np.full(len(places), np.inf)
        for place, (name, is_float) in enumerate(places):
            if place >= _MOST_PROBED:
                found[place] = found[0]
            elif is_float:
                found[place] = self._limit(record, name)
        return None if bool(np.isinf(found).all()) else found

    def _limit(self, record: Record, name: str) -> float:
        for value, limit in ((math.inf, math.inf), (1e300, sys.float_info.max)):
            if not self.refused([{**record, name: value}]):
                return limit
        return _LARGEST_SINGLE
