"""Batch scoring: a table in, a table with the answers out, chunk by chunk, by the same checked model and the same checks."""

import asyncio
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import uvloop
from arro3 import io as formats
from arro3.core import Array, DataType, Field, RecordBatch, RecordBatchReader, Schema

from serving import alone, tables
from serving.access import Call
from serving.chunks import CHUNK, Chunk, chunks
from serving.errors import Refusal, ServingError
from serving.messages import InferRequest, InferResponse
from serving.routing import Version, routes
from serving.sealed import Sealed
from serving.server import Server
from serving.settings import Settings
from serving.tensors import Tensor

ROW_GROUP = 8 * CHUNK  # rows of a Parquet file that are written together
TOLD_SECONDS = 1.0
KINDS = {".csv": "csv", ".parquet": "parquet", ".arrow": "arrow", ".arrows": "arrow"}


@dataclass(frozen=True, slots=True)
class Job:
    """What to score. ``keep``: columns that go through to the answers and not to the model, such as a key."""

    source: Path
    target: Path
    route: str | None
    version: str | None
    outputs: tuple[str, ...]
    keep: tuple[str, ...]


def score(image: Sealed, settings: Settings, job: Job) -> dict[str, Any]:
    """Write ``job.target``, and say what was done.

    :raises Refusal: naming the rows that do not fit; then nothing is written.
    """
    version = _version(image, job)
    kinds = [_kind(path) for path in (job.source, job.target)]
    scratch = job.target.with_name(f".{job.target.name}.part")
    progress = _Progress()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            server, name = runner.run(alone.start(image, version, settings))
            try:
                given = chunks(job.source, kinds[0], job.keep, settings.max_rows)
                answers = _answers(runner, server, version, name, job, given, progress)
                _write(kinds[1], scratch, answers)
            finally:
                runner.run(server.close())
        scratch.replace(job.target)
    except OSError as error:
        raise Refusal(f"{error.filename or job.target}: {error.strerror or error}") from None
    finally:
        progress.end()
        scratch.unlink(missing_ok=True)
    return {
        "ok": True,
        "rows": progress.rows,
        "seconds": round(progress.seconds, 3),
        "route": version.route,
        "version": version.name,
        "release_digest": version.model.release_digest,
        "written": str(job.target),
    }


def _version(image: Sealed, job: Job) -> Version:
    """The one version that answers: a table is not split by weights."""
    known = routes(image.manifest)
    if job.route is None and len(known) > 1:
        raise Refusal(f"this image has several routes, name one with --route: {', '.join(known)}")
    route = known.get(job.route or next(iter(known)))
    if route is None:
        raise Refusal(f"no route {job.route!r}; there is {', '.join(known)}")
    if job.version is not None:
        if job.version not in route.versions:
            raise Refusal(f"route {route.name} has no version {job.version!r}; it has {', '.join(route.versions)}")
        return route.versions[job.version]
    weighted = [version for version in route.versions.values() if version.weight]
    if len(weighted) > 1:
        raise Refusal(f"route {route.name} is split, name a version with --version: {', '.join(route.versions)}")
    return weighted[0]


def _kind(path: Path) -> str:
    try:
        return KINDS[path.suffix.lower()]
    except KeyError:
        raise Refusal(f"{path}: expected a name that ends in {', '.join(KINDS)}") from None


def _answers(
    runner: asyncio.Runner,
    server: Server,
    version: Version,
    name: str,
    job: Job,
    given: Iterator[Chunk],
    progress: "_Progress",
) -> Iterator[RecordBatch]:
    for chunk in given:
        request = InferRequest(chunk.inputs, job.outputs, form="frame")
        call = Call("score", "batch")
        try:
            answer = runner.run(server.service.infer(version.route, name, request, key=None, call=call))
        except ServingError as error:
            first, last = progress.rows, progress.rows + chunk.rows - 1
            raise Refusal(f"rows {first} to {last}, counted from {first}: {error}") from None
        yield _batch(version, chunk, answer)
        progress.add(chunk.rows)
    if not progress.rows:
        raise Refusal(f"{job.source}: 0 rows, expected at least 1")


def _batch(version: Version, chunk: Chunk, answer: InferResponse) -> RecordBatch:
    """Kept columns, answers with a column for each value, then who gave them."""
    labels = {output.name: output.labels for output in version.model.signature.outputs}
    made = {}
    for tensor in answer.outputs:
        for name, part in _parts(tensor, labels[tensor.name]):
            (made[name],), _ = tables.arrays([part])
    said = {"model_version": version.name, "release_digest": answer.release_digest}
    for name, text in said.items():
        made[name] = Array([text] * chunk.rows, type=DataType.string())
    if twice := sorted(made.keys() & chunk.kept.keys()):
        raise Refusal(f"--keep {','.join(twice)}: the answer has a column of that name; rename the one that is kept")
    columns = chunk.kept | made
    fields = [Field(name, array.type, nullable=name in chunk.kept) for name, array in columns.items()]
    return RecordBatch.from_arrays(list(columns.values()), schema=Schema(fields))


def _parts(tensor: Tensor, labels: tuple[Any, ...] | None) -> Iterator[tuple[str, Tensor]]:
    if len(tensor.shape) == 1:
        yield tensor.name, tensor
        return
    for place in range(tensor.shape[1]):
        label = labels[place] if labels and len(labels) == tensor.shape[1] else place
        yield f"{tensor.name}.{label}", tables.column(tensor, place)


def _write(kind: str, path: Path, batches: Iterator[RecordBatch]) -> None:
    """All of ``batches`` as one file. The writers pull one at a time; what stops one comes out as it was raised."""
    first = next(batches)
    stopped: list[BaseException] = []

    def pulled() -> Iterator[RecordBatch]:
        try:
            yield from chain([first], batches)
        except BaseException as error:
            stopped.append(error)
            raise

    reader = RecordBatchReader.from_batches(first.schema, pulled())
    try:
        if kind == "csv":
            formats.write_csv(reader, path)
        elif kind == "parquet":
            formats.write_parquet(reader, path, max_row_group_size=ROW_GROUP, compression="zstd(3)")
        else:
            formats.write_ipc_stream(reader, path, compression="zstd")
    except Exception:
        if stopped:
            raise stopped[0] from None
        raise


class _Progress:
    """One line on standard error: rewritten in a terminal, a new one each time elsewhere."""

    def __init__(self) -> None:
        self.rows = 0
        self._started = self._told = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def add(self, rows: int) -> None:
        self.rows += rows
        if time.monotonic() - self._told > TOLD_SECONDS:
            self._told = time.monotonic()
            self._tell("\r" if sys.stderr.isatty() else "\n")

    def end(self) -> None:
        self._tell("\n")

    def _tell(self, end: str) -> None:
        sys.stderr.write(f"{self.rows} rows, {self.rows / max(self.seconds, 1e-9):.0f} a second{end}")
        sys.stderr.flush()
