"""Bundles, builds and their logs, images and jobs."""

from datetime import timedelta
from uuid import UUID

import pytest

from registry import builds, clock, jobs
from registry.orm.image import Build, BuildState, Rebuild
from registry.orm.job import JobKind
from tests import factories
from tests.portal.api.api_support import problem

DESK = "/bundles/payments/desk"
ROUTES = [
    {
        "name": "feedback",
        "members": [
            {"version": "payments/voice:1", "weight": 90, "bounds": [50, 100]},
            {"version": "payments/voice:2", "weight": 10},
            {"model": "payments/voice", "follow": "approved", "role": "shadow", "weight": 5, "bounds": [0, 20]},
        ],
    },
    {"name": "newest", "members": [{"model": "payments/voice", "follow": "approved", "weight": 100}]},
]


@pytest.fixture
def two_approved(world):
    with world.write() as session:
        factories.approved_version(session, world)
        factories.approved_version(session, world)


def test_make_show_change(world, ana, two_approved):
    made = ana.post("/bundles", {"name": "payments/desk", "routes": ROUTES})
    assert made.status_code == 201
    assert made.headers["Location"] == f"/api/v1{DESK}"
    told = made.get_json()
    assert (told["rebuild"], told["image_digest"]) == ("auto", None)
    first, second = told["routes"]
    plain = {"version": "payments/voice:2", "role": "primary", "weight": 10, "bounds": [0, 100]}
    assert first["members"][1:] == [plain, ROUTES[0]["members"][2]]
    assert second["members"][0]["follow"] == "approved"
    shown = ana.get(DESK)
    assert shown.get_json() == told
    again = {"routes": told["routes"], "rebuild": "propose"}
    problem(ana.put(DESK, json=again), 428, "precondition-missing")
    changed = ana.put(DESK, json=again, headers={"If-Match": shown.headers["ETag"]})
    assert changed.status_code == 200
    assert (changed.get_json()["routes"], changed.get_json()["rebuild"]) == (told["routes"], "propose")
    assert changed.headers["ETag"] == ana.get(DESK).headers["ETag"] != shown.headers["ETag"]
    problem(ana.put(DESK, json=again, headers={"If-Match": shown.headers["ETag"]}), 412, "stale")
    assert [item["name"] for item in ana.get("/bundles").get_json()["items"]] == ["payments/desk", "payments/voice"]


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ([{"version": "payments/voice:1", "weight": 90}], "/routes/0/members"),
        ([{"weight": 100}], "/routes/0/members/0"),
        ([{"version": "payments/voice:1", "follow": "approved", "weight": 100}], "/routes/0/members/0"),
        ([{"model": "payments/voice", "weight": 100}], "/routes/0/members/0"),
        ([{"version": "payments/voice", "weight": 100}], "/routes/0/members/0/version"),
        ([{"version": "payments/voice:1", "weight": 100, "bounds": [0, 50]}], "/routes/0/members/0"),
        ([{"version": "payments/voice:1", "weight": 100, "role": "shadow"}], "/routes/0/members"),
        ([{"version": "payments/voice:1", "weight": 100, "role": "twin"}], "/routes/0/members/0/role"),
        ([], "/routes/0/members"),
    ],
)
def test_routes_that_do_not_fit(ana, two_approved, members, pointer):
    sent = {"name": "payments/desk", "routes": [{"name": "feedback", "members": members}]}
    body = problem(ana.post("/bundles", sent), 422, "invalid")
    assert [error["pointer"] for error in body["errors"]] == [pointer]


def test_who_may_not(world, ana, lea, caller, two_approved):
    sent = {"name": "payments/desk", "routes": ROUTES}
    problem(lea.post("/bundles", sent), 403, "not-in-team")
    problem(caller(world.ana, "read", "push").post("/bundles", sent), 403, "missing-scope")
    problem(lea.post("/bundles", sent | {"name": "lending/desk"}), 422, "invalid")
    ana.post("/bundles", sent)
    problem(ana.post("/bundles", sent), 409, "already-exists")
    problem(lea.post(f"{DESK}/bake"), 403, "not-in-team")


