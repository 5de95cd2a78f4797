"""Bundles, routes and builds as JSON."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from portal.api.documents.base import (
    SLUG,
    Digest,
    Document,
    FullName,
    Input,
    Link,
    Listing,
    Moment,
    Page,
    Slug,
    name_of,
    page,
)
from registry.orm.image import Build, Bundle, MemberRole, Rebuild, RouteMember
from registry.orm.job import JobStep
from registry.routes import MemberSpec, RouteSpec

VersionRef = Annotated[
    str, Field(pattern=rf"^{SLUG}/{SLUG}:[1-9][0-9]{{0,8}}$", examples=["payments/feedback-voice:1"])
]
PerCent = Annotated[int, Field(ge=0, le=100)]


RoleOnRoute = Literal["primary", "shadow"]


class PinnedMember(Document):
    """A share that is always this version."""

    version: VersionRef
    role: RoleOnRoute
    """`primary` answers; `shadow` is asked a copy of requests, and nobody gets its answers."""
    weight: PerCent
    """Of a shadow: how many of the route's requests are copied."""
    bounds: tuple[PerCent, PerCent]
    """Between which the weight may be moved without a bake."""


class FollowingMember(Document):
    """A share that is whatever is approved, or aliased, when the bundle is baked."""

    model: FullName
    follow: str
    role: RoleOnRoute
    weight: PerCent
    bounds: tuple[PerCent, PerCent]


class RouteDocument(Document):
    """A public name in the container, and what answers it."""

    name: str
    members: list[PinnedMember | FollowingMember]


class BundleDocument(Document):
    """A named set of routes baked into one container."""

    name: FullName
    team: str
    routes: list[RouteDocument]
    rebuild: Literal["auto", "propose"]
    image_digest: Digest | None
    """The image that is current; null before the first."""
    changed_at: Moment
    url: Link

    @classmethod
    def of(cls, bundle: Bundle) -> "BundleDocument":
        """From a row with members and image."""
        routes: dict[str, list[PinnedMember | FollowingMember]] = {}
        for member in bundle.members:
            routes.setdefault(member.route, []).append(_member(member))
        return cls(
            name=bundle.full_name,
            team=bundle.full_name.partition("/")[0],
            routes=[RouteDocument(name=name, members=members) for name, members in routes.items()],
            rebuild=bundle.rebuild.value,
            image_digest=bundle.current_image.digest if bundle.current_image else None,
            changed_at=bundle.changed_at,
            url=page(f"/bundles/{bundle.full_name}"),
        )


def _member(row: RouteMember) -> PinnedMember | FollowingMember:
    model = row.model.full_name
    bounds = (row.min_weight, row.max_weight)
    if row.version is not None:
        pinned = f"{model}:{row.version.number}"
        return PinnedMember(version=pinned, role=row.role.value, weight=row.weight, bounds=bounds)
    follow = row.follow or ""
    return FollowingMember(model=model, follow=follow, role=row.role.value, weight=row.weight, bounds=bounds)


class BundlePage(Page[BundleDocument]):
    """Bundles by name."""


class NewMember(Input):
    """A share or a shadow: `version`, or `model` and `follow`."""

    version: VersionRef | None = None
    model: FullName | None = None
    follow: Slug | None = None
    """`approved`, or an alias."""
    role: RoleOnRoute = "primary"
    weight: PerCent
    bounds: tuple[PerCent, PerCent] = (0, 100)

    @model_validator(mode="after")
    def _one_of_two(self) -> "NewMember":
        if (self.version is None) == (self.model is None) or (self.model is None) != (self.follow is None):
            raise ValueError("name a version, or a model and what to follow")
        return self

    def spec(self) -> MemberSpec:
        """As the domain takes it."""
        role = MemberRole(self.role)
        if self.version is None:
            return MemberSpec(self.model or "", self.weight, follow=self.follow, bounds=self.bounds, role=role)
        model, _, number = self.version.rpartition(":")
        return MemberSpec(model, self.weight, number=int(number), bounds=self.bounds, role=role)


class NewRoute(Input):
    """A public name and its shares, which add up to 100, with its shadows, which do not count."""

    name: Slug
    members: Annotated[list[NewMember], Field(min_length=1, max_length=20)]


class BundleContent(Input):
    """Routes that take the place of what is there."""

    routes: Annotated[list[NewRoute], Field(min_length=1, max_length=50)]
    rebuild: Literal["auto", "propose"] = "auto"
    """What an approval does: bake, or propose it to the owner."""

    def specs(self) -> list[RouteSpec]:
        """As the domain takes them."""
        return [RouteSpec(route.name, [member.spec() for member in route.members]) for route in self.routes]

    def mode(self) -> Rebuild:
        return Rebuild(self.rebuild)


class NewBundle(BundleContent):
    """A bundle to make; its team is the first half of its name."""

    name: FullName


class Rollback(Input):
    """Going back from one image to the one before it."""

    current: Digest
    """Digest of the image to leave: asking twice does not go back twice."""


class StepDocument(Document):
    """A finished step of a build."""

    name: str
    started_at: Moment
    finished_at: Moment


class BuildSummary(Document):
    """A build as lists show it."""

    id: str
    bundle: FullName
    state: Literal["proposed", "queued", "running", "done", "failed", "blocked"]
    """`proposed` waits for the bundle's owner; `done`, `failed` and `blocked` are final."""
    reason: str
    """What asked for it."""
    image_digest: Digest | None
    isolation: Literal["container", "process"] | None
    requested_by: str
    error: dict[str, Any] | None
    """`code`, `message` and `hint` of the failure."""
    created_at: Moment
    finished_at: Moment | None
    url: Link

    @classmethod
    def members(cls, build: Build, names: Mapping[str, str]) -> dict[str, Any]:
        """The members of a summary, from a row with its bundle and image."""
        return {
            "id": str(build.id),
            "bundle": build.bundle.full_name,
            "state": build.state.value,
            "reason": build.reason,
            "image_digest": build.image.digest if build.image else None,
            "isolation": build.image.isolation if build.image else None,
            "requested_by": name_of(names, build.requested_by),
            "error": build.error,
            "created_at": build.created_at,
            "finished_at": build.finished_at,
            "url": page(f"/builds/{build.id}"),
        }


class BuildDocument(BuildSummary):
    """A build with its steps."""

    steps: list[StepDocument]
    log_size: int
    """Bytes of log so far."""

    @classmethod
    def of(cls, build: Build, names: Mapping[str, str], steps: Iterable[JobStep], log_size: int) -> "BuildDocument":
        """From a row and its job's steps."""
        told = [
            StepDocument(name=step.name, started_at=step.started_at, finished_at=step.finished_at) for step in steps
        ]
        return cls(**cls.members(build, names), steps=told, log_size=log_size)


class BuildPage(Page[BuildSummary]):
    """Builds, newest first."""


class BuildQuery(Listing):
    """Which builds."""

    bundle: FullName | None = None
