"""What is judged before the first byte: the bytes of the model, its environment, its sample, its card."""

import bz2
import gzip
import json
import lzma
import pickle
import sys
import zlib

import cloudpickle
import joblib
import numpy as np
import pytest
from client_folder import NAME
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline

from countersign import cards, checks, collecting, environment, errors, inspecting, mlflow_folder, requirements
from countersign.collecting import Facts
from countersign.models import Server

SERVER = Server.from_wire({
    "api": "x", "client_minimum": "0.1.0", "max_upload_bytes": 10_000_000, "formats": ["joblib", "pickle"],
    "targets": [{"python": minor} for minor in ("3.11", "3.12", "3.13")],
})  # fmt: skip


@pytest.fixture(scope="module")
def pipeline():
    texts = ["the card was late", "thank you for the help", "late again", "good help"]
    return make_pipeline(TfidfVectorizer(), SGDClassifier(random_state=0)).fit(texts, [0, 1, 0, 1])


def judge(folder, server=SERVER, **options):
    plan = collecting.collect(folder, name=NAME, facts=Facts(), **options)
    return {finding.code: finding for finding in checks.judge(plan, server) if finding.level != checks.OK}


def test_a_good_folder_has_nothing_against_it(folder):
    assert judge(folder) == {}


@pytest.mark.parametrize("compress", [0, ("zlib", 3), ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)], ids=str)
def test_what_a_joblib_file_imports_is_seen_without_loading_it(tmp_path, pipeline, compress):
    joblib.dump(pipeline, tmp_path / "model.joblib", compress=compress)
    look = inspecting.look(tmp_path / "model.joblib")
    assert look.by_joblib
    assert look.packages >= {"sklearn", "joblib", "numpy"}
    assert "sklearn.linear_model._stochastic_gradient:SGDClassifier" in look.names
    assert look.whole in {True, None}


def test_names_after_arrays_are_seen_too(tmp_path):
    model = RandomForestClassifier(n_estimators=3, random_state=0).fit(np.eye(40), np.arange(40) % 3)
    joblib.dump({"first": np.zeros(5000), "model": model}, tmp_path / "model.joblib")
    names = inspecting.look(tmp_path / "model.joblib").names
    assert "sklearn.ensemble._forest:RandomForestClassifier" in names
    assert "sklearn.tree._tree:Tree" in names


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol_is_read(tmp_path, pipeline, protocol):
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(pipeline, protocol=protocol))
    look = inspecting.look(tmp_path / "model.pkl")
    assert (look.kind, look.by_joblib, look.whole) == ("pickle", False, True)
    assert "sklearn.pipeline:Pipeline" in look.names


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        pytest.param(b"", "format", "is empty", id="empty"),
        pytest.param(b"version https://git-lfs.github.com/spec/v1\n", "format", "Git LFS", id="lfs"),
        pytest.param(b"PK\x03\x04rest", "format", "zip archive", id="zip"),
        pytest.param(b"\x89HDF\r\n\x1a\n", "format", "hdf5", id="hdf5"),
        pytest.param(b"<html>", "format", "text", id="html"),
        pytest.param(bytes(100), "format", "no known format", id="zeros"),
        pytest.param(pickle.dumps(list(range(1000)))[:-20], "truncated", "cut off", id="cut"),
        pytest.param(zlib.compress(pickle.dumps(list(range(1000))))[:-20], "truncated", "cut off", id="cut-zlib"),
        pytest.param(gzip.compress(pickle.dumps(list(range(1000))))[:-20], "truncated", "cut off", id="cut-gzip"),
        pytest.param(bz2.compress(pickle.dumps(list(range(1000))))[:-20], "truncated", "cut off", id="cut-bz2"),
        pytest.param(lzma.compress(pickle.dumps(list(range(1000))))[:-20], "truncated", "cut off", id="cut-xz"),
        pytest.param(zlib.compress(b"not a pickle"), "format", "no known format", id="zlib-of-text"),
    ],
)
def test_a_file_that_is_no_model_is_told_by_what_it_is(folder, content, code, said):
    (folder / "model.joblib").write_bytes(content)
    found = judge(folder)
    assert said in found[code].message
    assert found[code].hint


