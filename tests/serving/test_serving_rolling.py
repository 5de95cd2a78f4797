"""A rolling restart: two servers behind a small proxy are replaced one after the other, and no caller notices."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import serving_image as si

REF = "risk/matrix:3"
CALLERS = 4


class Proxy:
    """Hands a request to one backend after the other until one takes it; one that answers 503 is left out from then on."""

    def __init__(self, backends):
        self.backends = list(backends)
        self.leaving = set()

    def infer(self, number):
        while ready := [backend for backend in self.backends if backend not in self.leaving]:
            backend = ready[number % len(ready)]
            response = backend.infer("matrix", si.matrix_input([[0.5, 1.0, 1.5, 2.0]]))
            if response.status_code != 503:
                return response
            self.leaving.add(backend)
        raise AssertionError("no backend took the request")


@pytest.fixture
def images(trained, tmp_path):
    return [si.build(tmp_path / name, {REF: trained["matrix"]}, {"matrix": {REF: 100}}) for name in ("a", "b")]


def test_a_rolling_restart_under_load_fails_no_request(images, serve):
    proxy = Proxy([serve(image) for image in images])
    over = threading.Event()

    def call(caller):
        codes, number = [], caller
        while not over.is_set():
            codes.append(proxy.infer(number).status_code)
            number += 1
        return codes

    with ThreadPoolExecutor(CALLERS) as pool:
        calls = [pool.submit(call, caller) for caller in range(CALLERS)]
        try:
            for place, image in enumerate(images):
                old = proxy.backends[place]
                old.terminate()
                assert old.process.wait(60) == 0
                proxy.backends[place] = serve(image)
        finally:
            over.set()
        codes = [code for done in calls for code in done.result()]
    assert len(codes) > 20 * CALLERS
    assert set(codes) == {200}
