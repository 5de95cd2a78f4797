"""The step own-code: wheels judged in a process with limits, and names that hang on the wheel's digest."""

import io
import json
import pickle
import random
import struct
import sys
import types
import zipfile
from dataclasses import replace

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from builders import resolver
from builders.checks import introspect, lock, own_code, sample, scan, wheel_child
from builders.checks.report import Refused
from builders.resolver import Index
from formats import canonical, digest
from formats import own_code as formats_own_code
from formats.lock import Target, Wheel
from formats.own_code import Declared, declaration
from serving import own_code as at_load
from serving.model_error import RunnerError
from tests import own_wheels
from tests.builders.wheelhouse import make_wheel

pytestmark = pytest.mark.long

LINUX = Target("linux", "x86_64", "glibc-2.36", "3.11")
X = np.arange(40.0).reshape(20, 2)
TWO = ["low", "high"] * 10


@pytest.fixture
def brought(tmp_path):
    """Judge wheels as if a version had brought them: file name to bytes."""

    def check(wheels, declared=None, index=None):
        kept = {}
        for data in [*wheels.values(), *(index or {}).values()]:
            (tmp_path / digest.of_bytes(data).removeprefix("sha256:")).write_bytes(data)
        if declared is None:
            declared = [Declared("riskfeatures", "1.0", digest.of_bytes(data)) for data in wheels.values()]

        def find(wanted):
            for filename, data in (index or {}).items():
                if digest.of_bytes(data) == wanted.sha256:
                    return Wheel(wanted.name, wanted.version, filename, wanted.sha256, len(data))
            raise resolver.Unresolvable([own_code.Refused("wheel-gone", "It is gone.", "Push it.").finding])

        sources = own_code.Sources(
            pushed={name: digest.of_bytes(data) for name, data in wheels.items()},
            find=find,
            place=lambda of: tmp_path / of.removeprefix("sha256:"),
            keep=lambda data: kept.__setitem__(digest.of_bytes(data), data),
        )
        report = own_code.check(canonical.dumps(declaration(declared)), sources)
        return report, kept

    return check


@pytest.fixture
def code(monkeypatch):
    """The module of the wheel, as the training had it installed."""
    module = types.ModuleType("riskfeatures.encoders")
    exec(own_wheels.MODULE, module.__dict__)
    monkeypatch.setitem(sys.modules, "riskfeatures", types.ModuleType("riskfeatures"))
    monkeypatch.setitem(sys.modules, "riskfeatures.encoders", module)
    return module


@pytest.fixture
def model(code, tmp_path):
    steps = [("scale", StandardScaler()), ("double", code.Doubler()), ("half", FunctionTransformer(code.halve))]
    path = tmp_path / "model.joblib"
    joblib.dump(Pipeline([*steps, ("classify", LogisticRegression())]).fit(X, TWO), path)
    return path


def codes(report):
    return [finding["code"] for finding in report["findings"]]


def test_a_good_wheel_is_told_of_and_its_files_are_kept(brought):
    data = own_wheels.good()
    report, kept = brought({own_wheels.NAME: data})
    assert report["outcome"] == "passed"
    assert report["summary"] == "It brings code of its own: riskfeatures 1.0 (2 files, 17 lines)."
    (wheel,) = report["facts"]["wheels"]
    assert (wheel["sha256"], wheel["size"], wheel["source"]) == (digest.of_bytes(data), len(data), "push")
    assert {file["sha256"] for file in wheel["files"]} == kept.keys()
    assert kept[digest.of_bytes(own_wheels.MODULE.encode())].decode() == own_wheels.MODULE
    assert [notice["code"] for notice in report["facts"]["notices"]] == ["own-code"]
    canonical.dumps(report)


def test_a_wheel_of_the_index_is_the_same_but_for_where_it_came_from(brought):
    data = own_wheels.good()
    pushed, _ = brought({own_wheels.NAME: data})
    declared = [Declared("riskfeatures", "1.0", digest.of_bytes(data))]
    found, _ = brought({}, declared, index={own_wheels.NAME: data})
    (wheel,) = found["facts"]["wheels"]
    assert wheel == {**pushed["facts"]["wheels"][0], "source": "index"}