def test_a_joblib_file_called_pickle_is_mislabelled(folder, pipeline):
    (folder / "model.joblib").unlink()
    joblib.dump(pipeline, folder / "model.pkl")
    assert "joblib.dump" in judge(folder)["format-mislabelled"].message
    assert judge(folder, model_format="joblib") == {}


def test_a_format_the_server_does_not_take(folder):
    (folder / "model.joblib").unlink()
    (folder / "model.txt").write_bytes(b"tree\nversion=v4\n")
    assert "lightgbm" in judge(folder)["format-unsupported"].message


def test_a_class_of_a_notebook_gets_its_own_message(folder):
    source = "class Cleaner:\n    pass\n"
    space = {"__name__": "__main__"}
    exec(source, space)
    sys.modules["__main__"].Cleaner = space["Cleaner"]
    try:
        joblib.dump(space["Cleaner"](), folder / "model.joblib")
    finally:
        del sys.modules["__main__"].Cleaner
    found = judge(folder)["main-module"]
    assert "Cleaner" in found.message
    assert "wheel" in found.hint


def test_code_inside_a_pickle_gets_its_own_message(folder):
    (folder / "model.joblib").unlink()
    (folder / "model.pkl").write_bytes(cloudpickle.dumps(lambda value: value))
    assert "cloudpickle" in judge(folder)["lambda"].message


def test_a_package_nobody_could_install_is_named(folder, monkeypatch):
    monkeypatch.setattr(environment, "owners", dict)
    monkeypatch.setattr(environment, "installed", lambda: {"joblib": "1.6.0", "numpy": "2.4.6"})
    joblib.dump(SGDClassifier(), folder / "model.joblib")
    found = judge(folder)["missing-wheel"]
    assert "scikit-learn" in found.message
    (folder / "requirements.txt").write_text("scikit-learn==1.9.1\nnumpy==2.4.6\njoblib==1.6.0\n")
    assert judge(folder) == {}


def test_a_package_installed_from_a_folder_is_named(folder, monkeypatch):
    monkeypatch.setattr(environment, "is_local", lambda name: name == "scikit-learn")
    joblib.dump(SGDClassifier(), folder / "model.joblib")
    assert "local folder" in judge(folder)["missing-wheel"].message


def test_a_python_the_server_has_no_target_for(folder):
    server = Server.from_wire({"api": "x", "targets": [{"python": "3.9"}]})
    found = judge(folder, server)["python-version"]
    assert "3.9" in found.message
    assert "Train it with Python 3.9" in found.hint


def test_sizes_and_client_version_are_compared(folder):
    server = Server.from_wire({"api": "x", "max_upload_bytes": 10, "client_minimum": "99.0"})
    assert set(judge(folder, server)) == {"too-large", "client-too-old"}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        pytest.param([], "0 rows", id="none"),
        pytest.param(['{"text": "a"}'] * 1001, "1001 rows", id="many"),
        pytest.param(['{"text": "a"}', "nonsense"], "line 2 is not JSON", id="not-json"),
        pytest.param(['["a"]'], "line 1 is not an object", id="array"),
        pytest.param(['{"a": 1}', '{"b": 1}'], "line 2 has other columns than line 1: a, b", id="columns"),
        pytest.param(['{"a": NaN}'], "NaN is not JSON", id="nan"),
        pytest.param(['{"a": [1]}'], "a holds a list", id="nested"),
    ],
)
def test_sample_rows_that_do_not_fit(folder, lines, said):
    (folder / "sample.jsonl").write_text("\n".join(lines))
    assert said in judge(folder)["sample"].message


@pytest.mark.parametrize(
    ("card", "said"),
    [
        pytest.param("# Voice", "no head", id="no-head"),
        pytest.param("---\npurpose: x\n", "does not end", id="open-head"),
        pytest.param("---\npurpose: [\n---\n", "not YAML at line", id="bad-yaml"),
        pytest.param("---\njust words\n---\n", "holds no fields", id="no-fields"),
        pytest.param(cards.template(NAME), "purpose, task, contact", id="template-untouched"),
    ],
)
def test_cards_that_do_not_fit(folder, card, said):
    (folder / "card.md").write_text(card)
    assert said in judge(folder)["card"].message


