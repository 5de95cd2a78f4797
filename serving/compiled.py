"""A compiled model in this process: the predictor for whatever the check could compile. No library of its own, no pickle."""

import asyncio
from pathlib import Path

from serving import forms
from serving.errors import ModelFailed, Refusal, RowsRefused
from serving.logs import Log
from serving.predictor import Batch
from serving.tensors import Tensor

ROWS_HERE = 256  # of numbers or categories; more are computed beside the event loop, which goes on meanwhile
TEXT_HERE = 16 * 1024  # bytes of text, likewise


class CompiledModel:
    """A `Predictor` over a compiled form."""

    concurrent = True  # a form holds no state between batches

    def __init__(self, ref: str, folder: Path, *, of_text: bool, log: Log) -> None:
        self._ref = ref
        self._folder = folder
        self._of_text = of_text
        self._log = log
        self._form: forms.Form | None = None

    @property
    def ready(self) -> bool:
        return self._form is not None

    async def start(self) -> None:
        """Read the form.

        :raises Refusal: it cannot be read; the message says why.
        """
        try:
            self._form = await asyncio.to_thread(forms.load, self._folder)
        except Exception as error:  # noqa: BLE001  # a damaged graph raises what ONNX Runtime likes
            raise Refusal(f"the compiled form of {self._ref} cannot be read: {' '.join(str(error).split())}") from None
        self._log.info("compiled model ready", model=self._ref, engine=self._form.engine)

    async def stop(self) -> None:
        """Nothing runs between batches."""

    async def predict(self, batch: Batch) -> list[Tensor]:
        large = len(batch.inputs[0].data) > TEXT_HERE if self._of_text else batch.rows > ROWS_HERE
        if large:
            return await asyncio.to_thread(self._answer, batch)
        return self._answer(batch)

    def _answer(self, batch: Batch) -> list[Tensor]:
        assert self._form is not None
        try:
            return self._form.answer(batch.inputs, batch.outputs)
        except forms.RowsNotTaken as error:
            raise RowsRefused(f"{self._ref} refused the rows: {error}") from None
        except Exception as error:
            raise ModelFailed(f"{self._ref} failed on the rows: {type(error).__name__}") from error
