"""Check step 2: the hashed wheels that the model will run with, for one target."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from packaging.utils import canonicalize_name

from builders import resolver
from builders.checks import names, needs, own_code, report, requirements
from builders.checks.needs import Needs
from builders.checks.report import Finding, Refused
from builders.checks.requirements import Pin
from formats.lock import Lock, Target, Wheel


@dataclass(frozen=True)
class Locked:
    """The report, and the lock when it passed."""

    report: dict[str, Any]
    lock: Lock | None = None


def lock(
    scan_report: Mapping[str, Any],
    *,
    target: Target,
    index: resolver.Index,
    environment: Mapping[str, str] | None = None,
    requirements_txt: str | None = None,
    frame: bool = False,
    own: Sequence[Mapping[str, Any]] = (),
) -> Locked:
    """Resolve what the scanned file imports.

    With a requirements.txt everything it pins is kept; without one, of the training's environment only what the model needs.

    :param scan_report: a passed report of the scan step.
    :param environment: distribution -> version of the interpreter the model was trained with.
    :param own: the wheels of the version's own code, of their report: they are in the lock as they are.
    :param frame: whether the sample's columns make pandas necessary; named columns in the file do so too.
    :raises IndexUnreachable: worth trying again later; there is no report then.
    :raises ResolverFailed: the resolver itself broke.
    """
    facts = scan_report["facts"]
    pins = None
    if requirements_txt is not None:
        parsed = requirements.parse(requirements_txt, target)
        if parsed.findings:
            return Locked(report.failed("lock", parsed.findings))
        pins = parsed.pins
    imported = needs.distributions(facts["globals"], names.load())
    mine = {wheel["name"]: own_code.locked(wheel) for wheel in own}
    wanted = needs.gather(
        imported,
        None if pins is None else {name: pin for name, pin in pins.items() if name not in mine},
        {name: version for name, version in (environment or {}).items() if canonicalize_name(name) not in mine},
        file_format=facts["format"],
        frame=frame or bool(facts["columns"]),
    )
    try:
        wanted.wanted += own_code.requirements(own, target)
    except Refused as refused:
        wanted.findings.append(refused.finding)
    wanted.findings += [
        _other_version(pin, mine[name])
        for name, pin in (pins or {}).items()
        if name in mine and pin.version != mine[name].version
    ]
    if wanted.findings:
        return Locked(report.failed("lock", wanted.findings))
    try:
        found = resolver.resolve(
            wanted.wanted, target, index=index, constraints=wanted.constraints, hashes=wanted.hashes
        )
    except resolver.Unresolvable as error:
        return Locked(report.failed("lock", error.findings))
    if both := sorted(wheel.name for wheel in found.wheels if wheel.name in mine):
        said = f"Another library needs {both[0]}, which is the name of the version's own code."
        return Locked(report.failed("lock", [Finding("wheel-shadows", said, "Give your package a name of your own.")]))
    found = Lock(target, tuple(sorted((*found.wheels, *mine.values()), key=lambda wheel: wheel.name)))
    return Locked(_passed(found, wanted), found)


def _other_version(pin: Pin, wheel: Wheel) -> Finding:
    return Finding(
        "bad-requirement",
        f"requirements.txt pins {pin}, the version's own wheel is {wheel.filename}.",
        "Train with the wheel that you push, and write requirements.txt again.",
    )


def _passed(found: Lock, wanted: Needs) -> dict[str, Any]:
    locked = {wheel.name: wheel.version for wheel in found.wheels}
    changed = [
        {"name": name, "from": wanted.declared.get(name), "to": version, "why": wanted.reasons[name]}
        for name, version in sorted(locked.items())
        if name in wanted.reasons and wanted.declared.get(name) != version
    ]
    kept = {name for name, version in wanted.declared.items() if locked.get(name) == version}
    facts = {
        "lock": found.to_dict(),
        "kept": [f"{name}=={wanted.declared[name]}" for name in sorted(kept)],
        "dropped": [f"{name}=={version}" for name, version in sorted(wanted.declared.items()) if name not in locked],
        "changed": changed,
    }
    return report.passed("lock", _summary(found, facts), facts)


def _summary(found: Lock, facts: Mapping[str, Any]) -> str:
    size = sum(wheel.size for wheel in found.wheels) / 1e6
    text = f"{len(found.wheels)} libraries are locked for {found.target} ({size:.0f} MB of wheels)."
    moved = [f"{item['name']} is {item['to']}" for item in facts["changed"] if item["from"] is not None]
    return f"{text} Other than in training: {', '.join(moved)}." if moved else text
