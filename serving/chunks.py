"""A table read some rows at a time, so that a long one takes no more memory than a short one."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from arro3.core import Array, DataType, Table

from serving import tables
from serving.errors import Refusal, ServingError
from serving.frames import columns_of
from serving.messages import GivenInput

CHUNK = 8192  # rows in memory at once, as a table and as tensors


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows: what the model gets, and the columns that are kept."""

    rows: int
    inputs: list[GivenInput]
    kept: dict[str, Array]


def chunks(source: Path, kind: str, keep: tuple[str, ...], max_rows: int) -> Iterator[Chunk]:
    """The rows of ``source``, some at a time and at most ``max_rows``, apart from the columns to ``keep``.

    :raises Refusal: it is not of its format, or lacks a column to keep.
    """
    most = min(CHUNK, max_rows)
    try:
        read = _csv_chunks(source, keep, most) if kind == "csv" else _table_chunks(source, kind, keep, most)
        yield from read
    except ServingError as error:
        raise Refusal(f"{source}: {error}") from None


def _table_chunks(source: Path, kind: str, keep: tuple[str, ...], most: int) -> Iterator[Chunk]:
    for batch in tables.batches(kind, str(source), most):
        for start in range(0, batch.num_rows, most):
            table = Table.from_batches([batch.slice(start, min(most, batch.num_rows - start))])
            _check_kept(source, keep, table.column_names)
            given = [item for item in tables.inputs(table) if item.name not in keep]
            kept = {name: table.column(name).combine_chunks() for name in keep}
            yield Chunk(table.num_rows, given, kept)


def _csv_chunks(source: Path, keep: tuple[str, ...], most: int) -> Iterator[Chunk]:
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, strict=True)
            names = next(lines, [])
            _check_kept(source, keep, names)
            filled = (row for row in lines if row)
            read = 0
            while rows := list(islice(filled, most)):
                columns = columns_of(names, rows, first=read)
                read += len(rows)
                kept = {name: Array(list(columns[name]), type=DataType.string()) for name in keep}
                given = [
                    GivenInput(name, "", (len(rows),), values=list(values), content_type="csv")
                    for name, values in columns.items()
                    if name not in keep
                ]
                yield Chunk(len(rows), given, kept)
    except (UnicodeDecodeError, csv.Error) as error:
        raise Refusal(f"{source} is not CSV in UTF-8: {error}") from None


def _check_kept(source: Path, keep: tuple[str, ...], names: list[str]) -> None:
    for name in keep:
        if name not in names:
            raise Refusal(f"{source} has no column {name!r} to keep; it has {', '.join(names)}")
