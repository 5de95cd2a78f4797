"""Data frames in every form that clients send: the same answer from each, and refusals that name the column."""

import asyncio
import base64
import gzip
import io
import json
import operator

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests
import serving_image as si
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from formats.signature import Input, Signature
from serving import frames, helper, messages, tensors, wire
from serving.errors import BadRequest, Unavailable
from serving.logs import Log
from serving.settings import from_environment

ARROW = "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"


def send(server, path, body, content_type="application/json", **headers):
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    return requests.post(server.rest + path, data=body, headers={"Content-Type": content_type, **headers}, timeout=60)


def arrow(table, **options):
    file = io.BytesIO()
    with pa.ipc.new_stream(file, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return file.getvalue()


def parquet(frame):
    file = io.BytesIO()
    frame.to_parquet(file)
    return file.getvalue()


@pytest.fixture
def frame():
    """With a missing value in each column that may lack one, and columns in another order than the training's."""
    return si.customers()[["member", "city", "income", "age"]]


@pytest.fixture
def expected(frame, trained):
    return trained["frame"].estimator.predict(frame[["age", "income", "city", "member"]]).tolist()


def split(frame):
    return json.loads(frame.to_json(orient="split", index=False, double_precision=15))


# --- MLflow's forms


def test_mlflows_four_forms_answer_alike(server, frame, expected):
    rows = si.records(frame)
    columns = {name: [row[name] for row in rows] for name in frame}
    for body in (
        {"dataframe_split": split(frame)},
        {"dataframe_records": rows},
        {"instances": rows},
        {"inputs": columns, "params": {}},
    ):
        response = send(server, "/v2/models/customers/invocations", body)
        assert (response.status_code, response.json()) == (200, {"predictions": expected}), response.text
        assert response.headers["x-model-version"] == "1"


def test_a_bundle_of_one_route_answers_where_mlflow_does(trained, tmp_path, serve, server):
    image = si.build(
        tmp_path / "one", {"payments/voice:1": trained["voice-1"]}, {"feedback": {"payments/voice:1": 100}}
    )
    running = serve(image)
    expected = trained["voice-1"].estimator.predict(["lost card"]).tolist()
    for body in (
        {"inputs": ["lost card"]},
        {"instances": [["lost card"]]},
        {"dataframe_records": [{"text": "lost card"}]},
    ):
        assert send(running, "/invocations", body).json() == {"predictions": expected}
    assert requests.get(f"{running.rest}/ping", timeout=5).status_code == 200
    response = send(server, "/invocations", {"inputs": ["lost card"]})
    assert response.status_code == 404
    assert "ask one of /v2/models/feedback/invocations, " in response.json()["error"]


def test_rows_without_names_go_to_a_matrix(server, trained):
    rows = np.random.default_rng(3).normal(size=(3, 4))
    expected = trained["matrix"].estimator.predict(rows.copy()).tolist()
    for form in ("instances", "inputs"):
        response = send(server, "/v2/models/mixed/versions/matrix-3/invocations", {form: rows.tolist()})
        assert response.json() == {"predictions": expected}


def test_named_columns_go_to_a_matrix_by_the_names_of_its_sample(server, trained):
    rows = pd.DataFrame(np.random.default_rng(3).normal(size=(3, 4)), columns=["z", "b", "y", "a"])
    expected = trained["matrix"].estimator.predict(rows.to_numpy(copy=True)).tolist()
    path = "/v2/models/mixed/versions/matrix-3/invocations"
    moved = rows[["a", "b", "y", "z"]]
    assert send(server, path, {"dataframe_split": split(moved)}).json() == {"predictions": expected}
    response = send(server, path, {"dataframe_split": split(rows.rename(columns={"b": "bb"}))})
    assert (response.status_code, 'no input "bb" (did you mean "b"?)' in response.text.replace("\\", "")) == (400, True)


ROW = {"age": 40, "income": 1.5, "city": "Bern", "member": True}


@pytest.mark.parametrize(
    ("body", "told"),
    [
        pytest.param({}, "nothing, expected exactly one of dataframe_split, ", id="none"),
        pytest.param([], "the request is an array of 0", id="array"),
        pytest.param({"inputs": [1], "instances": [1]}, "inputs, instances, expected exactly one", id="two"),
        pytest.param({"dataframe_split": [ROW]}, "expected an object with the arrays columns and data", id="no-split"),
        pytest.param({"dataframe_split": {"columns": [1], "data": []}}, "columns has the number 1", id="name"),
        pytest.param({"dataframe_split": {"columns": ["age"], "data": [[1, 2]]}}, "row 0 is an array of 2", id="width"),
        pytest.param({"dataframe_split": {"columns": ["age"], "data": []}}, "missing", id="empty"),
        pytest.param({"dataframe_records": []}, "an array of 0", id="no-records"),
        pytest.param({"dataframe_records": [5]}, "dataframe_records[0] is the number 5", id="number"),
        pytest.param({"instances": [[1, 2]]}, 'takes the columns "age", "income"', id="unnamed"),
        pytest.param({"inputs": {"age": 5}}, 'column "age" is the number 5, expected an array', id="scalar"),
        pytest.param({"inputs": 5}, "inputs is the number 5", id="inputs"),
        pytest.param({"instances": [ROW | {"sex": "f"}]}, 'no input "sex"; expected "age", "income"', id="extra"),
        pytest.param(
            {"instances": [{**{k: v for k, v in ROW.items() if k != "city"}, "ctiy": "Bern"}]},
            'no input "ctiy" (did you mean "city"?)',
            id="misspelt",
        ),
        pytest.param(
            {"instances": [{k: v for k, v in ROW.items() if k != "age"}]},
            'missing "age"; this model takes',
            id="missing",
        ),
        pytest.param({"instances": [ROW | {"age": "old"}]}, 'input "age": element 0 is the string', id="mistyped"),
        pytest.param({"instances": [ROW | {"age": 4.5}]}, "expected an integer (INT64)", id="float"),
        pytest.param({"instances": [ROW, {**ROW, "age": None}]}, 'input "age": element 1 is null', id="null"),
    ],
)
def test_a_bad_frame_says_what_came_and_what_is_expected(server, body, told):
    response = send(server, "/v2/models/customers/invocations", body)
    assert response.status_code == 400
    assert told in response.json()["error"]


def test_other_media_types_are_named(server):
    response = send(server, "/v2/models/customers/invocations", b"{}", "text/plain")
    assert response.status_code == 415
    assert "text/csv" in response.json()["error"]


# --- Tables


def test_tables_answer_alike(server, frame, expected):
    table = pa.Table.from_pandas(frame)
    narrow = table.set_column(3, "age", table["age"].cast("int16")).set_column(
        1, "city", table["city"].dictionary_encode()
    )
    indexed = frame.set_index(pd.Index(range(7, 67), name=None))
    for content_type, body in (
        (ARROW, arrow(table)),
        (ARROW, arrow(narrow, compression="zstd")),
        (PARQUET, parquet(frame)),
        (PARQUET, parquet(indexed)),
        ("text/csv; charset=utf-8", frame.to_csv(index=False).encode()),
    ):
        response = send(server, "/v2/models/customers/invocations", body, content_type)
        assert (response.status_code, response.json()) == (200, {"predictions": expected}), response.text
        response = send(server, "/v2/models/customers/infer?outputs=predict", body, content_type)
        assert si.outputs_of(response)["predict"]["data"] == expected


@pytest.mark.parametrize("query", ["predict,predict_proba", "predict&outputs=predict_proba"])
def test_several_outputs_of_a_table_are_named_in_either_way(server, frame, query):
    body = frame.to_csv(index=False).encode()
    response = send(server, f"/v2/models/customers/infer?outputs={query}", body, "text/csv")
    assert list(si.outputs_of(response)) == ["predict", "predict_proba"]


def test_arrow_is_answered_where_it_is_accepted(server, frame, expected, trained):
    body = arrow(pa.Table.from_pandas(frame))
    response = send(server, "/v2/models/customers/infer", body, ARROW, Accept=ARROW)
    assert response.headers["content-type"] == ARROW
    answer = pa.ipc.open_stream(response.content).read_all()
    assert answer.column_names == ["predict", "predict_proba", "decision_function"]
    assert answer["predict"].to_pylist() == expected
    own = trained["frame"].estimator.predict_proba(frame[["age", "income", "city", "member"]])
    np.testing.assert_allclose(answer["predict_proba"].to_pylist(), own, rtol=1e-9)
    assert answer.schema.metadata[b"model_version"] == b"1"
    assert answer.schema.metadata[b"release_digest"].startswith(b"sha256:")
    told = server.infer("customers", si.frame_input([ROW]), headers={"Accept": ARROW})
    assert pa.ipc.open_stream(told.content).read_all()["predict"].to_pylist()[0] in ("old", "young")


@pytest.mark.parametrize(
    ("content_type", "body", "told"),
    [
        (ARROW, b"\x04\0\0\0junk", "not Arrow"),
        (ARROW, b"", "not Arrow"),
        (PARQUET, b"junk", "not Parquet"),
        (PARQUET, parquet(si.customers())[:-30], "not Parquet"),
        ("text/csv", b"age,income,city,member\n", "0 rows came"),
        ("text/csv", b"age,income,city,member\n1,2\n", "row 1 has 2 values, expected 4"),
        ("text/csv", b"age,income,city,member\nx,2,Bern,true\n", "input \"age\": element 0 is the string 'x'"),
        ("text/csv", b"age,income,city,member\n1,2,Bern,ja\n", 'input "member": element 0 is the string'),
        ("text/csv", b"age,income,city,member\n,2,Bern,true\n", "element 0 is null"),
        ("text/csv", b'age\n"1', "not CSV"),
        ("text/csv", b"age\n\xff", "not UTF-8"),
        (ARROW, arrow(pa.table({"age": [[1]], "income": [1.0], "city": ["a"], "member": [True]})), "column of List"),
        (ARROW, arrow(pa.table({"age": ["1"], "income": [1.0], "city": ["a"], "member": [True]})), "BYTES came, exp"),
        (
            ARROW,
            arrow(pa.table({"age": [1], "income": [1.0], "city": [pd.Timestamp("2026-01-01")], "member": [True]})),
            'input "city": dates came, expected BYTES',
        ),
    ],
)
def test_a_bad_table_says_what_came_and_what_is_expected(server, content_type, body, told):
    response = send(server, "/v2/models/customers/infer", body, content_type)
    assert response.status_code == 400, response.text
    assert told in response.json()["error"]


def test_tables_are_bounded_by_what_they_hold(server, small_image, serve):
    bomb = pa.table({"text": pa.array(["x" * 100] * 50_000).dictionary_encode()})
    file = io.BytesIO()
    pq.write_table(bomb, file)
    assert len(file.getvalue()) < 10_000
    running = serve(small_image, max_rows=10_000)
    response = send(running, "/v2/models/feedback/infer", file.getvalue(), PARQUET)
    assert (response.status_code, "more than 10000 rows" in response.text) == (413, True)
    response = send(
        server, "/v2/models/feedback/infer", arrow(bomb.cast(pa.schema({"text": "string"})), compression="zstd"), ARROW
    )
    assert (response.status_code, "larger than 1000000 bytes" in response.text) == (413, True)
    rows = running.infer("feedback", si.text_input(*["a"] * 10_001))
    assert (rows.status_code, "10001 rows came, at most 10000" in rows.text) == (413, True)


def test_a_reader_that_ends_fails_its_request_only(server, frame, expected):
    table = arrow(pa.Table.from_pandas(frame))
    assert send(server, "/v2/models/customers/invocations", table, ARROW).status_code == 200
    si.kill(server.events("helper started")[-1]["pid"])
    answers = [send(server, "/v2/models/customers/invocations", table, ARROW) for _ in range(2)]
    assert answers[0].status_code in (200, 413)
    assert answers[1].json() == {"predictions": expected}
    broken = send(server, "/v2/models/customers/invocations", b"junk", ARROW)  # a length of 1.8 GB
    assert (broken.status_code, "takes more memory than allowed" in broken.text) == (413, True)
    assert send(server, "/v2/models/customers/invocations", table, ARROW).status_code == 200


NULLABLE = Signature("matrix", (Input("input", "FP64", (-1, 3), nullable=True),), ())


@pytest.mark.parametrize("values", [[1, None, 3], [[1, None, 3]]])
def test_integers_of_which_one_is_missing_are_taken_for_floats(values):
    given = messages.GivenInput("input", "INT64", (1, 3), values)
    (tensor,) = messages.bind(NULLABLE, messages.InferRequest([given])).inputs
    assert tensors.to_values(tensor) == [[1.0, None, 3.0]]


@pytest.mark.parametrize(
    ("datatype", "values", "told"),
    [
        ("INT64", [1, None, 3.5], "element 2 is the number 3.5, expected an integer"),
        ("INT8", [[1, None, 300]], "a number is out of range: INT8"),
        ("BYTES", [1, None, 3], "datatype BYTES came, expected FP64"),
    ],
)
def test_beside_one_that_is_missing_the_others_are_judged_as_ever(datatype, values, told):
    given = messages.GivenInput("input", datatype, (1, 3), values)
    with pytest.raises(BadRequest, match=told):
        messages.bind(NULLABLE, messages.InferRequest([given]))


def test_a_wrong_datatype_is_told_before_nan():
    number = Signature("frame", (Input("age", "INT64", (-1,)),), ())
    given = messages.GivenInput("age", "FP64", (1,), raw=np.array([np.nan]).tobytes())
    with pytest.raises(BadRequest, match="datatype FP64 came, expected INT64"):
        messages.bind(number, messages.InferRequest([given]))


def test_a_fault_in_the_reader_is_one_requests_and_keeps_what_was_read(monkeypatch):
    def broken(*_):
        raise RuntimeError("a secret detail")

    kept = {1: "of another"}
    monkeypatch.setattr(wire, "parse", broken)
    head = {"do": "parse", "number": 2, "ended": [], "wanted": {"kind": "oip", "answer": "oip", "outputs": []}}
    said, _ = helper._answer(kept, head, [tensors.Tensor("body", "UINT8", (1,), b"x")])
    assert (said["error"], "secret" in said["message"], kept) == ("ServingError", False, {1: "of another"})


def test_a_body_that_was_lost_with_its_reader_is_read_again():
    class Restarted:
        """Lost what it was given first."""

        def __init__(self):
            self.read = 0

        async def parse(self, wanted, body):
            self.read += 1
            return self.read, {"id": "x", "parameters": {}, "form": {"binary": False, "named": {}}}

        async def call(self, head):
            if head["number"] == 1:
                raise Unavailable("lost")
            return {"outputs": ["predict"]}, []

    async def scenario():
        request = helper.FarRequest(restarted, wire.Wanted("oip", "oip"), b"{}")
        await request.read()
        return await request.bind(Signature("text", (), ()))

    restarted = Restarted()
    batch = asyncio.run(scenario())
    assert (batch.outputs, restarted.read) == (("predict",), 2)


def test_a_body_is_forgotten_when_its_caller_gives_up_between_reading_and_binding():
    """Else the reader keeps it until its memory is full, and refuses everybody's."""

    class Slow(helper.Helper):
        async def call(self, head, _=None):
            if head["do"] == "bind":
                await asyncio.Event().wait()
            return {"id": "", "parameters": {}, "form": {"binary": False, "named": {}}}, []

    async def scenario():
        reader = Slow(from_environment({}), Log("error"))

        async def ask():
            async with reader.read(wire.Wanted("oip", "oip"), b"{}") as (request, _):
                await request.bind(Signature("text", (), ()))

        task = asyncio.create_task(ask())
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return reader._ended

    assert asyncio.run(scenario()) == [1]


@pytest.mark.parametrize("form", ["dataframe_records", "instances"])
def test_records_that_share_no_columns_are_refused_instead_of_squared(form):
    body = json.dumps({form: [{f"c{number}": 0} for number in range(2000)]}).encode()
    with pytest.raises(BadRequest, match="2000 rows have 2000 different columns"):
        frames.parse_mlflow(body)
    few = json.dumps({form: [{f"c{number}": 0} for number in range(20)]}).encode()
    assert len(frames.parse_mlflow(few).inputs) == 20


def test_large_bodies_are_read_beside_the_event_loop(server, frame):
    """The same request, small and large; the large one's answer is large, too."""
    many = pd.concat([frame] * 200, ignore_index=True)
    body = json.dumps({"inputs": si.frame_input(si.records(many)), "id": "large"}).encode()
    assert 256 * 1024 < len(body) < 1_000_000
    response = send(server, "/v2/models/customers/infer", body)
    small = si.outputs_of(server.infer("customers", si.frame_input(si.records(frame))))
    assert response.json()["id"] == "large"
    for name, output in si.outputs_of(response).items():
        assert output["data"] == small[name]["data"] * 200
    squeezed = requests.post(
        f"{server.rest}/v2/models/customers/infer",
        data=gzip.compress(body),
        headers={"Content-Encoding": "gzip"},
        timeout=60,
    )
    assert squeezed.json()["outputs"] == response.json()["outputs"]
    refused = send(server, "/v2/models/nothing/infer", body)
    assert (refused.status_code, "no model" in refused.text) == (404, True)


def _json(values, shape, datatype="FP64"):
    item = {"name": "x", "shape": shape, "datatype": datatype, "data": values}
    return json.dumps({"inputs": [item]}).encode()


def test_which_bodies_are_read_beside_the_event_loop():
    """A thousand rows of thirty numbers are not; what is larger, denser, or of texts is."""
    oip = wire.Wanted("oip", "oip")
    rows = _json([[0.1234567890123456] * 30] * 1000, [1000, 30])
    assert 256 * 1024 < len(rows) < 640 * 1024
    assert not helper.is_far(oip, rows)
    assert helper.is_far(oip, _json([[0.1234567890123456] * 30] * 1500, [1500, 30]))
    assert helper.is_far(oip, _json([1] * 100_000, [100_000]))
    assert helper.is_far(oip, _json(["a card was lost"] * 20_000, [20_000], "BYTES"))
    assert helper.is_far(wire.Wanted("csv", "oip"), rows)


@pytest.mark.parametrize("word", [True, False])
def test_a_boolean_among_many_numbers_is_named(word):
    values = [0.25] * 5_000
    parsed, _ = wire.parse(wire.Wanted("oip", "oip"), _json(values, [5_000]))
    assert parsed.inputs[0].plain
    values[4_321] = word
    parsed, _ = wire.parse(wire.Wanted("oip", "oip"), _json(values, [5_000]))
    signature = Signature("matrix", (Input("x", "FP64", (-1,), nullable=False),), ())
    with pytest.raises(BadRequest, match=rf"element 4321 is {str(word).lower()}, expected a number"):
        messages.bind(signature, parsed)


def test_texts_with_every_letter_are_not_taken_for_numbers():
    parsed, _ = wire.parse(wire.Wanted("oip", "oip"), _json(["that fits"] * 5_000, [5_000], "BYTES"))
    assert not parsed.inputs[0].plain


# --- What MLServer's clients send


def test_mlservers_content_types(server, frame, expected):
    inputs = si.frame_input(si.records(frame))
    for item in inputs:
        item["shape"] = [len(frame), 1]
    age, income, city, member = inputs
    city["parameters"] = {"content_type": "str"}
    income["parameters"] = {"content_type": "np"}
    message = {"parameters": {"content_type": "pd"}, "inputs": [city, member, age, income]}
    found = si.outputs_of(send(server, "/v2/models/customers/infer", message))
    assert found["predict"]["data"] == expected
    texts = ["my card was stolen", "the app crashes"]
    coded = [base64.b64encode(text.encode()).decode() for text in texts]
    text = {**si.text_input(*coded)[0], "parameters": {"content_type": "base64"}}
    plain = si.outputs_of(server.infer("feedback", si.text_input(*texts), version="1"))
    assert si.outputs_of(server.infer("feedback", [text], version="1")) == plain
    text["data"][1] = "no base64!"
    assert "element 1 is the string 'no base64!', expected base64" in server.infer("feedback", [text]).json()["error"]
    text["parameters"] = {"content_type": "jpg"}
    told = server.infer("feedback", [text]).json()["error"]
    assert told == "input \"text\": content_type is the string 'jpg', expected one of np, pd, str, base64, datetime"


# --- Dates


def dates_model():
    """Takes real dates, and cannot take them as text."""
    moments = pd.Series(pd.date_range("2026-01-01 08:30", periods=40, freq="D"))
    frame = pd.DataFrame({"opened": moments, "branch": ["Bern", "Basel"] * 20})
    days = make_pipeline(FunctionTransformer(pd.DataFrame.astype, kw_args={"dtype": "int64"}), StandardScaler())
    columns = ColumnTransformer([("days", days, ["opened"]), ("words", OneHotEncoder(), ["branch"])])
    model = make_pipeline(columns, LogisticRegression()).fit(frame, moments > moments[19])
    return model, frame


@pytest.fixture(scope="module")
def dated(tmp_path_factory):
    """A server of a model that was trained on dates, and the frame it was trained on."""
    folder = tmp_path_factory.mktemp("dated")
    model, frame = dates_model()
    sample = [{"opened": str(row.opened.isoformat()), "branch": row.branch} for row in frame.head(4).itertuples()]
    trained = si.train(model, sample, folder)
    image = si.build(folder / "image", {"risk/accounts:1": trained}, {"accounts": {"risk/accounts:1": 100}})
    running = si.Running(image, folder / "server.log")
    try:
        yield running.wait_ready(), model, frame
    finally:
        running.stop()


def test_dates_are_in_the_contract_and_reach_the_model_as_dates(dated):
    server, model, frame = dated
    metadata = requests.get(f"{server.rest}/v2/models/accounts", timeout=5).json()
    opened = metadata["inputs"][0]
    assert (opened["name"], opened["datatype"], opened["parameters"]["content_type"]) == ("opened", "BYTES", "datetime")
    expected = model.predict(frame).tolist()
    texts = [moment.isoformat() for moment in frame["opened"]]
    given = [
        {"name": "branch", "datatype": "BYTES", "shape": [40], "data": frame["branch"].tolist()},
        {
            "name": "opened",
            "datatype": "BYTES",
            "shape": [40],
            "data": texts,
            "parameters": {"content_type": "datetime"},
        },
    ]
    assert si.outputs_of(server.infer("accounts", given))["predict"]["data"] == expected
    for content_type, body in (
        (ARROW, arrow(pa.Table.from_pandas(frame))),
        (PARQUET, parquet(frame)),
        ("text/csv", frame.to_csv(index=False).encode()),
    ):
        response = send(server, "/v2/models/accounts/invocations", body, content_type)
        assert response.json() == {"predictions": expected}, content_type


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("yesterday", "element 0 is the string 'yesterday', expected a date or time in ISO 8601"),
        ("2026-01-01T08:30:00Z", "expected no time zone"),
        (5, "element 0 is the number 5, expected a string"),
    ],
)
def test_what_is_no_date_is_refused(dated, value, told):
    server, _, _ = dated
    response = send(server, "/v2/models/accounts/invocations", {"instances": [{"branch": "Bern", "opened": value}]})
    assert response.status_code == 400
    assert told in response.json()["error"]


