"""What a requirements.txt may say, and which libraries a model needs."""

import pytest

from builders.checks import names, needs, requirements
from builders.checks.requirements import Pin
from formats.lock import Target

LINUX = Target("linux", "x86_64", "glibc-2.36", "3.11")
MAC = Target("macos", "aarch64", "macos-14.5", "3.12")
HASH = "a" * 64


def test_pins():
    found = requirements.parse(
        "\ufeff# made by hand\n"
        "Scikit_Learn == 1.9.1   # the model\n"
        "numpy===2.4.6\n"
        "\n"
        "psycopg[binary,pool]==3.3.9 \\\n"
        f"    --hash=sha256:{HASH} \\\n"
        f"    --hash=sha256:{'b' * 64}\n"
        "joblib==1.6.0; python_version >= '3.9'\n",
        LINUX,
    )
    assert found.findings == []
    assert list(found.pins) == ["scikit-learn", "numpy", "psycopg", "joblib"]
    assert found.pins["scikit-learn"] == Pin("scikit-learn", "1.9.1")
    assert str(found.pins["psycopg"]) == "psycopg[binary,pool]==3.3.9"
    assert found.pins["psycopg"].hashes == {f"sha256:{HASH}", f"sha256:{'b' * 64}"}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("numpy", "does not pin numpy"),
        ("numpy>=2", "does not pin numpy"),
        ("numpy==2.*", "does not pin numpy"),
        ("numpy==2.4,!=2.5", "does not pin numpy"),
        ("numpy~=2.4", "does not pin numpy"),
        ("-r other.txt", "option '-r'"),
        ("--index-url https://evil.example/simple", "option '--index-url'"),
        ("--extra-index-url=https://evil.example", "option '--extra-index-url"),
        ("-e .", "option '-e'"),
        ("numpy @ https://evil.example/numpy-2.whl", "from an address"),
        ("https://evil.example/numpy-2-py3-none-any.whl", "cannot be read"),
        ("git+https://evil.example/numpy.git", "cannot be read"),
        ("./wheels/numpy.whl", "cannot be read"),
        ("numpy==2.4.6 --config-settings=x", "cannot be read"),
        ("numpy==2.4.6 --hash=md5:abc", "hash that is not sha256"),
        (f"numpy==2.4.6 --hash=sha256:{HASH.upper()}", "hash that is not sha256"),
        ("numpy==2.4.6\nnumpy==2.4.5", "an earlier line to 2.4.6"),
        ("numpy===next", "not a version"),
        ("???", "cannot be read"),
    ],
)
def test_refused_lines(line, problem):
    (finding,) = requirements.parse(f"joblib==1.6.0\n{line}\n", LINUX).findings
    assert finding.code == "bad-requirement"
    assert problem in finding.message
    assert "Line 2 " in finding.message or "Line 3 " in finding.message
    assert "==" in finding.hint


def test_markers_are_those_of_the_target():
    text = (
        "a==1; sys_platform == 'linux'\nb==1; sys_platform == 'darwin' and platform_machine == 'arm64'\n"
        "c==1; python_version < '3.12'\nd==1; extra == 'dev'\ne==1; platform_python_implementation != 'PyPy'\n"
    )
    assert list(requirements.parse(text, LINUX).pins) == ["a", "c", "e"]
    assert list(requirements.parse(text, MAC).pins) == ["b", "e"]


def test_distributions_of_names():
    labels = [
        "sklearn.pipeline:Pipeline",
        "numpy:ndarray",
        "builtins:set",
        "__builtin__:set",
        "_loss:CyHalfBinomialLoss",
        "joblib.numpy_pickle:NumpyArrayWrapper",
    ]
    assert needs.distributions(labels, names.load()) == {"scikit-learn", "numpy", "joblib"}


def test_of_an_environment_only_what_is_needed_is_wanted():
    environment = {
        "scikit_learn": "1.9.1",
        "numpy": "2.4.6",
        "joblib": "1.6.0",
        "Flask": "3.1.3",
        "scipy": "1.17.1",
        "odd": "not a version",
    }
    found = needs.gather({"scikit-learn", "numpy"}, None, environment, frame=False)
    assert found.wanted == ["joblib==1.6.0", "numpy==2.4.6", "scikit-learn==1.9.1"]
    assert found.constraints == ["flask==3.1.3", "scipy==1.17.1"]
    assert found.findings == []


def test_every_pin_of_a_file_is_wanted_and_the_environment_fills_gaps():
    pins = {
        "scikit-learn": Pin("scikit-learn", "1.9.1", frozenset({"sha256:" + HASH})),
        "lightgbm": Pin("lightgbm", "4.7.0"),
    }
    found = needs.gather({"scikit-learn", "numpy"}, pins, {"numpy": "2.4.6", "scikit-learn": "1.0"}, frame=False)
    assert found.wanted == ["joblib>=1.6", "lightgbm==4.7.0", "numpy==2.4.6", "scikit-learn==1.9.1"]
    assert found.hashes["scikit-learn"] == {"sha256:" + HASH}


def test_an_older_joblib_is_raised_and_a_local_build_replaced():
    environment = {"scikit-learn": "1.9.1", "numpy": "2.4.6+mkl", "joblib": "1.5.3", "torch": "2.9+cu128"}
    found = needs.gather({"scikit-learn", "numpy"}, None, environment, frame=False)
    assert found.wanted == ["joblib>=1.6", "numpy==2.4.6", "scikit-learn==1.9.1"]
    assert found.constraints == []
    assert "allow-list" in found.reasons["joblib"]
    assert "local build" in found.reasons["numpy"]


def test_named_columns_need_pandas():
    assert "pandas==3.1.1" in needs.gather({"numpy"}, None, {"numpy": "2.4.6", "pandas": "3.1.1"}, frame=True).wanted
    unknown = needs.gather({"numpy"}, None, {"numpy": "2.4.6"}, frame=True)
    assert "pandas" in unknown.wanted
    assert "DataFrame" in unknown.reasons["pandas"]


def test_versions_that_nobody_told():
    found = needs.gather({"scikit-learn", "numpy"}, {"numpy": Pin("numpy", "2.4.6")}, {}, frame=False)
    (finding,) = found.findings
    assert finding.code == "missing-requirement"
    assert "needs scikit-learn" in finding.message
    assert "scikit-learn==<version>" in finding.hint
