"""Uploading from the browser without a script: real bytes through the form, and what a refusal leaves behind."""

import io
import os
import re
import threading

import pytest

from formats import canonical, own_code
from formats import digest as digests
from portal.catalog import receiving
from registry import uploads
from registry.errors import StorageFull, TooLarge
from registry.store import LocalStore
from tests import factories, own_wheels
from tests.portal.catalog.conftest import VOICE, kept_fields, objects, words
from tests.portal.conftest import PASSWORD, hidden_fields

MODEL = os.urandom(300_000)
SAMPLE = b'{"text": "my card is lost"}\n'
BOUNDARY = "x" * 20
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"
CARD = factories.card(purpose="Routes feedback by hand")


def form(**fields):
    """A filled-in form; None leaves a field out."""
    filled = {
        "team": "payments",
        "name": "voice",
        "format": "joblib",
        "card": CARD,
        "label": "1.0",
        "model_file": (io.BytesIO(MODEL), "my model.joblib"),
        "sample_file": (io.BytesIO(SAMPLE), "rows.jsonl"),
        "requirements_file": (io.BytesIO(b""), ""),
        **fields,
    }
    return {name: value for name, value in filled.items() if value is not None}


def multipart(fields, **files):
    """A form as a browser writes it, but for its end. The test client would write a large one to a file of its own."""
    parts = [(f'name="{name}"', value.encode()) for name, value in fields.items()]
    parts += [(f'name="{name}"; filename="a.{name}"', data) for name, data in files.items()]
    return b"".join(
        f"--{BOUNDARY}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + data + b"\r\n"
        for head, data in parts
    )


def send(browser, **fields):
    return browser.submit("/upload", form(**fields))


def test_files_go_to_the_store_and_a_version_is_registered(world, ana):
    answer = send(
        ana,
        **{
            "metrics-0-metric": "accuracy",
            "metrics-0-value": "0,91",
            "metrics-0-dataset": "october",
            "metrics-0-better": "higher",
        },
    )
    assert answer.location == f"{VOICE}/versions/1"
    with world.read() as session:
        version = world.version(session, 1)
        assert {file.path: file.digest for file in version.files} == {
            "model.joblib": digests.of_bytes(MODEL),
            "sample.jsonl": digests.of_bytes(SAMPLE),
        }
        assert version.label == "1.0"
        assert version.uploader == world.ana.ref
        (metric,) = version.metrics
        assert (metric.name, metric.value, metric.dataset, metric.higher_is_better) == (
            "accuracy",
            0.91,
            "october",
            True,
        )
    assert b"".join(world.store.chunks(digests.of_bytes(MODEL))) == MODEL
    assert "Version 1 is uploaded. Its checks begin now." in words(ana.get(answer.location).text)


def test_a_wheel_of_own_code_is_declared_for_its_sender(world, ana):
    data = own_wheels.good()
    answer = send(ana, wheel_file=(io.BytesIO(data), own_wheels.NAME))
    assert answer.location == f"{VOICE}/versions/1"
    declared = own_code.declaration([own_code.Declared("riskfeatures", "1.0", digests.of_bytes(data))])
    with world.read() as session:
        files = {file.path: file.digest for file in world.version(session, 1).files}
    assert files[f"wheels/{own_wheels.NAME}"] == digests.of_bytes(data)
    assert canonical.loads(world.store.read(files["own-code.json"], limit=1000)) == declared


@pytest.mark.parametrize(
    "name", ["riskfeatures.zip", "riskfeatures-1.0-cp311-cp311-linux_x86_64.whl", "../a-1-py3-none-any.whl"]
)
def test_another_file_for_a_wheel_is_refused_at_its_field(ana, name):
    answer = send(ana, wheel_file=(io.BytesIO(b"x"), name))
    assert answer.status_code == 422
    assert "wheel" in words(answer.text).partition("Wheel of your own code")[2][:400]
    assert ana.get(f"{VOICE}/versions/1").status_code == 404


def test_the_same_again_is_the_same_version(ana):
    send(ana)
    answer = send(ana, label="2.0")
    assert answer.location == f"{VOICE}/versions/1"
    assert "held the same content already" in words(ana.get(answer.location).text)


