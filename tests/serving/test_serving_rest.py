"""The protocol over REST: metadata, inference in every layout, routing, and errors that say what to mend."""

import gzip
import json
import zlib
from collections import Counter

import numpy as np
import pytest
import requests
import serving_image as si

from serving.tensors import join_elements


def get(server, path):
    return requests.get(server.rest + path, timeout=10)


def post(server, path, data=b"", **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.post(server.rest + path, data=data, headers=named, timeout=10)


# --- Health and metadata


def test_health_and_server_metadata(server):
    assert get(server, "/v2/health/live").json() == {"live": True}
    assert get(server, "/v2/health/ready").json() == {"ready": True}
    found = get(server, "/v2").json()
    assert found["name"] == "countersign"
    assert found["extensions"] == ["binary_tensor_data", "model_repository"]
    assert found["bundle"] == "payments/tests"


def test_model_metadata_comes_from_the_signature(server, image):
    found = get(server, "/v2/models/customers").json()
    assert found["name"] == "customers"
    assert found["versions"] == ["1"]
    assert [(item["name"], item["datatype"], item["shape"]) for item in found["inputs"]] == [
        ("age", "INT64", [-1]),
        ("income", "FP64", [-1]),
        ("city", "BYTES", [-1]),
        ("member", "BOOL", [-1]),
    ]
    assert found["inputs"][2]["parameters"] == {"nullable": True, "categories": ["Basel", "Bern", "Genf"]}
    assert found["outputs"][0] == {
        "name": "predict",
        "datatype": "BYTES",
        "shape": [-1],
        "parameters": {"labels": ["old", "young"]},
    }
    assert found["parameters"]["release_digest"] == image.manifest.models[4].release_digest


def test_a_version_has_metadata_of_its_own(server):
    found = get(server, "/v2/models/mixed/versions/forest-1").json()
    assert found["versions"] == ["matrix-3", "forest-1"]
    assert found["outputs"][0]["datatype"] == "INT64"
    assert found["parameters"]["weights"] == {"matrix-3": 100, "forest-1": 0}


def test_readiness_of_models_and_the_index(server):
    assert get(server, "/v2/models/feedback/ready").json() == {"name": "feedback", "ready": True}
    assert get(server, "/v2/models/feedback/versions/2/ready").status_code == 200
    index = post(server, "/v2/repository/index", b'{"ready": true}').json()
    assert {"name": "mixed", "version": "forest-1", "state": "READY", "reason": ""} in index
    assert len(post(server, "/v2/repository/index").json()) == 5


@pytest.mark.parametrize("action", ["load", "unload"])
def test_models_are_not_loaded_at_run_time(server, action):
    response = post(server, f"/v2/repository/models/feedback/{action}")
    assert response.status_code == 403
    assert "approved" in response.json()["error"]


# --- Inference


def test_text(server, trained):
    model = trained["voice-1"]
    texts = [row["text"] for row in model.sample]
    found = si.outputs_of(server.infer("feedback", si.text_input(*texts), version="1", id="call-7"))
    assert found["predict"]["data"] == model.estimator.predict(texts).tolist()
    assert found["predict_proba"]["shape"] == [len(texts), 3]
    expected = model.estimator.predict_proba(texts).reshape(-1)
    np.testing.assert_allclose(found["predict_proba"]["data"], expected, rtol=1e-9)


def test_matrix_flat_and_nested(server, trained):
    rows = np.random.default_rng(9).normal(size=(50, 4))
    own = trained["matrix"].estimator.predict_proba(rows.copy())
    nested = si.matrix_input(rows.tolist())
    flat = [{**nested[0], "data": rows.reshape(-1).tolist()}]
    for inputs in (nested, flat):
        found = si.outputs_of(server.infer("mixed", inputs, outputs=[{"name": "predict_proba"}]))
        assert list(found) == ["predict_proba"]
        np.testing.assert_allclose(found["predict_proba"]["data"], own.reshape(-1), rtol=1e-9)
    pickled = si.outputs_of(server.infer("mixed", nested, version="forest-1"))
    assert pickled["predict"]["data"] == trained["forest"].estimator.predict(rows).tolist()


def test_frame_with_nulls_in_any_column_order(server, trained):
    frame = si.customers()
    inputs = si.frame_input(si.records(frame))
    found = si.outputs_of(server.infer("customers", inputs[::-1]))
    model = trained["frame"].estimator
    assert found["predict"]["data"] == model.predict(frame).tolist()
    np.testing.assert_allclose(found["decision_function"]["data"], model.decision_function(frame), rtol=1e-9)


def test_a_column_may_come_as_n_by_1_and_as_a_narrower_number(server, trained):
    rows = [{**row, "income": 40_000} for row in trained["frame"].sample]
    inputs = si.frame_input(rows)
    expected = si.outputs_of(server.infer("customers", inputs))["predict"]["data"]
    inputs[0].update(datatype="INT16", shape=[len(rows), 1], data=[[row["age"]] for row in rows])
    inputs[1].update(datatype="UINT32")
    inputs[2].update(shape=[len(rows), 1])
    assert si.outputs_of(server.infer("customers", inputs))["predict"]["data"] == expected


def test_the_answer_names_who_answered(server, image):
    response = server.infer(
        "feedback", si.text_input("lost card"), version="2", id="a", headers={"X-Request-Id": "my-id.1"}
    )
    message = response.json()
    assert (message["model_name"], message["model_version"], message["id"]) == ("feedback", "2", "a")
    assert message["parameters"] == {"release_digest": image.manifest.models[1].release_digest}
    assert response.headers["x-model-version"] == "2"
    assert response.headers["x-request-id"] == "my-id.1"
    (event,) = si.wait_for(
        lambda: [event for event in server.events("request") if event["request_id"] == "my-id.1"], "its line"
    )
    assert (event["route"], event["version"], event["status"], event["rows"]) == ("feedback", "2", 200, 1)


def test_without_ids_one_is_made_and_none_is_invented(server):
    response = server.infer("feedback", si.text_input("lost card"), headers={"X-Request-Id": "bad id"})
    assert "id" not in response.json()
    assert len(response.headers["x-request-id"]) == 16
    si.wait_for(lambda: response.headers["x-request-id"] in server.log_path.read_text(), "its line")


def test_no_input_is_ever_logged(server):
    server.infer("feedback", si.text_input("confidential sentence"))
    server.infer("confidential", si.text_input("confidential sentence"))
    assert "confidential" not in server.log_path.read_text()


# --- Routing


def test_a_key_stays_with_its_version_and_shares_follow_weights(server):
    before = server.metric("countersign_exposure_total", route="feedback", version="1", by="key")
    seen = Counter()
    inputs = si.text_input("lost card")
    for number in range(120):
        by_header = server.infer("feedback", inputs, headers={"X-Routing-Key": str(number)})
        by_parameter = server.infer("feedback", inputs, parameters={"routing_key": number})
        assert by_header.json()["model_version"] == by_parameter.json()["model_version"]
        seen[by_header.json()["model_version"]] += 1
    assert 65 <= seen["1"] <= 103
    after = server.metric("countersign_exposure_total", route="feedback", version="1", by="key")
    assert after - before == 2 * seen["1"]


def test_without_a_key_all_versions_with_a_weight_answer(server):
    inputs = si.text_input("lost card")
    assert {server.infer("feedback", inputs).json()["model_version"] for _ in range(60)} == {"1", "2"}
    assert {server.infer("mixed", si.matrix_input([[1, 2, 3, 4]])).json()["model_version"] for _ in range(5)} == {
        "matrix-3"
    }


def test_metrics_count_by_route_and_version(server):
    labels = {"route": "mixed", "version": "forest-1"}
    names = ("requests_total", "rows_total", "request_seconds_count", "errors_total")
    before = [server.metric(f"countersign_{name}", **labels) for name in names]
    server.infer("mixed", si.matrix_input([[1, 2, 3, 4], [5, 6, 7, 8]]), version="forest-1")
    server.infer("mixed", [], version="forest-1")  # refused before it reaches a version
    server.infer("mixed", si.text_input("a"), version="forest-1")
    after = [server.metric(f"countersign_{name}", **labels) for name in names]
    assert [b - a for a, b in zip(before, after, strict=True)] == [2, 2, 2, 1]
    assert server.metric("countersign_answers_total", transport="rest", status="400") >= 2
    assert server.metric("countersign_route_weight", route="feedback", version="1") == 70
    assert server.metric("countersign_model_up", model="risk/forest:1") == 1


# --- Refusals

GOOD = {"name": "input", "datatype": "FP64", "shape": [1, 4], "data": [1, 2, 3, 4]}
AGE, INCOME, CITY, MEMBER = si.frame_input([{"age": 40, "income": 1.5, "city": "Bern", "member": True}])


@pytest.mark.parametrize(
    ("route", "message", "told"),
    [
        pytest.param("mixed", {}, "inputs is missing, expected an array", id="no-inputs"),
        pytest.param("mixed", {"inputs": []}, "inputs is an array of 0, expected", id="empty-inputs"),
        pytest.param("mixed", {"inputs": [5]}, "inputs[0] is the number 5, expected an object", id="input-number"),
        pytest.param("mixed", {"inputs": [{}]}, "inputs[0].name is missing", id="no-name"),
        pytest.param("mixed", {"inputs": [GOOD | {"datatype": 5}]}, "datatype is the number 5", id="datatype-number"),
        pytest.param("mixed", {"inputs": [GOOD | {"datatype": "FP65"}]}, 'datatype "FP65" is unknown', id="datatype"),
        pytest.param("mixed", {"inputs": [GOOD | {"datatype": "BYTES"}]}, "BYTES came, expected FP64", id="mistyped"),
        pytest.param("mixed", {"inputs": [GOOD | {"shape": "x"}]}, "shape is the string 'x', expected", id="shape"),
        pytest.param("mixed", {"inputs": [GOOD | {"shape": [-1, 4]}]}, "shape is [-1, 4], expected", id="shape-minus"),
        pytest.param(
            "mixed", {"inputs": [GOOD | {"shape": [1, 3]}]}, "shape [1, 3] came, expected [-1, 4]", id="width"
        ),
        pytest.param("mixed", {"inputs": [GOOD | {"shape": [4]}]}, "shape [4] came, expected [-1, 4]", id="rank"),
        pytest.param(
            "mixed", {"inputs": [GOOD | {"shape": [2, 4]}]}, "4 values came, shape [2, 4] holds 8", id="count"
        ),
        pytest.param("mixed", {"inputs": [GOOD | {"shape": [10**12, 4]}]}, "4 values came, shape [1", id="huge"),
        pytest.param("mixed", {"inputs": [GOOD | {"shape": [0, 4], "data": []}]}, "0 rows came", id="no-rows"),
        pytest.param(
            "mixed", {"inputs": [GOOD | {"data": [1, 2, 3, "4"]}]}, "element 3 is the string '4'", id="string"
        ),
        pytest.param("mixed", {"inputs": [GOOD | {"data": [1, 2, 3, None]}]}, "element 3 is null, and this", id="null"),
        pytest.param(
            "mixed", {"inputs": [GOOD | {"data": {"a": 1}}]}, "data is an object, expected an array", id="object"
        ),
        pytest.param(
            "mixed",
            {"inputs": [GOOD | {"datatype": "INT64", "data": 5}]},
            "data is the number 5, expected",
            id="no-array",
        ),
        pytest.param(
            "feedback",
            {
                "inputs": [
                    {
                        "name": "text",
                        "datatype": "BYTES",
                        "shape": [1],
                        "data": {"YQ==": 1},
                        "parameters": {"content_type": "base64"},
                    }
                ]
            },
            "data is an object, expected an array",
            id="base64-object",
        ),
        pytest.param("mixed", {"inputs": [{**GOOD, "data": None}]}, "data is null, expected an array", id="null-data"),
        pytest.param("mixed", {"inputs": [GOOD, GOOD]}, 'input "input" came twice', id="twice"),
        pytest.param("mixed", {"inputs": [GOOD], "id": 5}, "id is the number 5, expected a string", id="id"),
        pytest.param("mixed", {"inputs": [GOOD], "parameters": []}, "parameters is an array of 0", id="parameters"),
        pytest.param(
            "mixed", {"inputs": [GOOD], "outputs": [{"name": "predct"}]}, 'did you mean "predict"?', id="output"
        ),
        pytest.param("mixed", {"inputs": [GOOD], "outputs": [{}]}, "outputs[0].name is missing", id="output-name"),
        pytest.param(
            "mixed", {"inputs": [GOOD], "parameters": {"routing_key": 1.5}}, "routing_key is neither", id="key"
        ),
        pytest.param("customers", {"inputs": [AGE, INCOME, CITY]}, 'missing "member"; this model takes', id="missing"),
        pytest.param(
            "customers",
            {"inputs": [AGE, INCOME, MEMBER, CITY | {"name": "citty"}]},
            'no input "citty" (did you mean "city"?)',
            id="misspelt",
        ),
        pytest.param(
            "customers",
            {"inputs": [AGE | {"datatype": "FP64"}, INCOME, CITY, MEMBER]},
            'input "age": datatype FP64 came, expected INT64',
            id="column-type",
        ),
        pytest.param(
            "customers",
            {"inputs": [AGE | {"data": [None]}, INCOME, CITY, MEMBER]},
            'input "age": element 0 is null, and this input takes no nulls',
            id="column-null",
        ),
        pytest.param(
            "customers",
            {"inputs": [AGE, INCOME, MEMBER, CITY | {"shape": [2], "data": ["Bern", "Genf"]}]},
            'input "city": 2 rows came, but input "age" has 1',
            id="lengths",
        ),
    ],
)
def test_a_bad_request_says_what_came_and_what_is_expected(server, route, message, told):
    response = post(server, f"/v2/models/{route}/infer", json.dumps(message))
    assert response.status_code == 400
    assert list(response.json()) == ["error"]
    assert told in response.json()["error"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"null", b"[" * 5000, b'{"inputs": NaN}'])
