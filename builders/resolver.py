"""Libraries to hashed wheels for one target. uv decides on versions, the target's tags on files; nothing is built or run.

The index is the one of the settings, else the one uv itself is configured with.
"""

import os
import re
import subprocess
import sys
import tempfile
import tomllib
import urllib.parse
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from builders.checks import requirements, target_tags
from builders.checks.downloads import Index, IndexUnreachable, Keep, download, size_of
from builders.checks.report import Finding
from formats.lock import Lock, Target, Wheel

__all__ = [
    "Index",
    "IndexUnreachable",
    "ResolverFailed",
    "Unresolvable",
    "fetch",
    "locate",
    "resolve",
    "resolve_requirements",
]

_SECONDS = 300
_OUTPUT = "pylock.toml"
_UNREACHABLE = re.compile(
    r"failed to fetch|request failed after|error sending request|lack of valid authentication credentials|returned a 40[13]|"
    r"network was disabled|invalid peer certificate|dns error|operation timed out",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"\b(?:https?|file)://\S+")


class ResolverFailed(Exception):
    """There is no lock. As itself: uv broke, because of a full disk, no cache folder, an output newer than this understands."""

    code = "resolver-failed"
    hint = "Look at the worker's log; free space on its disk if it is full."


class Unresolvable(ResolverFailed):
    """There is no set of wheels that fits; ``findings`` say why, in words for the person who pinned the versions."""

    code = "unresolvable"

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__(" ".join(finding.message for finding in findings))
        self.findings = tuple(findings)
        self.hint = findings[0].hint


@dataclass(frozen=True, slots=True)
class _Found:
    """A wheel as the index lists it. ``size`` is None when it does not say."""

    name: str
    version: str
    filename: str
    sha256: str
    size: int | None
    url: str


def resolve(
    wanted: Iterable[str],
    target: Target,
    *,
    index: Index,
    constraints: Iterable[str] = (),
    hashes: Mapping[str, frozenset[str]] | None = None,
    complete: bool = False,
) -> Lock:
    """Resolve requirements and everything they depend on to one wheel each.

    :param wanted: in pip's notation, as `scikit-learn==1.9.1`.
    :param constraints: hold for what is needed anyway, add nothing.
    :param hashes: distribution -> the digests one of which its file must have; nothing or an empty set means any.
    :param complete: ``wanted`` is everything there is: dependencies are not followed.
    :raises Unresolvable: no version, no wheel for the target, or a conflict.
    :raises IndexUnreachable: worth trying again later.
    """
    packages = _compile(wanted, constraints, target, index, complete=complete)
    chosen = [_choose(package, target, (hashes or {}).get(_name(package), frozenset())) for package in packages]
    problems = [found for found in chosen if isinstance(found, Finding)]
    if problems:
        raise Unresolvable(problems)
    wheels = [_wheel(found, index) for found in chosen if isinstance(found, _Found)]
    return Lock(target, tuple(sorted(wheels, key=lambda wheel: wheel.name)))


def resolve_requirements(path: Path, target: Target, *, index: Index) -> Lock:
    """Turn a complete requirements file, every line pinned and hashed, into the lock for ``target``.

    :raises Unresolvable: a line is not an exact pin, a pin has no hash, or no wheel of a pin fits. Else as :func:`resolve`.
    """
    parsed = requirements.parse(path.read_text(), target)
    unhashed = [pin.name for pin in parsed.pins.values() if not pin.hashes]
    findings = list(parsed.findings)
    if unhashed:
        findings.append(
            Finding(
                "bad-requirement",
                f"{path.name} pins {', '.join(sorted(unhashed))} without hashes.",
                "Write the file again with: make lock",
            )
        )
    if findings:
        raise Unresolvable(findings)
    hashes = {pin.name: pin.hashes for pin in parsed.pins.values()}
    return resolve([str(pin) for pin in parsed.pins.values()], target, index=index, hashes=hashes, complete=True)


