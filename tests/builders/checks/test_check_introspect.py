"""Introspection: the real program on real models, and what comes of a process that lies, dies or talks too much."""

import json
import pickle
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from builders import sandbox
from builders.checks import introspect, sample, scan
from builders.checks.introspect import Introspected, Model
from builders.sandbox import Caps, SandboxResult
from formats import canonical
from formats.signature import Signature
from serving import runner

pytestmark = pytest.mark.long

SERVING = Path(sandbox.__file__).parents[1] / "serving"
X = np.arange(60.0).reshape(20, 3) % 7
TEXTS = [f"about {'cards' if row % 2 else 'loans'} {row}" for row in range(20)]


def rows(*records: Mapping[str, Any]) -> sample.Sample:
    return sample.read("\n".join(json.dumps(record) for record in records).encode())


@pytest.fixture
def ask(save, process_sandbox, libraries):
    def check(model: Any, *records: Mapping[str, Any], allowed: list[str] | None = None) -> Introspected:
        path = save(model)
        names = scan.scan(path, "joblib")["facts"]["globals"] if allowed is None else allowed
        return introspect.introspect(
            Model(path, "joblib", names), rows(*records), program=SERVING, sandbox=process_sandbox, libraries=libraries
        )

    return check


def test_a_text_model(ask):
    model = make_pipeline(TfidfVectorizer(), SGDClassifier(loss="log_loss", random_state=0)).fit(
        TEXTS, ["loans", "cards"] * 10
    )
    found = ask(model, {"text": "my cards"}, {"text": "loans"})
    assert found.report["outcome"] == found.predict["outcome"] == "passed", found.report
    assert found.report["isolation"] == found.predict["isolation"] == "process"
    facts = found.report["facts"]
    assert facts["class"] == "sklearn.pipeline.Pipeline"
    assert facts["labels"] == ["cards", "loans"]
    assert facts["libraries"]["scikit-learn"]
    assert "answers" not in facts
    assert Signature.from_dict(facts["signature"]) == found.signature
    assert found.signature.layout == "text"
    answers = found.predict["facts"]["answers"]
    assert answers["predict"] == ["cards", "loans"]
    assert np.allclose(answers["predict_proba"], model.predict_proba(["my cards", "loans"]))
    assert found.predict["facts"]["answers_digest"] == canonical.digest(answers)
    assert found.predict["facts"]["rows"] == 2
    assert found == ask(model, {"text": "my cards"}, {"text": "loans"})


def test_a_frame_of_mixed_columns(ask):
    frame = pd.DataFrame({"amount": X[:, 0], "kind": ["a", "b"] * 10})
    model = make_pipeline(
        make_column_transformer((StandardScaler(), ["amount"]), (OneHotEncoder(), ["kind"])), LogisticRegression()
    )
    found = ask(model.fit(frame, [0, 1] * 10), {"kind": "a", "amount": 1.5}, {"kind": "b", "amount": 2})
    assert found.signature.layout == "frame"
    assert [item.name for item in found.signature.inputs] == ["amount", "kind"]
    assert "2 named columns" in found.report["summary"]


def test_a_matrix_keeps_the_order_of_the_samples_columns(ask):
    model = LinearRegression().fit(X, X @ [1.0, 10.0, 100.0])
    found = ask(model, {"c": 1, "b": 2.0, "a": 3})
    assert found.signature.layout == "matrix"
    assert found.predict["facts"]["answers"]["predict"] == pytest.approx([321.0])


@pytest.mark.parametrize(
    ("model", "record", "code", "told"),
    [
        (LinearRegression().fit(X, X[:, 0]), {"a": 1.0, "b": 2.0}, "sample-mismatch", "trained on 3"),
        (LinearRegression(), {"a": 1.0}, "predict-failed", "not fitted"),
        ({"model": 1}, {"a": 1.0}, "not-an-estimator", "builtins.dict"),
        (StandardScaler().fit(X), {"a": 1.0, "b": 1, "c": 2}, "not-an-estimator", "no predict"),
    ],
)
def test_refusals_of_the_program(ask, model, record, code, told):
    found = ask(model, record)
    assert (found.predict, found.signature) == (None, None)
    (finding,) = found.report["findings"]
    assert finding["code"] == code
    assert told in finding["message"]
    assert finding["message"][0].isupper()
    assert finding["hint"]


