"""Sample rows of a model: read from what people have at hand, or made up from its schema and ranges.

Real rows are somebody's data. Unless told otherwise, a push therefore sends rows that never existed: numbers and times between the
smallest and the largest, categories that several rows share, texts put together from words that several texts share.
"""

import json
import math
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

from countersign.errors import Unusable

MAX_ROWS = 1000
PROPOSED_ROWS = 20
_MAX_CATEGORIES = 50
_NANOSECONDS = re.compile(r"(\.\d{6})\d+")
_WORD = re.compile(r"[^\W\d_]{2,20}")
# For texts that share no words with each other.
_NEUTRAL = ("the", "service", "was", "good", "and", "quick", "but", "too", "late", "please", "help", "with", "this")

Row = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """A column of a sample. ``kind``: number, integer, boolean, moment, category (of ``values``) or text.

    Moments are ISO 8601; in a column with a time zone the offset follows, then the zone's name in brackets where it has one
    (RFC 9557): `2026-01-31T09:30:00+01:00[Europe/Zurich]`.
    """

    name: str
    kind: str
    values: tuple[Any, ...]
    nullable: bool = False


@dataclass(frozen=True)
class Sample:
    """What ``X_sample`` held. ``layout`` is text, matrix or frame; ``rebuild`` makes the same type again from rows."""

    layout: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    rebuild: Callable[[Sequence[Row]], Any]


def read(X_sample: Any) -> Sample:  # noqa: N803 - scikit-learn's name for it
    """Understand a pandas DataFrame, a numpy array, or a list or Series of texts.

    :raises Unusable: it is none of these, is empty, or holds values that JSON and a tensor cannot carry.
    """
    sample = _read(X_sample)
    if not sample.rows:
        raise Unusable("X_sample holds no rows", hint="Pass some of the rows the model was trained with.")
    return sample


def propose(sample: Sample, count: int = PROPOSED_ROWS) -> list[Row]:
    """``count`` made-up rows in the sample's columns; the same sample gives the same rows.

    :raises Unusable: all rows are the same one, so what lies between them would be that row.
    """
    if all(row == sample.rows[0] for row in sample.rows):
        raise Unusable(
            "X_sample holds one row only, and rows made up from it would be that row",
            hint="Pass some tens of rows: they are not sent, only their ranges and shared words are used.",
        )
    chance = random.Random(repr([(column.name, column.kind, column.nullable) for column in sample.columns]))  # noqa: S311 - repeatable on purpose
    made = [_column_maker(column, chance) for column in sample.columns]
    return [
        {column.name: make(index) for column, make in zip(sample.columns, made, strict=True)} for index in range(count)
    ]


def named(sample: Sample, names: Sequence[str]) -> Sample:
    """The sample of an array, with the column names that the estimator was trained with.

    :raises Unusable: the number of names is not that of the columns.
    """
    if len(names) != len(sample.columns):
        raise Unusable(
            f"X_sample has {len(sample.columns)} columns, the estimator was trained with {len(names)}",
            hint="Pass rows as you pass them to predict.",
        )
    columns = tuple(replace(column, name=str(name)) for column, name in zip(sample.columns, names, strict=True))
    return replace(sample, layout="frame", columns=columns, rows=tuple(_rows(columns)))


