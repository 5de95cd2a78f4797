"""The engine: what was planned is what is loaded, a container may do next to nothing, and every failure is ours."""

import contextlib
import io
import json
import os
import socket
import struct
import threading
import time
import urllib.request

import pytest

from builders import engine as engines
from builders import image, plan, runtimes, streams, tarball
from builders.containers import EngineError, EngineUnavailable, Hardened, ImageNotFound, UnexpectedImage
from builders.layers import LayerDamaged, LayerStore
from builders.plan import Part
from formats import digest

NAME = f"countersign-test-{os.getpid()}x"


# Finding an engine; no engine is needed for these.


@pytest.mark.parametrize("host", ["unix:///nowhere/docker.sock", "tcp://127.0.0.1:1"])
def test_an_engine_that_does_not_answer_is_named_with_what_to_do(host):
    with pytest.raises(EngineUnavailable) as caught:
        engines.connect({"DOCKER_HOST": host})
    assert host in str(caught.value)
    assert "COUNTERSIGN_ISOLATION=process" in caught.value.hint


def docker_context(folder, host: str, name: str = "elsewhere") -> None:
    """A docker configuration whose current context points at ``host``."""
    (folder / "config.json").write_text(json.dumps({"currentContext": name}))
    meta = folder / "contexts/meta" / digest.of_bytes(name.encode()).removeprefix("sha256:")
    meta.mkdir(parents=True)
    endpoints = {"docker": {"Host": host, "SkipTLSVerify": False}}
    (meta / "meta.json").write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": endpoints}))


def test_the_current_docker_context_is_asked_when_no_host_is_set(tmp_path, monkeypatch):
    docker_context(tmp_path, "unix:///context/docker.sock")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with pytest.raises(EngineUnavailable, match="/context/docker"):
        engines.connect({"PATH": ""})
    with pytest.raises(EngineUnavailable, match="/host/docker"):
        engines.connect({"DOCKER_HOST": "unix:///host/docker.sock"})


def test_a_context_that_cannot_be_read_is_told(tmp_path, monkeypatch):
    docker_context(tmp_path, "unix:///context/docker.sock")
    next(tmp_path.glob("contexts/meta/*/meta.json")).write_text("{")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with pytest.raises(EngineUnavailable, match="cannot be read") as caught:
        engines.connect({"PATH": ""})
    assert "docker context ls" in caught.value.hint


