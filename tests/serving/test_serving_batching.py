"""Batches: together when they can be, alone when one of them is bad, and no caller waits for nothing."""

import asyncio

import pytest

from serving.batching import LARGE, ROWS, Batcher
from serving.errors import ModelFailed, RowsRefused, Unavailable
from serving.predictor import Batch
from serving.tensors import from_array, from_values, to_array, to_values


class Doubler:
    """Answers twice its input; refuses a batch that holds 13, and counts what it was asked."""

    ready = True

    def __init__(self, gate=None, *, concurrent=False):
        self.concurrent = concurrent
        self.asked = []
        self.gate = gate

    async def predict(self, batch):
        self.asked.append((batch.rows, batch.outputs))
        if self.gate is not None:
            await self.gate.wait()
        values = to_array(batch.inputs[0])
        if 13 in values:
            raise RowsRefused("13 brings bad luck")
        return [from_array(name, "FP64", values * {"double": 2, "triple": 3}[name]) for name in batch.outputs]


def rows(*values, outputs=("double",)):
    return Batch((from_values("x", "FP64", (len(values),), list(values)),), outputs)


async def answers(batcher, *batches):
    found = await asyncio.gather(*(batcher.predict(batch) for batch in batches), return_exceptions=True)
    return [item if isinstance(item, Exception) else [to_values(tensor) for tensor in item] for item in found]


def test_requests_of_one_turn_are_one_predict():
    async def scenario():
        doubler = Doubler()
        found = await answers(Batcher(doubler), rows(1), rows(2, 3), rows(4))
        assert found == [[[2.0]], [[4.0, 6.0]], [[8.0]]]
        assert doubler.asked == [(4, ("double",))]

    asyncio.run(scenario())


@pytest.mark.parametrize("concurrent", [True, False])
def test_a_large_request_holds_up_a_small_one_only_where_the_model_answers_one_at_a_time(concurrent):
    async def scenario():
        doubler = Doubler(gate := asyncio.Event(), concurrent=concurrent)
        batcher = Batcher(doubler)
        large = [asyncio.create_task(batcher.predict(rows(*range(20, 20 + ROWS + 1)))) for _ in range(2)]
        await asyncio.sleep(0.01)
        small = asyncio.create_task(batcher.predict(rows(1)))
        await asyncio.sleep(0.01)
        assert [count for count, _ in doubler.asked] == ([ROWS + 1, 1] if concurrent else [ROWS + 1])
        gate.set()
        assert to_values((await small)[0]) == [2.0]
        assert [len(to_values((await task)[0])) for task in large] == [ROWS + 1] * 2

    asyncio.run(scenario())


def test_what_arrives_while_the_model_is_busy_waits_for_one_batch():
    async def scenario():
        doubler = Doubler(gate := asyncio.Event())
        batcher = Batcher(doubler)
        first = asyncio.create_task(batcher.predict(rows(1)))
        await asyncio.sleep(0.01)
        others = asyncio.create_task(answers(batcher, rows(2), rows(3)))
        await asyncio.sleep(0.01)
        gate.set()
        assert to_values((await first)[0]) == [2.0]
        assert await others == [[[4.0]], [[6.0]]]
        assert [count for count, _ in doubler.asked] == [1, 2]

    asyncio.run(scenario())


def test_every_request_gets_its_own_outputs_in_its_own_order():
    async def scenario():
        doubler = Doubler()
        wanted = [("double",), ("triple", "double"), ("triple",)]
        found = await answers(Batcher(doubler), *(rows(1, outputs=outputs) for outputs in wanted))
        assert found == [[[2.0]], [[3.0], [2.0]], [[3.0]]]
        assert doubler.asked == [(3, ("double", "triple"))]

    asyncio.run(scenario())


def test_a_bad_row_fails_its_own_request_only():
    async def scenario():
        doubler = Doubler()
        good, bad, other = await answers(Batcher(doubler), rows(1), rows(2, 13), rows(3))
        assert (good, other) == ([[2.0]], [[6.0]])
        assert isinstance(bad, RowsRefused)
        assert [count for count, _ in doubler.asked] == [4, 1, 2, 1]

    asyncio.run(scenario())


def test_a_large_request_keeps_its_turn_until_its_thread_ends_though_its_caller_gave_up():
    async def scenario():
        doubler = Doubler(gate := asyncio.Event(), concurrent=True)
        batcher = Batcher(doubler)
        tasks = [asyncio.create_task(batcher.predict(rows(*range(20, 21 + ROWS)))) for _ in range(2)]
        await asyncio.sleep(0.01)
        tasks[0].cancel()
        await asyncio.sleep(0.01)
        assert len(doubler.asked) == 1, "its answer is still being computed"
        gate.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError)
        assert len(doubler.asked) == 2
        assert len(to_values(found[1][0])) == ROWS + 1

    asyncio.run(scenario())


def test_one_row_of_long_text_goes_alone():
    async def scenario():
        doubler = Doubler(gate := asyncio.Event(), concurrent=True)
        batcher = Batcher(doubler)
        long = Batch((from_values("x", "BYTES", (1,), ["a" * (LARGE + 1)]),), ("double",))
        first = asyncio.create_task(batcher.predict(long))
        await asyncio.sleep(0.01)
        second = asyncio.create_task(batcher.predict(rows(1)))
        await asyncio.sleep(0.01)
        assert [count for count, _ in doubler.asked] == [1, 1]
        gate.set()
        await asyncio.gather(first, second, return_exceptions=True)

    asyncio.run(scenario())


def test_a_batch_stays_below_the_cap_and_a_large_request_goes_alone():
    async def scenario():
        doubler = Doubler()
        large = ROWS + 44
        found = await answers(
            Batcher(doubler), rows(*range(100, 300)), rows(*[1.0] * 56), rows(2), rows(*[3.0] * large)
        )
        assert [len(item[0]) for item in found] == [200, 56, 1, large]
        assert [count for count, _ in doubler.asked] == [256, 1, large]

    asyncio.run(scenario())


def test_a_caller_that_gave_up_is_left_out():
    async def scenario():
        doubler = Doubler(gate := asyncio.Event())
        batcher = Batcher(doubler)
        first = asyncio.create_task(batcher.predict(rows(1)))
        await asyncio.sleep(0.01)
        gone = asyncio.create_task(batcher.predict(rows(2)))
        stays = asyncio.create_task(batcher.predict(rows(3)))
        await asyncio.sleep(0.01)
        gone.cancel()
        gate.set()
        assert to_values((await stays)[0]) == [6.0]
        await first
        assert [count for count, _ in doubler.asked] == [1, 1]

    asyncio.run(scenario())


@pytest.mark.parametrize(("raised", "seen"), [(Unavailable("gone"), Unavailable), (ZeroDivisionError(), ModelFailed)])
def test_a_predictor_that_is_gone_fails_the_whole_batch_and_nothing_after_it(raised, seen):
    class Broken(Doubler):
        async def predict(self, batch):
            if not self.asked:
                self.asked.append(batch.rows)
                raise raised
            return await super().predict(batch)

    async def scenario():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
        broken = Broken()
        batcher = Batcher(broken)
        assert [type(item) for item in await answers(batcher, rows(1), rows(2))] == [seen, seen]
        assert await answers(batcher, rows(3)) == [[[6.0]]]

    reported = []
    asyncio.run(scenario())
    assert reported == ([raised] if seen is ModelFailed else [])
