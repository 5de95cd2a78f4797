"""What a model may try from inside, in the sandbox and in a serving container as both are really run: nothing gets out."""

import json
import os
import socket
import threading
import time
from dataclasses import replace

import pytest

from builders import plan, smoke, tarball
from builders.sandbox import Caps, ContainerSandbox, Libraries
from formats import digest
from tests.builders.conftest import missing

pytestmark = pytest.mark.engine
SITE = "opt/countersign/envs/0123456789ab"
CAPS = Caps(seconds=60, memory=256 << 20, output=1 << 20)
SECRET = "a secret of the worker"

# Each attempt is told apart: "done" is an escape, anything else says what stopped it.
ATTEMPTS = r"""
import ctypes, errno, json, os, resource, socket, stat, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
def tried(what):
    try:
        return "done" if what() is not False else "refused"
    except BaseException as error:
        return type(error).__name__
def written(path):
    with open(path, "w") as file:
        file.write("x")
def call(name, *arguments):
    return getattr(libc, name)(*arguments) == 0
def executed():
    with open("/tmp/run", "w") as file:
        file.write("#!/bin/sh\nexit 0\n")
    os.chmod("/tmp/run", 0o755)
    return subprocess.run(["/tmp/run"]).returncode == 0
def filled():
    with open("/tmp/big", "wb") as file:
        for _ in range(64):
            file.write(bytes(1 << 20))
def connected(address, family=socket.AF_INET):
    with socket.socket(family) as way:
        way.settimeout(3)
        way.connect(address)
def sockets():
    found = []
    for root, folders, files in os.walk("/", followlinks=False):
        folders[:] = [name for name in folders if os.path.join(root, name) not in ("/proc", "/sys")]
        for name in files:
            try:
                if stat.S_ISSOCK(os.lstat(os.path.join(root, name)).st_mode):
                    found.append(os.path.join(root, name))
            except OSError:
                pass
    return found
def environments():
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                found.append(file.read().decode(errors="replace"))
        except OSError:
            pass
    return "".join(found)
status = dict(line.split(":\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\t" in line)
host = sys.argv[1]
print(json.dumps({
    "write": {path: tried(lambda: written(path)) for path in (
        "/x", "/etc/passwd", "/usr/lib/x.py", "/opt/countersign/x", "/srv/x", "/var/tmp/x", "/run/x",
        "/proc/sys/kernel/hostname", "/proc/sysrq-trigger", "/sys/kernel/x", "/dev/x")},
    "read": {path: tried(lambda: open(path, "rb").read(1)) for path in (
        "/dev/mem", "/dev/kmsg", "/dev/sda", "/dev/vda", "/proc/kcore", "/etc/shadow", "/var/run/docker.sock",
        "/run/docker.sock", "/run/containerd/containerd.sock", "/run/secrets/kubernetes.io/serviceaccount/token")},
    "tmp": {"execute": tried(executed), "fill": tried(filled)},
    "network": {"outside": tried(lambda: connected(("192.0.2.1", 443))),
                "the worker": tried(lambda: connected((host, int(sys.argv[2])))),
                "metadata": tried(lambda: connected(("169.254.169.254", 80))),
                "name": tried(lambda: socket.getaddrinfo("example.com", 443)),
                "raw": tried(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)),
                "packet": tried(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))},
    "interfaces": [name for _, name in socket.if_nameindex()],
    "privileges": {"become root": tried(lambda: os.setuid(0)),
                   "user namespace": tried(lambda: call("unshare", 0x10000000)),
                   "mount": tried(lambda: call("mount", b"none", b"/tmp", b"tmpfs", 0, None)),
                   "chroot": tried(lambda: os.chroot("/tmp")),
                   "device": tried(lambda: os.mknod("/tmp/d", 0o600 | stat.S_IFBLK, os.makedev(8, 0))),
                   },
    "sockets": sockets(),
    "secrets": [name for name in ("SECRET", "TOKEN", "PASSWORD", "DOCKER_HOST", "DATABASE") if name in environments()],
    "status": {name: status[name].strip() for name in ("CapEff", "CapPrm", "CapBnd", "NoNewPrivs", "Seccomp")},
    "user": os.getuid(),
}))
"""
FORKS = r"""
import os, time
made = 0
try:
    while made < 2000:
        if os.fork() == 0:
            time.sleep(20)
            os._exit(0)
        made += 1
except BlockingIOError:
    pass
print(made)
"""
HOG = "held = []\nwhile True: held.append(bytearray(10 << 20))\n"