def zoned_model():
    """Answers by the hour in Zurich."""
    # Around the night in which clocks are put forward: one offset for all would be wrong.
    frame = pd.DataFrame({"opened": pd.date_range("2026-03-28 12:00", periods=72, freq="h", tz="Europe/Zurich")})
    hours = FunctionTransformer(pd.DataFrame.apply, kw_args={"func": operator.attrgetter("dt.hour")})
    return make_pipeline(hours, DecisionTreeClassifier()).fit(frame, frame["opened"].dt.hour), frame


@pytest.fixture(scope="module")
def zoned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zoned")
    model, frame = zoned_model()
    sample = [{"opened": f"{moment.isoformat()}[Europe/Zurich]"} for moment in frame["opened"].head(4)]
    trained = si.train(model, sample, folder)
    image = si.build(folder / "image", {"risk/hours:1": trained}, {"hours": {"risk/hours:1": 100}})
    running = si.Running(image, folder / "server.log")
    try:
        yield running.wait_ready(), frame
    finally:
        running.stop()


def test_moments_of_any_zone_reach_the_model_in_its_own(zoned):
    server, frame = zoned
    metadata = requests.get(f"{server.rest}/v2/models/hours", timeout=5).json()
    told = metadata["inputs"][0]["parameters"]
    assert (told["content_type"], told["unit"], told["zone"]) == ("datetime", "us", "Europe/Zurich")
    expected = frame["opened"].dt.hour.tolist()
    utc = frame.assign(opened=frame["opened"].dt.tz_convert("UTC"))
    texts = [moment.isoformat() for moment in frame["opened"].dt.tz_convert("Asia/Tokyo")]
    for content_type, body in (
        (ARROW, arrow(pa.Table.from_pandas(frame))),
        (ARROW, arrow(pa.Table.from_pandas(utc))),
        (PARQUET, parquet(utc)),
        ("text/csv", frame.to_csv(index=False).encode()),
        (None, {"dataframe_split": {"columns": ["opened"], "data": [[text] for text in texts]}}),
        (None, {"dataframe_records": [{"opened": text} for text in texts]}),
        (None, {"instances": [{"opened": text} for text in texts]}),
        (None, {"inputs": {"opened": texts}}),
    ):
        response = send(server, "/v2/models/hours/invocations", body, *([content_type] if content_type else []))
        assert response.json() == {"predictions": expected}, content_type
    given = [{"name": "opened", "datatype": "BYTES", "shape": [len(texts)], "data": texts}]
    assert si.outputs_of(server.infer("hours", given))["predict"]["data"] == expected


