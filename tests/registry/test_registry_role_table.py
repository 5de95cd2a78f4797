"""One row for every domain function that somebody may be refused: who may, tried by everybody, and no one else may."""

import importlib
import inspect
import pkgutil

import pytest
from sqlalchemy import select
from sqlalchemy.orm import joinedload

import registry
from formats import digest as digests
from registry import (
    accounts,
    approvals,
    bundles,
    catalog,
    decisions,
    experiments,
    importing,
    platform_changes,
    platforms,
    proofs,
    reading,
    rebuilds,
    recall,
    references,
    revoking,
    signing_in,
    tokens,
    uploads,
    versions,
    waivers,
    waves,
)
from registry import builds as baking
from registry.errors import AlreadyExists, Blocked, Forbidden, Invalid, NotFound, Stale, TokenRefused, WrongStage
from registry.orm.account import ApiToken, Person, Role, RoleGrant
from registry.orm.advisory import AdvisoryBundle, Waiver
from registry.orm.experiment import Experiment
from registry.orm.image import Build, BuildState, Image, Rebuild
from registry.orm.platform import PlatformChange
from registry.paging import Cursor
from registry.routes import RouteSpec
from registry.settings import Settings
from tests import factories
from tests.factories import MODEL, PEOPLE, TERMS

EVERYBODY = {"root", "rita", *PEOPLE} - {"nil"}
ADMINISTRATORS = {"root", "rita"}
SCIENTISTS = {"ana", "ben", "lea", "max"}
TEAM = {"ana", "ben", "max"}
REVIEWERS = {"vic", "val", "cora", "carl", "max"}
AUDIENCE = {"aud", "cora", "carl", "max", "root", "rita"}
BUNDLERS = TEAM | {"ops"}
SAMPLE = b'{"text": "my card is lost"}\n'


class Scene:
    """Versions 1 to 5 of one model: checking, failed, ready, in review, approved; and all that hangs on them."""

    def __init__(self, world, session):
        self.world, self.session = world, session

    def version(self, number):
        return references.get_version(self.session, MODEL, number, actor=self.world.ana)

    @property
    def request(self):
        return self.world.request(self.session, 4)

    @property
    def model(self):
        return self.version(5).model

    def bundle(self, name="payments/desk"):
        return bundles.get(self.session, name, actor=self.world.ana)

    def build(self, state):
        return self.session.scalars(baking._query().where(Build.state == state)).first()

    def person(self, username="nil"):
        return accounts.load_person(self.session, username=username)

    def team(self, slug="payments"):
        return accounts.get_team(self.session, slug)

    def grant(self, role):
        query = select(RoleGrant).join(Person, Person.id == RoleGrant.person_id).where(Person.username == "kim")
        return self.session.scalars(query.where(RoleGrant.role == role)).one()

    def token_id(self):
        return self.session.scalars(select(ApiToken.id)).one()

    def advisory(self):
        return recall.get(self.session, "GHSA-none-0000-0000", actor=self.world.cora)

    def waiver_id(self):
        return self.session.scalars(select(Waiver.id)).one()

    def change(self):
        (row,) = self.session.scalars(select(PlatformChange.id))
        return platform_changes.get(self.session, row, actor=self.world.ops)

    def move(self):
        return waves.get(self.session, self.change(), self.image_digest(), actor=self.world.ana)

    def experiment(self, hypothesis="it goes on"):
        return self.session.scalars(
            select(Experiment).where(Experiment.hypothesis == hypothesis).options(joinedload(Experiment.bundle))
        ).one()

    def image_digest(self):
        return self.session.scalars(select(Image.digest)).one()