def test_the_index_is_asked_for_the_declared_digest(index):
    index.files[own_wheels.NAME] = own_wheels.good()
    at, of = Index(index.url, attempts=1), index.digest(own_wheels.NAME)
    found = resolver.locate("riskfeatures", "1.0", of, LINUX, index=at)
    assert found == Wheel("riskfeatures", "1.0", own_wheels.NAME, of, len(own_wheels.good()))
    with pytest.raises(resolver.Unresolvable) as caught:
        resolver.locate("riskfeatures", "1.0", digest.of_bytes(b"other"), LINUX, index=at)
    assert [finding.code for finding in caught.value.findings] == ["wheel-gone"]


@pytest.mark.parametrize("label", ["shadows-numpy", "native", "pth", "record-lacks", "nested-without-end"])
def test_hostile_wheels_are_refused_in_the_child_too(brought, label):
    data, code = own_wheels.HOSTILE[label]
    report, kept = brought({own_wheels.NAME: data})
    assert (report["outcome"], codes(report), kept) == ("failed", [code], {})


def bomb():
    """A member that unpacks to far more than is allowed, and says so."""
    return own_wheels.more("riskfeatures/bomb.py", b"#" * (64 << 20))


def lying_bomb():
    """The same, whose directory says that it is small."""
    data = bytearray(own_wheels.more("riskfeatures/bomb.py", b"#" * (64 << 20)))
    return bytes(data).replace(struct.pack("<L", 64 << 20), struct.pack("<L", 100))


def twice():
    sink = io.BytesIO(own_wheels.good())
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(sink, "a") as archive:
        archive.writestr("riskfeatures/encoders.py", "import os\n")
    return sink.getvalue()


def link():
    sink = io.BytesIO(own_wheels.good())
    with zipfile.ZipFile(sink, "a") as archive:
        member = zipfile.ZipInfo("riskfeatures/link.py")
        member.external_attr = 0o120777 << 16
        archive.writestr(member, "/etc/passwd")
    return sink.getvalue()


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (bomb, "bomb"),
        (lying_bomb, "unsafe-construct"),
        (twice, "unsafe-construct"),
        (link, "unsafe-construct"),
        (lambda: b"#!/bin/sh\n" + own_wheels.good(), "unsafe-construct"),
        (lambda: own_wheels.good() + b"trailing", "trailing-bytes"),
        (lambda: own_wheels.good()[:-100], "trailing-bytes"),
        (lambda: b"no archive at all, but long enough to hold an end", "trailing-bytes"),
    ],
)  # fmt: skip
def test_archives_that_readers_disagree_about(brought, make, code):
    report, kept = brought({own_wheels.NAME: make()})
    assert (report["outcome"], codes(report), kept) == ("failed", [code], {})


@pytest.mark.parametrize(
    ("declared", "wheels"),
    [
        ([Declared("riskfeatures", "1.0", digest.of_bytes(b"other"))], {own_wheels.NAME: own_wheels.good()}),
        ([Declared("other", "1.0", digest.of_bytes(own_wheels.good()))], {own_wheels.NAME: own_wheels.good()}),
        ([Declared("riskfeatures", "1.1", digest.of_bytes(own_wheels.good()))], {own_wheels.NAME: own_wheels.good()}),
    ],
)
def test_what_is_declared_must_be_what_came(brought, declared, wheels):
    report, _ = brought(wheels, declared)
    assert codes(report) == ["own-code-undeclared"]


def test_two_wheels_may_not_hold_one_package(brought):
    other = make_wheel("otherfeatures", "1.0", own_wheels.FILES)
    wheels = {own_wheels.NAME: own_wheels.good(), "otherfeatures-1.0-py3-none-any.whl": other}
    declared = [
        Declared("otherfeatures", "1.0", digest.of_bytes(other)),
        Declared("riskfeatures", "1.0", digest.of_bytes(own_wheels.good())),
    ]
    report, _ = brought(wheels, declared)
    assert codes(report) == ["wheel-shadows"]


