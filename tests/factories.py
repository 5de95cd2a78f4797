"""Valid objects, made through the real services: a test names only what matters to it.

Everything but :class:`World` joins the caller's transaction: ``with world.write() as session: ready_version(session, world)``.
"""

import functools
import io
import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload, selectinload

from formats import artifacts, lock, manifest, platforms
from formats import digest as digests
from registry import (
    accounts,
    approvals,
    audit,
    builds,
    bundles,
    catalog,
    checking,
    clock,
    decisions,
    experiments,
    importing,
    jobs,
    platform_changes,
    references,
    signing_in,
    tokens,
    uploads,
    vault,
    versions,
)
from registry import platforms as registered
from registry.access import Actor
from registry.db import Database
from registry.matching import Range
from registry.orm.account import Person, Role, ServiceAccount
from registry.orm.advisory import Severity
from registry.orm.approval import Decision, Outcome, ReleaseRequest
from registry.orm.catalog import Blob, ModelVersion, RegisteredModel, Visibility
from registry.orm.experiment import Experiment
from registry.orm.image import Build, Bundle, Image, MemberRole, Rebuild
from registry.orm.job import Job
from registry.orm.platform import Platform, PlatformChange, PlatformDecision
from registry.routes import MemberSpec, RouteSpec
from registry.settings import Settings
from registry.store import LocalStore

MODEL = "payments/voice"
PASSWORD = "correct horse battery staple"
TERMS = approvals.Terms(
    uses=["routing customer feedback"],
    environments=["production"],
    prohibited_uses=["scoring people"],
    limits=["German"],
)
_numbers = itertools.count(1)

PEOPLE: Mapping[str, tuple[Sequence[Role], Sequence[str]]] = {
    "ana": ([Role.SCIENTIST], ["payments"]),
    "ben": ([Role.SCIENTIST], ["payments"]),
    "lea": ([Role.SCIENTIST], ["lending"]),
    "vic": ([Role.VALIDATOR], []),
    "val": ([Role.VALIDATOR], []),
    "cora": ([Role.COMPLIANCE], []),
    "carl": ([Role.COMPLIANCE], []),
    "max": ([Role.SCIENTIST, Role.VALIDATOR, Role.COMPLIANCE], ["payments"]),
    "kim": ([Role.CONSUMER], ["lending"]),
    "aud": ([Role.AUDITOR], []),
    "ops": ([Role.OPERATOR], []),
    "nil": ([], []),
}


@dataclass
class World:
    """A company: people as they act after signing in with a second factor, in a database and with a store.

    ``root`` and ``rita`` administer. ``ana`` and ``ben`` are scientists of team payments, ``lea`` of team lending,
    ``kim`` consumes there. ``vic`` and ``val`` validate, ``cora`` and ``carl`` are from compliance, ``aud`` audits,
    ``ops`` operates. ``max`` of payments may push and decide, ``nil`` may do nothing.
    """

    database: Database
    store: LocalStore
    actors: dict[str, Actor]

    @classmethod
    def load(cls, database: Database, store: LocalStore) -> "World":
        """Read the people of a database that :func:`build_world` filled."""
        with database.read() as session:
            people = session.scalars(select(Person).options(selectinload(Person.roles), selectinload(Person.teams)))
            actors = {person.username: accounts.actor_for(person, second_factor=True) for person in people}
        return cls(database, store, actors)

    def __getattr__(self, name: str) -> Actor:
        try:
            return self.actors[name]
        except KeyError:
            raise AttributeError(f"nobody in this world is called {name}") from None

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A real unit of work, with guard and audit."""
        with self.database.write() as session:
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A real read-only unit."""
        with self.database.read() as session:
            yield session

    def version(self, session: Session, number: int | str = 1, *, model: str = MODEL) -> ModelVersion:
        """A version as its scientists see it."""
        return references.get_version(session, model, number, actor=self.ana)

    def request(self, session: Session, number: int = 1, *, model: str = MODEL) -> ReleaseRequest:
        """The newest request of a version."""
        request = approvals.open_request_of(session, self.version(session, number, model=model))
        assert request is not None, f"{model}:{number} was never submitted"
        return request


