"""From a pushed version to one that is ready: own code, scan, lock, introspect, predict, compile, parity; every step leaves a report."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.orm import Session, joinedload, selectinload

from builders import pinning, resolver, sandbox, wheels
from builders.checks import compile as compiling
from builders.checks import introspect, lock, names, own_code, parity, report, sample, scan
from builders.checks.downloads import IndexUnreachable
from builders.checks.report import Finding, Refused
from builders.containers import EngineError
from builders.jobs import Job, JobFailed, TryLater
from builders.plan import RUNTIME_PATH
from builders.platform import CHECKOUT, ENVIRONMENTS_PATH, Platform
from builders.tarball import LayerError
from formats import canonical
from formats import digest as digests
from formats.lock import Lock, Wheel, environment_id
from formats.own_code import FILE as OWN_CODE
from formats.own_code import WHEELS, Declared
from formats.signature import Signature
from registry import checking, jobs
from registry.orm.catalog import ModelVersion, RegisteredModel, VersionFile
from registry.store import LocalStore
from registry.versions import REQUIREMENTS, SAMPLE

PROGRAM = CHECKOUT / "serving"
TOOLS = CHECKOUT / "builders" / "compile" / "requirements.txt"
MAX_TEXT = 16 << 20


@dataclass(frozen=True)
class Pushed:
    """The version as the checks need it: read once, no session behind it."""

    format: str
    artifact: str
    files: dict[str, str]
    environment: dict[str, Any]


def run(job: Job, store: LocalStore, platform: Platform) -> None:
    """Check one version and store what was found."""
    pushed, suited = _pushed(job), pinning.in_force(job, platform)
    try:
        reports, found = _check(job, pushed, store, suited)
    except IndexUnreachable as error:
        raise TryLater("index-unreachable", str(error), hint=error.hint) from error
    except EngineError as error:
        raise TryLater(error.code, str(error), hint=error.hint) from error
    except (LayerError, resolver.ResolverFailed) as error:
        raise JobFailed(error.code, str(error), hint=error.hint) from error
    with job.database.write() as session:
        jobs.own(session, job.id, job.fence)
        version = _version(session, job)
        if found is None:
            failed = next(item for item in reports if item["outcome"] == "failed")
            checking.fail_checks(session, version, reports)
            jobs.log(session, job.id, job.fence, f"{failed['step']} failed: {failed['summary']}")
        else:
            digest = checking.pass_checks(session, version, reports, lock=found[0], signature=found[1])
            jobs.log(session, job.id, job.fence, f"all checks passed, release digest {digest}")
        jobs.finish(session, job.id, job.fence)


def give_up(session: Session, job: Job, error: dict[str, str]) -> None:
    """The last attempt failed: the version's team is told why."""
    checking.fail_checks(session, _version(session, job), [], error=error)


def _version(session: Session, job: Job) -> ModelVersion:
    parts = (joinedload(ModelVersion.model).joinedload(RegisteredModel.team), selectinload(ModelVersion.files))
    return session.get_one(ModelVersion, job.subject_id, options=parts)


def _pushed(job: Job) -> Pushed:
    with job.database.read() as session:
        version = _version(session, job)
        files: dict[str, VersionFile] = {file.path: file for file in version.files}
        return Pushed(
            version.format,
            version.artifact,
            {path: file.digest for path, file in files.items()},
            version.environment or {},
        )


def _check(
    job: Job, pushed: Pushed, store: LocalStore, platform: Platform
) -> tuple[list[dict[str, Any]], tuple[dict[str, Any], dict[str, Any]] | None]:
    """The reports, and lock and signature when all steps passed. A step runs only when the one before it passed."""
    artifact = store.path(pushed.files[pushed.artifact])
    inputs: dict[str, Any] = {"files": pushed.files, "format": pushed.format, "allow_list": names.load().digest}
    own = None
    if OWN_CODE in pushed.files:
        own = job.step("own-code", inputs, lambda: _own_code(pushed, store, platform))
        job.log(own["summary"])
        if own["outcome"] != "passed":
            return [own], None
        inputs["own_code"] = own
    before = [own] if own else []
    allowed = own_code.allow_lists(own)
    scanned = job.step("scan", inputs, lambda: scan.scan(artifact, pushed.format, own=allowed))
    job.log(scanned["summary"])
    if scanned["outcome"] != "passed":
        return [*before, scanned], None
    mine = own_code.wheels(own)
    rows = sample.read(store.read(pushed.files[SAMPLE], limit=MAX_TEXT))
    target = platform.base.target.to_dict()
    locked = job.step(
        "lock",
        {**inputs, "scan": scanned, "environment": pushed.environment, "target": target},
        lambda: _lock(job, pushed, scanned, rows, mine, store, platform),
    )
    job.log(locked["summary"])
    if locked["outcome"] != "passed":
        return [*before, scanned, locked], None
    resolved = Lock.from_dict(locked["facts"]["lock"])
    model = introspect.Model(artifact, pushed.format, scanned["facts"]["globals"], own_code.at_load(mine))
    answered = job.step(
        "introspect",
        {**inputs, "scan": scanned, "lock": locked, "isolation": platform.isolation, "base": platform.base.digest},
        lambda: _introspect(job, model, rows, resolved, store, platform),
    )
    reports = [*before, scanned, locked, *answered["reports"]]
    for item in answered["reports"]:
        job.log(item["summary"])
    if answered["signature"] is None:
        return reports, None
    runs = {path: digests.of_file(place)[0] for path, place in compiling.programs(CHECKOUT).items()}
    compiled = job.step(
        "compile",
        {**inputs, "answered": answered, "lock": locked, "programs": runs, "tools": digests.of_file(TOOLS)[0]},
        lambda: _compile(job, model, rows, resolved, answered["signature"], store, platform),
    )
    for item in compiled:
        job.log(item["summary"])
    return [*reports, *compiled], (resolved.to_dict(), answered["signature"])


