"""Known vulnerabilities: what is affected, how a version and an image stand, what blocks, and what an import changes."""

from datetime import timedelta

import pytest
import time_machine
from sqlalchemy import select

from registry import advisories, approvals, clock, importing, judging, policies, recall, waivers
from registry.errors import Blocked, Conflict, Invalid, NotFound
from registry.orm.advisory import AdvisoryHead, BundleState, Finding, Severity, Waiver
from registry.orm.approval import Outcome
from registry.orm.catalog import Stage
from registry.orm.image import Build, Image
from registry.orm.job import Job, JobKind
from registry.settings import Settings
from tests import databases, factories
from tests.factories import advisory
from tests.registry.advising import BAD, MILD, bring, standing, waive
from tests.registry.reviewing import decide, state
from tests.support import at_once, bodies_of, refused


def gate(world, number=1):
    with world.read() as session:
        gates = {found.code: found for found in judging.gates(session, world.request(session, number))}
        return gates["advisories"]


def answer(world, about):
    with world.write() as session:
        approvals.answer(session, world.request(session), actor=world.ana, about=about, text="Ticket 81.")


@pytest.fixture
def asked(world):
    """Version 1, in review."""
    with world.write() as session:
        factories.request_in_review(session, world)


def forget(world):
    """As it is before the first import."""
    with world.write() as session:
        session.get_one(AdvisoryHead, 1).bundle_id = None


# ------------------------------------------------------------------------------------------------- how it stands


def test_clean_vulnerable_stale_and_unknown(world, asked):
    assert standing(world).state == "clean"
    assert gate(world).state == "ok"
    bring(world, BAD)
    assert standing(world).state == "vulnerable"
    assert [(item.id, item.wheel) for item in standing(world).open] == [(BAD.id, "numpy 2.4.1")]
    bring(world, days=14)
    assert standing(world).state == "clean"
    with time_machine.travel(clock.now() + timedelta(days=15), tick=False):
        assert standing(world).state == "stale"
    forget(world)
    assert standing(world).state == "unknown"


def test_a_version_without_a_lock_is_unknown(world):
    with world.write() as session:
        factories.failed_version(session, world)
    assert standing(world).state == "unknown"


def test_old_is_worse_than_clean_but_not_than_vulnerable(world, asked):
    bring(world, BAD, days=1)
    with time_machine.travel(clock.now() + timedelta(days=5), tick=False):
        assert standing(world).state == "vulnerable"


def test_a_lock_made_after_the_import_is_evaluated_at_once(world):
    bring(world, BAD)
    with world.write() as session:
        factories.ready_version(session, world)
    assert standing(world).state == "vulnerable"


def test_an_image_is_judged_by_what_is_in_it_and_not_by_its_models_locks(world):
    """A compiled model's libraries are not in the image."""
    with world.write() as session:
        factories.approved_version(session, world)
        purls = ["pkg:pypi/Uvloop@1.0%2Bcpu", "pkg:oci/base@sha256%3A00", "pkg:pypi/numpy@2.4.2"]
        sbom = {"components": [{"purl": purl} for purl in purls] + [{"type": "machine-learning-model"}]}
        factories.released_image(session, session.scalars(select(Build)).one(), sbom=sbom)
    bring(world, BAD)
    with world.read() as session:
        image = session.scalars(select(Image)).one()
        assert advisories.of_image(session, image).state == "clean"
        assert advisories.of_version(session, world.version(session)).state == "vulnerable"
    bring(world, advisory("GHSA-loop-0000-0001", "uvloop", fixed="1.0.1"))
    with world.read() as session:
        found = advisories.of_image(session, session.scalars(select(Image)).one())
        assert [item.wheel for item in found.open] == ["uvloop 1.0+cpu"]


def test_an_image_without_a_bill_of_materials_is_unknown(world):
    with world.write() as session:
        factories.approved_version(session, world)
        image = factories.released_image(session, session.scalars(select(Build)).one())
        assert advisories.of_image(session, image).state == "unknown"


# ----------------------------------------------------------------------------------------------------- the gate