def test_only_the_names_of_the_scan_can_be_imported(ask):
    (finding,) = ask(LinearRegression().fit(X, X[:, 0]), {"a": 1, "b": 1, "c": 1}, allowed=["numpy:ndarray"]).report[
        "findings"
    ]
    assert finding["code"] == "load-refused"
    assert "sklearn.linear_model._base:LinearRegression" in finding["message"]


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 5])
def test_every_protocol_that_passes_the_scan_loads(tmp_path, process_sandbox, libraries, protocol):
    """The scan's names are what the loader is asked for, also where old protocols spell them as Python 2 did."""
    model = LogisticRegression().fit(X, ["no", "yes"] * 10)
    model.note_ = {1, 2}
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(model, protocol=protocol))
    names = scan.scan(path, "pickle")["facts"]["globals"]
    found = introspect.introspect(
        Model(path, "pickle", names),
        rows({"a": 1, "b": 2, "c": 3}),
        program=SERVING,
        sandbox=process_sandbox,
        libraries=libraries,
    )
    assert found.report["outcome"] == "passed", found.report


def test_a_bad_sample_starts_nothing(save, libraries):
    class Never:
        isolation = "process"

        def run(self, *_: Any, **__: Any) -> SandboxResult:
            raise AssertionError("the sandbox was used")

    found = introspect.introspect(
        Model(save(LinearRegression()), "joblib", []),
        sample.read(b"[]"),
        program=SERVING,
        sandbox=Never(),
        libraries=libraries,
    )
    assert found.report["findings"][0]["code"] == "sample-row"
    assert found.predict is None


GOOD = {
    "class": "sklearn.linear_model._base.LinearRegression", "classes": ["x"], "params": {"a": 1}, "n_features": 1, "labels": None,
    "libraries": {"numpy": "2.4.6"}, "columns": ["a"], "warnings": [], "notices": [], "rows": 1,
    "signature": {
        "layout": "matrix", "inputs": [{"name": "input", "datatype": "FP64", "shape": [-1, 1], "nullable": False}],
        "outputs": [{"name": "predict", "datatype": "FP64", "shape": [-1]}, {"name": "transform", "datatype": "FP64", "shape": [-1, 2]}],
    },
    "answers": {"predict": [1.5], "transform": [[1.0, None]]},
}  # fmt: skip


@dataclass
class Said:
    """A sandbox whose program ends as the test says."""

    stdout: bytes
    ended: dict[str, Any] = field(default_factory=dict)
    isolation: str = "container"

    def run(self, arguments: list[str], *, files: dict[str, Any], libraries: Any, caps: Caps) -> SandboxResult:
        self.arguments, self.files = arguments, files
        return SandboxResult(
            **(
                {"exit_code": 0, "stdout": self.stdout, "stderr": b"one\nlast \x1b[2J words\n", "network": "none"}
                | self.ended
            )
        )


def heard(said: Said, tmp_path: Path) -> Introspected:
    joblib.dump(1, tmp_path / "m")
    return introspect.introspect(
        Model(tmp_path / "m", "joblib", ["b:c", "a:b"]),
        rows({"a": 1}),
        program=SERVING,
        sandbox=said,
        libraries=None,
        caps=Caps(seconds=9, memory=64 << 20, output=1000),
    )


def changed(**members: Any) -> bytes:
    return json.dumps(GOOD | members).encode()


