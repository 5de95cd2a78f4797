"""A compiled form in a process of its own: how it answers as a shadow, where it can neither block nor end the server."""

import contextlib
import socket
from pathlib import Path
from typing import Any

from serving import forms
from serving.tensors import FRAME, Tensor, pack, unpack

COMMAND = "shadow"


def main(folder: str, descriptor: int) -> int:
    """Answer the frames that `process.ModelProcess` sends, until the server closes the socket."""
    with socket.socket(fileno=descriptor) as link, link.makefile("rb") as file, contextlib.suppress(ConnectionError):
        try:
            form = forms.load(Path(folder))
        except Exception as error:  # noqa: BLE001  # a damaged graph raises what ONNX Runtime likes
            told = {"code": "bad-form", "message": " ".join(str(error).split()), "hint": "Bake the image anew"}
            link.sendall(b"".join(pack({"error": told})))
            return 1
        link.sendall(b"".join(pack({"ready": True})))
        while start := file.read(FRAME.size):
            sizes = FRAME.unpack(start)
            head, inputs = unpack(file.read(sizes[0]), file.read(sizes[1]))
            link.sendall(b"".join(pack(*_answer(form, head, inputs))))
    return 0


def _answer(form: forms.Form, head: dict[str, Any], inputs: list[Tensor]) -> tuple[dict[str, Any], list[Tensor]]:
    try:
        return {}, form.answer(inputs, head["outputs"])
    except Exception as error:  # noqa: BLE001  # one batch fails, the next is another
        return {"error": {"message": type(error).__name__, "refused": isinstance(error, forms.RowsNotTaken)}}, []
