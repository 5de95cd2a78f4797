"""Compiling and parity as the check runs them: real programs in the sandbox, and what comes of a process that lies."""

import dataclasses
import io
import json
import struct

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from builders.checks import compile as compiling
from builders.checks import introspect, parity, sample, scan
from builders.checks.introspect import Model
from builders.platform import CHECKOUT
from builders.sandbox import Caps, SandboxResult
from formats import manifest
from formats.artifacts import File
from formats.lock import Lock, Target
from registry import schemas

pytestmark = pytest.mark.long

X = np.arange(60.0).reshape(20, 3) % 7
TEXTS = [f"about {'cards' if row % 2 else 'loans'} {row}" for row in range(20)]
PROGRAMS = compiling.programs(CHECKOUT)
TOOLS = Lock(Target("linux", "x86_64", "glibc-2.36", "3.11"), ())
LOCK = "sha256:" + "1" * 64


def rows(*records):
    return sample.read("\n".join(json.dumps(record) for record in records).encode())


@pytest.fixture
def checked(save, process_sandbox, libraries):
    """A model with its sample and signature, as the steps before leave it."""

    def introspected(model, *records):
        path = save(model)
        made = Model(path, "joblib", scan.scan(path, "joblib")["facts"]["globals"])
        given = rows(*records)
        found = introspect.introspect(
            made, given, program=CHECKOUT / "serving", sandbox=process_sandbox, libraries=libraries
        )
        return made, given, found.signature

    return introspected


@pytest.fixture
def compiled(checked, process_sandbox, libraries):
    def run(model, *records, sandbox=process_sandbox, caps=compiling.CAPS):
        with_tools = dataclasses.replace(libraries, tools=libraries)
        return compiling.compile_model(
            *checked(model, *records),
            programs=PROGRAMS,
            sandbox=sandbox,
            libraries=with_tools,
            tools=TOOLS,
            caps=caps,
        )

    return run


@pytest.fixture
def measure(process_sandbox, libraries):
    """The parity report, and what was kept."""

    def run(made, sandbox=process_sandbox):
        kept = []
        found = parity.measure(
            made, programs=PROGRAMS, sandbox=sandbox, runtime=libraries, runtime_lock=LOCK, keep=kept.append
        )
        schemas.check("report", made.report, what="compile")
        schemas.check("report", found, what="parity")
        return found, kept

    return run


LINEAR = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, ["no", "yes"] * 10)
RECORDS = [{"a": 1.5, "b": 2, "c": 3}, {"a": 0.0, "b": 1.25, "c": 5}]


def test_a_model_is_compiled_compared_and_kept(compiled, measure):
    made = compiled(LINEAR, *RECORDS)
    assert made.report["outcome"] == "passed"
    assert made.report["isolation"] == "process"
    assert [candidate.engine for candidate in made.candidates] == ["arrays", "onnx"]
    report, kept = measure(made)
    facts = report["facts"]
    assert facts["runtime"] == LOCK
    assert facts["rows"]["sample"] == 2
    assert facts["rows"]["edge"] > 20
    assert facts["rows"]["refused"] > 0
    assert facts["tolerance"] == 1e-6
    best = facts["candidates"][0]
    count = facts["rows"]["sample"] + facts["rows"]["edge"]
    assert (best["engine"], best["equal"], best["labels"]) == ("arrays", True, {"equal": count, "of": count})
    assert best["largest_difference"] < 1e-12
    assert f"All {count} labels are equal." in report["summary"]
    files = [File.from_dict(file) for file in facts["compiled"]["files"]]
    assert facts["compiled"]["digest"] == manifest.compiled_digest(files)
    assert kept == list(made.candidates[0].files.values())
    form = json.loads(made.candidates[0].files["form.json"])
    schemas.check("form", form, what="the form")


def test_doing_it_again_gives_the_same_bytes(compiled, measure):
    frame = pd.DataFrame({"amount": X[:, 0], "kind": ["a", "b"] * 10})
    model = make_pipeline(
        make_column_transformer((StandardScaler(), ["amount"]), (OneHotEncoder(), ["kind"])), LogisticRegression()
    ).fit(frame, [0, 1] * 10)
    records = [{"kind": "a", "amount": 1.5}, {"kind": "b", "amount": 2}]
    first, second = compiled(model, *records), compiled(model, *records)
    assert first == second
    assert measure(first) == measure(second)


def test_a_text_model_is_compiled(compiled, measure):
    model = make_pipeline(TfidfVectorizer(), SGDClassifier(loss="log_loss", random_state=0)).fit(
        TEXTS, ["loans", "cards"] * 10
    )
    report, _ = measure(compiled(model, {"text": "my cards"}, {"text": "loans"}))
    assert report["facts"]["compiled"]["engine"] == "arrays"
    assert "without its library and without pickle" in report["summary"]


def test_what_has_no_form_is_served_by_its_own_library_and_says_so(compiled, measure):
    made = compiled(KNeighborsClassifier(3).fit(X, ["no", "yes"] * 10), *RECORDS)
    assert made.candidates == ()
    assert made.report["outcome"] == "passed"
    assert made.report["facts"]["reason"]["code"] == "no-form"
    assert "KNeighborsClassifier has no array form" in made.report["summary"]
    report, kept = measure(made)
    assert report["facts"]["compiled"] is None
    assert kept == []
    assert report["summary"].endswith("It is served by its own library, in a process of its own.")