def test_bake_waits_for_approval_and_is_asked_once(world, ana, two_approved):
    with world.write() as session:
        factories.ready_version(session, world)
    third = [{"name": "feedback", "members": [{"version": "payments/voice:3", "weight": 100}]}]
    ana.post("/bundles", {"name": "payments/later", "routes": third})
    body = problem(ana.post("/bundles/payments/later/bake"), 409, "blocked")
    assert "payments/voice:3" in body["detail"]
    ana.post("/bundles", {"name": "payments/desk", "routes": ROUTES})
    answer = ana.post(f"{DESK}/bake")
    assert answer.status_code == 202
    build = answer.get_json()
    assert answer.headers["Location"] == f"/api/v1/builds/{build['id']}"
    assert (build["state"], build["requested_by"], build["steps"]) == ("queued", "ana", [])
    assert ana.post(f"{DESK}/bake").get_json()["id"] == build["id"]
    assert ana.get(answer.headers["Location"]).get_json() == build
    of_desk = ana.get("/builds?bundle=payments/desk").get_json()["items"]
    assert [item["id"] for item in of_desk] == [build["id"]]
    assert len(ana.get("/builds").get_json()["items"]) == 3


def test_a_proposed_build_waits(world, ana):
    with world.write() as session:
        factories.ready_version(session, world)
        factories.bundle(session, world, rebuild=Rebuild.PROPOSE)
        factories.approve(session, world, world.version(session))
    states = {item["bundle"]: item["state"] for item in ana.get("/builds").get_json()["items"]}
    assert states == {"payments/desk": "proposed", "payments/voice": "queued"}
    proposed = next(item for item in ana.get("/builds").get_json()["items"] if item["state"] == "proposed")
    log = ana.get(f"/builds/{proposed['id']}/log")
    assert (log.status_code, log.data) == (200, b"")


@pytest.fixture
def running(world):
    """A build with its job, held by a worker."""
    with world.write() as session:
        factories.approved_version(session, world)
    with world.write() as session:
        job = jobs.claim(session, worker="w", lease=timedelta(minutes=1), kinds=[JobKind.BAKE])
        builds.start(session, job.subject_id)
        return job.subject_id, job.id, job.fence


def test_log_grows(world, ana, running):
    build, job, fence = running
    path = f"/builds/{build}/log"

    def write(text):
        with world.write() as session:
            jobs.log(session, job, fence, text)

    def read(start):
        return ana.get(path, headers={"Range": f"bytes={start}-"})

    nothing = read(0)
    problem(nothing, 416, "range-not-satisfiable")
    assert nothing.headers["Content-Range"] == "bytes */0"
    write("Größe ✓")
    write("second")
    whole = ana.get(path)
    assert (whole.status_code, whole.text) == (200, "Größe ✓\nsecond\n")
    assert whole.mimetype == "text/plain"
    size = len(whole.data)
    new = read(size - 7)
    assert (new.status_code, new.data, new.headers["Content-Range"]) == (
        206,
        b"second\n",
        f"bytes {size - 7}-{size - 1}/*",
    )
    inner = ana.get(path, headers={"Range": "bytes=1-2"})
    assert inner.data == whole.data[1:3]
    problem(read(size), 416, "range-not-satisfiable")
    write("third")
    assert read(size).text == "third\n"
    assert ana.get(path, headers={"Range": "bytes=-6"}).text == "third\n"
    assert ana.get(path, headers={"Range": "lines=1-2"}).status_code == 200


def test_a_long_log_comes_whole(world, ana, running):
    build, job, fence = running
    with world.write() as session:
        for number in range(40):
            jobs.log(session, job, fence, f"{number} " + "x" * 20_000)
    whole = ana.get(f"/builds/{build}/log").data
    assert whole.count(b"\n") == 40
    assert ana.get(f"/builds/{build}/log", headers={"Range": "bytes=500000-"}).data == whole[500_000:]
    told = ana.get(f"/builds/{build}").get_json()
    assert (told["state"], told["log_size"]) == ("running", len(whole))


def test_steps_failure_and_retry(world, ana, lea, running):
    build, job, fence = running
    with world.write() as session:
        jobs.save_step(
            session, job, fence, "assemble", input_digest="sha256:0", output={}, started_at=factories.clock.now()
        )
        jobs.fail(session, job, fence, error={"code": "x"}, retry=False)
        builds.fail(session, session.get_one(Build, build), {"code": "smoke", "message": "It fell.", "hint": "Retry."})
    told = ana.get(f"/builds/{build}").get_json()
    assert (told["state"], told["error"]["code"], told["steps"][0]["name"]) == ("failed", "smoke", "assemble")
    problem(lea.post(f"/builds/{build}/retry"), 403, "not-in-team")
    answer = ana.post(f"/builds/{build}/retry")
    assert (answer.status_code, answer.get_json()["state"]) == (202, "queued")
    problem(ana.post(f"/builds/{build}/retry"), 409, "wrong-stage")


