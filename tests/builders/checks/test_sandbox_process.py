"""The child process: weak isolation, and within it everything is bounded and ends."""

import json
import os
import socket
import sys
import time
from pathlib import Path

import pytest

from builders.checks import process
from builders.sandbox import FILES, SITE, Caps, ProcessSandbox, SandboxResult
from tests.builders.checks.conftest import alive

FAST = Caps(seconds=20, memory=1 << 30, output=1 << 16)
LINUX = sys.platform == "linux"


@pytest.fixture
def run(process_sandbox, libraries):
    def start(program: str, *arguments: str, caps: Caps = FAST, **files: bytes | Path) -> SandboxResult:
        given = {"program.py": program.encode(), **{name.replace("_", "."): content for name, content in files.items()}}
        return process_sandbox.run(
            ["-I", "-B", f"{FILES}/program.py", *arguments], files=given, libraries=libraries, caps=caps
        )

    return start


def test_it_runs_with_its_files_and_libraries(run, tmp_path):
    (tmp_path / "large").write_bytes(b"from disk")
    program = """
import os, sys
site, files = sys.argv[1:]
print(os.path.isdir(site + "/numpy"), open(files + "/a.txt").read(), open(files + "/large.bin").read(), os.getcwd() != "/")
"""
    ended = run(program, SITE, FILES, a_txt=b"given", large_bin=tmp_path / "large")
    assert (ended.exit_code, ended.stdout) == (0, b"True given from disk True\n")
    assert (ended.timed_out, ended.flooded) == (False, False)
    assert not (tmp_path / "scratch").exists()


def test_it_knows_nothing_of_this_process(run, monkeypatch):
    monkeypatch.setenv("COUNTERSIGN_SECRET_KEY", "the secret")
    with socket.socket() as held, Path("/etc/passwd").open() as other:
        os.set_inheritable(held.fileno(), True)  # noqa: FBT003
        program = """
import json, os, sys
print(json.dumps({"env": dict(os.environ), "fds": os.listdir("/dev/fd"), "stdin": sys.stdin.read(), "path": sys.path, "session": os.getsid(0) == os.getpid()}))
"""
        ended = run(program)
        assert other.fileno() > 2
    said = json.loads(ended.stdout)
    assert said["env"].keys() <= {
        "LANG",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "PYTHONHASHSEED",
        "MKL_NUM_THREADS",
        "PATH",
        "HOME",
        "TMPDIR",
        "COUNTERSIGN_SANDBOX",
        "LC_CTYPE",
        "__CF_USER_TEXT_ENCODING",
    }
    assert "the secret" not in ended.stdout.decode()
    assert len(said["fds"]) <= 4
    assert said["stdin"] == ""
    assert said["session"]
    assert not any(".venv" in entry for entry in said["path"])


def test_paths_of_this_machine_do_not_come_out(run, tmp_path):
    ended = run("import os, sys; print(sys.argv[1:], os.getcwd()); print(os.getcwd(), file=sys.stderr)", SITE, FILES)
    assert str(tmp_path) not in ended.stdout.decode() + ended.stderr.decode()
    assert b"files" in ended.stdout


def test_memory(run):
    ended = run("held = bytearray(2 << 30)\nprint(len(held))")
    if LINUX:
        assert (ended.exit_code, ended.stdout) == (1, b"")
        assert b"MemoryError" in ended.stderr
    else:  # macOS does not hold a process to an address space: it lives, and nothing else breaks
        assert ended.stdout == b"2147483648\n"


def test_time_is_wall_time(run):
    begun = time.monotonic()
    ended = run("import time; print('begun', flush=True); time.sleep(60)", caps=Caps(seconds=1, memory=1 << 30))
    assert ended.timed_out
    assert ended.exit_code is None
    assert ended.stdout == b"begun\n"
    assert time.monotonic() - begun < 15


def test_ignoring_signals_does_not_help(run):
    ended = run(
        "import signal, time\nfor n in (1, 2, 15): signal.signal(n, signal.SIG_IGN)\ntime.sleep(60)",
        caps=Caps(seconds=1),
    )
    assert ended.timed_out


def test_output_is_cut_at_its_cap(run):
    ended = run("while True: print('x' * 10000)", caps=Caps(seconds=20, output=100_000))
    assert ended.flooded
    assert ended.exit_code is None
    assert len(ended.stdout) == 100_000


