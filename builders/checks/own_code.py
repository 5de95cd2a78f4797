"""Check step 0, for a version that brings code of its own: its wheels, judged by their files in a process with limits.

The version names each wheel by digest in `own-code.json`; its bytes came with the push, or the package index has them. From
here on both are the same. What a wheel's modules define at their top level is allowed in this version's model file, and
nowhere else: the names hang on the wheel's digest.
"""

import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from builders.checks import child, names, report
from builders.checks.limits import Limits
from builders.checks.names import AllowList
from builders.checks.report import Refused
from builders.checks.requirements import marker_environment
from formats import canonical, own_code
from formats.lock import Target, Wheel
from formats.own_code import Declared
from formats.shapes import ShapeError

LIMITS = Limits(
    file_size=own_code.MOST_BYTES,
    inflated_size=own_code.MOST_BYTES,
    memory=1 << 30,
    cpu_seconds=30,
    wall_seconds=60,
)
_PUSH_AGAIN = "Push again with the countersign client: `--wheel FILE`, or `--wheel NAME==VERSION@sha256:...` for one of the index."


@dataclass(frozen=True)
class Sources:
    """Where wheels are.

    ``pushed``: file name -> digest of those that came with the version. ``find``: the wheel of the index, fetched into the
    store. ``place``: where the store has a digest. ``keep``: takes the content of a file.
    """

    pushed: Mapping[str, str]
    find: Callable[[Declared], Wheel]
    place: Callable[[str], Path]
    keep: Callable[[bytes], object]


def check(document: bytes, sources: Sources) -> dict[str, Any]:
    """Judge the wheels that ``document``, a version's `own-code.json`, names.

    :returns: a report; its facts are ``wheels``: name, version, filename, sha256, size, source, packages, requires,
        requires_python, classes, functions, files with their lines; and ``notices``.
    :raises IndexUnreachable: worth trying again later. There is no report then.
    :raises Unresolvable: the index has no such wheel.
    """
    try:
        found = [_one(declared, sources) for declared in _declared(document, sources.pushed)]
        _check_together(found)
    except Refused as refused:
        return report.failed("own-code", [refused.finding])
    for wheel in found:
        _keep_files(wheel, sources)
    said = "; ".join(_described(wheel) for wheel in found)
    message = f"It brings code of its own, which runs in every prediction: {said}. Read the difference before you sign."
    facts = {"wheels": found, "notices": [{"code": "own-code", "message": message}]}
    return report.passed("own-code", f"It brings code of its own: {said}.", facts)