@pytest.mark.parametrize("seed", range(8))
def test_a_wheel_with_flipped_bytes_is_refused_or_the_same(tmp_path, seed):
    """As the child reads it, without its limits: no other way out than a refusal."""
    good, chance = own_wheels.good(), random.Random(seed)
    expected = own_wheels.members(good)
    for _ in range(40):
        data = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        path = tmp_path / "mutated.whl"
        path.write_bytes(data)
        with io.FileIO(path) as file:
            try:
                found = wheel_child.members(file, own_code.LIMITS)
                formats_own_code.judge(own_wheels.NAME, found)
            except (Refused, formats_own_code.BadWheel):
                continue
        assert found == expected


# ------------------------------------------------------------------------------------------------- names by digest


def test_names_are_allowed_for_this_wheel_only(brought, model):
    report, _ = brought({own_wheels.NAME: own_wheels.good()})
    passed = scan.scan(model, "joblib", own=own_code.allow_lists(report))
    assert passed["outcome"] == "passed"
    mine = ["riskfeatures.encoders:Doubler", "riskfeatures.encoders:halve"]
    assert passed["facts"]["own_code"] == {digest.of_bytes(own_wheels.good()): mine}
    assert set(mine) < set(passed["facts"]["globals"])

    (alone,) = scan.scan(model, "joblib")["findings"][:1]
    assert "Doubler of the module riskfeatures.encoders" in alone["message"]
    assert "Pipeline > steps[1] 'double'" in alone["message"]
    assert "countersign wheel init" in alone["hint"]
    assert "--wheel" in alone["hint"]

    other = own_wheels.good({"riskfeatures/__init__.py": "class Other: pass\n"})
    report, _ = brought({own_wheels.NAME: other})
    refused = scan.scan(model, "joblib", own=own_code.allow_lists(report))["findings"]
    assert [finding["code"] for finding in refused] == ["unknown-name", "unknown-name"]
    assert "which the wheel that it brings does not define" in refused[0]["message"]


@pytest.mark.parametrize("name", ["os", "system", "np", "Doubler.fit", "encoders"])
def test_what_a_wheel_imports_is_not_its_own(brought, tmp_path, name):
    """A pickle that reaches through a module of the wheel for what stands in its namespace."""
    files = {"riskfeatures/__init__.py": "import os\nfrom os import system\n", **own_wheels.FILES}
    files["riskfeatures/__init__.py"] = "import os\nfrom os import system\nfrom riskfeatures import encoders\n"
    report, _ = brought({own_wheels.NAME: own_wheels.good(files)})
    path = tmp_path / "model.pickle"
    module = "riskfeatures.encoders" if name in ("np", "Doubler.fit") else "riskfeatures"
    path.write_bytes(b"\x80\x04\x8c%c%b\x8c%c%b\x93." % (len(module), module.encode(), len(name), name.encode()))
    found = scan.scan(path, "pickle", own=own_code.allow_lists(report))
    assert codes(found) == ["unknown-name"]


def test_functions_are_named_and_never_called_while_loading(brought, code, tmp_path):
    class Calls:
        def __reduce__(self):
            return code.halve, (2,)

    report, _ = brought({own_wheels.NAME: own_wheels.good()})
    path = tmp_path / "model.pickle"
    path.write_bytes(pickle.dumps(Calls()))
    found = scan.scan(path, "pickle", own=own_code.allow_lists(report))
    assert codes(found) == ["unsafe-construct"]


# ---------------------------------------------------------------------------------------------------------- the lock


def scanned():
    labels = ["numpy:ndarray", "riskfeatures.encoders:Doubler", "sklearn.linear_model._logistic:LogisticRegression"]
    return {"outcome": "passed", "facts": {"format": "joblib", "globals": labels, "columns": False}}


TRAINED = {
    "scikit-learn": "1.9.1",
    "numpy": "2.4.6",
    "joblib": "1.6.0",
    "threadpoolctl": "3.7.0",
    "riskfeatures": "1.0",
}
OWN = {
    "name": "riskfeatures",
    "version": "1.0",
    "filename": own_wheels.NAME,
    "sha256": "sha256:" + "7" * 64,
    "size": 1000,
    "requires": ["scikit-learn>=1.5", 'pandas; extra == "dev"'],
    "requires_python": ">=3.11",
    "packages": ["riskfeatures"],
}