def fetch(lock: Lock, keep: Keep, *, has: Callable[[str], bool], index: Index) -> None:
    """Bring the wheels of ``lock`` that are not here yet.

    :param keep: takes each file as it comes and checks its digest.
    :param has: whether a digest is here already.
    :raises Unresolvable: the index no longer has a file of the lock.
    :raises IndexUnreachable: worth trying again later; what came is kept.
    """
    missing = [wheel for wheel in lock.wheels if not has(wheel.sha256)]
    if not missing:
        return
    pins = [f"{wheel.name}=={wheel.version}" for wheel in missing]
    packages = _compile(pins, (), lock.target, index, complete=True)
    listed = {found.sha256: found for package in packages for found in _candidates(package)}
    gone = [wheel.filename for wheel in missing if wheel.sha256 not in listed]
    if gone:
        raise Unresolvable(
            [
                Finding(
                    "wheel-gone",
                    f"The package index no longer has {', '.join(gone)} with the digest of the lock.",
                    "Push the version again to resolve it anew, or put the file back on the index.",
                )
            ]
        )
    for wheel in missing:
        download(listed[wheel.sha256].url, keep, wheel.sha256, wheel.size, index)


def locate(name: str, version: str, sha256: str, target: Target, *, index: Index) -> Wheel:
    """The wheel of that digest, as the index lists it; :func:`fetch` brings it.

    :raises Unresolvable: the index has no such file of this version.
    :raises IndexUnreachable: worth trying again later.
    """
    packages = _compile([f"{name}=={version}"], (), target, index, complete=True)
    found = next((found for package in packages for found in _candidates(package) if found.sha256 == sha256), None)
    if found is None:
        said = f"The package index has no wheel of {name} {version} with the digest {sha256}."
        raise Unresolvable(
            [Finding("wheel-gone", said, "Push the wheel itself with --wheel FILE, or correct its digest.")]
        )
    return _wheel(found, index)


