"""A rolling restart: callers behind a small proxy, while its backends are replaced one after the other."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

CALLERS = 4


class Proxy:
    """Hands a request to one backend after the other until one takes it; one that answers 503 is left out from then on.

    :param ask: sends a request to a backend and returns its response, with a ``status_code``.
    """

    def __init__(self, backends: list[Any], ask: Callable[[Any], Any]) -> None:
        self.backends = backends
        self._ask = ask
        self._leaving: set[Any] = set()

    def request(self, number: int) -> int:
        """The status of request ``number``; an error of a connection is the caller's, as a proxy's client would see it."""
        while ready := [backend for backend in self.backends if backend not in self._leaving]:
            backend = ready[number % len(ready)]
            code = int(self._ask(backend).status_code)
            if code != 503:
                return code
            self._leaving.add(backend)
        raise AssertionError("no backend took the request")


def restart_all(backends: list[Any], ask: Callable[[Any], Any], replace: Callable[[int], Any]) -> list[int]:
    """The statuses of all requests that were sent while every backend was replaced.

    :param replace: ends backend ``place`` gracefully and returns a ready one to take its place.
    """
    proxy = Proxy(list(backends), ask)
    over = threading.Event()

    def call(caller: int) -> list[int]:
        codes, number = [], caller
        while not over.is_set():
            codes.append(proxy.request(number))
            number += 1
        return codes

    with ThreadPoolExecutor(CALLERS) as pool:
        calls = [pool.submit(call, caller) for caller in range(CALLERS)]
        try:
            for place in range(len(backends)):
                proxy.backends[place] = replace(place)
        finally:
            over.set()
        return [code for done in calls for code in done.result()]
