"""The SDK: one object that does what the portal's API offers."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from countersign import advising, cards, checks, collecting, config, downloading, models, refs, uploading, waiting
from countersign.advisories import Advisory, AdvisoryBundle
from countersign.api import Api
from countersign.cache import Cache
from countersign.collecting import Facts, Plan
from countersign.errors import NotFound, NotSignedIn, Trouble, Unusable
from countersign.experiments import Experiment
from countersign.platforms import Platforms
from countersign.progress import OnProgress, silent
from countersign.transport import Note, Transport


class Client:
    """A connection to one Countersign server, with the settings of the command unless told otherwise.

    Methods raise the exceptions of `countersign.errors`. Reading is safe from several threads.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        profile: str | None = None,
        timeout: float | None = None,
        settings: config.Settings | None = None,
        on_note: Note | None = None,
    ) -> None:
        """Resolve settings; nothing is sent yet.

        :param token: wins over environment and profile.
        :param timeout: seconds to wait for the next byte.
        :param on_note: told in words about retries.
        """
        flags = {"url": url, "profile": profile, "timeout": None if timeout is None else str(timeout)}
        self.settings = settings or config.load(flags)
        transport = Transport(
            self.settings.url,
            token or self.settings.token,
            timeout=self.settings.timeout,
            ca_bundle=os.environ.get("COUNTERSIGN_CA_BUNDLE") or None,
            on_note=on_note,
        )
        self.api = Api(transport)
        self.has_token = bool(token or self.settings.token)
        self._cache = Cache(self.settings.cache_dir)

    @property
    def url(self) -> str:
        return self.api.transport.url

    @cached_property
    def server(self) -> models.Server:
        """Limits, formats and targets of the server; asked once."""
        return self.api.server()

    def whoami(self) -> models.Identity:
        return self.api.whoami()

    # --- pushing

    def push(
        self,
        path: str | Path,
        *,
        name: str,
        label: str | None = None,
        author: str | None = None,
        card: str | Path | None = None,
        sample: str | Path | None = None,
        requirements: str | Path | None = None,
        wheels: Sequence[str | Path] = (),
        model_format: str | None = None,
        metrics: Any = (),
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
        lineage: Sequence[Mapping[str, str]] = (),
        create_model: bool = True,
        on_progress: OnProgress = silent,
    ) -> models.Version:
        """Push a folder, a model file with its neighbours, or a folder written by MLflow.

        :param wheels: of code that the model brings: files, or `name==version@sha256:...` of the server's package index.
        :param author: user name of who trained it; only a service account names somebody else.
        :param metrics: ``{"accuracy": 0.93}`` or a list of ``{"name", "value", "dataset", "higher_is_better"}``.
        :param lineage: edges, see `countersign.collecting.lineage`.
        :returns: the version; its ``is_new`` is False when the same content was there already.
        :raises CheckFailed: refused here, before anything was sent; ``findings`` says why.
        """
        facts = Facts(
            label=label,
            author=author,
            metrics=collecting.metric_list(metrics),
            params=params or {},
            tags=tags or {},
            lineage=lineage,
        )
        plan = collecting.collect(
            Path(path),
            name=name,
            facts=facts,
            model_format=model_format,
            card=Path(card) if card else None,
            sample=Path(sample) if sample else None,
            requirements=Path(requirements) if requirements else None,
            wheels=wheels,
        )
        return self.push_plan(plan, create_model=create_model, on_progress=on_progress)

    def push_plan(self, plan: Plan, *, create_model: bool = True, on_progress: OnProgress = silent) -> models.Version:
        """Check a collected push, send what the server lacks, and register the version."""
        self._require_token()
        checks.refuse_errors(checks.judge(plan, self.server))
        items = uploading.hash_files(plan.files, on_progress)
        uploading.send(self.api, items, on_progress)
        version, is_new = self.api.create_version(
            plan.name,
            files={item.path: item.digest for item in items},
            model_format=plan.format,
            card=plan.card,
            label=plan.facts.label,
            author=plan.facts.author,
            metrics=plan.facts.metrics,
            params=plan.facts.params,
            tags=plan.facts.tags,
            lineage=plan.facts.lineage,
            environment=plan.environment,
            create_model=create_model,
        )
        return version.bound(self, is_new=is_new)

    # --- finding and reading

    def get(self, ref: str) -> models.Version:
        """The version of a reference; a bare `team/model` is its newest approved version."""
        return self.api.version(refs.parse(ref)).bound(self)

    def search(
        self, text: str | None = None, *, team: str | None = None, task: str | None = None, stage: str | None = None
    ) -> Iterator[models.Model]:
        """Models that fit, fetched page by page as they are taken."""
        return self.api.list_models(q=text, team=team, task=task, stage=stage)

    def model(self, name: str) -> models.Model:
        return self.api.model(refs.parse_name(name))

    def versions(self, name: str) -> Iterator[models.Version]:
        """Versions of a model, newest first, fetched page by page."""
        return (version.bound(self) for version in self.api.versions(refs.parse_name(name)))

    def card(self, ref: str) -> str:
        """The card as Markdown."""
        return self.api.card(self.get(ref))

    def lineage(self, ref: str) -> models.Lineage:
        return self.api.lineage(self.get(ref))

    def diff(self, ref: str, base: str | None = None) -> models.Diff:
        """What changed since ``base``, by default the newest approved version before it."""
        version = self.get(ref)
        against = None
        if base is not None:
            other = refs.parse(base)
            against = other.selector if other.name == version.model else str(other)
        return self.api.diff(version, against)

    def report(self, ref: str, step: str) -> dict[str, Any]:
        """The report of one check step: own-code, scan, lock, introspect, predict, compile or parity."""
        return self.api.report(self.get(ref), step)

    def download(
        self,
        ref: str,
        folder: str | Path | None = None,
        *,
        allow_unapproved: bool = False,
        on_progress: OnProgress | None = None,
    ) -> downloading.Download:
        """Fetch a version's files, verified, into ``folder`` (`./<model>-<number>` by default), whole or not at all.

        :raises NotApproved: it is not approved, and ``allow_unapproved`` is false.
        :raises VerificationError: something is not what its digest says.
        """
        wanted = refs.parse(ref)
        version = self.api.version(wanted).bound(self)
        target = Path(folder) if folder is not None else Path(f"{wanted.model}-{version.number}")
        return downloading.download(
            self.api,
            version,
            wanted,
            target,
            cache=self._cache,
            allow_unapproved=allow_unapproved,
            on_progress=on_progress or silent,
        )

    # --- approval

    def submit(
        self,
        ref: str,
        note: str,
        *,
        uses: Sequence[str] = (),
        environments: Sequence[str] = ("production",),
        prohibited_uses: Sequence[str] = (),
        limits: Sequence[str] = (),
    ) -> models.Review:
        """Ask for approval of a version that is ready. People decide in the portal, at the review's ``url``.

        :param uses: what to approve it for; by default the card's ``uses``, or else its ``purpose``.
        :param prohibited_uses: what to rule out; by default the card's ``prohibited_uses``.
        :param limits: where it fails; by default the card's ``limits``.
        """
        version = self.get(ref)
        return self.api.submit(
            version,
            note=note,
            uses=uses or cards.lines(version.card, "uses") or cards.lines(version.card, "purpose"),
            environments=environments,
            prohibited_uses=prohibited_uses or cards.lines(version.card, "prohibited_uses"),
            limits=limits or cards.lines(version.card, "limits"),
        )

    def withdraw(self, ref: str, reason: str) -> None:
        self.api.withdraw(self.get(ref), reason)

    def wait(
        self,
        ref: str,
        until: str = "ready",
        *,
        timeout: float = 600.0,
        on_change: Callable[[models.Version], None] | None = None,
    ) -> models.Version:
        """Wait until a version's checks passed (`ready`) or people approved it (`approved`).

        :raises Rejected: that will not happen any more.
        :raises StillPending: ``timeout`` seconds went by first.
        """
        fixed = self.get(ref).ref  # an alias may move while we wait
        return waiting.for_version(lambda: self.get(fixed), until, timeout, on_change)

    def retry_checks(self, ref: str) -> models.Version:
        """Run the failed checks of a version again."""
        return self.api.retry_checks(self.get(ref)).bound(self)

    def reviews(self, state: str | None = "open") -> Iterator[models.Review]:
        return self.api.reviews(state)

    def review(self, review_id: str) -> models.Review:
        return self.api.review(review_id)

    def comment(self, review_id: str, text: str) -> None:
        self.api.comment(review_id, text)

    def answer(self, review_id: str, notice: str, text: str) -> None:
        """Answer what the checks noticed under the code ``notice``, as `personal-data`; nobody can approve before."""
        self.api.answer(review_id, notice, text)

    def set_alias(self, ref: str, alias: str) -> models.Version:
        """Point ``alias`` at the version."""
        version = self.get(ref)
        self.api.set_alias(version.model, alias, version.number)
        return version

    def remove_alias(self, name: str, alias: str) -> None:
        self.api.remove_alias(refs.parse_name(name), alias)

    # --- bundles and builds

    def bundles(self) -> Iterator[models.Bundle]:
        return self.api.bundles()

    def bundle(self, name: str) -> models.Bundle:
        return self.api.bundle(refs.parse_name(name))

    def set_bundle(self, name: str, content: Mapping[str, Any]) -> models.Bundle:
        """Create or replace a bundle: ``{"routes": [...], "rebuild": "auto"|"propose"}``."""
        return self.api.set_bundle(refs.parse_name(name), content)

    def bake(self, name: str) -> models.Build:
        """Ask for an image of the bundle as it is now."""
        return self.api.bake(refs.parse_name(name))

    def roll_back(self, name: str) -> models.Bundle:
        """Put the previous image of the bundle in front again: the newest whose versions are all still approved.

        :raises Unusable: it has no image yet.
        """
        bundle = self.bundle(name)
        return self.api.roll_back(bundle.name, self._current(bundle))

    def experiments(self, name: str) -> Iterator[Experiment]:
        """Those of a bundle, newest first."""
        return self.api.experiments(refs.parse_name(name))

    def start_experiment(
        self,
        name: str,
        route: str,
        *,
        hypothesis: str,
        metric: str,
        ends_at: datetime,
        starts_at: datetime | None = None,
    ) -> Experiment:
        """Say what a route of a bundle is split or shadowed for, and until when; it moves no weight.

        :raises Unusable: a time without a zone.
        """
        times = {"ends_at": ends_at, **({"starts_at": starts_at} if starts_at else {})}
        if any(moment.tzinfo is None for moment in times.values()):
            raise Unusable("a time without a zone", hint="Pass one such as datetime.now(UTC) + timedelta(days=14).")
        content = {"route": route, "hypothesis": hypothesis, "metric": metric}
        told = {key: moment.isoformat() for key, moment in times.items()}
        return self.api.start_experiment(refs.parse_name(name), {**content, **told})

    def end_experiment(self, experiment_id: str) -> Experiment:
        """End an experiment before its time."""
        return self.api.end_experiment(experiment_id)

    def conclude_experiment(self, experiment_id: str, result: str) -> Experiment:
        """Say what came of an experiment that has ended; once."""
        return self.api.conclude_experiment(experiment_id, result)

    def current_image(self, name: str) -> models.Image:
        """The image of the bundle that is in front.

        :raises Unusable: it has no image yet.
        """
        return self.api.image(self._current(self.bundle(name)))

    def _current(self, bundle: models.Bundle) -> str:
        if not bundle.image_digest:
            raise Unusable(
                f"{bundle.name} has no image yet", hint=f"`countersign bundle bake {bundle.name}` asks for one."
            )
        return bundle.image_digest

    def builds(self, bundle: str | None = None) -> Iterator[models.Build]:
        """Builds, newest first; of one bundle, when it is named."""
        return self.api.builds(bundle and refs.parse_name(bundle))

    def build(self, build_id: str) -> models.Build:
        return self.api.build(build_id)

    def retry_build(self, build_id: str) -> models.Build:
        return self.api.retry_build(build_id)

    def wait_build(
        self, build_id: str, *, timeout: float = 1200.0, on_change: Callable[[models.Build], None] | None = None
    ) -> models.Build:
        """Wait until a build is done.

        :raises Rejected: it failed or is blocked.
        :raises StillPending: ``timeout`` seconds went by first.
        """
        return waiting.for_build(lambda: self.build(build_id), timeout, on_change)

    def rebuild(self, image: str) -> models.Rebuild:
        """Ask a worker to bake an image anew and compare.

        :param image: its digest, or the bundle whose current image it is.
        """
        if not image.startswith("sha256:"):
            bundle = self.bundle(image)
            if bundle.image_digest is None:
                raise NotFound(f"{image} has no image yet", hint=f"Run `countersign bundle bake {image}`.")
            image = bundle.image_digest
        return self.api.rebuild(image)

    def wait_rebuild(self, rebuild: models.Rebuild, *, timeout: float = 1200.0) -> models.Rebuild:
        """Wait until a rebuild has ended.

        :raises VerificationError: another image came out; the message names the first layer that differs.
        :raises Rejected: nothing came out.
        :raises StillPending: ``timeout`` seconds went by first.
        """
        return waiting.for_rebuild(lambda: self.api.show_rebuild(rebuild.image_digest, rebuild.id), timeout)

    def build_log(self, build_id: str, *, follow: bool = False) -> Iterator[bytes]:
        """The log as it stands, or, with ``follow``, as it grows until the build has ended."""
        return waiting.log(self.api, build_id, follow=follow)

    # --- known vulnerabilities

    def import_advisories(self, path: str | Path, *, on_progress: OnProgress = silent) -> AdvisoryBundle:
        """Send a bundle of OSV records, `all.zip` of the PyPI ecosystem as osv.dev publishes it; a worker imports it."""
        self._require_token()
        return advising.send(self.api, Path(path), on_progress)

    def wait_advisories(self, bundle: AdvisoryBundle, *, timeout: float = 600.0) -> AdvisoryBundle:
        """Wait until a bundle is imported; see :func:`countersign.advising.wait`."""
        return advising.wait(lambda: self.api.advisory_bundle(bundle.digest), timeout)

    def advisories(self) -> Iterator[Advisory]:
        """Known vulnerabilities in what versions and images hold, worst first, fetched page by page."""
        return self.api.advisories()

    def advisory(self, advisory_id: str) -> Advisory:
        """One of them, with the versions and images it is about."""
        return self.api.advisory(advisory_id)

    # --- what images stand on

    @cached_property
    def platform(self) -> Platforms:
        """Platforms, changes of them and their waves."""
        return Platforms(self.api.transport)

    # --- tokens

    def tokens(self) -> Iterator[models.Token]:
        return self.api.tokens()

    def create_token(self, name: str, scopes: Sequence[str], *, days: int = 30) -> models.Token:
        """A new token; its ``token`` is told this once.

        :raises Trouble: it was made, but the answer with its secret was lost on the way.
        """
        made = self.api.create_token(name, scopes, days)
        if not made.token:
            raise Trouble(
                f"token {made.id} was made, but the answer with its secret was lost",
                hint=f"Run `countersign token revoke {made.id}` and make another.",
            )
        return made

    def revoke_token(self, token_id: str) -> None:
        self.api.revoke_token(token_id)

    def _require_token(self) -> None:
        if not self.has_token:
            raise NotSignedIn(
                f"not signed in at {self.url}",
                hint="Run `countersign login`, or set COUNTERSIGN_TOKEN or COUNTERSIGN_TOKEN_FILE.",
            )