def wheels(own_report: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The wheels of a passed report; none of a version without one."""
    return list(own_report["facts"]["wheels"]) if own_report else []


def allow_lists(own_report: Mapping[str, Any] | None) -> dict[str, AllowList]:
    """By digest of the wheel, what the model file of this version may name beside the common list.

    Classes may be restored or made; functions may be referred to, never called while loading.
    """
    found: dict[str, AllowList] = {}
    for wheel in wheels(own_report):
        uses: dict[str, names.Use] = dict.fromkeys(wheel["functions"], "ref")
        uses |= dict.fromkeys(wheel["classes"], "call")
        found[wheel["sha256"]] = AllowList(uses)
    return found


def locked(wheel: Mapping[str, Any]) -> Wheel:
    """A wheel of the report as the lock has it."""
    return Wheel.from_dict({name: wheel[name] for name in ("name", "version", "filename", "sha256", "size")})


def requirements(found: Sequence[Mapping[str, Any]], target: Target) -> list[str]:
    """What wheels need of others on ``target``, in pip's notation.

    :raises Refused: a requirement that cannot be read, names an address, or does not fit another of the wheels; a wheel that
        is for another Python.
    """
    environment = marker_environment(target)
    mine = {wheel["name"]: wheel for wheel in found}
    wanted = []
    for wheel in found:
        try:
            if wheel["requires_python"] and not SpecifierSet(wheel["requires_python"]).contains(f"{target.python}.0"):
                raise Refused(
                    "own-code-python",
                    f"{wheel['filename']} asks for Python {wheel['requires_python']}, models run here under {target.python}.",
                    "Widen requires-python in its pyproject.toml, or ask the operator for a target that fits.",
                )
            for line in wheel["requires"]:
                requirement = Requirement(line)
                if requirement.marker is not None and not requirement.marker.evaluate(environment):
                    continue
                if requirement.url:
                    raise InvalidRequirement("it names an address instead of the package index")
                other = mine.get(canonicalize_name(requirement.name))
                if other is None:
                    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
                    wanted.append(f"{requirement.name}{extras}{requirement.specifier}")
                elif not requirement.specifier.contains(other["version"], prereleases=True):
                    raise InvalidRequirement(f"{line} does not fit {other['filename']}")
        except (InvalidRequirement, InvalidSpecifier) as error:
            raise Refused(
                "wheel-malformed",
                f"A requirement of {wheel['filename']} cannot be used: {error}.",
                "Mend the dependencies in its pyproject.toml.",
            ) from None
    return wanted


def check_names(found: Sequence[Mapping[str, Any]], others: Mapping[str, Iterable[str]]) -> None:
    """No other library of the lock has a top-level name of own code.

    :param others: file name -> top-level names of each other wheel.
    :raises Refused: two have one.
    """
    for wheel in found:
        for filename, tops in others.items():
            if both := sorted({name.casefold() for name in wheel["packages"]} & {name.casefold() for name in tops}):
                raise _refused(own_code.shadows(wheel["filename"], f"{both[0]}, as {filename} does"))


def at_load(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the runner holds against the libraries it is given, before it imports any of them."""
    return [
        {
            "wheel": wheel["sha256"],
            "packages": wheel["packages"],
            "files": {file["path"]: file["sha256"] for file in wheel["files"] if _is_code(file["path"])},
        }
        for wheel in found
    ]


def _declared(document: bytes, pushed: Mapping[str, str]) -> tuple[Declared, ...]:
    try:
        declared = own_code.parse(canonical.loads(document))
        named = {own_code.split(filename): digest for filename, digest in pushed.items()}
    except (canonical.CanonicalError, ShapeError) as error:
        raise Refused("own-code-undeclared", f"{own_code.FILE} cannot be read: {error}.", _PUSH_AGAIN) from None
    except own_code.BadWheel as error:
        raise _refused(error) from None
    listed = {(wheel.name, wheel.version): wheel.sha256 for wheel in declared}
    wrong = [" ".join(key) for key, digest in named.items() if listed.get(key) != digest]
    if wrong or len(named) != len(pushed):
        raise Refused(
            "own-code-undeclared",
            f"{own_code.FILE} does not name {', '.join(wrong) or 'each wheel once'} with the digest of the file that was pushed.",
            _PUSH_AGAIN,
        )
    return declared


def _one(declared: Declared, sources: Sources) -> dict[str, Any]:
    filename = next((name for name, digest in sources.pushed.items() if digest == declared.sha256), None)
    source = "push" if filename else "index"
    filename = filename or sources.find(declared).filename
    place = sources.place(declared.sha256)
    if (size := place.stat().st_size) > LIMITS.file_size:
        raise Refused(
            "wheel-too-large",
            f"{filename} has {size:,} bytes; {LIMITS.file_size:,} are allowed.",
            "Bring only what prediction needs.",
        )
    try:
        own_code.split(filename)
    except own_code.BadWheel as error:
        raise _refused(error) from None
    told = child.ask("wheel_child", place, LIMITS, filename=filename, reserved=sorted(_reserved()))
    if "finding" in told:
        raise Refused(**told["finding"])
    if (told["name"], told["version"]) != (declared.name, declared.version):
        raise Refused(
            "own-code-undeclared",
            f"{own_code.FILE} calls it {declared.name} {declared.version}, the wheel is {told['name']} {told['version']}.",
            _PUSH_AGAIN,
        )
    return {**told, "filename": filename, "sha256": declared.sha256, "size": size, "source": source}


def _reserved() -> set[str]:
    """Top-level names of what the common list allows: a wheel with one would answer for it."""
    return {label.partition(":")[0].partition(".")[0] for label in names.load().uses}


def _check_together(found: Sequence[Mapping[str, Any]]) -> None:
    for place, wheel in enumerate(found):
        check_names(found[:place], {wheel["filename"]: wheel["packages"]})


def _keep_files(wheel: Mapping[str, Any], sources: Sources) -> None:
    """Each file by its digest in the store, where the pages find what changed. Its sizes were proven by the child."""
    with zipfile.ZipFile(sources.place(wheel["sha256"])) as archive:
        for file in wheel["files"]:
            sources.keep(archive.read(file["path"]))


def _described(wheel: Mapping[str, Any]) -> str:
    code = [file for file in wheel["files"] if _is_code(file["path"])]
    lines = sum(file["lines"] for file in code)
    return f"{wheel['name']} {wheel['version']} ({len(code)} file{'' if len(code) == 1 else 's'}, {lines:,} lines)"


def _is_code(path: str) -> bool:
    return ".dist-info/" not in path


def _refused(error: own_code.BadWheel) -> Refused:
    return Refused(error.code, f"{error}.", error.hint)