def test_a_body_that_is_no_request_is_refused(server, body):
    response = post(server, "/v2/models/mixed/infer", body)
    assert response.status_code == 400
    assert response.json()["error"]


def test_what_the_model_itself_refuses_is_the_callers_to_mend(server):
    raw = np.array([[1, 2, 3, np.inf]]).tobytes()
    response = binary(server, "mixed", [binary_input("input", "FP64", [1, 4], raw)], raw)
    assert response.status_code == 400
    assert "risk/matrix:3 refused the rows: ValueError: Input X contains infinity" in response.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "status", "told"),
    [
        ("GET", "/", 404, "/v2"),
        ("GET", "/v2/models/nothing", 404, 'no model "nothing" here; there is feedback, mixed, customers'),
        ("GET", "/v2/models/feedback/versions/9", 404, 'no version "9"; it has 1, 2'),
        ("GET", "/v2/models/feedback/versions/9/ready", 404, "no version"),
        ("POST", "/v2/models/nothing/infer", 404, "no model"),
        ("POST", "/v2/models/mixed/versions/9/infer", 404, "it has matrix-3, forest-1"),
        ("GET", "/v2/models/mixed/infer", 405, "POST is"),
        ("POST", "/v2/models/mixed", 405, "GET is"),
        ("DELETE", "/v2/health/live", 405, "GET is"),
        ("GET", "/v2/models/mixed/config", 404, "no such path"),
        ("POST", "/v2/repository/other", 404, "no such path"),
    ],
)
def test_a_wrong_address_says_what_there_is(server, method, path, status, told):
    response = requests.request(method, server.rest + path, json={"inputs": [GOOD]}, timeout=10)
    assert response.status_code == status
    assert told in response.json()["error"]
    assert (response.headers.get("allow") is not None) is (status == 405)


