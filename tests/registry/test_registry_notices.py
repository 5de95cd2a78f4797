"""What the checks noticed: shown with a title, answered by the requester's side, and no approval before."""

import pytest

from formats import canonical
from registry import approvals, judging, notices, policies
from registry.errors import Blocked, Invalid, MissingRole, WrongStage
from registry.orm.approval import Outcome, RequestState
from registry.orm.catalog import CheckReport, Stage
from tests import factories
from tests.registry.reviewing import decide, fits, state
from tests.support import refused

NOTICED = [
    {"code": "names-callable", "message": "It calls numpy.log1p."},
    {"code": "personal-data", "message": "2 like an IBAN, as DE******00."},
    {"code": "training-rows", "message": "SVC keeps 60 rows."},
]


def asked(world, noticed=NOTICED):
    """A request for a version whose checks noticed something."""
    with world.write() as session:
        version = factories.checking_version(session, world)
        factories.check(session, version, notices=noticed)
        return factories.submit(session, world, factories.reload(session, version, actor=world.ana))


def answer(world, about, name="ana", text="Agreed with the data protection officer, ticket 81."):
    with world.write() as session:
        return approvals.answer(session, world.request(session), actor=world.actors[name], about=about, text=text)


def gates(world):
    with world.read() as session:
        return {gate.code: gate for gate in judging.gates(session, world.request(session))}


def test_nobody_can_approve_before_the_answers(world):
    asked(world)
    assert gates(world)["notices"].state == "wait"
    assert "may hold personal data and keeps training rows" in gates(world)["notices"].why
    refused(world.database, Blocked, lambda session: factories.decide(session, world.request(session), world.vic))
    answer(world, "personal-data")
    refused(world.database, Blocked, lambda session: factories.decide(session, world.request(session), world.vic))
    answer(world, "training-rows", "ben")
    assert gates(world)["notices"].state == "ok"
    decide(world, "vic")
    decide(world, "cora")
    assert state(world) == (RequestState.APPROVED, Stage.APPROVED)


def test_without_notices_to_answer_there_is_no_gate(world):
    asked(world, NOTICED[:1])
    assert "notices" not in gates(world)
    decide(world, "vic")


@pytest.mark.parametrize("outcome", [Outcome.REQUEST_CHANGES, Outcome.REJECT])
def test_other_decisions_need_no_answer(world, outcome):
    asked(world)
    assert decide(world, "cora", outcome).outcome is outcome


def test_an_answer_is_part_of_the_dossier_and_voids_what_was_signed_without_it(world):
    asked(world)
    for code in ("personal-data", "training-rows"):
        answer(world, code)
    decide(world, "vic")
    answer(world, "personal-data", text="A better answer.")
    with world.read() as session:
        request = world.request(session)
        assert request.decisions[0].void_reason == "new answer was added"
        previous = None
        for entry in request.dossier:
            document = {
                "schema": "countersign.dossier-entry/1", "kind": entry.kind, "author": entry.author, "text": entry.text,
                "previous": previous, **({"about": entry.about} if entry.about else {}),
            }  # fmt: skip
            assert fits("dossier-entry", document)
            previous = canonical.digest(document)
            assert entry.digest == previous
        assert [entry.about for entry in request.dossier] == [None, "personal-data", "training-rows", "personal-data"]


@pytest.mark.parametrize(
    ("name", "about", "text", "error"),
    [
        ("vic", "personal-data", "Fine with me.", MissingRole),
        ("cora", "personal-data", "Fine with me.", MissingRole),
        ("ana", "names-callable", "It is harmless.", Invalid),
        ("ana", "nonsense", "It is harmless.", Invalid),
        ("ana", "personal-data", " ", Invalid),
    ],
)
def test_refused_answers(world, name, about, text, error):
    asked(world)
    refused(
        world.database,
        error,
        lambda session: approvals.answer(
            session, world.request(session), actor=world.actors[name], about=about, text=text
        ),
    )


def test_an_ended_request_takes_no_answer(world):
    asked(world)
    decide(world, "cora", Outcome.REJECT)
    refused(
        world.database,
        WrongStage,
        lambda session: approvals.answer(
            session, world.request(session), actor=world.ana, about="personal-data", text="Late."
        ),
    )


def test_weak_isolation_is_a_notice_and_old_reports_have_none():
    body = {"facts": {}}
    assert notices.of_reports([CheckReport(step="introspect", isolation="container", body=body)]) == []
    (weak,) = notices.of_reports([CheckReport(step="introspect", isolation="process", body=body)])
    assert (weak.code, weak.must_answer) == ("weak-isolation", False)


def test_every_policy_has_the_gate():
    facts = policies.Facts(
        reports={}, steps=("scan",), signed=(), candidates=(), barred={}, notices=[notices.Notice("personal-data", "x")]
    )
    assert policies.evaluate({"gates": [{"code": "x", "kind": "checks", "title": "x"}]}, facts)[-1].code == "notices"