def test_digests_stand_for_files_that_were_sent_before(world, ana):
    with world.write() as session:
        model, sample = factories.blob(session, world, MODEL), factories.blob(session, world, SAMPLE)
    answer = send(ana, model_file=None, sample_file=None, model_digest=model, sample_digest=sample)
    assert answer.status_code == 303


def test_digests_of_somebody_else_are_refused_as_if_they_were_not_there(world, visit):
    with world.write() as session:
        model, sample = (
            factories.blob(session, world, MODEL, actor=world.lea),
            factories.blob(session, world, SAMPLE, actor=world.lea),
        )
    answer = send(visit("ben"), model_file=None, sample_file=None, model_digest=model, sample_digest=sample)
    assert answer.status_code == 404
    assert "you have not uploaded" in words(answer.text)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"card": "no head"}, "card has no head"),
        ({"card": "---\npurpose: x\n---\n"}, "task"),
        ({"card": ""}, "A version needs a card."),
        ({"name": "Not A Name"}, "lower-case"),
        ({"name": ""}, "Name the model."),
        ({"sample_file": None}, "Choose sample rows."),
        ({"metrics-0-metric": "accuracy", "metrics-0-value": "great"}, "'great' is not a number"),
        ({"model_file": None, "model_digest": "sha256:short"}, "choose it again"),
        ({"label": "x" * 64}, "63"),
    ],
)
def test_a_refusal_keeps_what_was_typed_and_sent(world, ana, fields, said):
    answer = send(ana, **{"name": "voice", "label": "my label", **fields})
    assert answer.status_code == 422
    assert said in words(answer.text)
    if "label" not in fields:
        assert 'value="my label"' in answer.text
    if "card" not in fields:
        assert "Routes feedback by hand" in answer.text
    if "model_file" not in fields:
        assert f'value="{digests.of_bytes(MODEL)}"' in answer.text, "the file is not to be sent twice"
        assert "my model.joblib is here" in words(answer.text)
    with world.read() as session:
        assert not session.query(factories.ModelVersion).count()


def test_a_corrected_form_needs_no_second_upload(ana):
    refused = send(ana, card="no head")
    again = form(model_file=None, sample_file=None) | hidden_fields(refused.text)
    assert ana.post("/upload", data=again).status_code == 303


def test_a_card_may_be_as_long_as_the_domain_takes_in_any_script(world, ana):
    card = CARD + "模" * 190_000
    fields = {"csrf_token": ana.token(), "team": "payments", "name": "voice", "card": card, "format": "joblib"}
    body = multipart(fields, model_file=MODEL, sample_file=SAMPLE) + f"--{BOUNDARY}--\r\n".encode()
    answer = ana.post("/upload", input_stream=io.BytesIO(body), content_length=len(body), content_type=MULTIPART)
    assert answer.status_code == 303
    with world.read() as session:
        assert world.version(session, 1).card == card


def test_a_pickle_is_called_so(world, ana):
    assert send(ana, format="pickle", model_file=(io.BytesIO(MODEL), "m.pickle")).status_code == 303
    with world.read() as session:
        assert world.version(session, 1).artifact == "model.pkl"


def test_a_new_version_begins_with_the_card_of_the_last(world, ana):
    send(ana)
    text = ana.get("/upload?model=payments/voice").text
    assert "Routes feedback by hand" in text
    assert 'value="voice"' in text
    assert ana.get("/upload?model=lending/nothing").status_code == 404


def test_another_team_is_refused(world, visit):
    lea = visit("lea")
    answer = send(lea, team="payments")
    assert answer.status_code == 422
    assert objects(world.store._objects.parent) <= {digests.parse(digests.of_bytes(data)) for data in (MODEL, SAMPLE)}
    with world.read() as session:
        assert not session.query(factories.ModelVersion).count()


@pytest.mark.parametrize("username", ["cora", "kim", "aud", "root", "ops", "nil"])
def test_who_may_not_push_leaves_nothing(world, visit, username):
    browser = visit(username)
    answer = browser.post("/upload", data=form(csrf_token=browser.token()))
    assert answer.status_code == 403
    assert objects(world.store._objects.parent) == set()