def test_a_context_that_does_not_exist_is_told_and_not_replaced_by_another_engine(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text(json.dumps({"currentContext": "gone"}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with pytest.raises(EngineUnavailable, match="gone"):
        engines.connect({"PATH": ""})


# The frames of a conversation.


def frame(number: int, data: bytes) -> bytes:
    return struct.pack(">BxxxL", number, len(data)) + data


def heard(sent: list[bytes], *, close: bool = True, **limits) -> streams.Heard:
    near, far = socket.socketpair()

    def speak() -> None:
        with contextlib.suppress(OSError):
            for data in sent:
                far.sendall(data)
                time.sleep(0.01)
        if close:
            far.close()

    speaker = threading.Thread(target=speak)
    speaker.start()
    try:
        return streams.converse(near, **{"stdin": b"", "timeout": 5, "limit": 1000} | limits)
    finally:
        speaker.join()
        far.close()


def test_frames_are_put_together_however_they_arrive():
    data = frame(1, b"hello ") + frame(2, b"warning") + frame(1, b"world") + frame(1, b"")
    found = heard([data[index : index + 3] for index in range(0, len(data), 3)])
    assert (found.stdout, found.stderr, found.timed_out, found.overflowed) == (b"hello world", b"warning", False, False)


def test_output_past_its_limit_ends_the_conversation():
    found = heard([frame(1, b"x" * 800), frame(1, b"x" * 800)], limit=1000)
    assert found.overflowed
    assert len(found.stdout) <= 1000


def test_errors_are_kept_up_to_a_limit_and_the_rest_is_read_past():
    found = heard([frame(2, b"e" * 100_000), frame(1, b"done")])
    assert found.stdout == b"done"
    assert len(found.stderr) == 64 * 1024


def test_silence_ends_the_conversation_in_time():
    started = time.monotonic()
    assert heard([frame(1, b"a")], close=False, timeout=0.2).timed_out
    assert time.monotonic() - started < 2


def test_a_connection_cut_inside_a_frame_ends_it():
    assert heard([frame(1, b"whole"), frame(1, b"cut short")[:-3]]).stdout.startswith(b"whole")


# A real engine from here on.


def scratch(base, store: LayerStore, content: bytes = b"x") -> image.Image:
    return plan.scratch(base, [store.add([tarball.file("opt/countersign/input", content)])])


@pytest.fixture(scope="module")
def loaded(engine, base, base_store):
    """An image of the base and one small file."""
    with engine.borrowed(scratch(base, base_store), base_store, f"countersign-input-{os.getpid()}") as image_id:
        yield image_id


def hardened(image_id: str, command, **changes) -> Hardened:
    return Hardened(image_id, f"{NAME}-1", command, **changes)


def python(engine, image_id: str, code: str, **changes):
    return engine.run(hardened(image_id, ["python3", "-I", "-c", code], **changes), timeout=30)


@pytest.mark.engine
def test_an_engine_says_what_it_is(engine):
    about = engine.describe()
    assert about.version
    assert about.os == "linux"
    assert about.architecture == image.go_architecture(os.uname().machine)


@pytest.mark.engine
def test_the_engine_gives_the_predicted_id_and_loads_once(engine, base, base_store):
    planned = scratch(base, base_store, os.urandom(16))
    assert engine.find(planned) is None
    image_id = engine.load(planned, base_store)
    try:
        assert image_id in (planned.image_id, planned.image_digest)
        assert engine.find(planned) == image_id
        assert engine.load(planned, LayerStore(base_store.root.parent / "empty")) == image_id
    finally:
        engine.remove_image(image_id)
    assert engine.find(planned) is None


@pytest.mark.engine
def test_layers_that_the_engine_holds_are_not_sent_again(engine, base, base_store, monkeypatch):
    if engine.describe().containerd_store:
        pytest.skip("containerd's image store wants every blob in an archive")
    sent = []
    original = engines.archive_stream

    def counting(*arguments, **options):
        for chunk in original(*arguments, **options):
            sent.append(len(chunk))
            yield chunk

    monkeypatch.setattr(engines, "archive_stream", counting)
    image_id = engine.load(scratch(base, base_store, os.urandom(16)), base_store)
    engine.remove_image(image_id)
    assert 0 < sum(sent) < 100_000


@pytest.mark.engine
def test_an_image_that_is_not_the_planned_one_is_refused(engine, base, base_store):
    planned, other = scratch(base, base_store, b"planned"), scratch(base, base_store, b"other")
    with pytest.raises(UnexpectedImage) as caught:
        engine._load(image.archive_stream(other, base_store), planned)
    assert planned.image_id in str(caught.value)
    engine.remove_image(other.image_id)


@pytest.mark.engine
def test_a_layer_found_damaged_while_it_is_sent_stops_the_load(engine, base, base_store):
    planned = scratch(base, base_store, b"a marker that will be changed")
    path = base_store.path(planned.layers[-1].diff_id)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"marker", b"maker!"))
    with pytest.raises(LayerDamaged):
        engine.load(planned, base_store)
    assert engine.find(planned) is None


@pytest.mark.engine
def test_an_archive_that_is_none_is_refused_and_not_taken_for_a_dead_engine(engine, base, base_store):
    with pytest.raises(EngineError) as caught:
        engine._load(iter([b"noise" * 10_000]), scratch(base, base_store, b"never loaded"))
    assert not isinstance(caught.value, EngineUnavailable)
    assert engine.describe().version


@pytest.mark.engine
def test_a_container_has_no_rights(engine, loaded):
    outcome = python(engine, loaded, "print(open('/proc/self/status').read())")
    status = dict(line.split(":\t", 1) for line in outcome.stdout.decode().splitlines() if ":\t" in line)
    assert {status[name].strip() for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")} == {"0" * 16}
    assert status["NoNewPrivs"].strip() == "1"
    assert status["Uid"].split() == ["10001"] * 4
    assert status["Seccomp"].strip() == "2"


@pytest.mark.engine
def test_nothing_can_be_written_outside_tmp(engine, loaded):
    code = """
import os
wrote = []
for folder, folders, _ in os.walk("/"):
    folders[:] = [name for name in folders if os.path.join(folder, name) not in ("/proc", "/sys", "/dev/mqueue")]
    try:
        open(os.path.join(folder, ".probe"), "w").close()
        wrote.append(folder)
    except OSError:
        pass
print(wrote)
"""
    outcome = python(engine, loaded, code)
    assert outcome.stdout.decode().strip() == "['/tmp']"


@pytest.mark.engine
def test_tmp_is_small_and_runs_nothing(engine, loaded):
    code = """
import os, shutil, subprocess
shutil.copy("/bin/true", "/tmp/true")
os.chmod("/tmp/true", 0o755)
try:
    subprocess.run(["/tmp/true"])
except PermissionError:
    print("not run")
try:
    open("/tmp/large", "wb").write(bytes(32 << 20))
except OSError as error:
    print(error.strerror)
"""
    assert python(engine, loaded, code).stdout.decode().splitlines() == ["not run", "No space left on device"]


@pytest.mark.engine
def test_there_is_no_network(engine, loaded):
    code = """
import os, socket
print(sorted(os.listdir("/sys/class/net")))
try:
    socket.create_connection(("192.0.2.1", 80), 2)
except OSError as error:
    print(error.strerror)
"""
    lines = python(engine, loaded, code).stdout.decode().splitlines()
    assert lines[0] == "['lo']"
    assert lines[1] == "Network is unreachable"


@pytest.mark.engine
def test_neither_the_workers_environment_nor_the_engines_socket_is_inside(engine, loaded, monkeypatch):
    monkeypatch.setenv("COUNTERSIGN_SECRET_KEY", "secret")
    monkeypatch.setenv("HTTP_PROXY", "http://192.0.2.1:3128")
    code = "import os; print(sorted(os.environ), os.path.exists('/var/run/docker.sock'))"
    said = python(engine, loaded, code, environment={"GIVEN": "1"}).stdout.decode()
    assert "'GIVEN'" in said
    assert "SECRET" not in said
    assert "PROXY" not in said.upper()
    assert said.strip().endswith("False")


@pytest.mark.engine
def test_memory_and_processes_are_limited(engine, loaded):
    outcome = python(engine, loaded, "x = bytearray(1 << 30)", memory=64 << 20)
    assert outcome.out_of_memory
    assert outcome.exit_code == 137
    code = """
import os, time
made = 0
try:
    while True:
        if os.fork() == 0:
            time.sleep(60)
        made += 1
except BlockingIOError:
    print(made)
"""
    outcome = python(engine, loaded, code, processes=20)
    assert 0 < int(outcome.stdout) < 20


@pytest.mark.engine
def test_a_command_reads_its_input_and_its_outputs_are_kept_apart(engine, loaded):
    code = "import sys; data = sys.stdin.buffer.read(); print(len(data)); print('note', file=sys.stderr); sys.exit(3)"
    outcome = engine.run(hardened(loaded, ["python3", "-c", code]), stdin=b"x" * 300_000, timeout=30)
    assert (outcome.exit_code, outcome.stdout, outcome.stderr) == (3, b"300000\n", b"note\n")


@pytest.mark.engine
@pytest.mark.parametrize(
    ("command", "limits", "cut"),
    [
        (["sleep", "60"], {"timeout": 1}, "timed_out"),
        (["yes"], {"timeout": 30, "limit": 100_000}, "overflowed"),
    ],
)
def test_what_runs_too_long_or_says_too_much_is_cut_off(engine, loaded, command, limits, cut):
    started = time.monotonic()
    outcome = engine.run(hardened(loaded, command), **limits)
    assert outcome.exit_code is None
    assert getattr(outcome, cut)
    assert time.monotonic() - started < 15
    assert engine.remove_stale(NAME, ()) == []


@pytest.mark.engine
def test_large_output_goes_to_a_sink(engine, loaded):
    sink = io.BytesIO()
    outcome = engine.run(
        hardened(loaded, ["head", "-c", "5000000", "/dev/zero"]), timeout=30, limit=6_000_000, sink=sink
    )
    assert (outcome.exit_code, outcome.stdout, len(sink.getvalue())) == (0, b"", 5_000_000)


@pytest.mark.engine
def test_a_running_container_answers_on_loopback_and_takes_commands(engine, loaded):
    serve = hardened(loaded, ["python3", "-I", "-m", "http.server", "8080", "-d", "/opt/countersign"], ports=[8080])
    with engine.start(serve) as container:
        port = container.ports()[8080]
        deadline = time.monotonic() + 20
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/input", timeout=5) as answer:
                    assert answer.read() == b"x"
                break
            except OSError:
                assert time.monotonic() < deadline, container.logs()
                time.sleep(0.1)
        assert container.state().running
        outcome = container.exec(["sh", "-c", "cat; echo $0; exit 4"], stdin=b"sent ", timeout=10)
        assert (outcome.exit_code, outcome.stdout) == (4, b"sent sh\n")
        assert container.exec(["sleep", "60"], timeout=0.5).timed_out
        assert "GET /input" in container.logs()
        container.stop(grace=5)
        assert not container.state().running
    container.remove()  # gone already


@pytest.mark.engine
def test_a_starting_worker_removes_only_what_no_live_job_uses(engine, loaded):
    for suffix in ("job1-1", "job1-1-smoke", "job1-2"):
        engine.start(Hardened(loaded, f"{NAME}-{suffix}", ["sleep", "60"]))
    assert engine.remove_stale(NAME, {f"{NAME}-job1-1"}) == [f"{NAME}-job1-2"]
    assert engine.remove_stale(NAME, ()) == [f"{NAME}-job1-1", f"{NAME}-job1-1-smoke"]
    assert engine.remove_stale(NAME, ()) == []


@pytest.mark.engine
def test_an_image_borrowed_for_a_run_goes_with_it_or_with_the_next_worker(engine, base, base_store):
    made = scratch(base, base_store, os.urandom(16))
    with engine.borrowed(made, base_store, f"{NAME}-a-1") as image_id:
        with engine.borrowed(made, base_store, f"{NAME}-b-1") as again:
            assert again == image_id
        assert engine.find(made)  # the other run's name is not the last
        assert engine.remove_stale(NAME, {f"{NAME}-a-1"}) == []
    assert engine.find(made) is None
    engine.tag(engine.load(made, base_store), f"countersign-run:{NAME}-killed-1")
    assert engine.remove_stale(NAME, ()) == [f"{NAME}-killed-1"]
    assert engine.find(made) is None


@pytest.mark.engine
def test_a_command_that_does_not_exist_fails_and_is_named(engine, loaded):
    outcome = engine.run(hardened(loaded, ["/no/such/program"]), timeout=10)
    assert outcome.exit_code == 127
    assert b"/no/such/program" in outcome.stderr


@pytest.mark.engine
def test_a_container_that_cannot_start_is_an_error_of_ours_and_leaves_nothing(engine, loaded):
    with pytest.raises(EngineError, match="nobody-there") as caught:
        engine.start(hardened(loaded, ["true"], user="nobody-there"))
    assert caught.value.hint
    with pytest.raises(EngineError):
        engine.run(hardened(loaded, ["true"], user="nobody-there"), timeout=10)
    assert engine.remove_stale(NAME, ()) == []


@pytest.mark.engine
def test_an_image_that_is_not_there_is_an_error_of_ours(engine):
    with pytest.raises(ImageNotFound):
        engine.run(hardened(f"sha256:{'0' * 64}", ["true"]), timeout=10)


@pytest.mark.engine
def test_a_release_is_loaded_as_predicted_and_runs_hardened(engine, base, base_store, wheelhouse):
    """The whole way: wheels, compiled layer, plan, load, run."""
    compiler = runtimes.ContainerCompiler(engine, base, base_store, f"{NAME}-compile")
    lock = wheelhouse.lock(base.target)

    def site(role, path):
        layer = runtimes.site_layer(
            lock, path, base=base, store=base_store, open_blob=wheelhouse.open, compiler=compiler
        )
        return Part(role, path, layer, lock.digest)

    start = base_store.add([tarball.file("opt/countersign/app/start.py", b"import small")])
    planned = plan.plan(
        bundle="payments/voice",
        base=base,
        runtime=site("runtime", "opt/countersign/runtime"),
        environments=[site("environment", "opt/countersign/envs/0a1b2c3d4e5f")],
        app=Part("app", plan.APP_PATH, start, digest.of_bytes(b"app")),
        models=[],
        manifest=Part("manifest", plan.MANIFEST_PATH, start, digest.of_bytes(b"manifest")),
        releases=[],
    )
    image_id = engine.load(planned.image, base_store)
    try:
        assert image_id in (planned.image_id, planned.image_digest)
        code = "import sys; sys.path.insert(0, '/opt/countersign/envs/0a1b2c3d4e5f'); import small; print(small.__cached__, small.where())"
        cached, where = python(engine, image_id, code).stdout.decode().split()
        assert cached.startswith("/opt/countersign/envs/0a1b2c3d4e5f/small/__pycache__/__init__.cpython-3")
        assert where == "/opt/countersign/envs/0a1b2c3d4e5f/small/__init__.py"
        assert engine.inspect(image_id)["Config"]["Labels"]["countersign.base"] == base.digest
    finally:
        engine.remove_image(image_id)
