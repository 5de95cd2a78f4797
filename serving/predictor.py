"""What answers a batch of rows: a compiled form in this process, or a process with the model's own library."""

from dataclasses import dataclass
from typing import Protocol

from serving.tensors import Tensor


@dataclass(slots=True)  # as a Tensor
class Batch:
    """Rows for one model.

    :param inputs: one tensor per input of the signature, in its order and its datatypes, all with the same number of rows.
    :param outputs: names of the outputs wanted, each an output of the signature, at least one.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[str, ...]

    @property
    def rows(self) -> int:
        return self.inputs[0].shape[0]


class Predictor(Protocol):
    """One model version, ready to answer."""

    @property
    def concurrent(self) -> bool:
        """A batch may be sent while another one is being answered."""

    @property
    def ready(self) -> bool:
        """A batch sent now would be answered without waiting for a start."""

    async def start(self) -> None:
        """Get ready to answer.

        :raises Refusal: it cannot; the message says why.
        """

    async def stop(self) -> None:
        """End what was started."""

    async def predict(self, batch: Batch) -> list[Tensor]:
        """One tensor per name in ``batch.outputs``, in that order, with ``batch.rows`` rows. Called one batch at a time unless `concurrent`.

        :raises RowsRefused: the model refused the values; another batch may succeed.
        :raises ServingError: the model failed, took too long, or is not there.
        """
