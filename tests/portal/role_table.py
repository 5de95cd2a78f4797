"""Who may open each route: the table that test_routes.py holds the running portal against.

A route without a row fails the suite. ``args`` (or a function of the scene's facts) make its address; with them the
route is tried as every role: those not named must be refused with 403 or 404, the others must not be.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from registry.orm.account import Role

ANYBODY = None
"""Also without signing in."""
STAFF = frozenset(Role)
"""Everybody who has a role."""
SIGNED_IN = STAFF | {"none"}
"""Also somebody without any role."""
ADMINISTRATORS = frozenset({Role.ADMINISTRATOR})
SCIENTISTS = frozenset({Role.SCIENTIST})
AUDITORS = frozenset({Role.AUDITOR, Role.COMPLIANCE, Role.ADMINISTRATOR})
BUILDERS = frozenset({Role.SCIENTIST, Role.OPERATOR})
OPERATORS = frozenset({Role.OPERATOR, Role.ADMINISTRATOR})
REVIEWERS = frozenset({Role.VALIDATOR, Role.COMPLIANCE})
COMPLIANCE = frozenset({Role.COMPLIANCE})
REBUILDERS = STAFF - {Role.CONSUMER, Role.ADMINISTRATOR}

Facts = Mapping[str, Any]
Arguments = Mapping[str, Any] | Callable[[Facts], Mapping[str, Any]]


@dataclass(frozen=True)
class Row:
    """Who may, and (where the address has parts, or the route is to be tried) which parts to try it with."""

    who: frozenset[Any] | None
    args: Arguments | None = None


def model(facts: Facts) -> Mapping[str, Any]:
    """The scene's model."""
    return dict(facts["model"])


def version(facts: Facts) -> Mapping[str, Any]:
    """Its approved version."""
    return {**facts["model"], "ref": "1"}


def review(facts: Facts) -> Mapping[str, Any]:
    """The open request of its version 2."""
    return {"request_id": facts["request_id"]}


def build(facts: Facts) -> Mapping[str, Any]:
    """The build that the approval queued."""
    return {"build_id": facts["build_id"]}


PERSON = {"username": "ben"}
TEAM = {"slug": "payments"}
ADVISORY = {"advisory_id": "GHSA-none-0000-0000"}
"""The one advisory that the world's bundle holds; it is about nothing that is here."""

