"""A rolling restart: two servers behind a small proxy are replaced one after the other, and no caller notices."""

import pytest
import serving_image as si

from tests import rolling

REF = "risk/matrix:3"


@pytest.fixture
def images(trained, tmp_path):
    return [si.build(tmp_path / name, {REF: trained["matrix"]}, {"matrix": {REF: 100}}) for name in ("a", "b")]


def test_a_rolling_restart_under_load_fails_no_request(images, serve):
    servers = [serve(image) for image in images]

    def ask(server):
        return server.infer("matrix", si.matrix_input([[0.5, 1.0, 1.5, 2.0]]))

    def replace(place):
        servers[place].terminate()
        assert servers[place].process.wait(60) == 0
        return serve(images[place])

    codes = rolling.restart_all(servers, ask, replace)
    assert len(codes) > 20 * rolling.CALLERS
    assert set(codes) == {200}