def test_what_the_program_is_given(tmp_path):
    said = Said(changed())
    found = heard(said, tmp_path)
    assert found.report["outcome"] == found.predict["outcome"] == "passed", (found.report, found.predict)
    assert said.files["allow.json"] == b'{"globals":["a:b","b:c"]}'
    assert said.files["sample.jsonl"] == b'{"a": 1}\n'
    assert said.files.keys() == {
        "runner.py",
        *(f"{name}.py" for name in runner.MODULES),
        "model.joblib",
        "allow.json",
        "sample.jsonl",
    }
    assert said.arguments[:5] == ["-I", "-S", "-B", "{files}/runner.py", "introspect"]


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        ({"exit_code": None, "timed_out": True}, "sandbox-timeout"),
        ({"exit_code": -signal.SIGXCPU}, "sandbox-timeout"),
        ({"exit_code": None, "flooded": True}, "sandbox-flooded"),
        ({"exit_code": 137}, "sandbox-memory"),
        ({"exit_code": -signal.SIGKILL}, "sandbox-memory"),
        ({"exit_code": 1, "out_of_memory": True}, "sandbox-memory"),
        ({"exit_code": -signal.SIGSEGV}, "sandbox-crashed"),
        ({"exit_code": 1}, "sandbox-crashed"),
        ({"exit_code": 3}, "sandbox-crashed"),
    ],
)
def test_bad_ends(ended, code, tmp_path):
    found = heard(Said(changed(), ended), tmp_path)
    (finding,) = found.report["findings"]
    assert finding["code"] == code
    assert "\x1b" not in finding["message"]
    assert found.predict is None


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        ({"code": "load-failed", "message": "it broke", "hint": "mend it"}, "load-failed", "It broke."),
        ({"code": "<script>", "message": "x\x1b[2J" * 2000}, "load-failed", None),
        ({"code": ["load-failed"], "message": None}, "load-failed", "No more is known."),
        ({"code": "load-failed", "message": "_ArrayMemoryError: Unable to allocate 9 GiB"}, "sandbox-memory", None),
    ],
)
def test_the_programs_own_explanation_is_only_text(error, code, message, tmp_path):
    (finding,) = heard(Said(json.dumps({"error": error}).encode(), {"exit_code": 3}), tmp_path).report["findings"]
    assert finding["code"] == code
    assert message in (None, finding["message"])
    assert len(finding["message"]) <= 1010
    assert finding["message"].isprintable()


@pytest.mark.parametrize(
    "stdout",
    [
        b"", b"[]", b"{}", b"not json", changed()[:-1], changed() + changed(), b'{"class": 1, "class": 2}', changed(**{"class": "<b>x</b>"}),
        changed(**{"class": 1}), changed(signature=None), changed(signature={"layout": "tensor"}), changed(libraries={"numpy": "<script>"}),
        changed(n_features=-1), changed(labels=[[1]]), changed(columns="a"), changed(params=[1]), changed(warnings=[1]), changed(notices=[{"code": "x"}]),
        changed(params={"a": float("nan")}), changed(params={"a": 2**60 + 1}), changed(classes=["x"] * 10_001),
    ],
)  # fmt: skip
def test_odd_answers(stdout, tmp_path):
    found = heard(Said(stdout), tmp_path)
    (finding,) = found.report["findings"]
    assert finding["code"] == "sandbox-answer"
    assert found.signature is None


@pytest.mark.parametrize(
    "answers",
    [
        None, {}, {"predict": [1.5]}, {"predict": [], "transform": [[1, 2]]}, {"predict": [1, 2], "transform": [[1, 2]]},
        {"predict": [[1]], "transform": [[1, 2]]}, {"predict": [1], "transform": [[1]]}, {"predict": [1], "transform": [1]},
        {"predict": [{"a": 1}], "transform": [[1, 2]]}, {"predict": [1.5], "transform": [[1, 2]], "extra": [1]},
    ],
)  # fmt: skip
def test_answers_that_do_not_fit_the_signature(answers, tmp_path):
    found = heard(Said(changed(answers=answers)), tmp_path)
    assert found.report["outcome"] == "passed"
    assert found.predict["outcome"] == "failed"
    assert [finding["code"] for finding in found.predict["findings"]] == ["bad-answer"]
    assert found.signature is None
