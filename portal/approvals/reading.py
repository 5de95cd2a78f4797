"""What the decision page says: plain lines first, whose signature is owed, and what came since it was opened."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from flask import g
from sqlalchemy.orm import Session

from portal import access, filters
from portal.catalog import history, own_code
from portal.catalog.version import metrics
from portal.reauthentication import pieces
from registry import access as rules
from registry import (
    accounts,
    approvals,
    bundles,
    catalog,
    compare,
    decisions,
    judging,
    notices,
    policies,
    proofs,
    wording,
)
from registry.access import Permission
from registry.audit import Action
from registry.orm.account import Role
from registry.orm.approval import DossierEntry, Outcome, ReleaseRequest, RequestState
from registry.orm.audit import AuditEntry, AuditPayload
from registry.orm.catalog import ModelVersion
from registry.orm.image import Bundle, MemberRole

SAID_BY_DECIDED = frozenset({Action.VERSION_REJECTED.value, Action.CHANGES_REQUESTED.value})
"""Follow a decision in the same moment; the history tells the decision only."""
SHOWN = 300
"""Most characters of one value of the comparison."""


@dataclass(frozen=True)
class Owed:
    """A signature that is still needed."""

    roles: frozenset[Role]
    mine: bool = False
    last: bool = False
    """Whether it would be the one that releases the version."""

    @property
    def whose(self) -> str:
        """``compliance or validator``."""
        return " or ".join(sorted(role.value for role in self.roles))


@dataclass(frozen=True)
class Differs:
    """One line of the comparison."""

    part: str
    name: str
    before: str
    after: str


@dataclass(frozen=True)
class Said:
    """A comment, or the reason of a decision."""

    who: str
    act: str
    """What was done, when it is more than a comment."""
    when: datetime
    text: str


def page(session: Session, asked: ReleaseRequest) -> dict[str, Any]:
    """Everything the page reads of the request, as its template names it."""
    version = asked.version
    base = approvals.last_approved_before(session, version)
    found = compare.compare(session, base, version, actor=g.actor)
    facts = judging.facts(session, asked, asked.decisions)
    gates = policies.evaluate(asked.policy.body, facts)
    why_not = judging.why_not(session, asked, actor=g.actor)
    is_open = asked.state is RequestState.OPEN
    signatures = owed(asked.policy.body, facts, may_sign=is_open and why_not is None) if is_open else []
    log = proofs.timeline(session, [asked.audit_ref(), version.audit_ref()], most=20)
    filters.name_actors({asked.requested_by} | {entry.author for entry in asked.dossier})
    words = said(asked)
    return {
        "asked": asked,
        "version": version,
        "model": version.model,
        "base": base,
        "comparison": found,
        "changed": changed(found),
        "differs": differs(found),
        "own_code": own_code.told(version, base),
        "metrics": [{**row, "name": _title(str(row["name"]))} for row in metrics(found)],
        "notices": notices.of_all(version.reports, facts.wheels),
        "answers": {entry.about: entry for entry in asked.dossier if entry.about},
        "unanswered": facts.unanswered,
        "known": facts.wheels.blocking if facts.wheels else [],
        "gates": gates if is_open else [_as_it_stood(asked, gate) for gate in gates],
        "blocked": any(gate.state == "stop" for gate in gates),
        "open_now": open_now(asked, gates, signatures),
        "said": words,
        "owed": signatures,
        "why_not": why_not,
        "statements": _statements(session, asked) if is_open and why_not is None else {},
        "bundles": [
            share(bundle, version) for bundle in bundles.holding(session, version.model) if _bakes(bundle, version)
        ],
        "uses": catalog.uses_of(session, version.model),
        "events": _events(log),
        "may_comment": is_open and _may_comment(asked),
        "may_withdraw": is_open and access.may(Permission.SUBMIT, version.model.team_id),
        "is_open": is_open,
    }


def _as_it_stood(asked: ReleaseRequest, gate: policies.Gate) -> policies.Gate:
    """Of a request that ended: who could still sign, and what became known since, does not matter any more."""
    if asked.state is RequestState.APPROVED and gate.state != "ok":
        return replace(gate, state="ok", why="Open when it was approved.")
    return gate if gate.state == "ok" else replace(gate, state="stop", why="Not reached before the request ended.")


def _may_comment(asked: ReleaseRequest) -> bool:
    reviewer = bool(g.actor.roles & rules.ROLES[Permission.DECIDE])
    return access.may(Permission.COMMENT) and (reviewer or asked.version.model.team_id in g.actor.teams)


def _statements(session: Session, asked: ReleaseRequest) -> dict[str, list[str]]:
    person = accounts.load_person(session, person_id=g.actor.person_id)
    return {outcome.value: pieces(decisions.statement(asked, person=person, outcome=outcome)) for outcome in Outcome}


def _title(words: str) -> str:
    words = words.replace("_", " ")
    return words[:1].upper() + words[1:]


# ------------------------------------------------------------------------------------------------- the plain lines


def changed(found: compare.Comparison) -> str:
    """What changed since the last approval, in a sentence that begins with the changes."""
    if found.base is None:
        return "everything: there is no earlier approved version."
    parts, same = found.parts(), found.unchanged()
    if not parts:
        return f"nothing since version {found.base.number}, the last approved."
    verb = "is" if same == ["the card"] else "are"
    rest = f" {_sentence(same)} {verb} the same." if same else ""
    return f"{wording.join(parts)}, since version {found.base.number}, the last approved.{rest}"


def _sentence(words: Sequence[str]) -> str:
    text = wording.join(words)
    return text[0].upper() + text[1:]


def open_now(asked: ReleaseRequest, gates: Sequence[policies.Gate], signatures: Sequence[Owed]) -> str:
    """What is open, in one line."""
    if asked.state is not RequestState.OPEN:
        return f"nothing: this request is {asked.state.replace('_', ' ')}."
    stopped = [gate.title for gate in gates if gate.state == "stop"]
    if stopped:
        return f"blocked, see the gates below: {'; '.join(stopped)}."
    if any(gate.code == "notices" and gate.state == "wait" for gate in gates):
        return "the requester's side must answer what the checks noticed; nobody can approve before."
    count = f"{filters.plural(len(signatures), 'signature is', 'signatures are')} still needed"
    return f"nothing blocks; {count}: {', and '.join('from ' + item.whose for item in signatures)}."


def owed(policy: dict[str, Any], facts: policies.Facts, *, may_sign: bool) -> list[Owed]:
    """The signatures still needed, this person's first; narrow gates count towards the wide ones that include them."""
    slots: list[Owed] = []
    people = [rule for rule in policy.get("gates", ()) if rule.get("kind") == "people" and rule.get("roles")]
    for rule in sorted(people, key=lambda rule: len(rule["roles"])):
        roles = frozenset(Role(name) for name in rule["roles"])
        given = {signer.person_id for signer in facts.signed if signer.roles & roles}
        missing = int(rule.get("count", 0)) - len(given - facts.barred.keys())
        covered = sum(slot.roles <= roles for slot in slots)
        slots += [Owed(roles)] * max(0, missing - covered)
    mine = next((slot for slot in slots if slot.roles & g.actor.roles), None) if may_sign else None
    if mine is None:
        return slots
    slots.remove(mine)
    return [replace(mine, mine=True, last=_would_release(policy, facts)), *slots]


