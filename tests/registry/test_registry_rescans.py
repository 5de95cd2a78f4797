"""A list that shrinks: accepted versions are scanned again, and what fails cannot be approved or baked."""

import pytest
from sqlalchemy import select

from registry import audit, jobs, judging, rescans
from registry.orm.audit import AuditEntry
from registry.orm.job import Job, JobKind
from registry.orm.scanning import Rescan
from tests import factories
from tests.registry.reviewing import decide, state

WIDE = {"a:one": "ref", "a:two": "call"}
FINDING = {"code": "unknown-name", "message": "The file imports a:two.", "hint": "Leave it out."}


def use(world, uses, takes=None):
    with world.write() as session:
        digest = f"sha256:{abs(hash((tuple(sorted(uses.items())), str(takes)))):064x}"[:71]
        return rescans.note_list(session, digest=digest, uses=uses, takes=takes or {})


def waiting(world):
    with world.read() as session:
        return session.scalars(select(Rescan.version_id)).all()


def end(world, outcome):
    with world.write() as session:
        (again,) = session.scalars(select(Rescan)).all()
        rescans.end(session, again, outcome=outcome, findings=[FINDING] if outcome == "failed" else [])


@pytest.mark.parametrize(
    ("before", "now", "lost"),
    [
        (WIDE, WIDE, []),
        (WIDE, {**WIDE, "a:three": "call"}, []),
        (WIDE, {"a:one": "call", "a:two": "call"}, []),
        (WIDE, {"a:one": "ref"}, ["a:two"]),
        (WIDE, {"a:one": "ref", "a:two": "new"}, ["a:two"]),
    ],
)
def test_what_counts_as_shrinking(before, now, lost):
    assert rescans.removed({"uses": before, "takes": {}}, {"uses": now, "takes": {}}) == lost


def test_a_name_that_is_handed_less_shrinks_too():
    one, two = {"uses": WIDE, "takes": {"a:two": ["a:one"]}}, {"uses": WIDE, "takes": {}}
    assert rescans.removed(one, two) == ["a:two"]
    assert rescans.removed(two, one) == []


def test_only_a_shrunken_list_queues_what_was_accepted(world):
    with world.write() as session:
        accepted = [factories.approved_version(session, world).id, factories.ready_version(session, world).id]
        factories.failed_version(session, world)
    assert use(world, WIDE) == 0, "the first list has nothing before it"
    assert use(world, WIDE) == 0
    assert use(world, {**WIDE, "b:more": "call"}) == 0
    assert waiting(world) == []
    assert use(world, {"a:one": "ref"}) == 2
    assert sorted(waiting(world)) == sorted(accepted)
    assert use(world, {"a:one": "ref"}) == 0
    with world.read() as session:
        queued = session.scalars(select(Job).where(Job.kind == JobKind.RESCAN)).all()
        assert len(queued) == 2
        assert all(jobs.of_subject(session, version).kind is JobKind.CHECK for version in accepted), "its page's job"
        actions = session.scalars(select(AuditEntry.action)).all()
        assert actions.count(audit.Action.ALLOW_LIST_CHANGED.value) == 3
        assert actions.count(audit.Action.RESCAN_REQUESTED.value) == 2


def test_a_version_that_fails_cannot_be_approved(world):
    with world.write() as session:
        version = factories.request_in_review(session, world).version_id
    use(world, WIDE)
    use(world, {"a:one": "ref"})
    with world.read() as session:
        assert rescans.refusal(session, version) is None, "nothing is known yet"
    end(world, "failed")
    with world.read() as session:
        assert rescans.refusal(session, version) == FINDING["message"]
        (gate,) = [gate for gate in judging.gates(session, world.request(session)) if gate.code == "allow-list"]
        assert gate.state == "stop"
        assert "a:two" in gate.why
    decide(world, "vic")
    decide(world, "cora")
    assert state(world)[1] == "in_review", "both signed, and the gate is closed"


def test_a_version_that_passes_goes_on(world):
    with world.write() as session:
        version = factories.request_in_review(session, world).version_id
    use(world, WIDE)
    use(world, {"a:one": "ref"})
    end(world, "passed")
    with world.read() as session:
        assert rescans.refusal(session, version) is None
    decide(world, "vic")
    decide(world, "cora")
    assert state(world)[1] == "approved"