ROUTES: dict[str, Row] = {
    "ops.alive": Row(ANYBODY, {}),
    "ops.ready": Row(ANYBODY, {}),
    "ops.metrics": Row(ANYBODY, {}),
    "assets.send": Row(ANYBODY),
    "assets.favicon": Row(ANYBODY, {}),
    "account.login": Row(ANYBODY, {}),
    "account.logout": Row(ANYBODY),
    "account.setup": Row(ANYBODY),
    "account.theme": Row(ANYBODY),
    "account.settings": Row(SIGNED_IN, {}),
    "account.profile": Row(SIGNED_IN, {}),
    "account.security": Row(SIGNED_IN, {}),
    "account.second_factor": Row(SIGNED_IN, {}),
    "account.end_session": Row(SIGNED_IN),
    "account.token_list": Row(STAFF, {}),
    "account.revoke_token": Row(STAFF),
    "account.services": Row(SCIENTISTS, {}),
    "api.reference": Row(ANYBODY, {}),
    "home.index": Row(SIGNED_IN, {}),
    "catalog.index": Row(STAFF, {}),
    "catalog.export": Row(STAFF, {}),
    "catalog.model": Row(STAFF, model),
    "catalog.versions": Row(STAFF, model),
    "catalog.consumers": Row(STAFF, model),
    "catalog.activity": Row(STAFF, model),
    "catalog.settings": Row(SCIENTISTS, model),
    "catalog.choose": Row(STAFF, model),
    "catalog.compare": Row(STAFF, lambda facts: {**facts["model"], "a": 1, "b": 2}),
    "catalog.compare_latest": Row(STAFF, lambda facts: {**facts["model"], "b": 2}),
    "catalog.version": Row(STAFF, version),
    "catalog.status": Row(STAFF, version),
    "catalog.log": Row(STAFF, version),
    "catalog.report": Row(STAFF, lambda facts: {**version(facts), "step": "scan"}),
    "catalog.own_code_diff": Row(SCIENTISTS | REVIEWERS, version),
    "catalog.file": Row(SCIENTISTS | REVIEWERS, lambda facts: {**version(facts), "path": "sample.jsonl"}),
    "catalog.submit": Row(SCIENTISTS),
    "catalog.withdraw": Row(SCIENTISTS, lambda facts: {**facts["model"], "ref": "2"}),
    "catalog.revoke": Row(COMPLIANCE, version),
    "catalog.retry": Row(SCIENTISTS, version),
    "catalog.tag": Row(SCIENTISTS, version),
    "catalog.remove_alias": Row(SCIENTISTS, lambda facts: {**facts["model"], "alias": "champion"}),
    "lineage.model": Row(STAFF, model),
    "lineage.version": Row(STAFF, version),
    "lineage.export": Row(STAFF, version),
    "uploads.new": Row(SCIENTISTS, {}),
    "approvals.queue": Row(STAFF, {}),
    "approvals.review": Row(STAFF, review),
    "approvals.comment": Row(SCIENTISTS | REVIEWERS),
    "approvals.answer": Row(SCIENTISTS),
    "approvals.withdraw": Row(SCIENTISTS),
    "bundles.index": Row(STAFF, {}),
    "bundles.new": Row(BUILDERS, {}),
    "bundles.bundle": Row(STAFF, model),
    "bundles.bake": Row(BUILDERS, model),
    "bundles.roll_back": Row(BUILDERS, model),
    "bundles.accept": Row(BUILDERS, build),
    "bundles.start": Row(BUILDERS, model),
    "bundles.end": Row(BUILDERS),
    "bundles.conclude": Row(BUILDERS),
    "builds.index": Row(STAFF, {}),
    "builds.build": Row(STAFF, build),
    "builds.log": Row(STAFF, build),
    "builds.retry": Row(BUILDERS, build),
    "images.index": Row(STAFF, {}),
    "images.image": Row(STAFF),
    "images.document": Row(STAFF),
    "images.rebuild": Row(REBUILDERS),
    "advisories.index": Row(STAFF, {}),
    "advisories.imports": Row(STAFF, {}),  # sending one: operators and administrators, see test_advisories_pages.py
    "advisories.advisory": Row(STAFF, ADVISORY),
    "advisories.waive": Row(COMPLIANCE, ADVISORY),
    "advisories.end_waiver": Row(COMPLIANCE),
    "platform.index": Row(STAFF, {}),
    "platform.propose": Row(OPERATORS),
    "platform.change": Row(STAFF),
    "platform.withdraw": Row(OPERATORS),
    "platform.pause": Row(OPERATORS),
    "platform.resume": Row(OPERATORS),
    "platform.retry": Row(BUILDERS),
    "audit.index": Row(AUDITORS, {}),
    "audit.entry": Row(AUDITORS, {"seq": 0}),
    "audit.proof": Row(AUDITORS),
    "audit.checkpoint": Row(AUDITORS),
    "admin.people": Row(ADMINISTRATORS, {}),
    "admin.new_person": Row(ADMINISTRATORS, {}),
    "admin.person": Row(ADMINISTRATORS, PERSON),
    "admin.grant_role": Row(ADMINISTRATORS, PERSON),
    "admin.confirm_role": Row(ADMINISTRATORS, {**PERSON, "role": "scientist"}),
    "admin.revoke_role": Row(ADMINISTRATORS, {**PERSON, "role": "scientist"}),
    "admin.new_link": Row(ADMINISTRATORS, PERSON),
    "admin.reset_second_factor": Row(ADMINISTRATORS, PERSON),
    "admin.disable": Row(ADMINISTRATORS, PERSON),
    "admin.teams": Row(ADMINISTRATORS, {}),
    "admin.new_team": Row(ADMINISTRATORS, {}),
    "admin.team": Row(ADMINISTRATORS, TEAM),
    "admin.remove_member": Row(ADMINISTRATORS, {**TEAM, "username": "ben"}),
}
