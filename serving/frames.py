"""Data frames as text: CSV, and the four JSON forms of MLflow, read into one input per column."""

import csv
import io
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from serving.errors import BadRequest, TooLarge
from serving.messages import GivenInput, InferRequest
from serving.tensors import Body, describe

# MLflow answers what its model predicts, and asks for nothing by name.
PREDICT = ("predict",)
# Cells that records may make, at least, and how many of them to each value that came: the others are absent.
CELLS, ABSENT = 65_536, 16


def parse_mlflow(body: Body) -> InferRequest:
    """The body of MLflow's `/invocations`: exactly one of its four forms, and `params`, which no model of ours has.

    :raises BadRequest: naming the form, what came and what is expected.
    """
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the body is not JSON: {error}") from None
    known = ", ".join(_FORMS)
    if not isinstance(message, dict):
        raise BadRequest(f"the request is {describe(message)}, expected an object with one of {known}")
    given = [name for name in message if name != "params"]
    if len(given) != 1 or given[0] not in _FORMS:
        raise BadRequest(f"the request has {', '.join(given) or 'nothing'}, expected exactly one of {known}")
    return _FORMS[given[0]](message[given[0]])


def parse_csv(body: Body, outputs: tuple[str, ...], max_rows: int) -> InferRequest:
    """A table in CSV (RFC 4180, UTF-8) whose first line names the columns.

    :raises BadRequest: naming the line, what came and what is expected.
    """
    names, rows = [], []
    try:
        for number, row in enumerate(csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)):
            if not number:
                names = row
            elif len(row) == len(names):
                rows.append(row)
            elif row:  # an empty line is none
                raise BadRequest(
                    f"row {number} has {len(row)} values, expected {len(names)}, as the first line has names"
                )
            if len(rows) > max_rows:
                raise TooLarge(f"more than {max_rows} rows came, the most that are taken at once")
    except UnicodeDecodeError as error:
        raise BadRequest(f"the CSV is not UTF-8: {error.reason} at its byte {error.start}") from None
    except csv.Error as error:
        raise BadRequest(f"the body is not CSV: {error}") from None
    if not rows:
        raise BadRequest("0 rows came, expected a line with the columns' names and at least one row")
    return _frame(names, list(zip(*rows, strict=True)), outputs, "csv")


def columns_of(names: Sequence[str], rows: Sequence[Sequence[Any]], first: int = 0) -> dict[str, Sequence[Any]]:
    """Rows as columns.

    :param first: the number of the first row, for messages.
    :raises BadRequest: a row has more or fewer values than there are names, or a name comes twice.
    """
    for number, row in enumerate(rows, first):
        if len(row) != len(names):
            raise BadRequest(f"row {number} has {len(row)} values, expected {len(names)}, as the first line has names")
    if len(set(names)) < len(names):
        raise BadRequest(f"a column comes twice; the first line has {', '.join(names)}")
    return dict(zip(names, zip(*rows, strict=True), strict=True))


def _split(value: Any) -> InferRequest:
    if (
        not isinstance(value, dict)
        or not isinstance(value.get("columns"), list)
        or not isinstance(value.get("data"), list)
    ):
        raise BadRequest(f"dataframe_split is {describe(value)}, expected an object with the arrays columns and data")
    columns, rows = value["columns"], value["data"]
    for name in columns:
        if not isinstance(name, str):
            raise BadRequest(f"dataframe_split.columns has {describe(name)}, expected the columns' names")
    for number, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(columns):
            raise BadRequest(
                f"row {number} is {describe(row)}, expected an array of {len(columns)}, one for each column"
            )
    return _frame(columns, list(zip(*rows, strict=True)) or [()] * len(columns), PREDICT)


def _records(value: Any, form: str = "dataframe_records") -> InferRequest:
    if not isinstance(value, list) or not value:
        raise BadRequest(f"{form} is {describe(value)}, expected an array with an object for each row")
    names: dict[str, None] = {}
    for number, row in enumerate(value):
        if not isinstance(row, dict):
            raise BadRequest(f"{form}[{number}] is {describe(row)}, expected an object with the columns of a row")
        names.update(dict.fromkeys(row))
    given = sum(map(len, value))
    # Rows that share no columns would make a table of their square.
    if len(names) * len(value) > CELLS + ABSENT * given:
        raise BadRequest(
            f"{form}: {len(value)} rows have {len(names)} different columns between them, and {given} values; "
            "expected the same columns in every row"
        )
    return _frame(
        list(names), [[row.get(name) for row in value] for name in names], PREDICT
    )  # as pandas: absent is null


def _instances(value: Any) -> InferRequest:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return _records(value, "instances")
    return _array(value, "instances")


def _inputs(value: Any) -> InferRequest:
    if not isinstance(value, dict):
        return _array(value, "inputs")
    for name, column in value.items():
        if not isinstance(column, list):
            raise BadRequest(f'inputs: column "{name}" is {describe(column)}, expected an array')
    return _frame(list(value), list(value.values()), PREDICT)


def _array(value: Any, form: str) -> InferRequest:
    if not isinstance(value, list) or not value:
        raise BadRequest(f"{form} is {describe(value)}, expected an array with the rows")
    return InferRequest([GivenInput("", "", _shape(value), values=value)], PREDICT, form="array")


def _frame(
    names: Sequence[str], columns: Sequence[Sequence[Any]], outputs: tuple[str, ...], content_type: str | None = None
) -> InferRequest:
    inputs = [
        GivenInput(name, "", _shape(values), values=list(values), content_type=content_type)
        for name, values in zip(names, columns, strict=True)
    ]
    if not inputs:
        raise BadRequest("no columns came, expected every column of the model")
    return InferRequest(inputs, outputs, form="frame")


def _shape(values: Sequence[Any]) -> tuple[int, ...]:
    """As many rows as there are values, each as wide as the first."""
    return (len(values), len(values[0])) if values and isinstance(values[0], list) else (len(values),)


_FORMS: dict[str, Callable[[Any], InferRequest]] = {
    "dataframe_split": _split,
    "dataframe_records": _records,
    "instances": _instances,
    "inputs": _inputs,
}