def test_a_severity_at_the_limit_blocks_and_one_below_is_answered(world, asked):
    bring(world, BAD, block="critical")
    assert gate(world).state == "wait"
    refused(world.database, Blocked, lambda session: factories.decide(session, world.request(session), world.vic))
    answer(world, "advisories-known")
    assert gate(world).state == "ok"
    decide(world, "vic")
    bring(world, BAD, block="high")
    assert gate(world).state == "stop"
    assert f"{BAD.id} (high) in numpy 2.4.1" in gate(world).why
    refused(world.database, Blocked, lambda session: factories.decide(session, world.request(session), world.cora))


@pytest.mark.parametrize("outcome", [Outcome.REQUEST_CHANGES, Outcome.REJECT])
def test_what_blocks_an_approval_blocks_no_other_decision(world, asked, outcome):
    bring(world, BAD)
    assert decide(world, "cora", outcome).outcome is outcome


def test_what_blocks_cannot_even_be_submitted(world):
    with world.write() as session:
        factories.ready_version(session, world)
    bring(world, BAD)
    refused(world.database, Blocked, lambda session: factories.submit(session, world, world.version(session)))


@pytest.mark.parametrize("what", ["unknown", "stale"])
def test_amber_is_answered_before_anybody_approves(world, asked, what):
    if what == "stale":
        bring(world, days=1)
        later = clock.now() + timedelta(days=2)
    else:
        forget(world)
        later = clock.now()
    with time_machine.travel(later, tick=True):
        assert gate(world).state == "wait"
        refused(world.database, Blocked, lambda session: factories.decide(session, world.request(session), world.vic))
        answer(world, f"advisories-{what}")
        assert gate(world).state == "ok"
        decide(world, "vic")
        decide(world, "cora")
    assert state(world)[1] is Stage.APPROVED


def test_an_answer_does_not_speak_of_what_came_after_it(world, asked):
    bring(world, MILD)
    answer(world, "advisories-known")
    assert gate(world).state == "ok"
    bring(world, MILD)
    assert gate(world).state == "ok", "nothing new came"
    bring(world, MILD, advisory("GHSA-mild-0000-0002", "numpy", severity=Severity.MEDIUM))
    assert gate(world).state == "wait"


def test_an_import_voids_what_was_signed_before_it_was_known(world, asked):
    decide(world, "vic")
    bring(world)
    with world.read() as session:
        assert world.request(session).decisions[0].voided_at is None
    bring(world, MILD)
    with world.read() as session:
        assert "an advisory about one of its libraries" in world.request(session).decisions[0].void_reason


def test_every_policy_has_the_gate(world, asked):
    with world.read() as session:
        request = world.request(session)
        facts = judging.facts(session, request, ())
    policy = {"gates": [{"code": "x", "kind": "checks", "title": "x"}]}
    assert [found.code for found in policies.evaluate(policy, facts)] == ["x", "advisories"]


# -------------------------------------------------------------------------------------------------------- waivers


def test_a_waiver_opens_the_gate_until_it_ends(world, asked):
    bring(world, BAD)
    waiver = waive(world, days=10)
    assert standing(world).state == "clean"
    assert gate(world).why.endswith("1 waived.")
    with time_machine.travel(clock.now() + timedelta(days=11), tick=False):
        assert standing(world).state == "vulnerable"
    with world.write() as session:
        waivers.end(session, waiver.id, actor=world.carl)
    assert gate(world).state == "stop"
    refused(world.database, Conflict, lambda session: waivers.end(session, waiver.id, actor=world.carl))
    waive(world)
    with world.read() as session:
        assert len(waivers.history(session, recall.get(session, BAD.id, actor=world.cora))) == 2
        assert [body["advisory"] for body in bodies_of(session, "advisory:waived")] == [BAD.id, BAD.id]
        assert len(bodies_of(session, "advisory:waiver_ended")) == 1


def test_a_waiver_holds_under_the_name_that_a_later_bundle_gives_the_advisory(world, asked):
    bring(world, advisory("PYSEC-2026-1", "numpy"))
    waive(world, "PYSEC-2026-1")
    bring(world, advisory("GHSA-bad0-0000-0001", "numpy", aliases=frozenset({"PYSEC-2026-1"})))
    assert standing(world).state == "clean"


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"owner": "ghost"}, Invalid),
        ({"days": 0}, Invalid),
        ({"days": 366}, Invalid),
        ({"name": "GHSA-none-0000-9999"}, NotFound),
    ],
)
def test_refused_waivers(world, asked, given, error):
    bring(world, BAD)
    with pytest.raises(error):
        waive(world, **given)
    with world.read() as session:
        assert session.scalars(select(Waiver)).all() == []


