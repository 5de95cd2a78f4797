"""Data frames as Arrow and Parquet, by arro3. Imported in the helper and in batch scoring only (docs/decisions/0008).

What is read may be hostile: both formats compress, and a fault in their parser must not end a server. So the helper reads
them, whose memory and time are bounded, batch by batch.
"""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from arro3 import io as formats
from arro3.core import Array, ChunkedArray, DataType, Field, RecordBatch, Table, fixed_size_list_array

from serving.errors import BadRequest, TooLarge
from serving.messages import GivenInput, InferRequest, InferResponse
from serving.tensors import DTYPES, Body, Tensor, elements_of, join_elements, to_strings

BATCH = 8192  # rows of Parquet decoded at once
_NUMBERS = {
    "UINT8": DataType.uint8(),
    "UINT16": DataType.uint16(),
    "UINT32": DataType.uint32(),
    "UINT64": DataType.uint64(),
    "INT8": DataType.int8(),
    "INT16": DataType.int16(),
    "INT32": DataType.int32(),
    "INT64": DataType.int64(),
    "FP16": DataType.float16(),
    "FP32": DataType.float32(),
    "FP64": DataType.float64(),
}


def batches(kind: str, source: Any, rows: int = BATCH) -> Iterator[RecordBatch]:
    """The record batches of ``source``, a path or a file.

    :raises BadRequest: it is not of that format.
    """
    try:
        yield from (
            formats.read_parquet(source, batch_size=rows) if kind == "parquet" else formats.read_ipc_stream(source)
        )
    except (KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError):
        raise
    except BaseException as error:  # noqa: BLE001  # a panic of the reader is no Exception
        raise BadRequest(f"the body is not {kind.capitalize()}: {' '.join(str(error).split())[:200]}") from None


def parse(kind: str, body: Body, outputs: tuple[str, ...], max_rows: int, max_bytes: int) -> InferRequest:
    """A request that is one table.

    :param max_bytes: of the table once it is read, however small its body was.
    :raises BadRequest: it is not of its format, or has a column that no model of ours can take.
    :raises TooLarge: it has more rows or bytes.
    """
    read: list[RecordBatch] = []
    rows = size = 0
    for batch in batches(kind, io.BytesIO(body)):
        rows += batch.num_rows
        size += batch.nbytes
        if rows > max_rows:
            raise TooLarge(f"more than {max_rows} rows came, the most that are taken at once")
        if size > max_bytes:
            raise TooLarge(f"the table is larger than {max_bytes} bytes once it is read, the most that are taken")
        read.append(batch)
    if not rows:
        raise BadRequest("0 rows came, expected at least 1")
    return InferRequest(inputs(Table.from_batches(read)), outputs, form="frame")


def inputs(table: Table) -> list[GivenInput]:
    """One input per column. An index that pandas wrote beside the columns is none."""
    names = [name for name in table.column_names if not name.startswith("__index_level_")]
    if not names:
        raise BadRequest("no columns came, expected every column of the model")
    return [_input(name, table.column(name)) for name in names]


def _input(name: str, column: ChunkedArray) -> GivenInput:
    array, shape = column.combine_chunks(), (len(column),)
    if DataType.is_dictionary(array.type) and array.type.value_type is not None:
        array = array.cast(array.type.value_type)
    kind = array.type
    for datatype, number in _NUMBERS.items():
        if kind == number:
            if array.null_count:
                return GivenInput(name, datatype, shape, values=_values(array))
            return GivenInput(
                name, datatype, shape, raw=array.to_numpy().astype(DTYPES[datatype], copy=False).tobytes()
            )
    if DataType.is_boolean(kind):
        return GivenInput(name, "BOOL", shape, values=_values(array))
    if DataType.is_date(kind) or DataType.is_timestamp(kind):
        return GivenInput(name, "BYTES", shape, _values(array.cast(DataType.string())), content_type="datetime")
    if DataType.is_decimal(kind):
        return GivenInput(name, "FP64", shape, values=_values(array.cast(DataType.float64())))
    if DataType.is_null(kind):
        return GivenInput(name, "", shape, values=[None] * len(column))
    if any(test(kind) for test in (DataType.is_string, DataType.is_large_string, DataType.is_string_view)):
        return GivenInput(name, "BYTES", shape, values=_values(array))
    raise BadRequest(f'input "{name}": a column of {_described(kind)} came, expected numbers, text, dates or booleans')


def _values(array: Array) -> list[Any]:
    return list(array.to_pylist())


def _described(kind: DataType) -> str:
    return str(kind).partition("<")[2].strip().removesuffix(">")


def arrays(outputs: list[Tensor]) -> tuple[list[Array], list[Field]]:
    """Outputs as columns: a list of fixed size in each row where an output has a second axis."""
    made = []
    for tensor in outputs:
        if tensor.datatype == "BYTES":
            array = Array(to_strings(tensor), type=DataType.string())
        else:
            array = Array.from_numpy(np.require(np.frombuffer(tensor.data, DTYPES[tensor.datatype]), requirements="A"))
        made.append(array if len(tensor.shape) == 1 else fixed_size_list_array(array, tensor.shape[1]))
    return made, [Field(t.name, array.type, nullable=False) for t, array in zip(outputs, made, strict=True)]


def column(tensor: Tensor, place: int) -> Tensor:
    """One column of an output with a second axis."""
    if tensor.datatype == "BYTES":
        data: Any = join_elements([bytes(item) for item in elements_of(tensor.data)][place :: tensor.shape[1]])
    else:
        matrix = np.frombuffer(tensor.data, DTYPES[tensor.datatype]).reshape(tensor.shape)
        data = matrix[:, place].tobytes()
    return Tensor(tensor.name, tensor.datatype, tensor.shape[:1], data)


def render(response: InferResponse) -> bytes:
    """The answer as an Arrow IPC stream; who gave it stands in the schema's metadata."""
    metadata = {
        "model_name": response.route,
        "model_version": response.version,
        "release_digest": response.release_digest,
    }
    columns, fields = arrays(list(response.outputs))
    file = io.BytesIO()
    table = Table.from_arrays(columns, names=[field.name for field in fields], metadata=metadata)
    formats.write_ipc_stream(table, file, compression=None)
    return file.getvalue()
