"""The rules alone, without a database: what opens a gate, what closes it, and in which words."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry import policies
from registry.checking import STEPS
from registry.orm.account import Role
from registry.policies import Facts, Signer

PASSED = dict.fromkeys(STEPS, "passed")
VIC = Signer(UUID(int=1), "vic", frozenset({Role.VALIDATOR}))
VAL = Signer(UUID(int=2), "val", frozenset({Role.VALIDATOR}))
CORA = Signer(UUID(int=3), "cora", frozenset({Role.COMPLIANCE}))
MAX = Signer(UUID(int=4), "max", frozenset({Role.VALIDATOR, Role.COMPLIANCE}))
ANA = Signer(UUID(int=5), "ana", frozenset({Role.SCIENTIST}))
EVERYBODY = (VIC, VAL, CORA, MAX, ANA)


def facts(**changes):
    return Facts(**{"reports": PASSED, "steps": STEPS, "signed": (), "candidates": EVERYBODY, "barred": {}} | changes)


def states(policy=policies.STANDARD, **changes):
    return {gate.code: gate.state for gate in policies.evaluate(policy, facts(**changes))}


def passed(**changes):
    return policies.passed(policies.evaluate(policies.STANDARD, facts(**changes)))


@pytest.mark.parametrize(
    ("signed", "people", "compliance"),
    [
        ((), "wait", "wait"),
        ((VIC,), "wait", "wait"),
        ((VIC, VAL), "ok", "wait"),
        ((CORA,), "wait", "ok"),
        ((VIC, CORA), "ok", "ok"),
        ((MAX,), "wait", "ok"),
        ((MAX, VIC), "ok", "ok"),
        ((VIC, VIC, VIC), "wait", "wait"),
        ((ANA, VIC), "wait", "wait"),
        (EVERYBODY, "ok", "ok"),
    ],
    ids=lambda value: "+".join(signer.name for signer in value) or "nobody" if isinstance(value, tuple) else value,
)
def test_two_different_people_one_of_them_from_compliance(signed, people, compliance):
    assert states(signed=signed) == {"checks": "ok", "two-people": people, "compliance": compliance}
    assert passed(signed=signed) is (people == compliance == "ok")


def test_whoever_is_barred_does_not_count_even_when_they_signed():
    assert states(signed=(VIC, CORA), barred={CORA.person_id: "made it"})["compliance"] == "wait"
    assert states(signed=(VIC, CORA), barred={VIC.person_id: "made it"})["two-people"] == "wait"


@pytest.mark.parametrize("outcome", ["failed", "", None])
@pytest.mark.parametrize("step", STEPS)
def test_every_check_must_have_passed(step, outcome):
    reports = {key: value for key, value in PASSED.items() if key != step or outcome is not None}
    if outcome is not None:
        reports[step] = outcome
    (gate, *_) = policies.evaluate(policies.STANDARD, facts(reports=reports))
    assert gate.state == "stop"
    assert step in gate.why


@pytest.mark.parametrize(
    "policy",
    [
        pytest.param({}, id="empty"),
        pytest.param({"gates": []}, id="no-gates"),
        pytest.param({"gates": [{}]}, id="nothing-said"),
        pytest.param({"gates": [{"kind": "committee", "code": "x", "title": "X"}]}, id="unknown-kind"),
        pytest.param({"gates": [{"kind": "people", "code": "x", "title": "X", "count": 2}]}, id="no-roles"),
        pytest.param({"gates": [{"kind": "people", "code": "x", "title": "X", "roles": ["validator"]}]}, id="no-count"),
        pytest.param(
            {"gates": [{"kind": "people", "code": "x", "title": "X", "roles": ["validator"], "count": -1}]},
            id="negative",
        ),
        pytest.param(
            {"gates": [{"kind": "people", "code": "x", "title": "X", "roles": ["boss"], "count": 1}]}, id="unknown-role"
        ),
        pytest.param(
            {"gates": [{"kind": "people", "code": "x", "title": "X", "roles": ["auditor"], "count": 1}]},
            id="nobody-has-it",
        ),
    ],
)
def test_a_rule_that_nothing_can_satisfy_stops(policy):
    gates = policies.evaluate(policy, facts(signed=EVERYBODY))
    assert [gate.state for gate in gates] == ["stop"]
    assert gates[0].why.endswith(".")
    assert not policies.passed(gates)


def test_no_steps_are_no_passed_checks():
    (gate, *_) = policies.evaluate(policies.STANDARD, facts(steps=()))
    assert gate.state == "stop"


def test_an_unknown_role_beside_a_known_one_adds_nobody():
    rule = {"kind": "people", "code": "x", "title": "X", "roles": ["validator", "boss"], "count": 1}
    assert policies.deciding_roles({"gates": [rule]}) == {Role.VALIDATOR}
    assert states({"gates": [rule]}, signed=(CORA,)) == {"x": "wait"}
    assert states({"gates": [rule]}, signed=(VIC,)) == {"x": "ok"}


@pytest.mark.parametrize(
    ("candidates", "words"),
    [
        ((), "nobody could"),
        ((VIC,), "vic alone could"),
        ((ANA,), "nobody could"),
    ],
)
def test_too_few_who_could_sign_is_told_before_anybody_does(candidates, words):
    gate = policies.evaluate(policies.STANDARD, facts(candidates=candidates))[1]
    assert gate.state == "stop"
    assert words in gate.why
    assert "administrator" in gate.why


def test_waiting_names_who_can():
    people, compliance = policies.evaluate(policies.STANDARD, facts(signed=(VIC,)))[1:]
    assert people.why == "Signed by vic. 1 more from compliance or validator: val, cora and max can."
    assert compliance.why == "1 more from compliance: cora and max can."
    assert people.note == "1 of 2"


def test_many_who_can_are_not_all_listed():
    crowd = [Signer(UUID(int=10 + n), f"p{n}", frozenset({Role.VALIDATOR})) for n in range(9)]
    why = policies.evaluate(policies.STANDARD, facts(candidates=(*crowd, CORA)))[1].why
    assert "p0, p1, p2 and 7 others can" in why


@pytest.mark.parametrize(
    ("person", "changes", "said"),
    [
        (VIC, {}, None),
        (VIC, {"barred": {VIC.person_id: "uploaded it"}}, "you uploaded it, and nobody decides on their own work."),
        (ANA, {}, "that needs the role compliance or validator."),
        (VIC, {"signed": (VIC,)}, "you have signed already; another person must be the next."),
    ],
)
def test_why_somebody_may_not_decide(person, changes, said):
    deciding = policies.deciding_roles(policies.STANDARD)
    now = facts(**changes)
    assert policies.bar(person, barred=now.barred, signed=now.signed, deciding=deciding) == said


PEOPLE = st.sets(st.sampled_from(range(8)))
ROLES = st.sets(st.sampled_from([Role.VALIDATOR, Role.COMPLIANCE, Role.SCIENTIST])).map(frozenset)


@given(roles=st.lists(ROLES, min_size=8, max_size=8), signed=PEOPLE, barred=PEOPLE)
def test_it_passes_exactly_when_two_unbarred_people_signed_and_one_is_from_compliance(roles, signed, barred):
    """The rule again, in other words, over everything that could be the case."""
    people = [Signer(UUID(int=number), f"p{number}", held) for number, held in enumerate(roles)]
    counted = [people[number] for number in signed - barred if people[number].roles & {Role.VALIDATOR, Role.COMPLIANCE}]
    expected = len(counted) >= 2 and any(Role.COMPLIANCE in person.roles for person in counted)
    assert (
        passed(
            signed=[people[number] for number in signed],
            candidates=people,
            barred={people[number].person_id: "made it" for number in barred},
        )
        is expected
    )


@given(roles=st.lists(ROLES, min_size=8, max_size=8), signed=PEOPLE, barred=PEOPLE)
def test_a_gate_that_waits_can_still_be_opened(roles, signed, barred):
    """Where a gate says wait, letting everybody who can sign opens it; where it says stop, that does not."""
    people = [Signer(UUID(int=number), f"p{number}", held) for number, held in enumerate(roles)]
    given_now = {
        "candidates": people,
        "barred": {people[number].person_id: "made it" for number in barred},
    }
    before = states(signed=[people[number] for number in signed], **given_now)
    after = states(signed=people, **given_now)
    for code, state in before.items():
        assert (after[code] == "ok") is (state != "stop")


def test_a_digest_names_one_policy():
    assert policies.digest(policies.STANDARD) == policies.digest(dict(reversed(policies.STANDARD.items())))
    assert policies.digest(policies.STANDARD) != policies.digest(policies.STANDARD | {"validity_days": 366})