def _compile(
    wanted: Iterable[str], constraints: Iterable[str], target: Target, index: Index, *, complete: bool
) -> list[dict[str, Any]]:
    """Have uv resolve; returns the packages of its pylock.toml (PEP 751)."""
    try:
        platform = target_tags.uv_platform(target)
    except target_tags.UnknownTarget as error:
        raise Unresolvable([Finding("unknown-target", f"There are no wheels for {error}.", _TARGET_HINT)]) from None
    with tempfile.TemporaryDirectory(prefix="countersign-resolve-") as name:
        folder = Path(name)
        (folder / "wanted.in").write_text("".join(f"{line}\n" for line in wanted))
        (folder / "constraints.in").write_text("".join(f"{line}\n" for line in constraints))
        command = [
            *(sys.executable, "-m", "uv", "pip", "compile", "wanted.in", "--constraints", "constraints.in"),
            *("--only-binary", ":all:", "--python", sys.executable, "--python-version", target.python),
            *("--format", "pylock.toml", "--output-file", _OUTPUT, "--no-header", "--quiet", "--color", "never"),
            *(() if target == Target.host() and target.os == "macos" else ("--python-platform", platform)),
            *(("--no-deps",) if complete else ()),
        ]
        try:
            done = subprocess.run(
                command, cwd=folder, env=_environment(index, target), capture_output=True, timeout=_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise IndexUnreachable(f"The package index did not answer within {_SECONDS} seconds.") from None
        if done.returncode:
            raise _explain(done.stderr.decode(errors="replace"), target)
        packages: list[dict[str, Any]] = tomllib.loads((folder / _OUTPUT).read_text()).get("packages", [])
        return packages


def _environment(index: Index, target: Target) -> dict[str, str]:
    """The worker's environment without Countersign's settings, some of which are secrets."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COUNTERSIGN_")}
    environment["UV_HTTP_RETRIES"] = str(index.attempts - 1)
    if target.os == "macos":  # else uv takes an older macOS for which newer wheels are not
        environment["MACOSX_DEPLOYMENT_TARGET"] = target.libc.removeprefix("macos-")
    if index.url:  # it may hold a password, and arguments are for every user of the machine to read
        environment["UV_DEFAULT_INDEX"] = index.url
    if index.certificates:
        environment["SSL_CERT_FILE"] = index.certificates
    return environment


def _name(package: Mapping[str, Any]) -> str:
    return canonicalize_name(package["name"])


def _candidates(package: Mapping[str, Any]) -> list[_Found]:
    found = []
    for wheel in package.get("wheels", ()):
        filename = wheel.get("name") or urllib.parse.unquote(
            urllib.parse.urlsplit(wheel["url"]).path.rpartition("/")[2]
        )
        digest = f"sha256:{wheel['hashes']['sha256']}"
        found.append(_Found(_name(package), package["version"], filename, digest, wheel.get("size"), wheel["url"]))
    return found


def _choose(package: Mapping[str, Any], target: Target, hashes: frozenset[str]) -> _Found | Finding:
    candidates = _candidates(package)
    fitting = target_tags.best(target, ((found.filename, found) for found in candidates))
    if fitting is None:
        return _no_wheel(f"{_name(package)} {package['version']}", target)
    if hashes:
        allowed = [(found.filename, found) for found in candidates if found.sha256 in hashes]
        hashed = target_tags.best(target, allowed)
        if hashed is None:
            return Finding(
                "hash-mismatch",
                f"{fitting.filename} on the package index has none of the hashes that requirements.txt allows for {fitting.name}.",
                "Export requirements.txt again from an index you trust. If the hash is right, the file on the index was changed.",
            )
        return hashed
    return fitting


def _wheel(found: _Found, index: Index) -> Wheel:
    size = found.size or size_of(found.url, index)
    return Wheel(found.name, found.version, found.filename, found.sha256, size)


_TARGET_HINT = "Models run on Linux with glibc 2.17 or newer, or on macOS."
_VERSIONS_HINT = "Train with versions that fit together, or correct requirements.txt, and push again."


def _no_wheel(what: str, target: Target) -> Finding:
    return Finding(
        "no-wheel",
        f"{what} has no wheel for {target}.",
        f"Use a version that has one, trained under Python {target.python}, or ask the operator for a target that fits. "
        "Sources are never built here.",
    )


def _explain(said: str, target: Target) -> Exception:
    """What uv's error means for the person who pinned the versions."""
    plain = _ADDRESS.sub("the index", said)
    if _UNREACHABLE.search(plain):
        causes = [line.strip().removeprefix("cause: ") for line in plain.splitlines() if "cause: " in line]
        reason = next((cause for cause in reversed(causes) if "the index" not in cause), "it refused the request")
        return IndexUnreachable(f"The package index cannot be reached: {reason}.")
    if "No solution found" not in plain:
        return ResolverFailed(f"Libraries cannot be resolved: {' '.join(plain.split())[:500]}")
    cause = " ".join(plain.partition("cause:")[2].partition("hint:")[0].split())
    if match := re.search(r"there (?:is|are) no versions? of (\S+?)(?:==(\S+))? and", cause):
        name, version = match[1], match[2]
        return Unresolvable(
            [Finding("unknown-version", f"The package index has no {name} {version or ''}".rstrip() + ".", _EXIST)]
        )
    if match := re.search(r"(\S+)==(\S+) has no (?:usable )?wheels", cause):
        return Unresolvable([_no_wheel(f"{match[1]} {match[2]}", target)])
    if match := re.search(r"(\S+) was not found in the package registry", cause):
        return Unresolvable([Finding("unknown-library", f"The package index has no library {match[1]}.", _EXIST)])
    told = cause.replace(", we can conclude that your requirements are unsatisfiable", "")
    return Unresolvable([Finding("conflict", f"The versions do not fit together: {told[:600]}", _VERSIONS_HINT)])


_EXIST = "Check the spelling, and that the package index of this installation has it; then push again."
