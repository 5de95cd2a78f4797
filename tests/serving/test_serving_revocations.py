"""The mounted revocation list: what it names answers no more; what cannot be trusted is refused, and says so."""

import json

import grpc
import pytest
import requests
import serving_image as si

from formats import keys, revocations
from formats.revocations import Revocation, Revocations
from serving.errors import NotFound, Revoked
from serving.grpc_generated import inference_pb2 as pb
from serving.grpc_generated import inference_pb2_grpc as pb_grpc
from serving.routing import Route, Version

IMAGE = "sha256:" + "e" * 64
ONE, TWO = "payments/voice:1", "payments/voice:2"


def given(signer, *entries, at="2026-03-04T09:30:00Z"):
    """A sealed list of (kind, digest)."""
    found = tuple(Revocation(kind, digest, "x", "2026-03-04T09:29:00Z") for kind, digest in entries)
    return revocations.seal(Revocations(at, found), signer)


def release(image, ref):
    return "release", next(model.release_digest for model in image.manifest.models if model.ref == ref)


def put(path, data):
    path.with_suffix(".new").write_bytes(data)
    path.with_suffix(".new").replace(path)


@pytest.fixture
def two(trained, tmp_path):
    """An image with a split route, and a second one with the first version alone."""
    members = {ONE: trained["voice-1"], TWO: trained["voice-2"]}
    routes = {"feedback": {ONE: 60, TWO: 40}, "old": {ONE: 100}}
    return si.build(tmp_path / "image", members, routes)


@pytest.fixture
def mounted(tmp_path):
    return tmp_path / "revocations.json"


def ready(running, path):
    return requests.get(f"{running.rest}/v2/models/{path}/ready", timeout=5).status_code == 200


def test_a_revoked_version_answers_no_more_and_the_others_take_over(two, mounted, serve):
    put(mounted, given(two.signer))
    running = serve(two, revocations_file=mounted)
    assert running.infer("old", si.text_input("a")).status_code == 200
    assert ready(running, "old")
    process = running.model_pid(ONE)
    put(mounted, given(two.signer, release(two, ONE), at="2026-03-04T09:31:00Z"))
    si.wait_for(lambda: not ready(running, "old"), "the revocation", 10)

    refused = running.infer("old", si.text_input("a"))
    assert refused.status_code == 410
    assert 'every version of "old" that had a share was revoked' in refused.json()["error"]
    named = running.infer("feedback", si.text_input("a"), version="1")
    assert named.status_code == 410
    assert named.json() == {"error": 'version "1" of "feedback" was revoked: it must not be used any more'}
    assert {running.infer("feedback", si.text_input("a")).json()["model_version"] for _ in range(20)} == {"2"}
    assert ready(running, "feedback")
    assert not ready(running, "feedback/versions/1")
    assert running.is_ready()

    metadata = requests.get(f"{running.rest}/v2/models/feedback", timeout=5).json()["parameters"]
    assert metadata["revoked"] == ["1"]
    assert metadata["weights"] == {"1": 0, "2": 40}
    index = requests.post(f"{running.rest}/v2/repository/index", timeout=5).json()
    assert {item["reason"] for item in index if item["version"] == "1"} == {"revoked"}
    assert running.metric("countersign_revoked", route="old", version="1") == 1
    assert running.metric("countersign_errors_total", route="feedback", status="410") == 0, "no version answered"
    assert {event["model"] for event in running.events("revoked")} == {ONE}
    si.wait_for(lambda: not si.Path(f"/proc/{process}").exists(), "the end of its process", 10)


def test_grpc_says_so_too(two, mounted, serve):
    put(mounted, given(two.signer, release(two, ONE)))
    running = serve(two, revocations_file=mounted)
    assert "model process ready" in {event["event"] for event in running.events()}
    assert running.events("model process ready")[0]["model"] != ONE, "what is revoked is not loaded"
    with grpc.insecure_channel(running.grpc) as channel:
        stub = pb_grpc.GRPCInferenceServiceStub(channel)
        with pytest.raises(grpc.RpcError) as refused:
            stub.ModelInfer(pb.ModelInferRequest(model_name="old", inputs=[_text()]), timeout=10)
        assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert not stub.ModelReady(pb.ModelReadyRequest(name="old"), timeout=10).ready


def _text():
    contents = pb.InferTensorContents(bytes_contents=[b"a"])
    return pb.ModelInferRequest.InferInputTensor(name="text", datatype="BYTES", shape=[1], contents=contents)