def test_images(world, ana, running):
    build, *_ = running
    with world.write() as session:
        image = factories.released_image(session, session.get_one(Build, build))
        digest = image.digest
    told = ana.get(f"/images/{digest}").get_json()
    assert (told["digest"], told["versions"], told["isolation"]) == (digest, ["payments/voice:1"], "process")
    assert told["url"] == f"http://cs.test/images/{digest}"
    assert [item["digest"] for item in ana.get("/images").get_json()["items"]] == [digest]
    for document, kind in (
        ("sbom", "application/vnd.cyclonedx+json"),
        ("provenance", "application/json"),
        ("manifest", "application/json"),
    ):
        answer = ana.get(f"/images/{digest}/{document}")
        assert (answer.status_code, answer.mimetype) == (200, kind)
        assert "attachment" in answer.headers["Content-Disposition"]
    done = ana.get(f"/builds/{build}").get_json()
    assert (done["state"], done["image_digest"], done["isolation"]) == (BuildState.DONE, digest, "process")
    assert ana.get("/bundles/payments/voice").get_json()["image_digest"] == digest
    assert ana.get("/models/payments/voice/versions/1/lineage").get_json()["used_by"] == [
        {"relation": "baked_into", "kind": "bundle", "ref": "payments/voice", "digest": digest}
    ]


def test_a_job_leads_to_its_build(ana, running):
    build, job, _ = running
    told = ana.get(f"/jobs/{job.hex}").get_json()
    assert (told["kind"], told["state"], told["subject"]) == ("bake", "running", f"/api/v1/builds/{build}")


def test_rolling_back_names_the_image_to_leave(world, ana):
    digests = []
    for number in (1, 2):
        with world.write() as session:
            factories.approved_version(session, world)
            if number == 1:
                factories.bundle(session, world)
        build = ana.post(f"{DESK}/bake").get_json()["id"]
        with world.write() as session:
            digests.append(factories.released_image(session, session.get_one(Build, UUID(build))).digest)
    problem(ana.post(f"{DESK}/rollback", {"current": digests[0]}), 412, "stale")
    assert ana.post(f"{DESK}/rollback", {"current": digests[1]}).get_json()["image_digest"] == digests[0]
    problem(ana.post(f"{DESK}/rollback", {"current": digests[0]}), 409, "blocked")


def test_an_experiment_is_started_ended_and_concluded(world, ana, lea, two_approved):
    ana.post("/bundles", {"name": "payments/desk", "routes": ROUTES})
    sent = {
        "route": "feedback",
        "hypothesis": "fewer wrong teams",
        "metric": "moved cases",
        "ends_at": clock.rfc3339(clock.now() + timedelta(days=14)),
    }
    problem(lea.post(f"{DESK}/experiments", sent), 403, "not-in-team")
    for ends_at in ("soon", sent["ends_at"].rstrip("Z")):
        body = problem(ana.post(f"{DESK}/experiments", {**sent, "ends_at": ends_at}), 422, "invalid")
        assert [error["pointer"] for error in body["errors"]] == ["/ends_at"]
    made = ana.post(f"{DESK}/experiments", sent)
    assert made.status_code == 201
    told = made.get_json()
    assert (told["state"], told["bundle"], told["ends_at"]) == ("running", "payments/desk", sent["ends_at"])
    where = f"/experiments/{told['id']}"
    assert made.headers["Location"] == f"/api/v1{where}"
    problem(ana.post(f"{where}/conclusion", {"result": "too early"}), 409, "wrong-stage")
    problem(ana.post(f"{DESK}/experiments", sent), 409, "already-exists")
    problem(lea.post(f"{where}/end"), 403, "not-in-team")
    assert ana.post(f"{where}/end").get_json()["state"] == "ended"
    assert ana.post(f"{where}/conclusion", {"result": "none"}).get_json()["result"] == "none"
    assert [item["state"] for item in lea.get(f"{DESK}/experiments").get_json()["items"]] == ["concluded"]
    problem(ana.get("/experiments/none"), 404, "not-found")
