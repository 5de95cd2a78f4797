"""Routes of a bundle: which versions share a public name, in which shares, and which are in their shadow."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from registry import catalog, names, references
from registry.access import Actor
from registry.errors import Invalid
from registry.orm.catalog import DeclaredUse
from registry.orm.image import Bundle, MemberRole, RouteMember


@dataclass(frozen=True)
class MemberSpec:
    """One member of a route as a person writes it: a pinned ``team/model:3``, or a model and what to follow.

    The weight of a shadow is the share of the route's requests that are copied to it; nobody gets its answers.
    """

    model: str
    weight: int
    number: int | None = None
    follow: str | None = None
    bounds: tuple[int, int] = (0, 100)
    role: MemberRole = MemberRole.PRIMARY


@dataclass(frozen=True)
class RouteSpec:
    """A public name and its members."""

    name: str
    members: Sequence[MemberSpec]


def rows(session: Session, bundle: Bundle, routes: Sequence[RouteSpec], *, actor: Actor) -> list[RouteMember]:
    """Check the routes and make their rows.

    :raises Invalid: no route, a name twice, weights that do not add up to 100, a member that is both or neither.
    """
    if not routes or len({route.name for route in routes}) != len(routes):
        raise Invalid(
            "a bundle has one or more routes with different names", errors=[("/routes", "missing or doubled")]
        )
    made: list[RouteMember] = []
    for place, route in enumerate(routes):
        pointer = f"/routes/{place}"
        names.slug(route.name, what="route", pointer=f"{pointer}/name")
        total = sum(member.weight for member in route.members if member.role is MemberRole.PRIMARY)
        if total != 100:
            raise Invalid(
                f"the weights of route {route.name} add up to {total}",
                hint="They are per cent: make them 100; those of shadows do not count.",
                errors=[(f"{pointer}/members", "weights must add up to 100")],
            )
        made += [
            _member(
                session,
                bundle,
                route.name,
                spec,
                len(made) + offset,
                actor=actor,
                pointer=f"{pointer}/members/{offset}",
            )
            for offset, spec in enumerate(route.members)
        ]
    return made


def _member(
    session: Session, bundle: Bundle, route: str, spec: MemberSpec, position: int, *, actor: Actor, pointer: str
) -> RouteMember:
    if (spec.number is None) == (spec.follow is None):
        raise Invalid(
            "a member names a version or what to follow, one of the two", errors=[(pointer, "one of version, follow")]
        )
    low, high = spec.bounds
    if not 0 <= low <= spec.weight <= high <= 100:
        raise Invalid(
            f"weight {spec.weight} is not within its bounds {low} to {high}",
            hint="0 <= lower <= weight <= upper <= 100.",
            errors=[(pointer, "weight outside its bounds")],
        )
    model = catalog.get_model(session, spec.model, actor=actor)
    # The team that will run it counts, not the person: an operator belongs to none, a scientist perhaps to two.
    if model.team_id != bundle.team_id and session.get(DeclaredUse, (model.id, bundle.team_id)) is None:
        raise Invalid(
            f"the bundle's team has not declared its use of {spec.model}",
            hint="Declare it on the model's page; then bake it.",
            errors=[(pointer, "use not declared")],
        )
    version = references.get_version(session, spec.model, spec.number, actor=actor) if spec.number is not None else None
    if spec.follow not in (None, "approved"):
        references.get_alias(session, model, spec.follow)
    return RouteMember(
        bundle_id=bundle.id,
        position=position,
        route=route,
        model_id=model.id,
        version_id=version.id if version else None,
        follow=spec.follow,
        role=spec.role,
        weight=spec.weight,
        min_weight=low,
        max_weight=high,
    )


def plain(routes: Sequence[RouteSpec]) -> list[dict[str, Any]]:
    """What a person wrote, as the audit log keeps it."""
    return [
        {
            "name": route.name,
            "members": [
                {
                    "model": m.model,
                    "number": m.number,
                    "follow": m.follow,
                    "weight": m.weight,
                    "bounds": list(m.bounds),
                    "role": m.role.value,
                }
                for m in route.members
            ],
        }
        for route in routes
    ]


def describe(member: RouteMember) -> dict[str, Any]:
    """A member as it was, for the audit log."""
    return {
        "route": member.route,
        "model": member.model.full_name,
        "role": member.role.value,
        "weight": member.weight,
        "number": member.version.number if member.version else None,
        "follow": member.follow,
    }
