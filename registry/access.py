"""Who acts, and what they may do: roles and permissions as data, one ``require()``."""

import enum
from dataclasses import dataclass
from uuid import UUID

from registry.errors import InteractiveOnly, MissingRole, MissingScope, NotInTeam, SecondFactorRequired
from registry.orm.account import Role


class Permission(enum.StrEnum):
    """Every act that somebody may be refused."""

    READ = "read"
    PUSH = "push"
    SUBMIT = "submit"
    COMMENT = "comment"
    DECIDE = "decide"
    DECLARE_USE = "declare_use"
    EDIT_BUNDLE = "edit_bundle"
    BAKE = "bake"
    REBUILD = "rebuild"
    READ_AUDIT = "read_audit"
    OPERATE = "operate"
    IMPORT_ADVISORIES = "import_advisories"
    WAIVE = "waive"
    REVOKE = "revoke"
    CHANGE_PLATFORM = "change_platform"
    ADMINISTER = "administer"
    MANAGE_TOKENS = "manage_tokens"


ACTS = {
    Permission.READ: "reading",
    Permission.PUSH: "pushing versions",
    Permission.SUBMIT: "asking for approval",
    Permission.COMMENT: "commenting",
    Permission.DECIDE: "deciding",
    Permission.DECLARE_USE: "declaring a use",
    Permission.EDIT_BUNDLE: "changing a bundle",
    Permission.BAKE: "baking an image",
    Permission.REBUILD: "rebuilding an image",
    Permission.READ_AUDIT: "reading the audit log",
    Permission.OPERATE: "operating workers and jobs",
    Permission.IMPORT_ADVISORIES: "importing advisories",
    Permission.WAIVE: "waiving an advisory",
    Permission.REVOKE: "revoking",
    Permission.CHANGE_PLATFORM: "changing the platform",
    Permission.ADMINISTER: "administering people and teams",
    Permission.MANAGE_TOKENS: "managing tokens",
}
"""Each in words, for messages."""
ANYONE = frozenset(Role)
ROLES: dict[Permission, frozenset[Role]] = {
    Permission.READ: ANYONE,
    Permission.PUSH: frozenset({Role.SCIENTIST}),
    Permission.SUBMIT: frozenset({Role.SCIENTIST}),
    Permission.COMMENT: frozenset({Role.SCIENTIST, Role.VALIDATOR, Role.COMPLIANCE}),
    Permission.DECIDE: frozenset({Role.VALIDATOR, Role.COMPLIANCE}),
    Permission.DECLARE_USE: ANYONE,
    Permission.EDIT_BUNDLE: frozenset({Role.SCIENTIST, Role.OPERATOR}),
    Permission.BAKE: frozenset({Role.SCIENTIST, Role.OPERATOR}),
    Permission.REBUILD: frozenset(Role) - {Role.CONSUMER, Role.ADMINISTRATOR},
    Permission.READ_AUDIT: frozenset({Role.AUDITOR, Role.COMPLIANCE, Role.ADMINISTRATOR}),
    Permission.OPERATE: frozenset({Role.OPERATOR, Role.ADMINISTRATOR}),
    Permission.IMPORT_ADVISORIES: frozenset({Role.OPERATOR, Role.ADMINISTRATOR}),
    Permission.WAIVE: frozenset({Role.COMPLIANCE}),
    Permission.REVOKE: frozenset({Role.COMPLIANCE}),
    Permission.CHANGE_PLATFORM: frozenset({Role.OPERATOR, Role.ADMINISTRATOR}),
    Permission.ADMINISTER: frozenset({Role.ADMINISTRATOR}),
    Permission.MANAGE_TOKENS: ANYONE,
}

TEAM_BOUND = frozenset(
    {Permission.PUSH, Permission.SUBMIT, Permission.DECLARE_USE, Permission.EDIT_BUNDLE, Permission.BAKE}
)
"""Held for one's own teams only."""