@pytest.fixture(scope="module")
def listener():
    """Something of the worker's machine that a model could reach, and must not."""
    heard = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def take() -> None:
            while True:
                try:
                    heard.append(server.accept()[1])
                except OSError:
                    return

        threading.Thread(target=take, daemon=True).start()
        yield server.getsockname(), heard


def in_sandbox(engine, base, store, programs, arguments):
    """Run programs in the sandbox, one after another."""
    library = store.add([tarball.file(f"{SITE}/nothing.py", b"")])
    sandbox = ContainerSandbox(engine, base, store, f"test-escape-{os.getpid()}")
    for program in programs:
        ended = sandbox.run(["-I", "-c", program, *arguments], files={}, libraries=Libraries(library, SITE), caps=CAPS)
        yield ended.exit_code, ended.stdout, ended.stderr, ended.out_of_memory
    for name in json.loads((store.root / "libraries-on-engine.json").read_text()):
        engine.remove_image(name)


def in_serving(engine, base, store, programs, arguments):
    """Run programs inside a container that runs as a serving container does, each in a fresh one."""
    layer = store.add([tarball.file("opt/countersign/serves", b"")])
    with engine.borrowed(plan.scratch(base, [layer]), store, f"test-escape-{os.getpid()}") as image_id:
        wanted = smoke.hardened(image_id, f"test-escape-{os.getpid()}", digest.of_bytes(b"key"))
        for program in programs:
            command = ["python3", "-I", "-c", program, *arguments]
            ended = engine.run(replace(wanted, command=command, memory=CAPS.memory), timeout=60)
            yield ended.exit_code, ended.stdout, ended.stderr, ended.out_of_memory


@pytest.fixture(scope="module", params=[in_sandbox, in_serving], ids=["sandbox", "serving"])
def ended(request, engine, base, base_store, listener):
    """What came of the attempts, of a fork bomb and of a memory hog."""
    patch = pytest.MonkeyPatch()
    for name in ("COUNTERSIGN_SECRET_KEY", "COUNTERSIGN_REGISTRY_PASSWORD", "API_TOKEN"):
        patch.setenv(name, SECRET)
    (host, port), _ = listener
    found = list(request.param(engine, base, base_store, (ATTEMPTS, FORKS, HOG), (host, str(port))))
    patch.undo()
    if not found[0][1]:
        missing(found[0][2].decode())
    return found


@pytest.fixture
def said(ended):
    return json.loads(ended[0][1])


@pytest.mark.parametrize("kind", ["write", "read", "tmp", "network", "privileges"])
def test_no_attempt_gets_out(said, kind):
    escaped = {what for what, outcome in said[kind].items() if outcome == "done"}

    assert escaped == set()


def test_there_is_no_socket_of_an_engine_or_of_anybody_else(said):
    assert said["sockets"] == []


def test_nothing_of_the_workers_environment_is_there(said, ended):
    assert said["secrets"] == []
    assert SECRET.encode() not in b"".join(stdout + stderr for _, stdout, stderr, _ in ended)


def test_it_is_nobody_with_no_rights_on_no_network(said):
    assert said["user"] == 10001
    assert said["interfaces"] == ["lo"]
    assert {said["status"][name] for name in ("CapEff", "CapPrm", "CapBnd")} == {"0" * 16}
    assert said["status"]["NoNewPrivs"] == "1"
    assert said["status"]["Seccomp"] == "2"


def test_the_worker_heard_nothing(ended, listener):
    time.sleep(0.1)
    assert listener[1] == []


def test_a_fork_bomb_ends_at_the_limit(ended):
    code, stdout, stderr, _ = ended[1]
    assert code == 0, stderr
    assert 10 < int(stdout) < 200


def test_a_memory_hog_is_killed_and_nothing_else(ended):
    code, _, _, out_of_memory = ended[2]
    assert out_of_memory or code in (137, -9)