@pytest.fixture
def scene(world):
    with world.write() as session:
        factories.checking_version(session, world)
        factories.failed_version(session, world)
        factories.ready_version(session, world)
        factories.request_in_review(session, world)
        factories.bundle(session, world, rebuild=Rebuild.PROPOSE)
        failing = factories.bundle(session, world, name="payments/failing")
        version = factories.approved_version(session, world)
        references.set_alias(session, version, "champion", actor=world.ana, expected=version.model.revision)
        accounts.grant_role(session, accounts.load_person(session, username="kim"), Role.VALIDATOR, actor=world.root)
        factories.token(session, world.ana)
        waived = factories.advisory("GHSA-waiv-0000-0000", "numpy")
        factories.import_advisories(session, factories.advisory(), waived, actor=world.ops)
        waivers.waive(
            session,
            recall.get(session, waived.id, actor=world.cora),
            actor=world.cora,
            owner="ana",
            reason="why",
            days=3,
        )
        for build in session.scalars(select(Build).where(Build.state == BuildState.QUEUED)).all():
            if build.bundle_id == failing.id:
                baking.fail(session, baking.start(session, build.id), {"code": "x", "message": "no", "hint": ""})
            else:
                factories.released_image(session, build)
        factories.lay_platform(session)
        factories.propose(session, world, factories.offer_platform(session))
        split = factories.bundle(
            session, world, factories.pinned(5, 90), factories.pinned(3, 10), name="payments/split"
        )
        for hypothesis in ("it ended", "it goes on"):
            made = factories.experiment(session, split, actor=world.ana, hypothesis=hypothesis)
            if hypothesis == "it ended":
                experiments.end(session, experiments.get(session, made.id, actor=world.ana), actor=world.ana)
    return world


ROUTES = [RouteSpec("feedback", [factories.pinned(5)])]


def then(error, act, *given, **named):
    """Who may, gets as far as this error."""
    with pytest.raises(error):
        act(*given, **named)