@pytest.mark.parametrize("part", ["input", "output", "datatype"])
def test_a_name_of_megabytes_is_neither_compared_nor_given_back(server, part):
    name = "predict" * 100_000
    message = {
        "inputs": [GOOD | ({"name": name} if part == "input" else {"datatype": name} if part == "datatype" else {})]
    }
    message |= {"outputs": [{"name": name}]} if part == "output" else {}
    response = requests.post(f"{server.rest}/v2/models/mixed/infer", json=message, timeout=60)
    assert response.status_code == 400
    assert len(response.json()["error"]) < 2100


def test_names_may_be_percent_encoded(server):
    assert get(server, "/v2/models/%66eedback/versions/%31?x=1").json()["name"] == "feedback"


# --- Binary tensors


def binary_input(name, datatype, shape, raw):
    return {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(raw)}}


def binary(server, route, inputs, tail, *, length=None, **message):
    head = json.dumps({"inputs": inputs, **message}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head) if length is None else length)}
    return requests.post(f"{server.rest}/v2/models/{route}/infer", data=head + tail, headers=headers, timeout=10)


def test_binary_tensors_in_and_out(server, trained):
    rows = np.random.default_rng(4).normal(size=(3, 4))
    response = binary(
        server,
        "mixed",
        [binary_input("input", "FP64", [3, 4], rows.tobytes())],
        rows.tobytes(),
        outputs=[{"name": "predict"}, {"name": "predict_proba", "parameters": {"binary_data": True}}],
    )
    assert response.status_code == 200, response.text
    length = int(response.headers["Inference-Header-Content-Length"])
    message = json.loads(response.content[:length])
    assert response.headers["content-type"] == "application/octet-stream"
    assert message["outputs"][0]["data"] == trained["matrix"].estimator.predict(rows.copy()).tolist()
    assert message["outputs"][1]["parameters"] == {"binary_data_size": 48}
    found = np.frombuffer(response.content[length:]).reshape(3, 2)
    np.testing.assert_allclose(found, trained["matrix"].estimator.predict_proba(rows.copy()), rtol=1e-9)


