"""Which libraries a model needs: what its file imports, at the versions it was trained with."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from packaging.utils import InvalidName, canonicalize_name
from packaging.version import InvalidVersion, Version

from builders.checks.names import AllowList
from builders.checks.report import Finding
from builders.checks.requirements import Pin

FLOORS = {"joblib": "1.6", "skops": "0.13"}
"""Libraries that are never taken older, because what they load then reaches past the allow-list."""
LOADERS = {
    "joblib": ("joblib",),
    "pickle": ("joblib",),
    "skops": ("skops",),
    "onnx": ("onnxruntime",),
    "lightgbm": ("lightgbm",),
    "xgboost": ("xgboost", "xgboost-cpu"),
}
"""What reads a file of each format. Of several the one of the training, else the last, which is the smallest."""
_FLOOR_WHY = "Older {name} lets a file import names past the allow-list; models are loaded with {floor} or newer."
_LOADER_WHY = "It reads the file; the training told no version of it, so that the newest is taken."
_LOCAL_WHY = "A local build, which no package index has; the published version of the same number is used."
_PANDAS_WHY = "The model takes named columns, which reach it as a DataFrame."


@dataclass
class Needs:
    """What to resolve.

    ``wanted``: requirements in pip's notation. ``constraints``: pins that hold where something else needs the library.
    ``declared``: every version the scientist told of, by normalised name. ``reasons``: why one may come out different.
    """

    wanted: list[str] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)
    hashes: dict[str, frozenset[str]] = field(default_factory=dict)
    declared: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def distributions(labels: Iterable[str], allowed: AllowList) -> set[str]:
    """Names, as on the package index, of the libraries that ``labels`` (`module:qualname`) come from."""
    tops = {label.split(":")[0].split(".")[0] for label in labels}
    return {allowed.distributions[top] for top in tops if top in allowed.distributions}


def gather(
    imported: Iterable[str],
    pins: Mapping[str, Pin] | None,
    environment: Mapping[str, str],
    *,
    file_format: str = "joblib",
    frame: bool,
) -> Needs:
    """Bring together what the file imports and what is known about versions.

    :param imported: distributions the file names, see :func:`distributions`.
    :param pins: of requirements.txt, all of which are then wanted; None when there is none.
    :param environment: distribution -> version of the training's interpreter. Fills what the pins do not say.
    :param file_format: a key of `LOADERS`.
    :param frame: whether the model needs pandas.
    """
    needs = Needs()
    installed = _normalised(environment)
    needs.declared = installed | {name: pin.version for name, pin in (pins or {}).items()}
    choices = LOADERS[file_format]
    loader = next((name for name in choices if name in needs.declared), choices[-1])
    required = {*imported} - {loader}
    wanted = required | {loader, "numpy"} | ({"pandas"} if frame else set()) | set(pins or ())
    for name in sorted(wanted):
        version = needs.declared.get(name)
        if name in FLOORS and name in LOADERS[file_format]:
            needs.wanted.append(_at_least(needs, name, version))
        elif version is not None:
            pin = (pins or {}).get(name) or Pin(name, _published(needs, name, version))
            needs.wanted.append(str(pin))
            needs.hashes[name] = pin.hashes
        elif name in required:
            needs.findings.append(_missing(name, has_file=pins is not None))
        else:
            needs.wanted.append(name)
            if why := {"pandas": _PANDAS_WHY, loader: _LOADER_WHY}.get(name):
                needs.reasons[name] = why
    needs.constraints = [
        f"{name}=={version}" for name, version in sorted(installed.items()) if name not in wanted and "+" not in version
    ]
    return needs


def _at_least(needs: Needs, name: str, version: str | None) -> str:
    floor = FLOORS[name]
    if version is not None and Version(version) >= Version(floor):
        return f"{name}=={_published(needs, name, version)}"
    needs.reasons[name] = _FLOOR_WHY.format(name=name, floor=floor)
    return f"{name}>={floor}"


def _published(needs: Needs, name: str, version: str) -> str:
    public = Version(version).public
    if public != version:
        needs.reasons[name] = _LOCAL_WHY
    return public


def _normalised(environment: Mapping[str, str]) -> dict[str, str]:
    """Known distributions with versions that are versions; the client reports what it found, whatever that is."""
    found = {}
    for name, version in environment.items():
        try:
            found[str(canonicalize_name(name, validate=True))] = str(Version(version))
        except (InvalidName, InvalidVersion):
            continue
    return found


def _missing(name: str, *, has_file: bool) -> Finding:
    where = "requirements.txt does not pin it and" if has_file else "there is no requirements.txt, and"
    return Finding(
        "missing-requirement",
        f"The file needs {name}, but {where} the version used in training was not sent.",
        f"Add a line {name}==<version> to requirements.txt, or push with the countersign client, which sends the versions.",
    )