def test_a_form_that_differs_is_not_taken(compiled, measure):
    made = compiled(LINEAR, *RECORDS)
    files = made.candidates[0].files
    sink = io.BytesIO()
    np.save(sink, np.load(io.BytesIO(files["intercept.npy"]), allow_pickle=False) + 0.5)
    wrong = dataclasses.replace(made.candidates[0], files={**files, "intercept.npy": sink.getvalue()})
    report, kept = measure(dataclasses.replace(made, candidates=(wrong,)))
    assert report["facts"]["reason"]["code"] == "not-equal"
    assert report["facts"]["compiled"] is None
    assert "decision_function of row" in report["summary"]
    assert kept == []
    # The next by preference is taken when the first is not equal.
    report, _ = measure(dataclasses.replace(made, candidates=(wrong, made.candidates[1])))
    assert [item["equal"] for item in report["facts"]["candidates"]] == [False, True]
    assert report["facts"]["compiled"]["engine"] == "onnx"


def test_a_form_that_answers_what_the_original_refuses_is_not_taken(compiled, measure):
    made = compiled(LINEAR, *RECORDS)
    files = {name: data for name, data in made.candidates[0].files.items() if name != "limits.npy"}
    open_handed = dataclasses.replace(made.candidates[0], files=files)
    report, _ = measure(dataclasses.replace(made, candidates=(open_handed,)))
    assert report["facts"]["compiled"] is None
    assert "the original refuses is answered" in report["summary"]


def test_a_compilation_that_takes_too_long_is_no_failure(compiled, measure):
    made = compiled(LINEAR, *RECORDS, caps=Caps(seconds=0.2))
    assert made.report["facts"]["reason"]["code"] == "sandbox-timeout"
    assert measure(made)[0]["facts"]["compiled"] is None


@dataclasses.dataclass
class Says:
    """A sandbox whose program prints this."""

    stdout: bytes
    exit_code: int = 0
    stderr: bytes = b""
    isolation: str = "process"

    def run(self, *_, **__):
        return SandboxResult(self.exit_code, self.stdout, self.stderr, "none")


def framed(head, data=b""):
    text = json.dumps(head).encode()
    return struct.pack("<IQ", len(text), len(data)) + text + data


GOOD = {"candidates": [], "left_out": [{"engine": "onnx", "reason": "why"}], "rows": [0]}


COMPILED = [
    (Says(framed(GOOD)), "no-form"),
    (Says(b"", exit_code=1, stderr=b"Segmentation fault"), "compile-failed"),
    (Says(b"short"), "compile-failed"),
    (Says(framed(GOOD)[:-1]), "compile-answer"),
    (Says(framed(GOOD) + b"more"), "compile-answer"),
    (Says(framed({**GOOD, "extra": 1})), "compile-answer"),
    (Says(framed({**GOOD, "rows": [99]})), "compile-answer"),
    (Says(framed({**GOOD, "rows": []})), "compile-answer"),
    (Says(framed({**GOOD, "candidates": [{"engine": "python", "files": []}]})), "compile-answer"),
    (Says(framed({**GOOD, "candidates": [{"engine": "onnx", "files": [{"path": "../x.onnx", "size": 0}]}]})), "compile-answer"),
    (Says(framed({**GOOD, "candidates": [{"engine": "onnx", "files": [{"path": "x.pkl", "size": 0}]}]})), "compile-answer"),
]  # fmt: skip


def test_what_the_compiling_process_prints_is_judged(checked, libraries):
    model, given, signature = checked(LINEAR, *RECORDS)
    for said, code in COMPILED:
        made = compiling.compile_model(
            model, given, signature, programs=PROGRAMS, sandbox=said, libraries=libraries, tools=TOOLS
        )
        assert made.candidates == ()
        assert made.report["facts"]["reason"]["code"] == code, said


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (Says(b"", exit_code=1, stderr=b"ImportError"), "parity-failed"),
        (Says(b"{}"), "parity-answer"),
        (Says(b'{"rows": {"sample": 1, "edge": 1, "refused": 0}, "candidates": []}'), "parity-answer"),
        (Says(b'{"rows": {"sample": -1, "edge": 1, "refused": 0}, "candidates": []}'), "parity-answer"),
    ],
)
def test_what_the_comparing_process_prints_is_judged(measure, said, code):
    passed = {
        "schema": "countersign.report/1",
        "step": "compile",
        "outcome": "passed",
        "isolation": "process",
        "summary": "It was compiled.",
        "findings": [],
        "facts": {},
    }
    made = compiling.Compiled(passed, (compiling.Candidate("arrays", {"form.json": b"{}"}),), {"answered.bin": b""})
    report, kept = measure(made, sandbox=said)
    assert report["facts"]["reason"]["code"] == code
    assert report["facts"]["compiled"] is None
    assert kept == []


@pytest.mark.parametrize(
    ("difference", "told"), [(0.0, 0.0), (3e-16, 1e-15), (9.9e-16, 1e-15), (1e-7, 1e-6), (2.5, 10.0)]
)
def test_differences_are_told_as_a_power_of_ten(difference, told):
    assert parity.bound(difference) == told
