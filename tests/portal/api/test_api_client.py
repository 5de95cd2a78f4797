"""Our own client against the real server: the first user of the API."""

import json
import pickle
from datetime import timedelta

import pytest

import countersign
from countersign import errors
from registry import builds, catalog, jobs
from registry.orm.approval import Outcome
from registry.orm.image import Build
from registry.orm.job import JobKind
from tests import factories, own_wheels
from tests.portal.api.api_server import serving


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("for-the-client")) as running:
        yield running


@pytest.fixture
def client(server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a pull goes into the folder one is in
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return countersign.Client(server.url, server.token())


def test_the_whole_road(server, client, tmp_path):
    world = server.world
    assert client.server.formats == ("joblib", "pickle", "skops", "onnx", "lightgbm", "xgboost")
    me = client.whoami()
    assert (me.name, me.teams, me.roles) == ("ana", ("payments",), ("scientist",))

    model = tmp_path / "model.joblib"
    model.write_bytes(b"model bytes" * 1000)
    (tmp_path / "sample.jsonl").write_text('{"text": "my card is lost"}\n')
    (tmp_path / "card.md").write_text(factories.card())
    api = client.api
    files = {}
    for path in ("model.joblib", "sample.jsonl"):
        data = (tmp_path / path).read_bytes()
        files[path] = factories.digests.of_bytes(data)
        assert not api.has_blob(files[path])
        api.put_blob(files[path], data)
        assert api.has_blob(files[path])
    push = {
        "files": files,
        "model_format": "joblib",
        "card": (tmp_path / "card.md").read_text(),
        "label": "1.0",
        "author": None,
        "metrics": [{"name": "accuracy", "value": 0.9, "dataset": "october", "higher_is_better": True}],
        "params": {"C": 1.0},
        "tags": {"branch": "main"},
        "lineage": [{"relation": "built_from", "kind": "commit", "ref": "voice#abc"}],
        "environment": {
            "python": "3.11.7",
            "implementation": "cpython",
            "platform": "linux-x86_64",
            "distributions": {},
        },
        "create_model": True,
    }
    version, is_new = api.create_version(factories.MODEL, **push)
    assert (version.ref, version.stage, is_new) == ("payments/voice:1", "checking", True)
    assert api.create_version(factories.MODEL, **push) == (version, False)

    with world.write() as session:
        factories.check(session, world.version(session))
    ready = client.wait("payments/voice:1", "ready", timeout=5)
    assert [check.outcome for check in ready.checks] == ["passed"] * 6
    assert client.card("payments/voice:1") == push["card"]
    assert client.lineage("payments/voice:1").edges[0].ref == "voice#abc"
    assert client.diff("payments/voice:1").base is None
    assert client.report("payments/voice:1", "scan")["step"] == "scan"
    assert [found.name for found in client.search("voice")] == ["payments/voice"]
    assert [found.number for found in client.versions("payments/voice")] == [1]
    client.set_alias("payments/voice:1", "champion")
    assert client.get("payments/voice:champion").aliases == ("champion",)
    client.remove_alias("payments/voice", "champion")

    review = client.submit("payments/voice:1", "please", uses=["routing"])
    assert {gate.state for gate in review.gates} == {"ok", "wait"}
    client.comment(review.id, "See October.")
    client.withdraw("payments/voice:1", "too early")
    review = client.submit("payments/voice:1", "now", uses=["routing"])
    assert [open_one.id for open_one in client.reviews()] == [review.id]
    with world.write() as session:
        factories.decide(session, world.request(session), world.vic)
        factories.decide(session, world.request(session), world.cora, Outcome.APPROVE)
    assert client.wait("payments/voice:1", "approved", timeout=5).is_approved
    assert [decision["person"] for decision in client.review(review.id).decisions] == ["vic", "cora"]

    fetched = client.download("payments/voice").folder
    assert (fetched / "model.joblib").read_bytes() == model.read_bytes()
    assert json.loads((fetched / "countersign.json").read_text())["stage"] == "approved"

    routes = [{"name": "feedback", "members": [{"version": "payments/voice:1", "weight": 100}]}]
    made = client.set_bundle("payments/desk", {"routes": routes})
    assert made.rebuild == "auto"
    assert client.set_bundle("payments/desk", {"routes": list(made.routes), "rebuild": "propose"}).rebuild == "propose"
    assert {bundle.name for bundle in client.bundles()} == {"payments/desk", "payments/voice"}
    build = client.bake("payments/desk")
    assert list(client.build_log(build.id)) == []
    with world.write() as session:
        row = session.get_one(Build, factories.UUID(build.id))
        assert jobs.claim(session, worker="w", lease=timedelta(minutes=1), kinds=[JobKind.BAKE])
        job = jobs.get(session, row.job_id)
        if job.state.value != "running":
            assert jobs.claim(session, worker="w", lease=timedelta(minutes=1), kinds=[JobKind.BAKE]).id == job.id
        builds.start(session, row.id)
        jobs.log(session, job.id, job.fence, "Größe ✓")
        factories.released_image(session, row)
    assert b"".join(client.build_log(build.id, follow=True)).decode() == "Größe ✓\n"
    assert client.wait_build(build.id, timeout=5).state == "done"

    token = client.create_token("laptop", ["read"], days=1)
    assert countersign.Client(server.url, token.token).whoami().token.scopes == ("read",)
    client.revoke_token(token.id)
    with pytest.raises(errors.NotSignedIn):
        countersign.Client(server.url, token.token).whoami()


def test_refusals_become_the_clients_exceptions(server, client):
    with pytest.raises(errors.NotFound):
        client.get("payments/ghost")
    with server.world.write() as session:
        factories.private_model(session, server.world, "payments/hidden", actor=server.world.ana)
    with pytest.raises(errors.NotFound):
        countersign.Client(server.url, server.token("lea")).model("payments/hidden")
    with pytest.raises(errors.Forbidden):
        countersign.Client(server.url, server.token("kim")).api.put_blob(factories.digests.of_bytes(b"x"), b"x")
    with pytest.raises(errors.VerificationError):
        client.api.put_blob(factories.digests.of_bytes(b"x"), b"y")
    with server.world.write() as session:
        model = catalog.get_model(session, "payments/hidden", actor=server.world.ana)
        assert model.versions_made == 0


def test_code_of_its_own_is_sent_beside_the_model(client, tmp_path):
    (tmp_path / "model.joblib").write_bytes(pickle.dumps({"weight": 1.0}))
    (tmp_path / "sample.jsonl").write_text('{"text": "my card is lost"}\n')
    (tmp_path / "card.md").write_text(factories.card())
    (tmp_path / own_wheels.NAME).write_bytes(own_wheels.good())
    version = client.push(tmp_path, name="payments/own", wheels=[tmp_path / own_wheels.NAME])
    assert [file.path for file in version.files] == [
        "model.joblib",
        "own-code.json",
        "sample.jsonl",
        f"wheels/{own_wheels.NAME}",
    ]
    again = client.push(tmp_path, name="payments/own", wheels=[tmp_path / own_wheels.NAME])
    assert (again.ref, again.is_new) == (version.ref, False)
    alone = client.push(tmp_path, name="payments/own")
    assert alone.number == 2, "with a wheel it is another version"
