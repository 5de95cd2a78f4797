"""Rows at the edges of what a model may be sent, made from its sample: where a compiled form would first differ."""

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

_MOST_COLUMNS = 40  # of each kind; wider models are probed on the first
_MOST_THRESHOLDS = 60
_LONG_TEXT = 50_000  # characters
_NUMBERS = (0.0, -1.0, 1e-30, 1e6, -1e6, 1e30, 1e39, 1e300, math.inf, -math.inf)
_INTEGERS = (0, -1, 1, 2**31 - 1, 2**53 + 1)
_TEXTS = (
    "",
    " ",
    "\t\n",
    "???!!! ... ---",
    "12345 67.89 1e5",
    "ÄÖÜ äöü ß ẞ é è ñ ç",
    "e\u0301 a\u0308 o\u0302",
    "İstanbul ı I i",
    "ｆｕｌｌ ｗｉｄｔｈ",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0643",
    "中文 文本 分类",
    "\U0001f600 \U0001f680\U0001f3fd",
    "zero\u200bwidth\u200d joined",
    "null\x00byte",
    "a",
    "a b",
)
_CATEGORIES = ("", " ", "countersign: never seen", "nan", "None", "ÄÖÜ \U0001f600")


def records(
    signature: Mapping[str, Any],
    columns: Sequence[str],
    sample: Sequence[Mapping[str, Any]],
    thresholds: Iterable[tuple[int, float]],
) -> list[dict[str, Any]]:
    """Rows like those of ``sample``, one value of each changed; some with all.

    :param thresholds: input (or column of a matrix) and the value at which trees part rows.
    """
    if signature["layout"] == "text":
        return [{"text": text} for text in _texts([str(row["text"]) for row in sample])]
    changes: list[dict[str, Any]] = []
    described = _columns(signature, columns)
    everything: dict[str, dict[str, Any]] = {"null": {}, "zero": {}, "unseen": {}}
    seen: dict[str, int] = {}
    for item in described:
        kind = item["datatype"]
        seen[kind] = seen.get(kind, 0) + 1
        if seen[kind] > _MOST_COLUMNS:
            continue
        values = _values(item, [row[item["name"]] for row in sample])
        changes += [{item["name"]: value} for value in values]
        if item["nullable"]:
            everything["null"][item["name"]] = None
        if kind == "BYTES":
            everything["unseen"][item["name"]] = _CATEGORIES[2]
        elif kind != "BOOL":
            everything["zero"][item["name"]] = 0 if kind == "INT64" else 0.0
    changes += [change for change in everything.values() if change]
    names = [item["name"] for item in described]
    floats = {item["name"] for item in described if item["datatype"] == "FP64"}
    changes += [{names[place]: value} for place, value in _beside(thresholds) if names[place] in floats]
    return [{**sample[place % len(sample)], **change} for place, change in enumerate(changes)]


def _columns(signature: Mapping[str, Any], columns: Sequence[str]) -> list[dict[str, Any]]:
    if signature["layout"] == "matrix":
        nullable = signature["inputs"][0]["nullable"]
        return [{"name": name, "datatype": "FP64", "nullable": nullable} for name in columns]
    return list(signature["inputs"])


def _values(item: Mapping[str, Any], given: Sequence[Any]) -> list[Any]:
    kind = item["datatype"]
    found: list[Any] = [None] if item["nullable"] else []
    if kind == "BYTES":
        known = list(item.get("categories") or sorted({value for value in given if value is not None}))[:20]
        return [*found, *known, *(value.upper() for value in known[:2]), *_CATEGORIES]
    if kind == "BOOL":
        return [*found, True, False]
    numbers = [value for value in given if value is not None]
    if kind == "FP64":
        return [*found, *(float(value) for value in (min(numbers), max(numbers))), *_NUMBERS]
    return [*found, min(numbers), max(numbers), *_INTEGERS]


def _beside(thresholds: Iterable[tuple[int, float]]) -> list[tuple[int, float]]:
    """Each threshold, and its neighbours in float32 and in float64 on both sides."""
    every = sorted({(place, value) for place, value in thresholds if abs(value) < sys.float_info.max})
    step = max(1, len(every) // _MOST_THRESHOLDS)
    found = []
    for place, value in every[::step]:
        near = np.float32(value)
        singles = [float(np.nextafter(near, np.float32(side))) for side in (-np.inf, np.inf)]
        doubles = [math.nextafter(value, side) for side in (-math.inf, math.inf)]
        found += [(place, number) for number in (value, float(near), *singles, *doubles)]
    return found


def _texts(given: Sequence[str]) -> list[str]:
    joined = " ".join(given)
    longest = (joined + " ") * (_LONG_TEXT // (len(joined) + 1) + 1)
    changed = [
        change
        for text in given[:20]
        for change in (text.upper(), text + text, f"  {text.replace(' ', '   ')}\n", text[::-1])
    ]
    return [*_TEXTS, *changed, longest[:_LONG_TEXT], "x" * _LONG_TEXT]