def test_a_time_without_a_zone_is_refused_by_the_column_that_needs_one(zoned):
    server, frame = zoned
    naive = frame.assign(opened=frame["opened"].dt.tz_localize(None))
    for content_type, body in (
        (ARROW, arrow(pa.Table.from_pandas(naive))),
        (PARQUET, parquet(naive)),
        ("text/csv", naive.to_csv(index=False).encode()),
        (None, {"instances": [{"opened": "2026-03-28T12:00:00"}]}),
    ):
        response = send(server, "/v2/models/hours/invocations", body, *([content_type] if content_type else []))
        assert response.status_code == 400
        assert 'input "opened": element 0 is the string \'2026-03-28' in response.json()["error"]
        assert "expected a time zone, as in 2026-01-31T09:30:00+01:00" in response.json()["error"]


@pytest.mark.parametrize(
    ("texts", "zone"),
    [
        (["2026-01-01T08:30:00", None], None),
        (["yesterday"], None),
        (["2026-01-01T08:30:00+01:00", "2026-01-01T08:30:00"], None),
        (["2026-01-01T08:30:00Z", None], "UTC"),
        (["2026-01-01T08:30:00-03:30"], "-03:30"),
        (["2026-01-01T08:30:00+01:00", "2026-07-01T08:30:00+02:00"], "UTC"),
        (["2026-01-01T08:30:00+01:00[Europe/Zurich]", "2026-07-01T08:30:00Z[Europe/Zurich]"], "Europe/Zurich"),
        (["2026-01-01T08:30:00+01:00[Europe/Zurich]", "2026-01-01T08:30:00+01:00"], "+01:00"),
        ([None], None),
    ],
)
def test_the_zone_of_a_sample(texts, zone):
    assert tensors.zone_of(texts) == zone


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "2026-01-01T08:30:00[Europe/Zurich]", "12:30"])
def test_what_is_no_moment_is_refused(text):
    with pytest.raises(tensors.TensorError, match="element 0 is the string"):
        tensors.dates(tensors.from_values("opened", "BYTES", (1,), [text]), "UTC")