def locked(index, own=OWN, **options):
    options = {"environment": TRAINED, **options}
    return lock.lock(scanned(), target=LINUX, index=Index(index.url, attempts=1), own=[own], **options)


@pytest.mark.parametrize(
    "options", [{}, {"requirements_txt": "scikit-learn==1.9.1\nnumpy==2.4.6\nriskfeatures==1.0\n"}]
)
def test_the_wheel_is_in_the_lock_by_its_digest(index, options):
    found = locked(index, **options)
    assert found.report["outcome"] == "passed", found.report
    wheels = {wheel.name: wheel for wheel in found.lock.wheels}
    assert wheels["riskfeatures"].sha256 == OWN["sha256"]
    assert wheels["scikit-learn"].version == "1.9.1"
    assert "pandas" not in wheels


def test_what_a_wheel_needs_is_locked_too(index):
    found = locked(index, {**OWN, "requires": ["pandas>=3"]})
    assert {"pandas", "riskfeatures"} < {wheel.name for wheel in found.lock.wheels}


@pytest.mark.parametrize(
    ("change", "options", "code"),
    [
        ({"requires_python": ">=3.12"}, {}, "own-code-python"),
        ({"requires": ["x @ https://example.org/x.whl"]}, {}, "wheel-malformed"),
        ({"requires": ["not a requirement"]}, {}, "wheel-malformed"),
        ({"requires": ["scikit-learn<1"]}, {}, "conflict"),
        ({}, {"requirements_txt": "scikit-learn==1.9.1\nnumpy==2.4.6\nriskfeatures==0.9\n"}, "bad-requirement"),
        ({"name": "threadpoolctl"}, {"environment": TRAINED}, "wheel-shadows"),
    ],
)
def test_wheels_that_cannot_be_locked(index, change, options, code):
    found = locked(index, {**OWN, **change}, **options)
    assert found.lock is None
    assert codes(found.report)[0] == code


def test_a_library_of_the_lock_is_not_shadowed():
    with pytest.raises(Refused, match=r"holds riskfeatures, as numpy\.whl does"):
        own_code.check_names([OWN], {"numpy.whl": ["numpy", "RiskFeatures"]})


# ---------------------------------------------------------------------------------------------------------- at load


def listed(report):
    return json.loads(introspect.allow_document(["a:b"], own_code.at_load(own_code.wheels(report))))["own_code"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda site: None, None),
        (lambda site: (site / "riskfeatures/encoders.py").write_text("evil"), "the wheel sha256:"),
        (lambda site: (site / "riskfeatures/__init__.py").unlink(), "is nothing"),
        (lambda site: (site / "riskfeatures/more.py").write_text("evil"), "is no file of the wheel"),
        (lambda site: (site / "riskfeatures.py").write_text("evil"), "is no file of the wheel"),
    ],
)
def test_the_runner_holds_the_libraries_against_the_wheel(brought, tmp_path, change, said):
    report, _ = brought({own_wheels.NAME: own_wheels.good()})
    site = tmp_path / "site"
    for path, text in own_wheels.FILES.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(text)
    (site / "riskfeatures/__pycache__").mkdir()
    (site / "riskfeatures/__pycache__/encoders.cpython-311.pyc").write_bytes(b"compiled by the base")
    change(site)
    if said is None:
        at_load.check(site, listed(report))
    else:
        with pytest.raises(RunnerError, match=said):
            at_load.check(site, listed(report))


def test_the_sandbox_refuses_other_code_than_the_wheels(brought, model, process_sandbox, libraries):
    """The test run's own libraries have no such package: the model's names are on its list, and it is not loaded."""
    report, _ = brought({own_wheels.NAME: own_wheels.good()})
    passed = scan.scan(model, "joblib", own=own_code.allow_lists(report))
    asked = introspect.Model(model, "joblib", passed["facts"]["globals"])
    program = scan.Path(at_load.__file__).parent
    rows = sample.read(b'{"a": 1, "b": 2}\n')
    for own, code in (((), "load-failed"), (own_code.at_load(own_code.wheels(report)), "load-refused")):
        found = introspect.introspect(
            replace(asked, own_code=own), rows, program=program, sandbox=process_sandbox, libraries=libraries
        )
        assert codes(found.report) == [code]