def test_strings_and_json_mix_with_binary_tensors(server, trained):
    rows = trained["frame"].sample
    age, income, city, member = si.frame_input([row | {"city": "Genf", "income": 10.0} for row in rows])
    expected = si.outputs_of(server.infer("customers", [age, income, city, member]))["predict"]["data"]
    ages = np.array(age["data"], "<i8").tobytes()
    cities = join_elements(text.encode() for text in city["data"])
    inputs = [
        binary_input("city", "BYTES", [len(rows)], cities),
        income,
        binary_input("age", "INT64", [len(rows)], ages),
        member,
    ]
    wish = {"binary_data_output": True}
    mixed = [{"name": "predict_proba", "parameters": {"binary_data": False}}, {"name": "predict"}]
    response = binary(server, "customers", inputs, cities + ages, parameters=wish, outputs=mixed)
    length = int(response.headers["Inference-Header-Content-Length"])
    proba, labels = json.loads(response.content[:length])["outputs"]
    assert len(proba["data"]) == 2 * len(rows)
    assert labels["parameters"]["binary_data_size"] == len(response.content) - length
    assert response.content[length:] == join_elements(label.encode() for label in expected)


@pytest.mark.parametrize(
    ("changes", "tail", "told"),
    [
        ({}, bytes(31), "31 bytes came, FP64 of shape [1, 4] has 32"),
        ({}, bytes(40), "40 bytes came, FP64 of shape [1, 4] has 32"),
        ({"parameters": {"binary_data_size": 99}}, bytes(32), "binary_data_size is 99, but 32 bytes are left"),
        ({"parameters": {"binary_data_size": -1}}, bytes(32), "expected a number of bytes"),
        (
            {"parameters": {"binary_data_size": 24}},
            bytes(32),
            "32 bytes follow the JSON, but the inputs' binary_data_size",
        ),
        ({"data": [1]}, bytes(32), "has both data and binary_data_size"),
        ({}, np.array([1, 2, np.nan, 4]).tobytes(), "row 0 is NaN, and this input takes no missing values"),
    ],
)
def test_binary_data_of_the_wrong_size_is_refused(server, changes, tail, told):
    response = binary(server, "mixed", [binary_input("input", "FP64", [1, 4], tail) | changes], tail)
    assert response.status_code == 400
    assert told in response.json()["error"]


