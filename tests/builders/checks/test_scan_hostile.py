"""No hostile file passes the scan, and scanning one runs nothing of it."""

import io
import json
import os
import random
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import docker
import numpy as np
import pytest

from builders import plan
from builders.checks import names, scan
from builders.checks.examine import examine
from builders.checks.limits import Limits
from tests.builders.checks.conftest import SMALL
from tests.builders.checks.hostile_files import Hostile, corpus, dumped, mkdir, model, whole

CORPUS = corpus()

LOADER = """
import json, os, pickle, sys, warnings
sys.path.insert(0, "/site")
import joblib, numpy, sklearn.linear_model
warnings.simplefilter("ignore")
os.mkdir("/tmp/marks")
for name, declared in json.load(open("/corpus/list.json")):
    child = os.fork()
    if not child:
        try:
            with open("/corpus/" + name, "rb") as file:
                pickle.load(file) if declared == "pickle" else joblib.load(file)
        except BaseException:
            pass
        os._exit(0)
    os.waitpid(child, 0)
print(json.dumps(sorted(os.listdir("/tmp/marks"))))
"""


PROGRAMS = [hostile for hostile in CORPUS if hostile.format not in ("skops", "onnx", "lightgbm", "xgboost")]
DATA = [hostile for hostile in CORPUS if hostile not in PROGRAMS]


@pytest.mark.parametrize("hostile", DATA, ids=lambda hostile: hostile.name)
def test_data_is_refused(hostile: Hostile):
    """Here, not in a child: there is nothing in it that could run."""
    found = examine(io.BytesIO(hostile.build("")), hostile.format, SMALL, names.load()).findings
    assert found
    assert {finding.code for finding in found} <= hostile.codes
    assert all(finding.message and finding.hint for finding in found)


@pytest.mark.parametrize("hostile", PROGRAMS, ids=lambda hostile: f"{hostile.format}-{hostile.name}")
def test_refused_and_nothing_ran(hostile: Hostile, tmp_path):
    marker = tmp_path / "marker"
    path = tmp_path / "model"
    path.write_bytes(hostile.build(str(marker)))
    report = scan.scan(path, hostile.format, SMALL)
    found = {finding["code"] for finding in report["findings"]}
    assert report["outcome"] == "failed"
    assert found, "a refusal names its reason"
    assert found <= hostile.codes
    assert all(finding["message"] and finding["hint"] for finding in report["findings"])
    assert not marker.exists()


def test_every_file_fires_or_says_why_it_does_not():
    assert len(CORPUS) >= 400
    assert [hostile.name for hostile in CORPUS if hostile.fires == bool(hostile.inert)] == []


@pytest.mark.engine
def test_what_fires_does(engine, base, base_store, tmp_path_factory):
    """Each in a process of its own in one container: no network, nothing to write to but a little memory, no rights."""
    wanted = [hostile for hostile in CORPUS if hostile.fires]
    folder = tmp_path_factory.mktemp("corpus")
    for hostile in wanted:
        (folder / hostile.name).write_bytes(hostile.build(f"/tmp/marks/{hostile.name}"))
    (folder / "list.json").write_text(json.dumps([(hostile.name, hostile.format) for hostile in wanted]))
    image = engine.load(plan.scratch(base, []), base_store)
    site = Path(np.__file__).parents[1]
    # As root without any right: only so can it read a folder of pytest's, which is its owner's alone.
    said = docker.from_env().containers.run(
        image, ["python3", "-I", "-c", LOADER], remove=True, network_mode="none", read_only=True, cap_drop=["ALL"],
        security_opt=["no-new-privileges"], user=f"{os.getuid()}:{os.getgid()}", tmpfs={"/tmp": "size=64m"},
        mem_limit="1g", pids_limit=128, environment={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        volumes={str(site): {"bind": "/site", "mode": "ro"}, str(folder): {"bind": "/corpus", "mode": "ro"}},
    )  # fmt: skip
    fired = json.loads(said.splitlines()[-1])
    assert sorted(hostile.name for hostile in wanted) == fired
    assert len(fired) >= 70


def test_every_name_at_fault_is_told_at_once(tmp_path):
    path = tmp_path / "model.pkl"
    path.write_bytes(whole(mkdir("x"), b"0", mkdir("y"), b"0", b"cbuiltins\neval\n0c__main__\nCleaner\n"))
    report = scan.scan(path, "pickle", SMALL)
    assert [finding["code"] for finding in report["findings"]] == ["unknown-name", "unknown-name", "main-name"]
    assert "mkdir of the module os" in report["findings"][0]["message"]
    assert "2 more findings" in report["summary"]


def test_a_name_cannot_write_to_a_terminal_or_a_page(tmp_path):
    path = tmp_path / "model.pkl"
    path.write_bytes(next(hostile for hostile in CORPUS if hostile.name == "control-characters").build(""))
    said = json.dumps(scan.scan(path, "pickle", SMALL), ensure_ascii=False)
    assert said.isprintable()
    assert "o\\\\x1b[2Js:mk\\\\u202edir" in said


@pytest.mark.parametrize("declared", ["pickle", "joblib"])
def test_damaged_files_are_judged_without_an_exception(declared):
    """Bytes changed at random: refused with a reason, or harmless; never a crash of the scan itself."""
    clean = dumped(model())
    evil = whole(mkdir("x"))[:-1] + b"0" + clean[2:]
    generator = random.Random(20261123)
    refused = 0
    for _ in range(400):
        data = bytearray(evil if generator.random() < 0.3 else clean)
        for _ in range(generator.randint(1, 6)):
            place = generator.randrange(len(data))
            data[place : place + generator.randint(0, 3)] = generator.randbytes(generator.randint(0, 4))
        found = examine(io.BytesIO(data), declared, Limits(opcodes=100_000), names.load())
        refused += bool(found.findings)
        assert found.findings or all(names.load().knows(label) for label in found.globals)
    assert refused > 300


def test_the_child_can_do_nothing_else(tmp_path):
    """Once confined, an import, a file, a process or a connection ends the scan, whatever made it happen."""
    start = "import sys; sys.path.append(sys.argv[1]); from builders.checks.scan_child import confine; "
    start += "import json, os, socket, subprocess; from builders.checks.limits import Limits; "
    start += "confine(Limits(**json.loads(sys.argv[2]))); "
    for attempt in (
        "import antigravity",
        "open('/etc/passwd')",
        f"os.mkdir({str(tmp_path / 'marker')!r})",
        "os.system('true')",
        "subprocess.run(['true'])",
        "os.fork()",
        "socket.create_connection(('127.0.0.1', 9))",
        "eval('1')",
    ):
        root = Path(scan.__file__).parents[2]
        argv = [sys.executable, "-I", "-S", "-B", "-c", start + attempt, str(root), json.dumps(asdict(SMALL))]
        ended = subprocess.run(argv, capture_output=True, timeout=30, check=False)
        assert ended.returncode != 0, attempt
        assert b"Escape: the scan caused" in ended.stderr, attempt
    assert not (tmp_path / "marker").exists()