ACTS = {
    # people and teams
    accounts.add_person: (
        lambda s, a: accounts.add_person(s.session, actor=a, username="new", name="New"),
        ADMINISTRATORS,
    ),
    accounts.reset_link: (lambda s, a: accounts.reset_link(s.session, s.person(), actor=a), ADMINISTRATORS),
    accounts.disable_person: (lambda s, a: accounts.disable_person(s.session, s.person(), actor=a), ADMINISTRATORS),
    accounts.add_team: (lambda s, a: accounts.add_team(s.session, actor=a, slug="risk", name="Risk"), ADMINISTRATORS),
    accounts.add_member: (lambda s, a: accounts.add_member(s.session, s.team(), s.person(), actor=a), ADMINISTRATORS),
    accounts.remove_member: (
        lambda s, a: accounts.remove_member(s.session, s.team(), s.person("ana"), actor=a),
        ADMINISTRATORS,
    ),
    accounts.grant_role: (
        lambda s, a: accounts.grant_role(s.session, s.person(), Role.SCIENTIST, actor=a),
        ADMINISTRATORS,
    ),
    accounts.confirm_role: (lambda s, a: accounts.confirm_role(s.session, s.grant(Role.VALIDATOR), actor=a), {"rita"}),
    accounts.revoke_role: (
        lambda s, a: accounts.revoke_role(s.session, s.grant(Role.CONSUMER), actor=a),
        ADMINISTRATORS,
    ),
    accounts.add_service: (lambda s, a: accounts.add_service(s.session, s.team(), actor=a, name="ci"), TEAM),
    signing_in.reset_second_factor: (
        lambda s, a: signing_in.reset_second_factor(s.session, s.person(), actor=a),
        ADMINISTRATORS,
    ),
    tokens.create: (lambda s, a: tokens.create(s.session, actor=a, name="ci", scopes=["read"], days=1), EVERYBODY),
    tokens.listing: (lambda s, a: tokens.listing(s.session, Cursor(), actor=a), EVERYBODY),
    tokens.of_actor: (lambda s, a: tokens.of_actor(s.session, a), EVERYBODY),
    tokens.get: (lambda s, a: tokens.get(s.session, s.token_id(), actor=a), {"ana"}),
    tokens.revoke: (lambda s, a: tokens.revoke(s.session, s.token_id(), actor=a), {"ana"}),
    # catalogue
    catalog.register_model: (
        lambda s, a: catalog.register_model(s.session, actor=a, full_name="payments/other"),
        TEAM,
    ),
    catalog.get_model: (lambda s, a: catalog.get_model(s.session, MODEL, actor=a), EVERYBODY),
    catalog.require_artifacts: (
        lambda s, a: catalog.require_artifacts(s.session, s.model, actor=a),
        TEAM | REVIEWERS,
    ),
    catalog.search: (lambda s, a: catalog.search(s.session, catalog.Filters(), Cursor(), actor=a), EVERYBODY),
    catalog.describe: (
        lambda s, a: catalog.describe(s.session, s.model, actor=a, expected=s.model.revision, purpose="New"),
        TEAM,
    ),
    catalog.declare_use: (
        lambda s, a: catalog.declare_use(s.session, s.model, s.team("lending"), actor=a, purpose="triage"),
        {"lea", "kim"},
    ),
    references.set_alias: (
        lambda s, a: references.set_alias(s.session, s.version(3), "next", actor=a, expected=s.model.revision),
        TEAM,
    ),
    references.remove_alias: (
        lambda s, a: references.remove_alias(
            s.session, references.get_alias(s.session, s.model, "champion"), s.model, actor=a, expected=s.model.revision
        ),
        TEAM,
    ),
    references.get_version: (lambda s, a: references.get_version(s.session, MODEL, 1, actor=a), EVERYBODY),
    reading.read_version: (lambda s, a: reading.read_version(s.session, MODEL, 1, actor=a), EVERYBODY),
    references.version_by_id: (lambda s, a: references.version_by_id(s.session, s.version(1).id, actor=a), EVERYBODY),
    # pushing
    uploads.note: (
        lambda s, a: uploads.note(s.session, actor=a, digest=digests.of_bytes(b"new"), size=3),
        SCIENTISTS,
    ),
    uploads.require: (
        lambda s, a: uploads.require(s.session, digests.of_bytes(SAMPLE), actor=a, path="sample.jsonl"),
        TEAM | REVIEWERS,
    ),
    uploads.require_all: (
        lambda s, a: uploads.require_all(s.session, {"sample.jsonl": digests.of_bytes(SAMPLE)}, actor=a),
        TEAM | REVIEWERS,
    ),
    versions.register_version: (
        lambda s, a: versions.register_version(
            s.session,
            actor=a,
            full_name=MODEL,
            push=factories.push(s.session, s.world, actor=a if a.name in SCIENTISTS else s.world.ana),
        ),
        TEAM,
    ),
    versions.tag: (lambda s, a: versions.tag(s.session, s.version(3), "note", "x", actor=a), TEAM),
    versions.retry_checks: (lambda s, a: versions.retry_checks(s.session, s.version(2), actor=a), TEAM),
    revoking.revoke: (
        lambda s, a: revoking.revoke(s.session, s.version(5), actor=a, reason="It was wrong.", method="test"),
        {"cora", "carl", "max"},
    ),
    # review
    approvals.submit: (
        lambda s, a: approvals.submit(s.session, s.version(3), actor=a, note="", terms=TERMS),
        TEAM,
    ),
    approvals.withdraw: (lambda s, a: approvals.withdraw(s.session, s.request, actor=a, reason="wait"), TEAM),
    approvals.comment: (lambda s, a: approvals.comment(s.session, s.request, actor=a, text="Hm."), TEAM | REVIEWERS),
    approvals.answer: (
        lambda s, a: then(
            Invalid, approvals.answer, s.session, s.request, actor=a, about="personal-data", text="Made up."
        ),
        TEAM,
    ),
    approvals.get_request: (lambda s, a: approvals.get_request(s.session, s.request.id, actor=a), EVERYBODY),
    approvals.queue: (lambda s, a: approvals.queue(s.session, Cursor(), actor=a), EVERYBODY),
    decisions.decide: (lambda s, a: factories.decide(s.session, s.request, a), REVIEWERS),
    # bundles, builds, images
    bundles.create: (
        lambda s, a: bundles.create(s.session, actor=a, full_name="payments/new", routes=ROUTES),
        BUNDLERS,
    ),
    bundles.get: (lambda s, a: bundles.get(s.session, "payments/desk", actor=a), EVERYBODY),
    bundles.listing: (lambda s, a: bundles.listing(s.session, Cursor(), actor=a), EVERYBODY),
    bundles.change: (
        lambda s, a: bundles.change(
            s.session, s.bundle(), actor=a, routes=ROUTES, rebuild=Rebuild.AUTO, expected=s.bundle().revision
        ),
        BUNDLERS,
    ),
    bundles.bake: (lambda s, a: bundles.bake(s.session, s.bundle(), actor=a), BUNDLERS),
    bundles.accept: (lambda s, a: bundles.accept(s.session, s.build(BuildState.PROPOSED), actor=a), BUNDLERS),
    experiments.start: (
        lambda s, a: then(AlreadyExists, factories.experiment, s.session, s.bundle("payments/split"), actor=a),
        BUNDLERS,
    ),
    experiments.get: (lambda s, a: experiments.get(s.session, s.experiment().id, actor=a), EVERYBODY),
    experiments.listing: (
        lambda s, a: experiments.listing(s.session, s.bundle("payments/split"), Cursor(), actor=a),
        EVERYBODY,
    ),
    experiments.end: (lambda s, a: experiments.end(s.session, s.experiment(), actor=a), BUNDLERS),
    experiments.conclude: (
        lambda s, a: experiments.conclude(s.session, s.experiment("it ended"), actor=a, result="nothing"),
        BUNDLERS,
    ),
    baking.get_build: (
        lambda s, a: baking.get_build(s.session, s.build(BuildState.DONE).id, actor=a),
        EVERYBODY,
    ),
    baking.list_builds: (lambda s, a: baking.list_builds(s.session, Cursor(), actor=a), EVERYBODY),
    baking.retry: (lambda s, a: baking.retry(s.session, s.build(BuildState.FAILED), actor=a), BUNDLERS),
    baking.roll_back: (
        lambda s, a: then(Stale, baking.roll_back, s.session, s.bundle(), actor=a, seen=digests.of_bytes(b"other")),
        BUNDLERS,
    ),
    baking.get_image: (lambda s, a: baking.get_image(s.session, s.image_digest(), actor=a), EVERYBODY),
    baking.list_images: (lambda s, a: baking.list_images(s.session, Cursor(), actor=a), EVERYBODY),
    rebuilds.request: (
        lambda s, a: rebuilds.request(s.session, s.session.scalars(select(Image)).one(), actor=a),
        EVERYBODY - {"kim", "root", "rita"},
    ),
    # known vulnerabilities
    importing.request: (
        lambda s, a: importing.request(
            s.session, actor=a, digest=digests.of_bytes(b"new"), size=3, settings=Settings()
        ),
        {"ops", *ADMINISTRATORS},
    ),
    importing.get: (
        lambda s, a: importing.get(s.session, s.session.scalars(select(AdvisoryBundle.digest)).first(), actor=a),
        EVERYBODY,
    ),
    importing.listing: (lambda s, a: importing.listing(s.session, Cursor(), actor=a), EVERYBODY),
    recall.get: (lambda s, a: recall.get(s.session, "GHSA-none-0000-0000", actor=a), EVERYBODY),
    recall.listing: (lambda s, a: recall.listing(s.session, Cursor(), actor=a), EVERYBODY),
    waivers.waive: (
        lambda s, a: waivers.waive(s.session, s.advisory(), actor=a, owner="ana", reason="Not reachable.", days=3),
        {"cora", "carl", "max"},
    ),
    waivers.end: (lambda s, a: waivers.end(s.session, s.waiver_id(), actor=a), {"cora", "carl", "max"}),
    # platform changes
    decisions.signer: (lambda s, a: decisions.signer(s.session, a), REVIEWERS),
    platforms.get: (lambda s, a: platforms.get(s.session, factories.platform().digest, actor=a), EVERYBODY),
    platforms.listing: (lambda s, a: platforms.listing(s.session, actor=a), EVERYBODY),
    platform_changes.propose: (
        lambda s, a: then(Blocked, factories.propose, s.session, s.world, s.change().platform, actor=a),
        {"ops", *ADMINISTRATORS},
    ),
    platform_changes.withdraw: (
        lambda s, a: platform_changes.withdraw(s.session, s.change(), actor=a),
        {"ops", *ADMINISTRATORS},
    ),
    platform_changes.get: (lambda s, a: platform_changes.get(s.session, s.change().id, actor=a), EVERYBODY),
    platform_changes.listing: (lambda s, a: platform_changes.listing(s.session, Cursor(), actor=a), EVERYBODY),
    platform_changes.decide: (lambda s, a: factories.sign_change(s.session, s.change(), a), REVIEWERS),
    waves.pause: (
        lambda s, a: then(WrongStage, waves.pause, s.session, s.change(), actor=a),
        {"ops", *ADMINISTRATORS},
    ),
    waves.resume: (
        lambda s, a: then(WrongStage, waves.resume, s.session, s.change(), actor=a),
        {"ops", *ADMINISTRATORS},
    ),
    waves.retry: (lambda s, a: then(WrongStage, waves.retry, s.session, s.move(), actor=a), BUNDLERS),
    waves.get: (lambda s, a: waves.get(s.session, s.change(), s.image_digest(), actor=a), EVERYBODY),
    waves.listing: (lambda s, a: waves.listing(s.session, s.change(), Cursor(), actor=a), EVERYBODY),
    # audit
    proofs.search: (lambda s, a: proofs.search(s.session, proofs.Filters(), Cursor(), actor=a), AUDIENCE),
    proofs.entry: (lambda s, a: proofs.entry(s.session, 0, actor=a), AUDIENCE),
}