def test_the_length_of_the_json_must_be_there_and_fit(server):
    good = [binary_input("input", "FP64", [1, 4], bytes(32))]
    assert "but the body has" in binary(server, "mixed", good, bytes(32), length=9999).json()["error"]
    assert "is not a number" in binary(server, "mixed", good, bytes(32), length="x").json()["error"]
    response = post(server, "/v2/models/mixed/infer", json.dumps({"inputs": good}))
    assert "Inference-Header-Content-Length is missing" in response.json()["error"]


# --- Compressed bodies


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda data: zlib.compress(data, wbits=-15)),
        ("identity", bytes),
    ],
    ids=["gzip", "deflate", "raw deflate", "identity"],
)
def test_compressed_bodies(server, encoding, compress):
    body = compress(json.dumps({"inputs": [GOOD]}).encode())
    assert post(server, "/v2/models/mixed/infer", body, Content_Encoding=encoding).status_code == 200


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        ("gzip", gzip.compress(bytes(2_000_000)), 413),
        ("gzip", b"no gzip", 400),
        ("gzip", gzip.compress(b"{}" * 1000, mtime=0)[:-8], 400),
        ("deflate", b"", 400),
        ("br", b"{}", 415),
    ],
    # Named: a compressed body as a test's name carries the time of its making, which differs
    # between the processes that share the tests.
    ids=["bomb", "not gzip", "cut short", "empty", "unknown coding"],
)
def test_compressed_bodies_are_bounded_and_whole(server, encoding, body, status):
    response = post(server, "/v2/models/mixed/infer", body, Content_Encoding=encoding)
    assert response.status_code == status
    assert response.json()["error"]


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip", "gzip"),
        ("deflate;q=0.5, gzip", "deflate"),
        ("gzip;q=0, deflate", "deflate"),
        ("br, identity", None),
        ("gzip;q=0.0", None),
    ],
)
def test_answers_are_compressed_where_the_client_takes_it(server, accepted, encoding):
    rows = [[0.0, 0.0, 0.0, 0.0]] * 500
    response = server.infer("mixed", si.matrix_input(rows), headers={"Accept-Encoding": accepted})
    assert response.headers.get("content-encoding") == encoding
    assert response.headers.get("vary") == (encoding and "accept-encoding")
    assert len(si.outputs_of(response)["predict"]["data"]) == 500
    assert (int(response.headers["content-length"]) < 1500) is (encoding is not None)
    small = server.infer("mixed", si.matrix_input(rows[:1]), headers={"Accept-Encoding": accepted})
    assert "content-encoding" not in small.headers  # below a kilobyte it would cost more than it saves


def test_head_is_get_without_its_body(server):
    with requests.Session() as session:
        for path in ("/v2/health/ready", "/v2/models/mixed", "/v2/models/nothing"):
            head = session.head(server.rest + path, timeout=5)
            got = session.get(server.rest + path, timeout=5)
            assert (head.status_code, head.headers["content-length"]) == (
                got.status_code,
                got.headers["content-length"],
            )
            assert head.content == b""
