"""A requirements.txt of exact pins, read without running anything it could ask for."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from builders.checks.report import Finding
from formats.lock import Target

_HASH = re.compile(r"--hash[= ]sha256:([0-9a-f]{64})(?=\s|$)")
_HASH_OPTION = re.compile(r"\s--hash\b")
_COMMENT = re.compile(r"(^|\s)#.*$")
_PINS_HINT = "Write one line per library, as in scikit-learn==1.9.1, or leave requirements.txt out: the versions you trained with are then taken."


@dataclass(frozen=True, slots=True)
class Pin:
    """One library at one version. ``hashes``: the `sha256:<hex>` one of which its file must have; empty means any."""

    name: str
    version: str
    hashes: frozenset[str] = frozenset()
    extras: frozenset[str] = frozenset()

    def __str__(self) -> str:
        extras = f"[{','.join(sorted(self.extras))}]" if self.extras else ""
        return f"{self.name}{extras}=={self.version}"


@dataclass
class Requirements:
    """What a requirements.txt says for one target: ``pins`` by normalised name, and what is wrong with it."""

    pins: dict[str, Pin] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def parse(text: str, target: Target) -> Requirements:
    """Read ``text``; lines whose marker is false on ``target`` are left out, every other line must be an exact pin."""
    found = Requirements()
    environment = marker_environment(target)
    for number, line in _lines(text):
        result = _pin(line, number, environment)
        if isinstance(result, Finding):
            found.findings.append(result)
        elif result is not None:
            known = found.pins.setdefault(result.name, result)
            if known.version != result.version:
                found.findings.append(
                    _fault(number, f"pins {result.name} to {result.version}, an earlier line to {known.version}")
                )
    return found


def marker_environment(target: Target) -> dict[str, str]:
    """What environment markers see on ``target``."""
    mac = target.os == "macos"
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{target.python}.0",
        "os_name": "posix",
        "platform_machine": "arm64" if mac and target.arch == "aarch64" else target.arch,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Darwin" if mac else "Linux",
        "platform_version": "",
        "python_full_version": f"{target.python}.0",
        "python_version": target.python,
        "sys_platform": "darwin" if mac else "linux",
        "extra": "",
    }


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Logical lines with the number of their first physical one: continuations joined, comments and blanks gone."""
    pending, begin = "", 0
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        begin = begin or number
        plain = _COMMENT.sub("", line).rstrip()
        if plain.endswith("\\"):
            pending += plain[:-1] + " "
            continue
        if whole := (pending + plain).strip():
            yield begin, whole
        pending, begin = "", 0
    if whole := pending.strip():
        yield begin, whole


def _pin(line: str, number: int, environment: Mapping[str, str]) -> Pin | Finding | None:
    if line.startswith("-"):
        return _fault(number, f"is the option {line.split(maxsplit=1)[0]!r}; only pins are read here")
    hashes = frozenset(f"sha256:{value}" for value in _HASH.findall(line))
    plain = _HASH.sub("", line).strip()
    if _HASH_OPTION.search(plain):
        return _fault(number, "has a hash that is not sha256 and 64 lower-case hex digits")
    try:
        requirement = Requirement(plain)
    except InvalidRequirement:
        return _fault(number, f"cannot be read: {line[:80]!r}")
    if requirement.url:
        return _fault(number, f"takes {requirement.name} from an address instead of the package index")
    if requirement.marker and not requirement.marker.evaluate(dict(environment)):
        return None
    specifiers = list(requirement.specifier)
    if len(specifiers) != 1 or specifiers[0].operator not in ("==", "===") or "*" in specifiers[0].version:
        return _fault(number, f"does not pin {requirement.name} to one version: {plain[:80]!r}")
    try:
        version = str(Version(specifiers[0].version))
    except InvalidVersion:
        return _fault(number, f"pins {requirement.name} to {specifiers[0].version!r}, which is not a version")
    return Pin(canonicalize_name(requirement.name), version, hashes, frozenset(requirement.extras))


def _fault(number: int, problem: str) -> Finding:
    return Finding("bad-requirement", f"Line {number} of requirements.txt {problem}.", _PINS_HINT)
