"""Fitted preprocessing of columns (impute, scale, one-hot, ordinal) as blocks of `serving.forms.columns`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from builders.compile.candidate import NotCompiled
from builders.compile.pipelines import is_a, name, steps

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

_FUNCTIONS = ("log1p", "expm1", "log", "exp", "sqrt", "square", "abs", "absolute")
_UNSEEN = "countersign: a category never seen"
_UNSEEN_NUMBER = -9.876543e37


@dataclass
class Columns:
    """Blocks with the arrays they name. ``origins``: for each column of the matrix its input, where values pass unchanged."""

    blocks: list[dict[str, Any]] = field(default_factory=list)
    arrays: dict[str, Array] = field(default_factory=dict)
    origins: list[int | None] = field(default_factory=list)

    def keep(self, values: Any) -> str:
        key = f"a{len(self.arrays):03}"
        self.arrays[key] = np.asarray(values)
        return key


def read(transformers: Sequence[Any], texts: Sequence[bool]) -> tuple[Columns | None, list[Any]]:
    """As many of ``transformers``, from the front, as blocks can do; and the rest of them.

    :param texts: for each input whether it holds text.
    :returns: None in place of the blocks when the inputs can go on as they are.
    :raises NotCompiled: text columns meet a transformer that has no block.
    """
    if not transformers:
        if any(texts):
            raise NotCompiled("the estimator takes text columns without an encoder before it")
        return None, []
    made = Columns()
    first, every = transformers[0], list(range(len(texts)))
    if is_a(first, "ColumnTransformer"):
        _read_column_transformer(made, first, texts)
        return made, list(transformers[1:])
    if any(texts):
        _read_branch(made, [first], every, texts)
        return made, list(transformers[1:])
    count = 0
    for transformer in transformers:
        if not _is_number_step(transformer):
            break
        count += 1
    if not count:
        return None, list(transformers)
    _read_numbers(made, transformers[:count], every)
    return made, list(transformers[count:])


def _read_column_transformer(made: Columns, transformer: Any, texts: Sequence[bool]) -> None:
    places = transformer._transformer_to_input_indices  # noqa: SLF001  # names, slices and masks resolved, in all versions
    for label, fitted, _ in transformer.transformers_:
        inputs = [int(place) for place in places.get(label, ())]
        if fitted == "drop" or not inputs:
            continue
        _read_branch(made, [] if fitted == "passthrough" else steps(fitted), inputs, texts)


def _read_branch(made: Columns, branch: list[Any], inputs: list[int], texts: Sequence[bool]) -> None:
    imputer = branch[0] if branch and is_a(branch[0], "SimpleImputer") else None
    rest = branch[1:] if imputer is not None else branch
    if len(rest) == 1 and is_a(rest[0], "OneHotEncoder", "OrdinalEncoder", "TargetEncoder"):
        _read_codes(made, rest[0], imputer, inputs, texts)
        return
    if any(texts[place] for place in inputs):
        raise NotCompiled(f"text columns go through {', '.join(map(name, branch)) or 'no encoder'}")
    for part in branch:
        if not _is_number_step(part):
            raise NotCompiled(f"{name(part)} inside a ColumnTransformer has no compiled form")
    _read_numbers(made, branch, inputs)


# ---------------------------------------------------------------------------------------------------------------- numbers


def _is_number_step(part: Any) -> bool:
    if is_a(part, "FunctionTransformer"):
        return part.func is None or getattr(part.func, "__name__", "") in _FUNCTIONS
    return is_a(part, "SimpleImputer", "StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler")


def _read_numbers(made: Columns, parts: Sequence[Any], inputs: list[int]) -> None:
    done: list[dict[str, Any]] = []
    origins: list[int | None] = list(inputs)
    for part in parts:
        if is_a(part, "SimpleImputer"):
            origins += _impute(made, part, done, len(origins))
            continue
        scaled = _scale(part)
        done += [{"do": do, "with": made.keep(values)} for do, values in scaled]
        if scaled:
            origins = [None] * len(origins)
    made.blocks.append({"kind": "numbers", "inputs": inputs, "steps": done})
    made.origins += origins


def _impute(made: Columns, imputer: Any, done: list[dict[str, Any]], width: int) -> list[None]:
    """Add the imputer's steps; returns one None per flag column it adds."""
    values = _statistics(imputer)
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError):
        raise NotCompiled("SimpleImputer fills numbers with something else") from None
    if any(math.isnan(value) for value in numbers) or len(numbers) != width:
        raise NotCompiled("SimpleImputer drops a column that was empty in training")
    flags = [int(place) for place in imputer.indicator_.features_] if imputer.add_indicator else []
    if flags:
        done.append({"do": "flag", "with": made.keep(np.array(flags, dtype=np.int64))})
    done.append({"do": "fill", "with": made.keep(np.array(numbers + [0.0] * len(flags)))})
    return [None] * len(flags)