def build_world(database: Database) -> None:
    """Fill an empty database as an installation would be: policy, first administrator, second one, teams, people."""
    with database.write() as session:
        approvals.lay_standard_policy(session)
        secret = accounts.open_setup(session)
    with database.write() as session:
        accounts.first_administrator(session, secret, username="root", name="Root", password=PASSWORD)
    root = _acting(database, "root")
    with database.write() as session:
        for slug in ("payments", "lending"):
            accounts.add_team(session, actor=root, slug=slug, name=slug.title())
        second, _ = accounts.add_person(session, actor=root, username="rita", name="Rita Root")
        accounts.grant_role(session, second, Role.ADMINISTRATOR, actor=root)
    rita = _acting(database, "rita")
    with database.write() as session:
        for username, (roles, teams) in PEOPLE.items():
            person, _ = accounts.add_person(session, actor=root, username=username, name=username.title())
            for role in roles:
                grant = accounts.grant_role(session, person, role, actor=root)
                if not grant.in_force:
                    accounts.confirm_role(session, grant, actor=rita)
            for slug in teams:
                accounts.add_member(session, accounts.get_team(session, slug), person, actor=root)
    with database.write() as session:
        import_advisories(session, actor=root)  # else every approval waits for the answer that nothing was compared


def _acting(database: Database, username: str) -> Actor:
    with database.read() as session:
        return accounts.actor_for(accounts.load_person(session, username=username), second_factor=True)


def enrol(session: Session, username: str, keys: vault.Vault) -> str:
    """Give a person the password ``PASSWORD`` and a second factor; returns its base32 secret."""
    person = accounts.load_person(session, username=username)
    person.password_hash = _hashed_password()
    secret = signing_in.new_totp_secret()
    person.totp_sealed = keys.seal(secret)
    audit.record(session, audit.Action.SECOND_FACTOR_SET, actor=accounts.actor_for(person), subject=person)
    return secret


@functools.cache
def _hashed_password() -> str:
    """Hashing is slow on purpose: once is enough."""
    return vault.hash_password(PASSWORD)


# --------------------------------------------------------------------------------------------------- pushes


def card(**fields: Any) -> str:
    """A valid model card; ``fields`` add to its head or replace what it says."""
    head = {
        "purpose": "Routes feedback",
        "task": "text-classification",
        "owner": "payments",
        "contact": "#voice",
        **fields,
    }
    lines = [f"{name}: {value!r}" for name, value in head.items() if value is not None]
    return "\n".join(["---", *lines, "---", "# The Voice", ""])


def blob(session: Session, world: World, data: bytes, *, actor: Actor | None = None) -> str:
    """Store bytes as ``actor`` (ana); returns their digest."""
    digest = digests.of_bytes(data)
    if not world.store.has(digest):
        world.store.put(io.BytesIO(data))
    uploads.note(session, actor=actor or world.ana, digest=digest, size=len(data))
    return digest


def push(
    session: Session, world: World, *, actor: Actor | None = None, content: bytes | None = None, **fields: Any
) -> versions.Push:
    """What a push says, its bytes stored; every call has other model bytes unless ``content`` names them."""
    content = content if content is not None else f"model {next(_numbers)}".encode()
    files = {
        "model.joblib": blob(session, world, content, actor=actor),
        "sample.jsonl": blob(session, world, b'{"text": "my card is lost"}\n', actor=actor),
    }
    plain = versions.Push(
        files=files,
        format="joblib",
        card=card(),
        metrics=[versions.MetricClaim("accuracy", 0.91, "october", higher_is_better=True)],
        environment={"python": "3.11.7", "distributions": {"scikit-learn": "1.9.1"}},
    )
    return replace(plain, **fields)


def checking_version(
    session: Session, world: World, *, model: str = MODEL, actor: Actor | None = None, **fields: Any
) -> ModelVersion:
    """A version as it is just after the push; ``fields`` go into the push."""
    actor = actor or world.ana
    pushed = push(session, world, actor=actor, **fields)
    version, new = versions.register_version(session, actor=actor, full_name=model, push=pushed, create_model=True)
    assert new
    return reload(session, version, actor=actor)


def reload(session: Session, version: ModelVersion, *, actor: Actor) -> ModelVersion:
    """The version with all its parts as they are stored now."""
    session.flush()
    model, number = session.get_one(RegisteredModel, version.model_id).full_name, version.number
    session.expire(version)
    return references.get_version(session, model, number, actor=actor)


def private_model(session: Session, world: World, full_name: str, *, actor: Actor) -> RegisteredModel:
    """A model that only its team may know of."""
    return catalog.register_model(session, actor=actor, full_name=full_name, visibility=Visibility.PRIVATE)


