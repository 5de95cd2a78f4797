"""Which version answers: names, versions and weights, the same in every process and image with the same manifest."""

import hashlib
import random
from collections.abc import Collection, Mapping, Sequence

from formats.manifest import Manifest, Member, Model
from serving.errors import NotFound, Refusal, Revoked


class Version:
    """A model version as a route offers it. ``name`` is its version in the protocol.

    :ivar weight: its share now; ``sealed_weight`` is the manifest's, ``bounds`` what it may become without another image.
    :ivar revoked: it answers no more, and its share is 0 whatever else is said.
    """

    __slots__ = ("bounds", "model", "name", "revoked", "route", "sealed_weight", "weight")

    def __init__(self, route: str, name: str, model: Model, weight: int, bounds: tuple[int, int] = (0, 100)) -> None:
        self.route = route
        self.name = name
        self.model = model
        self.weight = self.sealed_weight = weight
        self.bounds = bounds
        self.revoked = False


class Route:
    """A public name and its versions in manifest order; and the shadows, which are no versions to whoever asks.

    The weight of a shadow is the share of the route's requests that are copied to it.
    """

    def __init__(self, name: str, versions: Sequence[Version], shadows: Sequence[Version] = ()) -> None:
        self.name = name
        self.versions = {version.name: version for version in versions}
        self.shadows = {version.name: version for version in shadows}
        self.reweigh({})

    @property
    def every(self) -> dict[str, Version]:
        """Versions and shadows: whatever has a weight."""
        return {**self.versions, **self.shadows}

    def reweigh(self, weights: Mapping[str, int]) -> None:
        """Give versions other weights than the manifest's; those not named get that back."""
        self._given = weights
        for version in self.every.values():
            version.weight = 0 if version.revoked else weights.get(version.name, version.sealed_weight)
        self._total = sum(version.weight for version in self.versions.values())

    def revoke(self, refs: Collection[str]) -> None:
        """Let the versions of these models answer no more; the others of the route share what they had."""
        for version in self.every.values():
            version.revoked |= version.model.ref in refs
        self.reweigh(self._given)

    @property
    def weights(self) -> dict[str, int]:
        return {version.name: version.weight for version in self.versions.values()}

    def named(self, name: str) -> Version:
        """:raises NotFound: with the versions there are."""
        try:
            return self.versions[name]
        except KeyError:
            known = ", ".join(self.versions)
            raise NotFound(f'model "{self.name}" has no version "{name}"; it has {known}') from None

    def asked(self, name: str) -> Version:
        """The version that a request names.

        :raises NotFound: with the versions there are.
        :raises Revoked: it answers no more.
        """
        version = self.named(name)
        if version.revoked:
            raise Revoked(f'version "{name}" of "{self.name}" was revoked: it must not be used any more')
        return version

    def choose(self, key: str | None) -> Version:
        """The version for a request that names none, by weight; for the same ``key`` always the same one.

        The key's place in [0, 1) is sha256(route, NUL, key), first 8 bytes as a big-endian fraction; no key, a random place.

        :raises Revoked: of every version with a share.
        """
        if key is None:
            place = random.getrandbits(64)  # a share of the traffic, not a secret
        else:
            place = int.from_bytes(hashlib.sha256(f"{self.name}\0{key}".encode()).digest()[:8])
        reached = 0
        for version in self.versions.values():
            reached += version.weight
            if place * self._total < reached << 64:  # in whole numbers: no rounding decides who answers
                return version
        # A place below 1 lies under the sum of the weights; that is above 0 unless a revocation took the last.
        raise Revoked(f'every version of "{self.name}" that had a share was revoked: ask for none of them any more')


def routes(manifest: Manifest) -> dict[str, Route]:
    """:raises Refusal: two members of a route would have the same version name."""
    models = {model.ref: model for model in manifest.models}
    found = {}
    for route in manifest.routes:
        names = _version_names(models, route.members)
        versions = [_version(route.name, names, models, member) for member in route.members if not member.shadow]
        shadows = [_version(route.name, names, models, member) for member in route.members if member.shadow]
        found[route.name] = Route(route.name, versions, shadows)
    return found


def answering(manifest: Manifest) -> list[Model]:
    """The models that answer on some route: all but those that are shadows and nothing else."""
    members = [member for route in manifest.routes for member in route.members]
    only_shadows = {member.ref for member in members if member.shadow} - {
        member.ref for member in members if not member.shadow
    }
    return [model for model in manifest.models if model.ref not in only_shadows]


def _version(route: str, names: dict[str, str], models: dict[str, Model], member: Member) -> Version:
    return Version(route, names[member.ref], models[member.ref], member.weight, member.bounds)


def _version_names(models: Mapping[str, Model], members: Sequence[Member]) -> dict[str, str]:
    """Ref to version name: the number of a model that is the only one that answers on the route, else `<name>-<number>`.

    A shadow of another model changes no name that callers may use.
    """
    answering = {models[member.ref].model for member in members if not member.shadow}
    names = {}
    for member in members:
        model = models[member.ref]
        alone = answering == {model.model}
        names[member.ref] = str(model.number) if alone else f"{model.model.rpartition('/')[2]}-{model.number}"
    if len(set(names.values())) < len(names):
        raise Refusal(
            f"two versions on one route share a name: {', '.join(member.ref for member in members)}; give them routes of their own"
        )
    return names