def _statistics(imputer: Any) -> list[Any]:
    missing = imputer.missing_values
    if not (isinstance(missing, float) and math.isnan(missing)):
        raise NotCompiled(f"SimpleImputer takes {missing!r} for missing")
    return list(np.asarray(imputer.statistics_).tolist())


def _scale(part: Any) -> list[tuple[str, Any]]:
    if is_a(part, "FunctionTransformer"):
        return [] if part.func is None else [("apply", np.array(part.func.__name__))]
    found: list[tuple[str, Any]] = []
    if is_a(part, "StandardScaler"):
        found = [("subtract", part.mean_ if part.with_mean else None), ("divide", part.scale_)]
    elif is_a(part, "RobustScaler"):
        found = [("subtract", part.center_), ("divide", part.scale_)]
    elif is_a(part, "MaxAbsScaler"):
        found = [("divide", part.scale_)]
    elif is_a(part, "MinMaxScaler"):
        low, high = part.feature_range if part.clip else (None, None)
        found = [("multiply", part.scale_), ("add", part.min_), ("at_least", low), ("at_most", high)]
    return [(do, np.asarray(values, dtype=np.float64)) for do, values in found if values is not None]


# --------------------------------------------------------------------------------------------------------------- categories


def _read_codes(made: Columns, encoder: Any, imputer: Any, inputs: list[int], texts: Sequence[bool]) -> None:
    """A block for each column, by asking the encoder what it makes of every category it knows, and of others."""
    one_hot = is_a(encoder, "OneHotEncoder")
    fills = _statistics(imputer) if imputer is not None else [None] * len(inputs)
    if imputer is not None and imputer.add_indicator:
        raise NotCompiled("SimpleImputer adds indicators before an encoder")
    if len(encoder.categories_) != len(inputs) or len(fills) != len(inputs):
        raise NotCompiled(f"{name(encoder)} saw another number of columns than it is given")
    widths = [int(width) for width in encoder._n_features_outs] if one_hot else [1] * len(inputs)  # noqa: SLF001
    for place, source in enumerate(inputs):
        ask = _Question(encoder, place, one_hot=one_hot, start=sum(widths[:place]), width=widths[place])
        known = [value for value in encoder.categories_[place].tolist() if not _is_missing(value)]
        codes = ask.codes(known)
        unknown = ask.code(_UNSEEN if texts[source] else _UNSEEN_NUMBER)
        fill = fills[place]
        filled = dict(zip(known, codes, strict=True)).get(fill, unknown)
        missing = ask.code(math.nan) if imputer is None else filled
        made.blocks.append(
            {
                "kind": "codes",
                "input": source,
                "keys": known,
                "codes": codes,
                "missing": missing,
                "unknown": unknown,
                "width": widths[place] if one_hot else 0,
            }
        )
        made.origins += [None] * widths[place]


def _is_missing(value: Any) -> bool:
    return value is None or value != value  # noqa: PLR0124  # NaN


class _Question:
    """Asks an encoder of several columns about one of them."""

    def __init__(self, encoder: Any, place: int, *, one_hot: bool, start: int, width: int) -> None:
        self._encoder, self._place = encoder, place
        self._one_hot, self._start, self._width = one_hot, start, width

    def code(self, value: Any) -> Any:
        """What one value becomes; None when the encoder refuses it."""
        try:
            return self.codes([value])[0]
        except Exception:  # noqa: BLE001  # however it refuses, it refuses
            return None

    def codes(self, values: list[Any]) -> list[Any]:
        columns = [
            values if place == self._place else [categories.tolist()[0]] * len(values)
            for place, categories in enumerate(self._encoder.categories_)
        ]
        answered = self._encoder.transform(self._table(columns))
        answered = np.asarray(answered.toarray() if hasattr(answered, "toarray") else answered, dtype=np.float64)
        if not self._one_hot:
            if answered.shape[1] != len(columns):
                raise NotCompiled(f"{name(self._encoder)} makes several columns of one")
            return ["missing" if math.isnan(code) else code for code in answered[:, self._place].tolist()]
        mine = answered[:, self._start : self._start + self._width]
        return [int(row.argmax()) if row.any() else -1 for row in mine]

    def _table(self, columns: list[list[Any]]) -> Any:
        names = getattr(self._encoder, "feature_names_in_", None)
        if names is None:
            dtype = object if any(isinstance(value, str) for column in columns for value in column) else None
            return np.array(columns, dtype=dtype).T
        import pandas as pd  # noqa: PLC0415  # the model's own library

        # Text stays text in a column of nulls only: as numbers it would be compared with no category.
        texts = [any(isinstance(value, str) for value in known.tolist()) for known in self._encoder.categories_]
        made = [np.array(column, dtype=object if text else None) for column, text in zip(columns, texts, strict=True)]
        return pd.DataFrame(dict(zip(names, made, strict=True)))
