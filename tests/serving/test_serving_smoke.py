"""The smoke command: every version of a running server, asked over REST, compared with what was approved."""

import json

import pytest
import serving_image as si

from serving.approved import Approved
from serving.errors import Refusal


def smoke(server, *arguments, stdin=None):
    result = si.run_command(server.image, "smoke", "--rest", server.rest, *arguments, stdin=stdin)
    assert result.stdout, result.stderr
    return result.returncode, json.loads(result.stdout)


def test_every_version_answers_as_approved(server):
    code, report = smoke(server)
    assert code == 0, report
    assert [(item["ref"], item["version"], item["outcome"]) for item in report["models"]] == [
        ("payments/voice:1", "1", "passed"),
        ("payments/voice:2", "2", "passed"),
        ("risk/matrix:3", "matrix-3", "passed"),
        ("risk/forest:1", "forest-1", "passed"),
        ("risk/customers:1", "1", "passed"),
    ]


def test_rows_from_outside_take_the_place_of_sealed_ones(server, trained):
    answers = dict(trained["frame"].introspection["answers"])
    answers["predict"] = ["young"] * len(answers["predict"])
    rows = {"risk/customers:1": {"rows": trained["frame"].sample, "answers": answers}}
    code, report = smoke(server, "--rows", "-", stdin=json.dumps(rows))
    assert (code, report["ok"]) == (1, False)
    (failed,) = [item for item in report["models"] if item["outcome"] == "failed"]
    assert failed["ref"] == "risk/customers:1"
    assert failed["problems"][0] == "predict of row 0 is 'old', approved was 'young'"


def test_a_version_without_rows_or_without_a_server_fails(trained, tmp_path):
    members = {"payments/voice:1": trained["voice-1"]}
    image = si.build(tmp_path / "image", members, {"feedback": {"payments/voice:1": 100}}, sealed_rows=False)
    result = si.run_command(image, "smoke", "--rest", "http://127.0.0.1:1")
    assert result.returncode == 1
    assert "no rows are sealed with it" in json.loads(result.stdout)["models"][0]["problems"][0]
    rows = json.dumps({"payments/voice:1": trained["voice-1"].sealed})
    result = si.run_command(image, "smoke", "--rest", "http://127.0.0.1:1", "--rows", "-", stdin=rows)
    assert result.returncode == 1
    assert "Connection refused" in json.loads(result.stdout)["models"][0]["problems"][0]


@pytest.mark.parametrize(
    "text", ["", "[]", '{"a": {"rows": []}}', '{"a": {"rows": [{"x": 1}], "answers": {"predict": []}}}']
)
def test_rows_of_another_form_are_refused(server, text):
    result = si.run_command(server.image, "smoke", "--rest", server.rest, "--rows", "-", stdin=text)
    assert result.returncode == 1
    assert "--rows" in result.stderr


@pytest.mark.parametrize(
    ("approved", "now", "same"),
    [
        (["a"], ["a"], True),
        (["a"], ["b"], False),
        ([1], [1], True),
        ([1], [2], False),
        ([True], [True], True),
        ([True], [1], False),
        ([0.5], [0.5 + 4e-7], True),
        ([0.5], [0.5 + 4e-6], False),
        ([1e9], [1e9 + 100], True),
        ([None], [None], True),
        ([None], [0.0], False),
        ([1.0], [1], True),
        ([1.0], ["1.0"], False),
        ([[0.1, 0.9]], [0.1, 0.9], True),
        ([[0.1, 0.9]], [0.1], False),
    ],
)
def test_labels_are_equal_and_scores_are_close(approved, now, same):
    rows = Approved.from_dict({"rows": [{"x": 1}], "answers": {"predict": approved}}, "test")
    assert (rows.differences({"predict": now}) == []) is same


def test_approved_answers_without_rows_are_refused():
    with pytest.raises(Refusal, match="one answer per row"):
        Approved.from_dict({"rows": [{"a": 1}, {"b": 1}], "answers": {"predict": [1, 2]}}, "test")