def dump(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as JSON lines.

    :raises Unusable: no rows or too many, or a value that JSON does not have.
    """
    if not 1 <= len(rows) <= MAX_ROWS:
        raise Unusable(f"{len(rows)} sample rows", hint=f"Send 1 to {MAX_ROWS}.")
    try:
        return "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    except (TypeError, ValueError) as error:
        raise Unusable(
            f"a sample row cannot be written as JSON: {error}", hint="Use text, numbers, true, false and null."
        ) from None


def _read(data: Any) -> Sample:
    if hasattr(data, "columns") and hasattr(data, "dtypes") and hasattr(data, "iloc"):
        if all(isinstance(name, str) for name in data.columns):
            return _frame(data)
        data = data.to_numpy()
    if hasattr(data, "toarray"):  # scipy's sparse matrices
        data = data[:MAX_ROWS].toarray()
    values = data.tolist() if hasattr(data, "tolist") else data
    if isinstance(values, Sequence) and not isinstance(values, str | bytes):
        values = list(values[:MAX_ROWS])
        if all(isinstance(value, str) for value in values):
            rows = tuple({"text": value} for value in values)
            return Sample(
                "text", (Column("text", "text", tuple(values)),), rows, lambda made: [row["text"] for row in made]
            )
        if all(isinstance(value, Sequence) and not isinstance(value, str | bytes) for value in values):
            return _matrix(values, data)
    raise Unusable(
        f"X_sample is a {type(data).__name__}",
        hint="Pass a pandas DataFrame, a two-dimensional array, or a list of texts, as you pass to predict.",
    )


def _frame(data: Any) -> Sample:
    data = data.head(MAX_ROWS)
    names = list(data.columns)
    if len(set(names)) != len(names):
        raise Unusable("X_sample has two columns of one name", hint="Rename them, and train with the new names.")
    columns = tuple(
        _column(name, [_plain(value, name) for value in data[name].tolist()], str(data[name].dtype)) for name in names
    )
    dtypes = dict(data.dtypes)
    make_frame = type(data)
    moments = [column.name for column in columns if column.kind == "moment"]

    def rebuild(rows: Sequence[Row]) -> Any:
        told = [{**row, **{name: _moment(row[name]) for name in moments}} for row in rows]
        return make_frame(told, columns=names).astype(dtypes)

    return Sample("frame", columns, tuple(_rows(columns)), rebuild)


def _matrix(values: list[Any], original: Any) -> Sample:
    if len({len(row) for row in values}) > 1:
        raise Unusable("the rows of X_sample differ in length", hint="Pass a rectangular array.")
    columns = tuple(
        _column(f"x{index}", [_plain(row[index], f"column {index}") for row in values])
        for index in range(len(values[0]) if values else 0)
    )
    for column in columns:
        if column.kind in {"text", "category"}:
            raise Unusable(
                f"column {column.name[1:]} of the array holds text",
                hint="Train with a DataFrame, so that columns have names and types.",
            )
    make_array = getattr(original, "__array_namespace__", None)

    def rebuild(rows: Sequence[Row]) -> Any:
        listed = [[math.nan if value is None else value for value in row.values()] for row in rows]
        return make_array().asarray(listed, dtype=original.dtype) if make_array else listed

    return Sample("matrix", columns, tuple(_rows(columns)), rebuild)


def _rows(columns: tuple[Column, ...]) -> Iterator[Row]:
    for values in zip(*(column.values for column in columns), strict=True):
        yield dict(zip((column.name for column in columns), values, strict=True))


def _plain(value: Any, where: str) -> Any:
    """``value`` as JSON has it; every kind of missing value is None."""
    if (
        value is None
        or type(value).__name__ in {"NAType", "NaTType"}
        or (isinstance(value, float) and math.isnan(value))
    ):
        return None
    if type(value).__module__ == "numpy" and hasattr(value, "item"):
        value = value.item()
    if isinstance(value, datetime):  # pandas' timestamps are
        return _text_of(value)
    if isinstance(value, str | bool | int | float):
        if isinstance(value, float) and math.isinf(value):
            raise Unusable(f"{where} of X_sample holds infinity", hint="Replace it before training.")
        return value
    raise Unusable(
        f"{where} of X_sample holds a {type(value).__name__}",
        hint="Models take text, numbers, times and booleans: turn it into one of these before training.",
    )


def _column(name: str, values: list[Any], dtype: str = "") -> Column:
    known = [value for value in values if value is not None]
    nullable = len(known) < len(values)
    if known and all(isinstance(value, bool) for value in known):
        kind = "boolean"
    elif (
        known
        and all(isinstance(value, int) and not isinstance(value, bool) for value in known)
        and "float" not in dtype
    ):
        kind = "integer"
    elif all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        kind = "number"
    elif known and dtype.startswith("datetime64"):
        kind = "moment"
    elif all(isinstance(value, str) for value in known):
        kind = "category" if dtype == "category" or _repeats(known) else "text"
    else:
        raise Unusable(f"column {name} mixes text and numbers", hint="Give it one type before training.")
    return Column(name, kind, tuple(values), nullable)


def _text_of(value: datetime) -> str:
    """A moment as text, to the microsecond; with the name of its time zone, where that is more than an offset."""
    name = getattr(value.tzinfo, "key", None) or getattr(value.tzinfo, "zone", None)
    text = _NANOSECONDS.sub(r"\1", value.isoformat())
    return f"{text}[{name}]" if name and name != "UTC" else text


def _moment(text: str | None) -> datetime | None:
    """The moment that `_text_of` wrote, in UTC where it had a time zone: frames bring it into their own."""
    if text is None:
        return None
    moment = datetime.fromisoformat(text.partition("[")[0])
    return moment.astimezone(UTC) if moment.tzinfo else moment


def _repeats(texts: list[str]) -> bool:
    """Whether texts are categories: few, and most of them on more than one row."""
    counts = Counter(texts)
    return len(counts) <= _MAX_CATEGORIES and sum(count > 1 for count in counts.values()) * 2 >= len(counts)


def _column_maker(column: Column, chance: random.Random) -> Callable[[int], Any]:
    known = [value for value in column.values if value is not None]
    make = _MAKERS[column.kind](known, chance)
    # The last row shows how a missing value is answered, if the column has any.
    return lambda index: None if column.nullable and index % PROPOSED_ROWS == PROPOSED_ROWS - 1 else make()


def _make_number(known: list[float], chance: random.Random) -> Callable[[], float]:
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    # Three digits of the range: enough to spread, too few to be anybody's exact value. Not clamped: the ends are real values.
    digits = 2 - math.floor(math.log10(high - low)) if high > low else 6
    return lambda: float(round(chance.uniform(low, high), digits))


def _make_integer(known: list[int], chance: random.Random) -> Callable[[], int]:
    return lambda: chance.randint(min(known), max(known))


def _make_moment(known: list[str], chance: random.Random) -> Callable[[], str]:
    written, bracket, zone = known[0].partition("[")
    offset = datetime.fromisoformat(written).tzinfo
    found = [moment for text in known if (moment := _moment(text))]
    low, span = min(found), max(found) - min(found)
    # Whole days where all are; else whole seconds.
    step = timedelta(days=1) if all(moment.time() == time.min for moment in found) else timedelta(seconds=1)

    def make() -> str:
        moment = (low + chance.randint(0, span // step) * step).replace(microsecond=0)
        if bracket:  # Z: the offset is left to the zone, which need not be known here
            return moment.isoformat().replace("+00:00", f"Z[{zone}")
        return (moment.astimezone(offset) if offset else moment).isoformat()

    return make


def _make_boolean(_: list[bool], chance: random.Random) -> Callable[[], bool]:
    return lambda: chance.random() < 0.5


def _make_category(known: list[str], chance: random.Random) -> Callable[[], str]:
    counts = Counter(known)
    # A value on one row only may name a person; it is proposed only where every value is like that.
    shared = sorted(value for value, count in counts.items() if count > 1) or sorted(counts)
    return lambda: chance.choice(shared)


def _make_text(known: list[str], chance: random.Random) -> Callable[[], str]:
    texts_with = Counter(word for text in known for word in set(_WORD.findall(text)) if word == word.lower())
    needed = max(2, math.ceil(len(known) / 100))
    shared = sorted(word for word, count in texts_with.items() if count >= needed)
    words = shared if len(shared) >= 5 else list(_NEUTRAL)
    return lambda: " ".join(chance.choice(words) for _ in range(chance.randint(4, 12)))


_MAKERS: dict[str, Callable[[list[Any], random.Random], Callable[[], Any]]] = {
    "number": _make_number,
    "integer": _make_integer,
    "boolean": _make_boolean,
    "moment": _make_moment,
    "category": _make_category,
    "text": _make_text,
}
