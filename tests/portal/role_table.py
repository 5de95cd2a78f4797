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
REVIEWERS = frozenset({Role.VALIDATOR, Role.COMPLIANCE})

Facts = Mapping[str, Any]
Arguments = Mapping[str, Any] | Callable[[Facts], Mapping[str, Any]]


@dataclass(frozen=True)
class Row:
    """Who may, and (where the address has parts, or the route is to be tried) which parts to try it with."""

    who: frozenset[Any] | None
    args: Arguments | None = None


PERSON = {"username": "ben"}
TEAM = {"slug": "payments"}

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
    "account.token_list": Row(SIGNED_IN, {}),
    "account.revoke_token": Row(SIGNED_IN),
    "account.services": Row(SCIENTISTS, {}),
    "home.index": Row(SIGNED_IN, {}),
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