OPERATORS_REACH = frozenset({Permission.EDIT_BUNDLE, Permission.BAKE})
"""What an operator may do for every team."""

SECOND_FACTOR = frozenset({Role.VALIDATOR, Role.COMPLIANCE, Role.OPERATOR, Role.ADMINISTRATOR})
"""Roles whose holders must have a second factor before anything else."""

SCOPES: dict[Permission, str] = {
    Permission.READ: "read",
    Permission.PUSH: "push",
    Permission.SUBMIT: "submit",
    Permission.COMMENT: "submit",
    Permission.DECLARE_USE: "submit",
    Permission.EDIT_BUNDLE: "bundles",
    Permission.BAKE: "bundles",
    Permission.REBUILD: "bundles",
    Permission.READ_AUDIT: "audit",
    Permission.IMPORT_ADVISORIES: "advisories",
    Permission.CHANGE_PLATFORM: "platform",
    Permission.MANAGE_TOKENS: "tokens",
}
"""The scope a token needs for each permission; what is not here no token can do."""

ALL_SCOPES = tuple(dict.fromkeys(SCOPES.values()))


@dataclass(frozen=True)
class Actor:
    """Somebody or something that acts."""

    ref: str
    """``person:<hex>``, ``service:<hex>`` or ``system:<name>``: what audit entries and authorship hold."""
    name: str
    person_id: UUID | None = None
    roles: frozenset[Role] = frozenset()
    teams: frozenset[UUID] = frozenset()
    scopes: frozenset[str] | None = None
    """Of the token used; ``None`` for a person at a browser, who is not limited by scopes."""
    second_factor: bool = False
    """Whether this sign-in passed a second factor."""

    @property
    def via_token(self) -> bool:
        """Whether this is a token, which can never decide."""
        return self.scopes is not None


SYSTEM = Actor(ref="system:countersign", name="Countersign")
"""The worker and start-up: acts only through functions made for them."""


def allowed(actor: Actor, permission: Permission, *, team_id: UUID | None = None) -> bool:
    """Whether ``require`` would pass: for hiding what somebody may not do."""
    try:
        require(actor, permission, team_id=team_id)
    except (MissingRole, NotInTeam, MissingScope, InteractiveOnly, SecondFactorRequired):
        return False
    return True


def require(actor: Actor, permission: Permission, *, team_id: UUID | None = None) -> None:
    """Refuse unless ``actor`` holds ``permission`` (for ``team_id``, where the permission is bound to a team).

    :raises InteractiveOnly: a token asked for something that only a signed-in person can do.
    :raises MissingScope: the token lacks the scope.
    :raises MissingRole: none of the actor's roles carries the permission.
    :raises NotInTeam: the object belongs to a team the actor is not in.
    :raises SecondFactorRequired: a role that needs a second factor, without one.
    """
    if actor.scopes is not None:
        scope = SCOPES.get(permission)
        if scope is None:
            raise InteractiveOnly(f"{ACTS[permission]} is for a signed-in person", hint="Open the portal in a browser.")
        if scope not in actor.scopes:
            raise MissingScope(f"this token lacks the scope {scope}", hint=f"Create a token with the scope {scope}.")
    needed = ROLES[permission]
    held = actor.roles & needed
    if not held:
        names = " or ".join(sorted(needed))
        raise MissingRole(f"{ACTS[permission]} needs the role {names}", hint="An administrator can grant roles.")
    if actor.scopes is None and not actor.second_factor:
        held -= SECOND_FACTOR
    if not held:
        raise SecondFactorRequired(
            f"{ACTS[permission]} needs a second factor", hint="Set one up under Security, then sign in again."
        )
    if permission in TEAM_BOUND and team_id is not None and team_id not in actor.teams:
        if Role.OPERATOR in held and permission in OPERATORS_REACH:
            return
        raise NotInTeam("this belongs to a team you are not in", hint="Ask a member of that team, or an administrator.")