def test_one_waiver_at_a_time(world, asked):
    bring(world, BAD)
    waive(world)
    with pytest.raises(Conflict):
        waive(world)


# --------------------------------------------------------------------------------------- bundles that come in


def test_an_import_keeps_when_a_finding_was_first_made_and_drops_what_is_gone(world, asked):
    bring(world, BAD)
    with world.read() as session:
        (first,) = session.scalars(select(Finding.found_at))
    assert bring(world, BAD, MILD) == 1
    with world.read() as session:
        assert dict(session.execute(select(Finding.advisory_id, Finding.found_at)).all())[BAD.id] == first
        body = bodies_of(session, "advisories:imported")[-1]
        assert (body["new"], body["gone"], body["findings"]) == ([MILD.id], [], 2)
    bring(world, MILD)
    with world.read() as session:
        assert session.scalars(select(Finding.advisory_id)).all() == [MILD.id]
        assert bodies_of(session, "advisories:imported")[-1]["gone"] == [BAD.id]


@pytest.mark.parametrize("moved", [timedelta(days=-1), timedelta(days=2)], ids=["older", "future"])
def test_a_bundle_older_than_the_one_in_force_or_of_the_future_is_refused(world, asked, moved):
    bring(world, BAD)
    with pytest.raises(Blocked):
        bring(world, newest=clock.now() + moved)
    assert standing(world).state == "vulnerable"


def test_asking_for_the_same_bundle_again(world):
    settings = Settings()
    ask = {"actor": world.ops, "digest": factories.digests.of_bytes(b"z"), "size": 3}
    with world.write() as session:
        first = importing.request(session, settings=settings, **ask)
    with world.write() as session:
        assert importing.request(session, settings=settings, **ask).id == first.id
        importing.refuse(session, importing.load(session, first.id), {"code": "x", "message": "no", "hint": ""})
    with world.write() as session:
        again = importing.request(session, settings=settings, **ask)
        assert (again.id, again.state, again.error) == (first.id, BundleState.QUEUED, None)
        assert len(session.scalars(select(Job).where(Job.kind == JobKind.ADVISORIES)).all()) == 1
        importing.take_over(session, again, importing.Contents(1, clock.now(), [BAD]))
    with world.write() as session:
        assert importing.request(session, settings=settings, **ask).state is BundleState.DONE
        stricter = importing.request(session, settings=Settings(advisory_block="low"), **ask)
        assert (stricter.state, stricter.block_at) == (BundleState.QUEUED, Severity.LOW)
    with world.read() as session:
        assert len(bodies_of(session, "advisories:sent")) == 4  # that of the world itself, and three here


def test_a_bundle_that_was_followed_by_a_newer_one_is_not_taken_again(world):
    digest = factories.digests.of_bytes(b"z")
    with world.write() as session:
        bundle = importing.request(session, actor=world.ops, digest=digest, size=3, settings=Settings())
        importing.take_over(session, bundle, importing.Contents(1, clock.now(), [BAD]))
    bring(world)
    refused(
        world.database,
        Blocked,
        lambda session: importing.request(session, actor=world.ops, digest=digest, size=3, settings=Settings()),
    )


def test_a_lock_that_is_made_beside_an_import_is_compared_with_what_comes_into_force(world):
    with world.write() as session:
        factories.checking_version(session, world)

    def pass_checks():
        with world.write() as session:
            factories.check(session, world.version(session))

    assert [answer for answer in at_once(pass_checks, lambda: bring(world, BAD)) if isinstance(answer, Exception)] == []
    assert standing(world).state == "vulnerable"


def test_the_number_of_queries_does_not_grow_with_what_is_held(world):
    def statements():
        with databases.statements(world.database) as seen:
            bring(world, BAD)
        return len(seen)

    with world.write() as session:
        factories.ready_version(session, world)
    bring(world, BAD)
    before = statements()
    with world.write() as session:
        for number in range(12):
            version = factories.checking_version(session, world)
            factories.checking.pass_checks(
                session, version, factories.reports(), lock=factories.lock_document(numpy=f"2.4.0.post{number}"),
                signature=factories.signature_document(),
            )  # fmt: skip
    assert statements() == before
