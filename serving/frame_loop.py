"""A model answers frames on a socket, one after the other. Loaded by the runner, in the model's own environment."""

import socket
from collections.abc import Iterable
from typing import Any

from . import tensors
from .estimators import answer, features
from .model_error import brief


def serve(model: Any, signature: dict[str, Any], link: socket.socket) -> None:
    """Answer frames on ``link`` until the other side closes it: a server that died leaves no model process behind."""
    datatypes = {output["name"]: output["datatype"] for output in signature["outputs"]}
    try:
        _send(link, {"ready": True})
        while True:
            _answer_frame(model, signature, datatypes, link)
    except (EOFError, ConnectionError):
        return


def _answer_frame(model: Any, signature: dict[str, Any], datatypes: dict[str, str], link: socket.socket) -> None:
    head_size, data_size = tensors.FRAME.unpack(_read(link, tensors.FRAME.size))
    head, inputs = tensors.unpack(_read(link, head_size), _read(link, data_size))
    try:
        rows = features(signature, inputs)
        count = inputs[0].shape[0]
        outputs = [
            tensors.from_array(name, datatypes[name], answer(model, name, rows, count)) for name in head["outputs"]
        ]
    except Exception as error:  # noqa: BLE001  # a row may make an estimator raise anything; the next batch is another
        # What a model says of values it was given is the caller's business; any other error is the model's.
        refused = isinstance(error, ValueError | TypeError)
        _send(link, {"error": {"message": brief(error), "refused": refused}})
    else:
        _send(link, {}, outputs)


def _read(link: socket.socket, size: int) -> bytearray:
    """Exactly ``size`` bytes.

    :raises EOFError: the other side has closed.
    """
    buffer = bytearray(size)
    view = memoryview(buffer)
    while view:
        count = link.recv_into(view)
        if not count:
            raise EOFError
        view = view[count:]
    return buffer


def _send(link: socket.socket, head: dict[str, Any], outputs: Iterable[tensors.Tensor] = ()) -> None:
    link.sendall(b"".join(tensors.pack(head, list(outputs))))