def test_a_template_field_left_empty_must_go(folder):
    text = (folder / "card.md").read_text()
    (folder / "card.md").write_text(text.replace("licence: Apache-2.0", 'licence: ""').replace("synthetic", "invented"))
    found = judge(folder)
    assert "licence" in found["card-empty"].message
    assert "invented" in found["sample-kind"].message


def test_a_thin_card_is_warned_about_only(folder):
    (folder / "card.md").write_text("---\npurpose: p\ntask: t\nowner: o\ncontact: 2026-10-31\n---\n")
    plan = collecting.collect(folder, name=NAME, facts=Facts())
    levels = {finding.code: finding.level for finding in checks.judge(plan, SERVER) if finding.level != checks.OK}
    assert levels == {"card-thin": checks.WARNING, "sample-kind": checks.WARNING}


def test_requirements_are_pins_with_what_is_wrong_by_line():
    text = "# pins\nscikit-learn==1.9.1  # why\nNumPy == 2.4.6 \\\n    --hash=sha256:aa\npandas>=3\n-e .\n--index-url https://x\nmine @ git+https://x\nlib[extra]==1.0 ; python_version > '3.8'\n"
    read = requirements.read(text)
    assert read.pins == {"scikit-learn": "1.9.1", "numpy": "2.4.6", "lib": "1.0"}
    assert [number for number, _ in read.problems] == [5, 6, 7, 8]
    assert "not pinned" in read.problems[0][1]


def test_unpinned_requirements_stop_a_push(folder):
    (folder / "requirements.txt").write_text("scikit-learn\n")
    assert "line 1" in judge(folder)["requirements"].message


def test_an_mlflow_folder_is_taken_as_it_is(tmp_path, folder, pipeline):
    made = tmp_path / "mlflow"
    made.mkdir()
    (made / "model.pkl").write_bytes(pickle.dumps(pipeline))
    (made / "requirements.txt").write_text("scikit-learn==1.9.1\nnumpy==2.4.6\nscipy==1.17.1\n")
    (made / "python_env.yaml").write_text("python: 3.12.1\n")
    (made / "MLmodel").write_text(
        "flavors:\n  python_function:\n    python_version: 3.12.1\n  sklearn:\n    pickled_model: model.pkl\n"
        "    serialization_format: cloudpickle\nsaved_input_example_info:\n  artifact_path: input_example.json\n"
    )
    (made / "input_example.json").write_text(json.dumps({"columns": ["text"], "data": [["late"], ["good"]]}))
    plan = collecting.collect(made, name=NAME, facts=Facts(), card=folder / "card.md")
    assert (plan.format, sorted(plan.files)) == ("pickle", ["model.pkl", "requirements.txt", "sample.jsonl"])
    assert plan.files["sample.jsonl"] == b'{"text": "late"}\n{"text": "good"}\n'
    assert plan.environment["python"] == "3.12.1"
    assert plan.environment["distributions"] == {"scikit-learn": "1.9.1", "numpy": "2.4.6", "scipy": "1.17.1"}
    assert "MLmodel" in plan.left_out
    assert [found for found in checks.judge(plan, SERVER) if found.level == checks.ERROR] == []


@pytest.mark.parametrize(
    ("example", "rows"),
    [
        ({"dataframe_split": {"columns": ["a"], "data": [[1]]}}, [{"a": 1}]),
        ({"dataframe_records": [{"a": 1}]}, [{"a": 1}]),
        ({"inputs": [[1.0, 2.0]]}, [{"x0": 1.0, "x1": 2.0}]),
        (["late", "good"], [{"text": "late"}, {"text": "good"}]),
        ({"a": [1, 2], "b": ["x", "y"]}, [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]),
    ],
)
def test_mlflow_input_examples(example, rows):
    assert mlflow_folder.rows_of(example) == rows


def test_an_mlflow_folder_cannot_name_files_outside_itself(tmp_path):
    made = tmp_path / "mlflow"
    made.mkdir()
    (tmp_path / "secret.pkl").write_bytes(b"\x80\x04.")
    (made / "MLmodel").write_text("flavors:\n  sklearn:\n    pickled_model: ../secret.pkl\n")
    with pytest.raises(errors.Unusable, match="not a file of that folder"):
        collecting.collect(made, name=NAME, facts=Facts())
