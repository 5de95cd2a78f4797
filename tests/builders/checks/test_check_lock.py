"""The lock step: from the names a file imports to the libraries it will run with."""

import pytest

from builders import resolver
from builders.checks import lock
from builders.resolver import Index, IndexUnreachable
from formats.lock import Lock, Target

LINUX = Target("linux", "x86_64", "glibc-2.36", "3.11")
TRAINED = {
    "scikit-learn": "1.9.1",
    "numpy": "2.4.6",
    "joblib": "1.6.0",
    "threadpoolctl": "3.7.0",
    "pandas": "3.1.1",
    "Flask": "3.1.3",
}


def scanned(*labels: str, columns: bool = False) -> dict:
    labels = labels or (
        "joblib.numpy_pickle:NumpyArrayWrapper",
        "numpy:ndarray",
        "sklearn.linear_model._logistic:LogisticRegression",
    )
    return {"outcome": "passed", "facts": {"format": "joblib", "globals": sorted(labels), "columns": columns}}


def step(index, scan_report=None, **options) -> lock.Locked:
    return lock.lock(scan_report or scanned(), target=LINUX, index=Index(index.url, attempts=1), **options)


def test_the_training_environment_gives_the_versions(index):
    found = step(index, environment=TRAINED)
    assert found.report["outcome"] == "passed"
    facts = found.report["facts"]
    assert Lock.from_dict(facts["lock"]) == found.lock
    assert facts["kept"] == ["joblib==1.6.0", "numpy==2.4.6", "scikit-learn==1.9.1", "threadpoolctl==3.7.0"]
    assert facts["dropped"] == ["flask==3.1.3", "pandas==3.1.1"]
    assert facts["changed"] == []
    assert found.report["summary"].startswith("4 libraries are locked for linux x86_64")


def test_an_older_joblib_is_raised_and_that_is_said(index):
    found = step(index, environment=TRAINED | {"joblib": "1.4.2"})
    assert {wheel.name: wheel.version for wheel in found.lock.wheels}["joblib"] == "1.6.0"
    (changed,) = found.report["facts"]["changed"]
    assert (changed["name"], changed["from"], changed["to"]) == ("joblib", "1.4.2", "1.6.0")
    assert "joblib is 1.6.0" in found.report["summary"]


@pytest.mark.parametrize("options", [{"frame": True}, {"scan_report": scanned("numpy:ndarray", columns=True)}])
def test_named_columns_bring_pandas(index, options):
    assert "pandas" in {wheel.name for wheel in step(index, environment=TRAINED, **options).lock.wheels}


def test_a_requirements_file_is_kept_whole(index):
    found = step(index, requirements_txt="scikit-learn==1.9.1\nnumpy==2.4.6\npandas==3.1.1\n")
    assert [wheel.name for wheel in found.lock.wheels] == ["joblib", "numpy", "pandas", "scikit-learn", "threadpoolctl"]


@pytest.mark.parametrize(
    ("options", "codes"),
    [
        ({"requirements_txt": "scikit-learn\n-r x\n"}, ["bad-requirement", "bad-requirement"]),
        ({"requirements_txt": "scikit-learn==1.9.1\n"}, ["missing-requirement"]),
        ({}, ["missing-requirement", "missing-requirement"]),
        ({"environment": TRAINED | {"scikit-learn": "0.20"}}, ["unknown-version"]),
        ({"requirements_txt": f"scikit-learn==1.9.1\nnumpy==2.4.6 --hash=sha256:{'0' * 64}\n"}, ["hash-mismatch"]),
    ],
)
def test_failed(index, options, codes):
    found = step(index, **options)
    assert found.lock is None
    assert found.report["outcome"] == "failed"
    assert [finding["code"] for finding in found.report["findings"]] == codes


def test_no_report_when_the_index_is_away(own_uv):
    with pytest.raises(IndexUnreachable):
        lock.lock(scanned(), target=LINUX, index=Index("http://127.0.0.1:9/simple", attempts=1), environment=TRAINED)


def test_a_broken_resolver_is_not_the_scientists_fault(index, monkeypatch):
    monkeypatch.setenv("UV_CACHE_DIR", "/proc/nowhere")
    with pytest.raises(resolver.ResolverFailed) as caught:
        step(index, environment=TRAINED)
    assert not isinstance(caught.value, resolver.Unresolvable)