# --------------------------------------------------------------------------------------------------- checks


def report(step: str, *, outcome: str = "passed", **facts: Any) -> dict[str, Any]:
    """A check report."""
    return {
        "schema": "countersign.report/1",
        "step": step,
        "outcome": outcome,
        "isolation": "none",
        "summary": f"The {step} {outcome}.",
        "findings": [] if outcome == "passed" else [{"code": "test", "message": "It failed.", "hint": "Mend it."}],
        "facts": facts,
    }


def reports(
    *,
    parity: dict[str, Any] | None = None,
    notices: Sequence[dict[str, Any]] = (),
    own_code: dict[str, Any] | None = None,
    **facts: Any,
) -> list[dict[str, Any]]:
    """One passed report per step, by default of a model that is not compiled; ``facts`` are those of its answers.

    ``own_code`` are the facts of that step, which versions without own code do not have.
    """
    told = {"predict": facts, "parity": parity or {"compiled": None}, "introspect": {"notices": list(notices)}}
    own = [report(checking.OWN_CODE, **own_code)] if own_code else []
    return own + [report(step, **told.get(step, {})) for step in checking.STEPS]


def parity_facts() -> dict[str, Any]:
    """What the parity report of a compiled model holds."""
    files = [
        artifacts.File(f"compiled/{name}", digests.of_bytes(name.encode()), 10) for name in ("coef.npy", "form.json")
    ]
    candidate = {"engine": "arrays", "equal": True, "labels": {"equal": 81, "of": 81}, "problems": []}
    return {
        "tolerance": 1e-6,
        "runtime": digests.of_bytes(b"runtime"),
        "rows": {"sample": 20, "edge": 61, "refused": 12},
        "candidates": [candidate | {"largest_difference": 1e-15}],
        "compiled": {
            "engine": "arrays",
            "digest": manifest.compiled_digest(files),
            "files": [file.to_dict() for file in files],
        },
        "reason": None,
    }


def lock_document(**wheels: str) -> dict[str, Any]:
    """A lock of ``wheels``: name to version."""
    wheels = wheels or {"numpy": "2.4.1"}
    return {
        "schema": "countersign.lock/1",
        "target": {"os": "linux", "arch": "x86_64", "libc": "glibc-2.36", "python": "3.11"},
        "wheels": [
            {
                "name": name,
                "version": version,
                "filename": f"{name}-{version}-py3-none-any.whl",
                "sha256": digests.of_bytes(f"{name} {version}".encode()),
                "size": 9_000,
            }
            for name, version in sorted(wheels.items())
        ],
    }


def signature_document(*columns: str) -> dict[str, Any]:
    """The tensor schema of a text model, or of a frame with these columns."""
    names = columns or ("text",)
    return {
        "layout": "frame" if columns else "text",
        "inputs": [{"name": name, "datatype": "BYTES", "shape": [-1], "nullable": False} for name in names],
        "outputs": [{"name": "predict", "datatype": "BYTES", "shape": [-1]}],
    }


def check(session: Session, version: ModelVersion, **facts: Any) -> None:
    """Let the checks of a version pass."""
    checking.pass_checks(session, version, reports(**facts), lock=lock_document(), signature=signature_document())


def ready_version(session: Session, world: World, *, actor: Actor | None = None, **fields: Any) -> ModelVersion:
    """A version whose checks have passed."""
    version = checking_version(session, world, actor=actor, **fields)
    check(session, version)
    return reload(session, version, actor=actor or world.ana)


def failed_version(session: Session, world: World, *, actor: Actor | None = None, **fields: Any) -> ModelVersion:
    """A version whose scan failed."""
    version = checking_version(session, world, actor=actor, **fields)
    checking.fail_checks(session, version, [report("scan", outcome="failed")])
    return reload(session, version, actor=actor or world.ana)


# --------------------------------------------------------------------------------------------------- reviews


def submit(session: Session, world: World, version: ModelVersion, *, actor: Actor | None = None) -> ReleaseRequest:
    """Ask for release as ``actor`` (ana)."""
    request = approvals.submit(session, version, actor=actor or world.ana, note="please", terms=TERMS)
    return approvals.get_request(session, request.id, actor=world.cora)


