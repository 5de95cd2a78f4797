"""The Voice's scripts and its fake container are modules of these tests."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "examples" / "the_voice")]

from voice_container import FakeContainer, running  # noqa: E402  # needs the path above


@pytest.fixture
def container() -> Iterator[FakeContainer]:
    with running() as fake:
        yield fake