ANSWERS_BY_ACTOR = {
    "registry.accounts.refuse_both_halves": "part of resetting",
    "registry.approvals.count_waiting": "counts what this person could sign",
    "registry.approvals.void": "part of deciding, withdrawing and adding evidence",
    "registry.judging.why_not": "says in words why not",
    "registry.judging.why_not_each": "says in words why not",
    "registry.catalog.facets": "counts what they may see",
    "registry.catalog.may_read_artifacts": "is itself the question",
    "registry.catalog.may_see": "is itself the question",
    "registry.catalog.visible_to": "narrows a query",
    "registry.catalog.require_report": "is itself the question",
    "registry.visibility.bundle": "narrows a query",
    "registry.visibility.image": "narrows a query",
    "registry.compare.compare": "leaves out what they may not see",
    "registry.idempotency.begin": "keeps the answers to their own requests",
    "registry.lineage.around": "leaves out what they may not see",
    "registry.lineage.connect": "part of a push",
    "registry.lineage.hidden_parents": "is itself the question",
    "registry.reading.told_of": "tells of a version that its reader has",
    "registry.platform_changes.to_sign": "lists by their roles, see registry.waiting",
    "registry.platform_changes.why_not": "says in words why not",
    "registry.recall.in_front_of": "lists by their teams, see registry.waiting",
    "registry.recall.images_of": "leaves out what they may not see",
    "registry.recall.tell": "counts what they may see",
    "registry.recall.versions_of": "leaves out what they may not see",
    "registry.recall.waiting": "lists by their roles, see registry.waiting",
    "registry.experiments.waiting": "lists by their teams, see registry.waiting",
    "registry.revoking.images_of": "leaves out what they may not see",
    "registry.revoking.in_front": "lists by their teams, see registry.waiting",
    "registry.revoking.used": "lists by their teams, see registry.waiting",
    "registry.routes.rows": "part of making and changing a bundle",
    "registry.uploads.may_refer": "is itself the question",
    "registry.waiting.for_actor": "lists by their roles",
    "registry.waves.left_behind": "lists by their roles, see registry.waiting",
}
"""Functions that take an actor and refuse nobody, and why that is right."""


