"""Pure rules: is every gate of the policy open, may this person decide, and if not, why, in words.

Nothing here reads a database. An empty rule, an unknown kind of gate or nobody who could sign closes the gate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from formats import canonical
from registry import wording
from registry.advisories import Standing
from registry.notices import Notice
from registry.orm.account import Role

GateState = Literal["ok", "wait", "stop"]

STANDARD: dict[str, Any] = {
    "schema": "countersign.policy/1",
    "name": "standard",
    "tier": "high",
    "revision": 1,
    "validity_days": 365,
    "gates": [
        {"code": "checks", "kind": "checks", "title": "Contents are safe to load, and the model answers"},
        {
            "code": "two-people",
            "kind": "people",
            "title": "Two different people",
            "count": 2,
            "roles": ["validator", "compliance"],
        },
        {
            "code": "compliance",
            "kind": "people",
            "title": "One of them from compliance",
            "count": 1,
            "roles": ["compliance"],
        },
    ],
}
"""The policy an installation starts with. It applies to every tier until risk tiers get policies of their own."""

PLATFORM: dict[str, Any] = {"gates": [gate for gate in STANDARD["gates"] if gate["kind"] == "people"]}
"""Who signs a platform change, whatever the policy in force: it is about the versions of every tier at once."""


@dataclass(frozen=True)
class Signer:
    """Somebody who could sign, or did: a person and the deciding roles they hold."""

    person_id: UUID
    name: str
    roles: frozenset[Role]


@dataclass(frozen=True)
class Facts:
    """All that the rules look at."""

    reports: Mapping[str, str]
    """Outcome of each check step."""
    steps: Sequence[str]
    """Steps that must have passed."""
    signed: Sequence[Signer]
    """Approvals that stand."""
    candidates: Sequence[Signer]
    """Everybody who holds a deciding role."""
    barred: Mapping[UUID, str]
    """Who may not decide on this version, and why: ``uploaded it``."""
    notices: Sequence[Notice] = ()
    """What the checks noticed that must be answered."""
    answered: frozenset[str] = frozenset()
    """Codes of the notices that the requester's side has answered."""

    refused_since: str | None = None
    """Why the list of allowed names, which shrank, no longer accepts the file."""

    wheels: Standing | None = None
    """How its libraries stand against known vulnerabilities."""

    @property
    def unanswered(self) -> list[Notice]:
        return [notice for notice in self.notices if notice.code not in self.answered]


@dataclass(frozen=True)
class Gate:
    """One rule of the policy and how it stands."""

    code: str
    title: str
    state: GateState
    why: str
    note: str = ""


def digest(policy: Mapping[str, Any]) -> str:
    """The digest a request keeps of the revision it was submitted under."""
    return canonical.digest(policy)


def evaluate(policy: Mapping[str, Any], facts: Facts) -> list[Gate]:
    """Every gate of the policy with its state and the reason in words."""
    gates = [_evaluate(rule, facts) for rule in policy.get("gates", ())]
    if not gates:
        return [Gate("empty-policy", "The policy has no rules", "stop", "A policy without rules approves nothing.")]
    # Under every policy: no revision of it can leave out whose data a model holds, a library that is known to be
    # vulnerable, or a list that shrank.
    if facts.notices:
        gates.append(_notices(facts))
    if facts.wheels is not None:
        gates.append(_wheels(facts.wheels, facts))
    if facts.refused_since:
        why = f"{facts.refused_since} The list shrank after the checks: push a version without that name."
        gates.append(Gate("allow-list", "The list of allowed names still accepts it", "stop", why))
    return gates


def passed(gates: Sequence[Gate]) -> bool:
    """Whether all gates are open."""
    return bool(gates) and all(gate.state == "ok" for gate in gates)


def _evaluate(rule: Mapping[str, Any], facts: Facts) -> Gate:
    code, title = str(rule.get("code", "?")), str(rule.get("title", "?"))
    if rule.get("kind") == "checks":
        return _checks(code, title, facts)
    if rule.get("kind") == "people":
        return _people(rule, code, title, facts)
    return Gate(code, title, "stop", f"This installation does not know gates of kind {rule.get('kind')!r}.")


def _checks(code: str, title: str, facts: Facts) -> Gate:
    missing = [step for step in facts.steps if facts.reports.get(step) != "passed"]
    if missing or not facts.steps:
        return Gate(code, title, "stop", f"Not passed: {', '.join(missing) or 'no steps are defined'}.")
    return Gate(code, title, "ok", f"All {len(facts.steps)} checks passed.", note="checked")