def test_a_list_that_cannot_be_trusted_changes_nothing_but_the_log(two, mounted, serve, tmp_path):
    other = keys.generate(tmp_path / "other.pem")
    put(mounted, given(two.signer, release(two, ONE)))
    running = serve(two, revocations_file=mounted)
    refusals = {
        "expected sha256": given(other, release(two, TWO)),
        "cannot be trusted": json.dumps({"revoked": []}).encode(),
        "older than the one held": given(two.signer, at="2026-03-04T09:00:00Z"),
    }
    for reason, data in refusals.items():
        before = len(running.events("revocation list refused"))
        put(mounted, data)
        si.wait_for(lambda: len(running.events("revocation list refused")) > before, reason, 10)  # noqa: B023
        assert reason in running.events("revocation list refused")[-1]["reason"]
    mounted.unlink()
    si.wait_for(lambda: "cannot be read" in running.events("revocation list refused")[-1]["reason"], "its absence", 10)
    put(mounted, given(two.signer, at="2026-03-04T10:00:00Z"))
    si.wait_for(lambda: len(running.events("revocation list taken")) == 2, "the new list", 10)
    assert running.infer("old", si.text_input("a")).status_code == 410, "what was revoked stays so"
    assert running.infer("feedback", si.text_input("a"), version="2").status_code == 200


def refusal(image, **settings):
    result = si.run_command(image, "serve", *si.PORTS, **settings)
    assert result.returncode == 1, result.stdout
    (line,) = result.stderr.splitlines()
    return line


def test_at_start_the_same_ends_the_program(small_image, mounted, tmp_path):
    assert "it cannot be read" in refusal(small_image, revocations_file=mounted)
    put(mounted, b"{}")
    assert "the revocation list cannot be trusted" in refusal(small_image, revocations_file=mounted)
    other = keys.generate(tmp_path / "other.pem")
    put(mounted, given(other))
    assert f"signed by {other.fingerprint}" in refusal(small_image, revocations_file=mounted)
    put(mounted, given(other, release(small_image, ONE)))
    told = refusal(small_image, revocations_file=mounted, revocations_key=other.fingerprint)
    assert f"all that this image serves was revoked: {ONE}" in told


def test_a_revoked_image_does_not_run(small_image, mounted):
    put(mounted, given(small_image.signer, ("image", IMAGE)))
    told = refusal(small_image, revocations_file=mounted, image_digest=IMAGE)
    assert "all that this image serves was revoked" in told


def test_an_image_that_is_not_named_runs(small_image, mounted, serve):
    put(mounted, given(small_image.signer, ("image", IMAGE)))
    running = serve(small_image, revocations_file=mounted, image_digest="sha256:" + "d" * 64)
    assert running.infer("feedback", si.text_input("a")).status_code == 200


def test_a_revoked_version_scores_no_table(small_image, mounted, tmp_path):
    put(mounted, given(small_image.signer, release(small_image, ONE)))
    (tmp_path / "in.csv").write_text("text\ncard\n")
    arguments = ("score", tmp_path / "in.csv", tmp_path / "out.csv")
    result = si.run_command(small_image, *arguments, revocations_file=mounted)
    assert result.returncode == 1
    assert "was revoked" in result.stderr
    assert not (tmp_path / "out.csv").exists()


def test_the_key_may_be_named_by_a_file(small_image, tmp_path):
    file = tmp_path / "fingerprint"
    file.write_text(f"{small_image.signer.fingerprint}\n")
    report = json.loads(si.run_command(small_image, "verify", key_fingerprint_file=file).stdout)
    assert report["origin"] == "checked"
    file.write_text("sha256:abc")
    told = si.run_command(small_image, "verify", key_fingerprint_file=file).stderr
    assert "COUNTERSIGN_KEY_FINGERPRINT is no digest" in told
    both = si.run_command(small_image, "verify", key_fingerprint_file=file, key_fingerprint="sha256:abc").stderr
    assert "is set beside COUNTERSIGN_KEY_FINGERPRINT_FILE" in both


class Model:
    def __init__(self, ref):
        self.ref = ref


def test_revoked_versions_have_no_share_whatever_the_weights_say():
    route = Route("route", [Version("route", "a", Model("x:1"), 90), Version("route", "b", Model("x:2"), 10)])
    route.revoke({"x:1"})
    route.reweigh({"a": 100, "b": 5})
    assert route.weights == {"a": 0, "b": 5}
    assert {route.choose(str(key)).name for key in range(50)} == {"b"}
    route.revoke({"x:2"})
    for key in (None, "k"):
        with pytest.raises(Revoked, match="every version"):
            route.choose(key)
    with pytest.raises(Revoked, match='version "a"'):
        route.asked("a")
    with pytest.raises(NotFound):
        route.asked("c")
