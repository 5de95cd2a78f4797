"""Batches: all requests that arrive while a model is busy, or in one turn of the event loop, become one predict.

No timer: an idle server adds no wait, a busy one batches by itself. A large request is a batch of its own; where the predictor
answers several at once, it does not hold up the small ones behind it.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import Any

from serving.errors import ModelFailed, RowsRefused, ServingError
from serving.predictor import Batch, Predictor
from serving.tensors import Tensor, join, split

ROWS = 256  # of a batch made of several requests; a larger request goes alone
LARGE = 256 * 1024  # bytes of a request's inputs, above which it goes alone, too: a few rows may hold long texts


class Job:
    """One request's rows and the answer it waits for."""

    __slots__ = ("answer", "batch")

    def __init__(self, batch: Batch, answer: "asyncio.Future[list[Tensor]]") -> None:
        self.batch = batch
        self.answer = answer


class Batcher:
    """The queue before one predictor. It sends one batch at a time, so requests of one size never overtake each other."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self._queue: deque[Job] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._large = asyncio.Lock()

    async def predict(self, batch: Batch) -> list[Tensor]:
        """Like `Predictor.predict`, for any number of callers at once. Cancelling a call drops it from the queue."""
        if (batch.rows > ROWS or _size(batch) > LARGE) and self.predictor.concurrent:
            async with self._large:  # one at a time: they share the cores
                return await _to_its_end(self.predictor.predict(batch))
        loop = asyncio.get_running_loop()
        job = Job(batch, loop.create_future())
        self._queue.append(job)
        if self._worker is None:
            # A task starts in the next turn: whatever was read in this one is queued by then.
            self._worker = loop.create_task(self._work())
        return await job.answer

    async def emptied(self) -> None:
        """Wait until everything that was queued is answered."""
        if self._worker is not None:
            await asyncio.wait((self._worker,))

    async def _work(self) -> None:
        while jobs := self._take():
            await self._answer(jobs)
        self._worker = None

    def _take(self) -> list[Job]:
        """The next jobs, as many as fit together; callers that gave up are skipped."""
        jobs: list[Job] = []
        rows = 0
        while self._queue:
            job = self._queue[0]
            if job.answer.done():
                self._queue.popleft()
                continue
            rows += job.batch.rows
            if jobs and rows > ROWS:
                break
            jobs.append(self._queue.popleft())
        return jobs

    async def _answer(self, jobs: list[Job]) -> None:
        try:
            answers = await self._predict([job.batch for job in jobs])
        except (RowsRefused, ModelFailed) as error:
            if len(jobs) == 1:
                _fail(jobs, error)
                return
            for job in jobs:  # one bad row must not fail its neighbours
                await self._answer([job])
        except ServingError as error:
            _fail(jobs, error)
        except Exception as error:  # noqa: BLE001  # no caller may wait for an answer that cannot come
            _fail(jobs, ModelFailed("the server could not read the model's answer"))
            asyncio.get_running_loop().call_exception_handler({"message": "batch failed", "exception": error})
        else:
            for job, answer in zip(jobs, answers, strict=True):
                if not job.answer.done():
                    job.answer.set_result(answer)

    async def _predict(self, batches: list[Batch]) -> list[list[Tensor]]:
        """One predict for all ``batches``, which may want different outputs."""
        if len(batches) == 1:
            return [await self.predictor.predict(batches[0])]
        wanted = tuple(dict.fromkeys(name for batch in batches for name in batch.outputs))
        columns = zip(*(batch.inputs for batch in batches), strict=True)
        outputs = await self.predictor.predict(Batch(tuple(join(column) for column in columns), wanted))
        rows = [batch.rows for batch in batches]
        pieces = {output.name: split(output, rows) for output in outputs}
        return [[pieces[name][place] for name in batch.outputs] for place, batch in enumerate(batches)]


def _size(batch: Batch) -> int:
    return sum([len(tensor.data) for tensor in batch.inputs])


async def _to_its_end(predict: Coroutine[Any, Any, list[Tensor]]) -> list[Tensor]:
    """What ``predict`` answers; a caller who gives up waits on, as the thread that computes does not stop for them."""
    work = asyncio.ensure_future(predict)
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.gather(work, return_exceptions=True)
        raise


def _fail(jobs: list[Job], error: ServingError) -> None:
    for job in jobs:
        if not job.answer.done():
            job.answer.set_exception(error)