def _notices(facts: Facts) -> Gate:
    code, title = "notices", "What the checks noticed is answered"
    if facts.unanswered:
        what = _join([notice.title.lower() for notice in facts.unanswered])
        return Gate(
            code, title, "wait", f"The requester's side must answer first: {what}. Nobody can approve before.",
            note=f"{len(facts.notices) - len(facts.unanswered)} of {len(facts.notices)}",
        )  # fmt: skip
    return Gate(code, title, "ok", "Every one is answered in the dossier.", note=f"{len(facts.notices)} answered")


def _wheels(standing: Standing, facts: Facts) -> Gate:
    code, title, count = "advisories", "Known vulnerabilities", len(standing.open)
    if standing.blocking:
        worst = _join([f"{item.id} ({item.severity.word}) in {item.wheel}" for item in standing.blocking])
        return Gate(
            code, title, "stop", f"Blocked by {worst}. Push a version without that library, or have compliance waive it.",
            note=f"{count} known",
        )  # fmt: skip
    if standing.state == "clean" and standing.bundle is not None:
        waived = f" {len(standing.known)} waived." if standing.known else ""
        why = f"Its exact libraries were compared with the advisories of {standing.bundle.newest_at:%Y-%m-%d}.{waived}"
        return Gate(code, title, "ok", why, note="clean")
    if any(notice.code.startswith("advisories-") for notice in facts.unanswered):
        return Gate(
            code,
            title,
            "wait",
            "That cannot be said: the requester's side must answer for it first.",
            note=standing.state,
        )
    if standing.state == "vulnerable":
        why = "None is so severe that it blocks; the requester's side answered for them."
        return Gate(code, title, "ok", why, note=f"{count} known")
    return Gate(code, title, "ok", "That cannot be said; the requester's side answered for it.", note=standing.state)


def _people(rule: Mapping[str, Any], code: str, title: str, facts: Facts) -> Gate:
    roles = _known(rule)
    count = int(rule.get("count", 0))
    if not roles or count < 1:
        return Gate(code, title, "stop", "The rule names no roles or no number of people: nothing can satisfy it.")
    signed = {
        signer.person_id: signer.name
        for signer in facts.signed
        if signer.roles & roles and signer.person_id not in facts.barred
    }
    if len(signed) >= count:
        return Gate(code, title, "ok", f"Signed by {_join(sorted(signed.values()))}.", note=f"{len(signed)} of {count}")
    able = [
        person.name
        for person in facts.candidates
        if person.roles & roles and person.person_id not in facts.barred and person.person_id not in signed
    ]
    wanted = _join(sorted(role.value for role in roles), word="or")
    missing = count - len(signed)
    if len(able) < missing:
        return Gate(
            code,
            title,
            "stop",
            note=f"{len(signed)} of {count}",
            why=f"{missing} more from {wanted} must sign, and {_join(able) + ' alone' if able else 'nobody'} could. "
            "An administrator can grant the role to somebody who did not make, upload or submit this version.",
        )
    so_far = f"Signed by {_join(sorted(signed.values()))}. " if signed else ""
    return Gate(
        code,
        title,
        "wait",
        f"{so_far}{missing} more from {wanted}: {_join(able)} can.",
        note=f"{len(signed)} of {count}",
    )


def bar(
    person: Signer, *, barred: Mapping[UUID, str], signed: Sequence[Signer], deciding: frozenset[Role]
) -> str | None:
    """Why this person may not decide, as the end of a sentence that begins with "You cannot decide: "; else ``None``.

    :param barred: as in :class:`Facts`.
    :param signed: approvals that stand.
    """
    if reason := barred.get(person.person_id):
        return f"you {reason}, and nobody decides on their own work."
    if not person.roles & deciding:
        return f"that needs the role {_join(sorted(role.value for role in deciding), word='or')}."
    if any(signer.person_id == person.person_id for signer in signed):
        return "you have signed already; another person must be the next."
    return None


def deciding_roles(policy: Mapping[str, Any]) -> frozenset[Role]:
    """Roles that some gate of the policy asks for."""
    return frozenset(role for rule in policy.get("gates", ()) if rule.get("kind") == "people" for role in _known(rule))


def _known(rule: Mapping[str, Any]) -> set[Role]:
    """The rule's roles; one that this installation does not know is nobody's."""
    return {role for role in Role if role.value in rule.get("roles", ())}


def _join(words: Sequence[str], *, word: str = "and") -> str:
    words = list(words)
    if len(words) > 4:
        words = [*words[:3], f"{len(words) - 3} others"]
    return wording.join(words, word=word) if words else "nobody"