def test_a_flood_of_errors_is_only_cut(run):
    ended = run(
        "import sys\nfor _ in range(2000): print('x' * 1000, file=sys.stderr)\nprint('last words', file=sys.stderr)"
    )
    assert ended.exit_code == 0
    assert len(ended.stderr) <= 4096
    assert ended.stderr.endswith(b"last words\n")


def test_a_file_it_writes_is_bounded(run):
    program = """
import os
with open(os.environ["TMPDIR"] + "/large", "wb") as file:
    try:
        for _ in range(100):
            file.write(bytes(10000)); file.flush()
    except OSError as error:
        print(error.errno)
"""
    ended = run(program, caps=Caps(seconds=20, memory=1 << 30, output=50_000))
    assert ended.stdout == b"27\n"


FORKS = """
import os, sys, time
children = []
for number in range(60):
    child = os.fork()
    if child == 0:
        if number % 2:
            os.setsid()  # out of reach of a signal to the group
        time.sleep(60)
        os._exit(0)
    children.append(child)
print(*children, flush=True)
time.sleep(60 if sys.argv[1] == "stay" else 0)
"""


@pytest.mark.parametrize("how", ["stay", "go"])
def test_what_it_started_ends_with_it(run, how):
    ended = run(FORKS, how, caps=Caps(seconds=3, memory=1 << 30))
    assert ended.timed_out is (how == "stay")
    children = [int(pid) for pid in ended.stdout.split()]
    assert len(children) == 60
    # Those in a session of their own are found by their environment, which only Linux shows.
    reachable = children if LINUX else children[::2]
    assert [pid for pid in reachable if alive(pid)] == []


def test_the_number_of_processes_is_limited(run):
    if os.geteuid() == 0:
        # The limit does not hold for root: then it is at least set.
        ended = run("import resource; print(resource.getrlimit(resource.RLIMIT_NPROC)[0] < 5000)")
        assert ended.stdout == b"True\n"
        return
    program = """
import os, time
count = 0
try:
    for _ in range(5000):
        if os.fork() == 0:
            time.sleep(60)
        count += 1
except OSError:
    print("stopped", flush=True)
"""
    assert run(program).stdout == b"stopped\n"


def test_the_network_is_away_or_said_to_be_open(run):
    """Weak isolation: where the system lets us, there is no network; where it does not, the result says so."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        program = f"""
import socket
try:
    socket.create_connection(("127.0.0.1", {server.getsockname()[1]}), timeout=5)
    print("reached")
except OSError:
    print("nothing there")
"""
        ended = run(program)
    assert (ended.network, ended.stdout) in (("none", b"nothing there\n"), ("open", b"reached\n"))


def test_a_crash_is_a_signal(run):
    assert run("import os; os.abort()").exit_code == -6
    assert run("raise SystemExit(3)").exit_code == 3


def test_an_orphan_ends_by_itself(tmp_path):
    """If the worker is killed nobody stops the program: an alarm set before it began does."""
    from builders.checks import confine

    reader, writer = os.pipe()
    settings = {
        "memory": 1 << 30,
        "file_size": 1000,
        "cpu_seconds": 10,
        "wall_seconds": 20,
        "processes": 10,
        "status_fd": writer,
    }
    show = "import signal; print(signal.getitimer(signal.ITIMER_REAL)[0])"
    argv = [sys.executable, "-I", "-S", "-B", confine.__file__, json.dumps(settings), sys.executable, "-I", "-c", show]
    ended = process.run(argv, timeout=20, output_cap=1000, env={}, pass_fds=(writer,))
    os.close(writer)
    with os.fdopen(reader) as status:
        assert status.read() in ("none", "open")
    assert 20 < float(ended.stdout) <= 30


def test_a_folder_left_by_a_run_that_died_is_replaced(run, tmp_path, process_sandbox):
    (tmp_path / "scratch" / "files").mkdir(parents=True)
    (tmp_path / "scratch" / "files" / "program.py").write_text("print('old')")
    assert run("print('new')").stdout == b"new\n"


def test_isolation_is_named(process_sandbox: ProcessSandbox):
    assert process_sandbox.isolation == "process"