def _own_code(pushed: Pushed, store: LocalStore, platform: Platform) -> dict[str, Any]:
    """Judge the wheels the version brings, those of the index fetched first."""

    def find(declared: Declared) -> Wheel:
        target, index = platform.base.target, platform.index()
        wheel = resolver.locate(declared.name, declared.version, declared.sha256, target, index=index)
        resolver.fetch(Lock(target, (wheel,)), platform.keep_wheel, has=store.has, index=index)
        return wheel

    sources = own_code.Sources(
        pushed={path.removeprefix(WHEELS): digest for path, digest in pushed.files.items() if path.startswith(WHEELS)},
        find=find,
        place=store.path,
        keep=lambda data: platform.keep([data]),
    )
    try:
        return own_code.check(store.read(pushed.files[OWN_CODE], limit=MAX_TEXT), sources)
    except resolver.Unresolvable as error:
        return report.failed("own-code", error.findings)


def _lock(
    job: Job,
    pushed: Pushed,
    scanned: dict[str, Any],
    rows: sample.Sample,
    mine: Sequence[dict[str, Any]],
    store: LocalStore,
    platform: Platform,
) -> dict[str, Any]:
    if rows.findings:
        return report.failed("lock", rows.findings)
    trained = str(pushed.environment.get("python", ""))
    wanted = platform.base.target.python
    if trained and ".".join(trained.split(".")[:2]) != wanted:
        said = f"The model was trained under Python {trained}; models run here under Python {wanted}."
        return report.failed(
            "lock",
            [
                Finding(
                    "other-python",
                    said,
                    f"Train it under Python {wanted}, or ask an operator for a worker with that Python.",
                )
            ],
        )
    pins = pushed.files.get(REQUIREMENTS)
    found = lock.lock(
        scanned,
        target=platform.base.target,
        index=platform.index(),
        frame=rows.needs_frame,
        environment={
            str(name): str(version) for name, version in dict(pushed.environment.get("distributions") or {}).items()
        },
        requirements_txt=store.read(pins, limit=MAX_TEXT).decode(errors="replace") if pins else None,
        own=mine,
    )
    if found.lock is not None:
        job.log(f"fetching {len(found.lock.wheels)} wheels")
        resolver.fetch(found.lock, platform.keep_wheel, has=store.has, index=platform.index())
        try:
            own_code.check_names(mine, wheels.top_level(_without(found.lock, mine), store.open) if mine else {})
        except Refused as refused:
            return report.failed("lock", [refused.finding])
        platform.prepare_runtime(job.log)
    return found.report


def _without(lock: Lock, mine: Sequence[dict[str, Any]]) -> Lock:
    own = {wheel["sha256"] for wheel in mine}
    return Lock(lock.target, tuple(wheel for wheel in lock.wheels if wheel.sha256 not in own))


def _introspect(
    job: Job, model: introspect.Model, rows: sample.Sample, resolved: Lock, store: LocalStore, platform: Platform
) -> dict[str, Any]:
    """Load the model in the sandbox with its own libraries and ask it the sample."""
    libraries = _libraries(job, resolved, store, platform)
    found = introspect.introspect(model, rows, program=PROGRAM, sandbox=platform.sandbox(job.name), libraries=libraries)
    reports = [found.report, *([found.predict] if found.predict else [])]
    return {
        "reports": json.loads(json.dumps(reports)),
        "signature": found.signature.to_dict() if found.signature else None,
    }


def _libraries(job: Job, resolved: Lock, store: LocalStore, platform: Platform) -> sandbox.Libraries:
    """The site folder of a lock, its wheels fetched where they are missing."""
    resolver.fetch(resolved, platform.keep_wheel, has=store.has, index=platform.index())
    path = f"{ENVIRONMENTS_PATH}/{environment_id(resolved.digest)}"
    return sandbox.Libraries(platform.site_layer(resolved, path, job.name), path)


def _compile(
    job: Job,
    model: introspect.Model,
    rows: sample.Sample,
    resolved: Lock,
    signature: dict[str, Any],
    store: LocalStore,
    platform: Platform,
) -> list[dict[str, Any]]:
    """Compile the model with its own libraries, then compare on the serving runtime's; the reports of both steps."""
    index, isolated = platform.index(), platform.sandbox(job.name)
    programs = compiling.programs(CHECKOUT)
    try:
        if model.own_code:
            raise Refused("own-code", *compiling.OWN_CODE)
        tools = compiling.resolve_tools(resolved, TOOLS.read_text(), index)
    except Refused as refused:
        made = compiling.without(refused)
    except resolver.Unresolvable as error:
        said = f"The compile tools do not fit the model's libraries: {error.findings[0].message}"
        made = compiling.without(Refused("compile-tools", said, error.hint))
    else:
        libraries = replace(_libraries(job, resolved, store, platform), tools=_libraries(job, tools, store, platform))
        job.log("compiling")
        made = compiling.compile_model(
            model,
            rows,
            Signature.from_dict(signature),
            programs=programs,
            sandbox=isolated,
            libraries=libraries,
            tools=tools,
        )
    lock = platform.prepare_runtime(job.log)
    runtime = sandbox.Libraries(platform.site_layer(lock, RUNTIME_PATH, job.name), RUNTIME_PATH)
    compared = parity.measure(
        made,
        programs=programs,
        sandbox=isolated,
        runtime=runtime,
        runtime_lock=lock.digest,
        keep=lambda data: store.put(io.BytesIO(data)),
    )
    return [canonical.loads(canonical.dumps(item)) for item in (made.report, compared)]