def _would_release(policy: dict[str, Any], facts: policies.Facts) -> bool:
    """Whether this person's approval would open the last gate."""
    me = policies.Signer(g.actor.person_id, g.actor.name, g.actor.roles)
    return policies.passed(policies.evaluate(policy, replace(facts, signed=[*facts.signed, me])))


# ------------------------------------------------------------------------------------------------- deeper down


def differs(found: compare.Comparison) -> list[Differs]:
    """Every difference but metrics and card; none when there is no base, because then everything is new."""
    if found.base is None:
        return []
    sections = (
        ("Training data and origin", found.sources),
        ("Parameters", found.params),
        ("Libraries", found.libraries),
        ("Own code", found.own_code),
        ("Inputs", found.inputs),
        ("Outputs", found.outputs),
        ("Files", found.files),
    )
    return [
        Differs(part, change.name, _shown(change.before), _shown(change.after))
        for part, changes in sections
        for change in changes
    ]


def _shown(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def said(asked: ReleaseRequest) -> list[Said]:
    """Comments and the reasons of decisions, oldest first. The requester's note stands in the plain lines."""
    acts = {Outcome.APPROVE: "approved", Outcome.REQUEST_CHANGES: "asked for changes", Outcome.REJECT: "rejected"}
    comments = [
        Said(filters.who(entry.author), "" if entry.kind == "comment" else entry.kind, entry.created_at, entry.text)
        for entry in asked.dossier
        if entry.kind != "request"
    ]
    reasons = [
        Said(
            decision.person.username,
            acts[decision.outcome] + (f"; void: {decision.void_reason}" if decision.voided_at else ""),
            decision.decided_at,
            decision.reason,
        )
        for decision in asked.decisions
    ]
    return sorted([*comments, *reasons], key=lambda item: item.when)


def _bakes(bundle: Bundle, version: ModelVersion) -> bool:
    """Whether the approval of this version asks for a build of the bundle."""
    followed = {"approved"} | {alias.name for alias in version.aliases}
    return any(
        member.model_id == version.model_id and (member.version_id == version.id or member.follow in followed)
        for member in bundle.members
    )


def share(bundle: Bundle, version: ModelVersion) -> tuple[str, str]:
    """A bundle's name and how the version's model is split in it."""
    return bundle.full_name, ", ".join(
        f"{f'version {member.version.number}' if member.version else f'what is {member.follow}'}: {member.weight} %"
        f"{' in the shadow' if member.role is MemberRole.SHADOW else ''}"
        for member in bundle.members
        if member.model_id == version.model_id
    )


def _events(log: Sequence[tuple[AuditEntry, AuditPayload | None]]) -> list[history.Event]:
    return history.tell([(entry, payload) for entry, payload in log if entry.action not in SAID_BY_DECIDED])


# ------------------------------------------------------------------------------------------- what came meanwhile


def since(asked: ReleaseRequest, seen_release: str, seen_dossier: str) -> list[DossierEntry] | None:
    """What was added to the dossier after the state somebody read; ``None`` when they read something else."""
    if seen_release != asked.release_digest:
        return None
    if seen_dossier == asked.dossier_digest:
        return []
    places = [place for place, entry in enumerate(asked.dossier) if entry.digest == seen_dossier]
    return list(asked.dossier[places[0] + 1 :]) if places else None
