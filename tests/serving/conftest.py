"""Models are trained once, and one server answers all tests that leave it as it was."""

import sys

import pytest
import serving_image as si


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Name to a trained, saved and introspected model."""

    def make(name, made, file_format="joblib"):
        return si.train(*made, tmp_path_factory.mktemp(name), file_format)

    return {
        "voice-1": make("voice-1", si.text_model(3)),
        "voice-2": make("voice-2", si.text_model(5)),
        "matrix": make("matrix", si.matrix_model()),
        "forest": make("forest", si.forest_model(), "pickle"),
        "frame": make("frame", si.frame_model()),
    }


@pytest.fixture(scope="session")
def image(trained, tmp_path_factory):
    """An image with every layout, a split of two versions, and a route of two different models."""
    members = {
        "payments/voice:1": trained["voice-1"],
        "payments/voice:2": trained["voice-2"],
        "risk/matrix:3": trained["matrix"],
        "risk/forest:1": trained["forest"],
        "risk/customers:1": trained["frame"],
    }
    routes = {
        "feedback": {"payments/voice:1": 70, "payments/voice:2": 30},
        "mixed": {"risk/matrix:3": 100, "risk/forest:1": 0},
        "customers": {"risk/customers:1": 100},
    }
    return si.build(tmp_path_factory.mktemp("image"), members, routes)


@pytest.fixture(scope="session")
def server(image, tmp_path_factory):
    """A running server. Tests that disturb it start their own with ``serve``."""
    running = si.Running(
        image,
        tmp_path_factory.mktemp("log") / "server.log",
        key_fingerprint=image.signer.fingerprint,
        max_body=1_000_000,
    )
    try:
        yield running.wait_ready()
    finally:
        running.stop()


@pytest.fixture
def small_image(trained, tmp_path):
    """An image with one text model, for tests that change or break something."""
    members = {"payments/voice:1": trained["voice-1"]}
    return si.build(tmp_path / "image", members, {"feedback": {"payments/voice:1": 100}})


@pytest.fixture
def serve(tmp_path):
    """Start servers of a test's own."""
    started = []

    def start(image, *, ready=True, **settings):
        running = si.Running(image, tmp_path / f"server-{len(started)}.log", **settings)
        started.append(running)
        return running.wait_ready() if ready else running

    yield start
    for running in started:
        running.stop()
        sys.stdout.write(running.log_path.read_text()[-4000:])  # shown when the test failed