def named(function):
    return f"{function.__module__}.{function.__qualname__}"


def may(scene, act, name):
    """Whether this person can; whatever they did is undone."""
    with scene.database.session(write=True) as session:
        try:
            act(Scene(scene, session), getattr(scene, name))
        except (Forbidden, NotFound, TokenRefused):
            return False
        finally:
            session.rollback()
        return True


def test_everybody_may_do_what_the_table_says_and_nothing_else(scene):
    found = {
        named(function): {who for who in scene.actors if may(scene, act, who)} for function, (act, _) in ACTS.items()
    }
    assert found == {named(function): allowed for function, (_, allowed) in ACTS.items()}


def test_every_domain_function_that_takes_an_actor_has_its_row():
    taking = set()
    for module in pkgutil.iter_modules(registry.__path__, "registry."):
        for name, function in inspect.getmembers(importlib.import_module(module.name), inspect.isfunction):
            public = function.__module__ == module.name and not name.startswith("_")
            if public and "actor" in inspect.signature(function).parameters:
                taking.add(f"{module.name}.{name}")
    # access and audit are what the others use to refuse and to record.
    taking = {name for name in taking if not name.startswith(("registry.access.", "registry.audit."))}
    known = {named(function) for function in ACTS} | set(ANSWERS_BY_ACTOR)
    assert taking == known, "give it a row in ACTS, or a reason in ANSWERS_BY_ACTOR"