def request_in_review(session: Session, world: World, *, actor: Actor | None = None, **fields: Any) -> ReleaseRequest:
    """A new version of ``actor``'s (ana's) with an open request."""
    return submit(session, world, ready_version(session, world, actor=actor, **fields), actor=actor)


def decide(
    session: Session, request: ReleaseRequest, actor: Actor, outcome: Outcome = Outcome.APPROVE, **overrides: Any
) -> Decision:
    """Sign as somebody who has read the newest state; ``overrides`` are arguments of the service."""
    request = approvals.get_request(session, request.id, actor=actor)
    valid: dict[str, Any] = {
        "decision_id": clock.new_id(),
        "outcome": outcome,
        "reason": "I ran it on the October sample.",
        "seen_release": request.release_digest,
        "seen_dossier": request.dossier_digest,
        "method": "password+totp",
    }
    return decisions.decide(session, request, actor=actor, **valid | overrides)


def approve(session: Session, world: World, version: ModelVersion) -> ModelVersion:
    """Take a ready version through its review."""
    request = submit(session, world, version)
    decide(session, request, world.vic)
    decide(session, request, world.cora)
    return version


def approved_version(session: Session, world: World, **fields: Any) -> ModelVersion:
    """A version that a validator and compliance approved."""
    return approve(session, world, ready_version(session, world, **fields))


# --------------------------------------------------------------------------------------------- bundles, images


def pinned(number: int, weight: int = 100, *, model: str = MODEL, bounds: tuple[int, int] = (0, 100)) -> MemberSpec:
    """A share that is always this version."""
    return MemberSpec(model, weight, number=number, bounds=bounds)


def following(what: str = "approved", weight: int = 100, *, model: str = MODEL) -> MemberSpec:
    """A share that is whatever is approved, or aliased."""
    return MemberSpec(model, weight, follow=what)


def in_shadow(member: MemberSpec) -> MemberSpec:
    """The same as a shadow."""
    return replace(member, role=MemberRole.SHADOW)


def bundle(
    session: Session,
    world: World,
    *members: MemberSpec,
    name: str = "payments/desk",
    rebuild: Rebuild = Rebuild.AUTO,
    actor: Actor | None = None,
) -> Bundle:
    """A bundle with one route, ``feedback``, made by ana."""
    actor = actor or world.ana
    routes = [RouteSpec("feedback", members or (following(),))]
    bundles.create(session, actor=actor, full_name=name, routes=routes, rebuild=rebuild)
    return bundles.get(session, name, actor=actor)


def experiment(session: Session, bundle: Bundle, *, actor: Actor, **fields: Any) -> Experiment:
    """An experiment of two weeks on the route ``feedback``."""
    plain = {"route": "feedback", "hypothesis": "Fewer cases go to the wrong team", "metric": "share of moved cases"}
    return experiments.start(
        session, bundle, actor=actor, **{**plain, "ends_at": clock.now() + timedelta(days=14), **fields}
    )


def baked(build: Build, **overrides: Any) -> builds.Baked:
    """What a worker would report of a build's image; its digest depends on the recipe."""
    members = [UUID(member["version"]) for route in build.recipe["routes"] for member in route["members"]]
    valid: dict[str, Any] = {
        "digest": digests.of_bytes(f"image {build.recipe_digest}".encode()),
        "engine_id": digests.of_bytes(b"config"),
        "isolation": "process",
        "base": "host",
        "target": lock_document()["target"],
        "size": 1_000,
        "layers": [],
        "config": "{}",
        "manifest": "{}",
        "sealed": {},
        "sbom": {},
        "provenance": {},
        "smoke": {},
        "key_fingerprint": digests.of_bytes(b"key"),
        "members": members,
    }
    return builds.Baked(**valid | overrides)


def released_image(session: Session, build: Build, **fields: Any) -> Image:
    """Bake a build in no time."""
    return builds.release(session, builds.start(session, build.id), baked(build, **fields))


# --------------------------------------------------------------------------------------------------- platforms


def platform(*, base: str = "host", runtime: str = "one", code: str = "one") -> platforms.Platform:
    """What a worker could bake on, for the target of :func:`lock_document`; other words make another platform."""
    return platforms.Platform(
        base=base,
        target=lock.Target.from_dict(lock_document()["target"]),
        runtime=digests.of_bytes(runtime.encode()),
        app=(artifacts.File("start.py", digests.of_bytes(code.encode()), 100),),
    )


