"""Snippets: they run as they stand, whatever the sample says."""

import ast
import json
import shlex
from types import SimpleNamespace

import pytest

from portal import snippets
from tests import factories

HOSTILE = 'it\'s "$(rm -rf /)" `x` \\ é\n;'
PLACE = snippets.Place(
    bundle="payments/desk",
    route="feedback",
    version="voice-3",
    image_digest="sha256:" + "1" * 64,
    engine_id="sha256:" + "2" * 64,
    isolation="container",
    key="sha256:" + "3" * 64,
    reference=None,
)


def request_of(signature, example=None):
    body = snippets.request_body(signature, example)
    assert body is not None
    return body


def test_curl_sends_exactly_the_row_even_with_quotes_in_it():
    body = request_of(factories.signature_document(), {"text": HOSTILE})
    words = shlex.split(snippets.curl(PLACE, body).replace("\\\n", " "))
    assert words[0] == "curl"
    assert "http://localhost:8080/v2/models/feedback/versions/voice-3/infer" in words
    sent = json.loads(words[words.index("-d") + 1])
    assert sent == {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": [HOSTILE]}]}


@pytest.mark.parametrize("value", [HOSTILE, 3, 0.5, True])
def test_python_holds_the_row_as_a_literal(value):
    body = request_of(factories.signature_document("a"), {"a": value})
    tree = ast.parse(snippets.python(PLACE, body, "sha256:9"))
    request = next(node for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "request")
    assert ast.literal_eval(request.value) == body
    assert 'release = "sha256:9"' in snippets.python(PLACE, body, "sha256:9")


def test_without_a_sample_every_input_gets_a_value_of_its_type():
    signature = {
        "inputs": [
            {"name": "a", "datatype": "FP64", "shape": [-1]},
            {"name": "b", "datatype": "INT64", "shape": [-1]},
            {"name": "c", "datatype": "BYTES", "shape": [-1], "categories": ["NL", "DE"]},
            {"name": "d", "datatype": "BOOL", "shape": [-1]},
            {"name": "input", "datatype": "FP64", "shape": [-1, 3]},
        ]
    }
    data = {row["name"]: (row["shape"], row["data"]) for row in request_of(signature)["inputs"]}
    assert data == {
        "a": ([1], [0.5]),
        "b": ([1], [1]),
        "c": ([1], ["NL"]),
        "d": ([1], [True]),
        "input": ([1, 3], [0.5] * 3),
    }


def test_a_request_too_long_to_read_comes_from_a_file():
    wide = {"inputs": [{"name": "input", "datatype": "FP64", "shape": [-1, 1000]}]}
    assert snippets.request_body(wide, None) is None
    assert "-d @request.json" in snippets.curl(PLACE, None)
    assert ast.parse(snippets.python(PLACE, None, "sha256:9"))
    many = factories.signature_document(*(f"c{number}" for number in range(snippets.MOST_VALUES + 1)))
    assert snippets.request_body(many, None) is None


def test_containers_are_pinned_by_digest(app):
    with app.app_context():
        found = dict(snippets.containers(PLACE))
    assert f"@{PLACE.image_digest}" in found["Kubernetes"]
    assert f"python -m builders archive {PLACE.image_digest} desk.oci.tar" in found["Docker"]
    assert PLACE.engine_id in found["Docker"]
    assert found["Docker"].count(PLACE.key) == found["Kubernetes"].count(PLACE.key) == 1


def test_kubernetes_is_yaml(app):
    import yaml

    documents = list(yaml.safe_load_all(snippets.kubernetes(PLACE)))
    assert [document["kind"] for document in documents] == [
        "Deployment",
        "Service",
        "PodDisruptionBudget",
        "HorizontalPodAutoscaler",
        "NetworkPolicy",
    ]
    container = documents[0]["spec"]["template"]["spec"]["containers"][0]
    assert container["image"].endswith(f"payments/desk@{PLACE.image_digest}")
    assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_what_is_not_baked_can_only_be_pulled():
    version = SimpleNamespace(
        signature=None, release_digest="sha256:9", model=SimpleNamespace(full_name="payments/voice")
    )
    assert snippets.usage(version, None, None) == [("Files", "countersign pull payments/voice@sha256:9")]