def test_a_form_without_our_token_leaves_nothing(world, ana):
    assert ana.post("/upload", data=form()).status_code == 400
    assert objects(world.store._objects.parent) == set()


def test_nobody_signed_in_leaves_nothing(world, client):
    assert client.post("/upload", data=form()).status_code in (303, 401)
    assert objects(world.store._objects.parent) == set()


def test_an_upload_that_breaks_off_leaves_nothing(world, ana):
    fields = {"csrf_token": ana.token(), "team": "payments", "name": "voice", "card": CARD, "format": "joblib"}
    body = multipart(fields, sample_file=SAMPLE, model_file=MODEL)[:-100]
    length = len(body) + 1_000_000
    answer = ana.post("/upload", input_stream=io.BytesIO(body), content_length=length, content_type=MULTIPART)
    assert answer.status_code == 400
    assert objects(world.store._objects.parent) == set()
    assert not [thread for thread in threading.enumerate() if thread.name == "upload"]
    with world.read() as session:
        assert not session.query(uploads.Upload).count()


def test_an_ended_session_keeps_the_text_and_not_the_bytes(world, ana):
    data = form(csrf_token=ana.token(), label="hours of work")
    ana.delete_cookie("countersign")
    answer = ana.post("/upload", data=data, headers={"Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 401
    assert objects(world.store._objects.parent) == set()
    again = {
        **hidden_fields(answer.text),
        **kept_fields(answer.text),
        "signin-username": "ana",
        "signin-password": PASSWORD,
    }
    answer = ana.post("/upload", data=again, headers={"Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 200
    assert "hours of work" in answer.text
    assert "Routes feedback by hand" in answer.text
    assert re.search(r'name="name"[^>]*value="voice"', answer.text)


def test_a_full_disk_is_told_and_the_form_is_kept(world, ana, monkeypatch):
    def full(*_args, **_named):
        raise StorageFull("the disk of the store is full, nothing was kept", hint="Tell an operator.")

    monkeypatch.setattr(LocalStore, "put", full)
    answer = send(ana)
    assert answer.status_code == 507
    assert "the disk of the store is full" in words(answer.text)
    assert "Routes feedback by hand" in answer.text


def test_files_are_streamed_in_pieces(tmp_path):
    store = LocalStore(tmp_path)
    inflow = receiving.Inflow(store, limit=64 << 20)
    data = os.urandom(1 << 20)
    for _ in range(20):
        inflow.write(data)
        assert len(inflow._held) < receiving.CHUNK + len(data)
        assert inflow._pieces.qsize() <= receiving.AHEAD
    inflow.seek(0)
    assert not list(tmp_path.rglob("objects/*/*")), "nothing is published before it is wanted"
    digest, size = inflow.finish()
    assert (digest, size) == (digests.of_bytes(data * 20), 20 << 20)


def test_a_file_that_nobody_wants_is_dropped(tmp_path):
    inflow = receiving.Inflow(LocalStore(tmp_path), limit=64 << 20)
    inflow.write(os.urandom(8 << 20))
    inflow.abort()
    assert objects(tmp_path) == set()
    inflow.abort()


def test_too_large_a_file_is_refused_after_the_form_was_read(tmp_path):
    inflow = receiving.Inflow(LocalStore(tmp_path), limit=1 << 20)
    for _ in range(12):
        assert inflow.write(b"x" * (1 << 20)) == 1 << 20
    with pytest.raises(TooLarge):
        inflow.finish()
    assert objects(tmp_path) == set()


def test_an_empty_file_is_a_file(tmp_path):
    inflow = receiving.Inflow(LocalStore(tmp_path), limit=10)
    assert inflow.finish() == (digests.of_bytes(b""), 0)


def test_somebody_without_a_team_is_told_what_to_do(make_person, sign_in):
    browser = sign_in(make_person("new", roles=["scientist"]))
    assert "You are in no team yet" in words(browser.get("/upload").text)