def lay_platform(session: Session, **fields: Any) -> Platform:
    """The platform that the first bake found."""
    return registered.lay_first(session, platform(**fields), wheels={"numpy": "2.4.1"}, worker="w1")


def offer_platform(session: Session, *, numpy: str = "2.4.2", **fields: Any) -> Platform:
    """A platform that a worker could bake on: another runtime, unless ``fields`` say otherwise."""
    return registered.offer(session, platform(**{"runtime": "two"} | fields), wheels={"numpy": numpy}, worker="w2")


def images_in_front(session: Session, world: World, *names: str, stands_on: str | None = None) -> list[Image]:
    """One approved version and its image for each model name; its bundle is the model's own."""
    made = []
    for name in names:
        approved_version(session, world, model=name)
        query = select(Build).join(Bundle, Bundle.id == Build.bundle_id).options(joinedload(Build.bundle))
        made.append(
            released_image(session, session.scalars(query.where(Bundle.full_name == name)).one(), platform=stands_on)
        )
    return made


def propose(session: Session, world: World, wanted: Platform, *, actor: Actor | None = None) -> PlatformChange:
    """A proposed platform change by ``actor`` (ops)."""
    return platform_changes.propose(session, actor=actor or world.ops, digest=wanted.digest, reason="patched numpy")


def sign_change(
    session: Session, change: PlatformChange, actor: Actor, outcome: Outcome = Outcome.APPROVE, **overrides: Any
) -> PlatformDecision:
    """Sign as somebody who has read it; ``overrides`` are arguments of the service."""
    change = platform_changes.get(session, change.id, actor=actor)
    valid: dict[str, Any] = {
        "decision_id": clock.new_id(),
        "outcome": outcome,
        "reason": "The patch notes are harmless.",
        "seen": change.digest,
        "method": "password+totp",
    }
    return platform_changes.decide(session, change, actor=actor, **valid | overrides)


# --------------------------------------------------------------------------------------------------- advisories


def advisory(name: str = "GHSA-none-0000-0000", package: str = "nobody-has-this", **fields: Any) -> importing.Record:
    """A record about ``package``, all versions of it unless ``fields`` say otherwise; of this moment, and high."""
    affected = importing.Affected((Range("0", fields.pop("fixed", None), None),), frozenset())
    valid: dict[str, Any] = {
        "aliases": frozenset(), "summary": f"{package} can be misused", "severity": Severity.HIGH, "score": 7.5,
        "modified_at": clock.now(), "packages": {package: affected},
    }  # fmt: skip
    return importing.Record(id=name, **valid | fields)


def import_advisories(
    session: Session,
    *records: importing.Record,
    actor: Actor,
    block: str = "high",
    days: int = 3650,
    newest: datetime | None = None,
) -> int:
    """Put a bundle with these advisories (or one that is about nothing anybody has) into force; returns what is new."""
    listed = records or (advisory(),)
    settings = Settings(advisory_block=block, advisory_stale_days=days)  # type: ignore[arg-type]
    digest = digests.of_bytes(f"bundle {next(_numbers)}".encode())
    bundle = importing.request(session, actor=actor, digest=digest, size=1_000, settings=settings)
    session.delete(job_of(session, bundle.id))  # done here, and no worker's to claim
    session.delete(session.get_one(Blob, digest))  # there is no such file
    return importing.take_over(session, bundle, importing.Contents(len(listed), newest or clock.now(), listed))


# --------------------------------------------------------------------------------------------------- machines


def service(session: Session, world: World, *, actor: Actor | None = None, name: str = "pipeline") -> ServiceAccount:
    """The identity of a pipeline of team payments, made by ana."""
    return accounts.add_service(session, accounts.get_team(session, "payments"), actor=actor or world.ana, name=name)


def token(session: Session, actor: Actor, *scopes: str, **fields: Any) -> Actor:
    """Somebody acting by a new token with ``scopes`` (read, push, submit)."""
    valid: dict[str, Any] = {"name": "ci", "scopes": scopes or ("read", "push", "submit"), "days": 30}
    _, secret = tokens.create(session, actor=actor, **valid | fields)
    session.flush()
    return tokens.authenticate(session, secret)[1]


def job_of(session: Session, subject_id: UUID) -> Job:
    """The job about a version or a build."""
    job = jobs.of_subject(session, subject_id)
    assert job is not None
    return job
