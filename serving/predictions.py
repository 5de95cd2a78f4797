"""The prediction log: a share of the answers, one JSON line each, with who gave them. Off unless a setting names where to.

Never inputs, unless a setting says so. A routing key, which may be a customer's number, is there only under a keyed hash.
"""

import hashlib
import hmac
import os
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from math import prod
from pathlib import Path
from typing import Any

import orjson

from serving.access import Call
from serving.errors import Refusal
from serving.logs import OPTIONS
from serving.predictor import Batch
from serving.settings import Settings
from serving.tensors import Tensor, split, to_values

ROWS = 100  # of one request that are written; `rows` says how many there were
STDOUT = Path("-")


class PredictionLog:
    """Hands a line to ``put`` for a share of the answers it observes."""

    def __init__(self, settings: Settings, put: Callable[[bytes], None]) -> None:
        """:raises Refusal: the file with the secret for the hash cannot be read."""
        self._put = put
        self._share = settings.prediction_share
        self._with_inputs = settings.prediction_inputs
        self._secret = _secret(settings.prediction_key_file)

    def observe(self, call: Call, key: str | None, batch: Batch, outputs: Sequence[Tensor]) -> None:
        if random.random() >= self._share:  # noqa: S311  # a sample, not a secret
            return
        assert call.version is not None
        line: dict[str, Any] = {
            "at": datetime.now(UTC),
            "event": "prediction",
            "request_id": call.id,
            "trace_id": call.trace and call.trace.id,
            "transport": call.transport,
            "route": call.version.route,
            "version": call.version.name,
            "release_digest": call.version.model.release_digest,
            "routing_key": key and self._hashed(key),
            "rows": batch.rows,
            "outputs": {output.name: to_values(_head(output)) for output in outputs},
        }
        if self._with_inputs:
            line["inputs"] = {item.name: to_values(_head(item)) for item in batch.inputs}
        self._put(orjson.dumps(line, option=OPTIONS))

    def _hashed(self, key: str) -> str:
        return hmac.new(self._secret, key.encode(errors="replace"), hashlib.sha256).hexdigest()[:32]


def writer(path: Path) -> Callable[[Sequence[bytes]], None]:
    """What appends lines to ``path``, opened anew each time, so that it may be rotated; `-` is standard output.

    :raises Refusal: it cannot be written.
    """

    def write(lines: Sequence[bytes]) -> None:
        if path == STDOUT:
            sys.stdout.buffer.write(b"".join(lines))
            sys.stdout.buffer.flush()
            return
        with path.open("ab") as file:
            file.write(b"".join(lines))

    try:
        write(())
    except OSError as error:
        raise Refusal(f"the prediction log {path} cannot be written: {error.strerror}") from None
    return write


def _secret(path: Path | None) -> bytes:
    """Without a file, one of this process alone: hashes of one server then say nothing beside another's."""
    if path is None:
        return os.urandom(32)
    try:
        found = path.read_bytes().strip()
    except OSError as error:
        raise Refusal(f"{path}: {error.strerror}: it holds the secret for the hash of routing keys") from None
    if len(found) < 16:
        raise Refusal(f"{path}: {len(found)} bytes, expected a secret of at least 16 for the hash of routing keys")
    return found


def _head(tensor: Tensor) -> Tensor:
    """The first rows of a tensor."""
    rows = tensor.shape[0]
    if rows <= ROWS:
        return tensor
    piece, _ = split(tensor, [ROWS, rows - ROWS])
    end = ROWS * prod(tensor.shape[1:])
    return replace(piece, nulls=tuple(index for index in tensor.nulls if index < end))
