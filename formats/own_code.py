"""Own code: pure Python that a model may bring as a wheel. What such a wheel may hold is judged by its files; none is imported.

The same rules hold before an upload and when it is checked. All of a wheel must be text that people can read, under names
that nothing else has, and nothing in it may run before the model asks for it.
"""

import ast
import base64
import csv
import email.parser
import email.policy
import io
import re
import sys
import unicodedata
import warnings
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from . import digest as digests
from .artifacts import BadPath, File, check_distinct, check_path
from .shapes import Node, ShapeError

SCHEMA = "countersign.own-code/1"
RUNNER = "countersign_runner"
"""The package of `serving/runner.py`, which no wheel may stand in for."""
FILE = "own-code.json"
"""The file of a version that names its own code, wherever the wheels come from."""
WHEELS = "wheels/"
"""Where a version holds the wheels that were pushed with it."""

MOST_WHEELS = 5
MOST_BYTES = 16 << 20
"""Of one wheel, and of all that it unpacks to."""
MOST_FILES = 500
MOST_LINES = 50_000
MOST_NAMES = 2_000

_NAME = r"[a-z0-9]+(-[a-z0-9]+)*"
_FILENAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.]*)-([0-9A-Za-z][0-9A-Za-z_.!+]*)-([\w.]+)-([\w.]+)-([\w.]+)\.whl")
_TAG = "py3-none-any"
_INFO = re.compile(
    r"METADATA|WHEEL|RECORD|top_level\.txt|licenses/.+|(LICEN[CS]E|COPYING|NOTICE|AUTHORS)[^/]*", re.IGNORECASE
)
_AT_START = frozenset({"sitecustomize", "usercustomize"})
_COMPILED = frozenset({".so", ".pyd", ".dll", ".dylib", ".a", ".o", ".pyc", ".pyo", ".exe"})
_COOKIE = re.compile(
    r"[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)"
)  # PEP 263: Python would read the file by another alphabet
_BIDIRECTIONAL = re.compile("[\u202a-\u202e\u2066-\u2069]")  # make source look other than it runs (CVE-2021-42574)
_AGAIN = "Build it again: `pip wheel --no-deps .`, and push that file as it is."
_SKELETON = "`countersign wheel init` makes a package that fits."


class BadWheel(ValueError):
    """A wheel that may not be brought; ``code`` is stable, ``hint`` says what to do."""

    def __init__(self, code: str, message: str, hint: str = _AGAIN) -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Declared:
    """One wheel that a version calls its own. ``name`` is the normalised project name."""

    name: str
    version: str
    sha256: str

    def to_dict(self) -> dict[str, str]:
        return {"name": self.name, "version": self.version, "sha256": self.sha256}

    @classmethod
    def from_dict(cls, value: Any, path: str = "") -> "Declared":
        """:raises ShapeError: naming the place below ``path``."""
        fields = Node(value, path).fields(("name", "version", "sha256"))
        return cls(
            name=fields["name"].text(_NAME, "a normalised project name such as risk-features"),
            version=fields["version"].text(r"[0-9A-Za-z.!+_]+", "a version such as 1.0"),
            sha256=fields["sha256"].digest(),
        )


@dataclass(frozen=True, slots=True)
class OwnWheel:
    """What a wheel says and holds.

    ``packages``: its top-level names. ``files``: all but RECORD, sorted by path. ``requires``: its requirements as METADATA
    has them. ``classes`` and ``functions``: `module:name` of what its modules define at their top level.
    """

    name: str
    version: str
    filename: str
    packages: tuple[str, ...]
    files: tuple[File, ...]
    lines: Mapping[str, int]
    requires: tuple[str, ...]
    requires_python: str
    classes: tuple[str, ...]
    functions: tuple[str, ...]


def declaration(wheels: Collection[Declared]) -> dict[str, Any]:
    """The document of `own-code.json`, wheels sorted by name."""
    listed = [wheel.to_dict() for wheel in sorted(wheels, key=lambda wheel: wheel.name)]
    return {"schema": SCHEMA, "wheels": listed}


def parse(document: Any) -> tuple[Declared, ...]:
    """:raises ShapeError: another version of the format, an unknown key, a project twice or out of order."""
    node = Node(document)
    node.schema(SCHEMA)
    listed = node.fields(("schema", "wheels"))["wheels"]
    wheels = tuple(Declared.from_dict(item.value, item.path) for item in listed.items(least=1, most=MOST_WHEELS))
    names = [wheel.name for wheel in wheels]
    if names != sorted(set(names)):
        raise ShapeError("wheels", "wheels are not sorted by name, or a project appears twice")
    return wheels


def split(filename: str) -> tuple[str, str]:
    """Normalised project name and version that a wheel's file name tells.

    :raises BadWheel: it is no wheel's name, or that of a wheel which is not for every Python 3 on every system.
    """
    found = _FILENAME.fullmatch(filename)
    if found is None:
        raise BadWheel("wheel-malformed", f"{filename} is not the name of a wheel, as riskfeatures-1.0-{_TAG}.whl")
    if (tag := "-".join(found.groups()[2:])) != _TAG:
        raise BadWheel(
            "wheel-not-pure",
            f"{filename} is built for {tag}; a model's own code is pure Python, which is tagged {_TAG}",
            f"Leave compiled parts out; for universal wheels of Python 2 and 3, drop that option. {_SKELETON}",
        )
    return re.sub(r"[-_.]+", "-", found[1]).lower(), found[2]


def judge(filename: str, members: Mapping[str, bytes], *, reserved: Collection[str] = ()) -> OwnWheel:
    """Judge the wheel ``filename`` by its members, RECORD included.

    :param members: path in the archive -> content.
    :param reserved: top-level names of others, which it may not have, beside those of the standard library.
    :raises BadWheel: the first thing that may not be in it.
    """
    name, version = split(filename)
    info = f"{'-'.join(filename.split('-')[:2])}.dist-info"
    _check_paths(filename, members)
    for path in members:
        _check_place(filename, path, info)
    texts = {path: _text(filename, path, data) for path, data in members.items()}
    _check_record(filename, members, texts, info)
    headers = _check_metadata(filename, texts, info, name, version)
    packages = _packages(filename, members, info)
    _check_names(filename, packages, reserved)
    classes, functions = _defined(filename, texts, info)
    lines = {path: len(text.splitlines()) for path, text in texts.items()}
    if sum(lines.values()) > MOST_LINES or len(classes) + len(functions) > MOST_NAMES:
        raise BadWheel(
            "wheel-too-large",
            f"{filename} has more than {MOST_LINES:,} lines, or defines more than {MOST_NAMES:,} names: nobody can review it",
            "Bring only what prediction needs.",
        )
    return OwnWheel(
        name=name,
        version=version,
        filename=filename,
        packages=tuple(packages),
        files=tuple(
            File(path, digests.of_bytes(data), len(data))
            for path, data in sorted(members.items())
            if path != f"{info}/RECORD"
        ),
        lines=lines,
        requires=tuple(headers.get_all("Requires-Dist", [])),
        requires_python=headers.get("Requires-Python", ""),
        classes=tuple(sorted(classes)),
        functions=tuple(sorted(functions - classes)),
    )


def _check_paths(filename: str, members: Mapping[str, bytes]) -> None:
    size = sum(len(data) for data in members.values())
    if len(members) > MOST_FILES or size > MOST_BYTES:
        raise BadWheel(
            "wheel-too-large",
            f"{filename} has {len(members):,} files of {size:,} bytes; {MOST_FILES:,} files and {MOST_BYTES:,} bytes are allowed",
            "Bring only what prediction needs.",
        )
    try:
        for path in members:
            check_path(path)
        check_distinct(members)
    except BadPath as error:
        raise BadWheel("wheel-malformed", f"{filename}: {error}") from None


def _check_place(filename: str, path: str, info: str) -> None:
    """Packages of modules, one `.dist-info`, and nothing that an installer or a starting Python would act upon."""
    top, _, rest = path.partition("/")
    suffixes = {f".{part.lower()}" for part in path.rpartition("/")[2].split(".")[1:]}
    if suffixes & _COMPILED or "__pycache__" in path.split("/"):
        raise BadWheel(
            "wheel-not-pure",
            f"{filename} holds {path}, which is compiled code that nobody can read",
            f"Own code is Python source. {_SKELETON}",
        )
    if ".pth" in suffixes or top.removesuffix(".py") in _AT_START:
        raise BadWheel(
            "wheel-at-start",
            f"{filename} holds {path}, which Python runs whenever it starts",
            f"Leave it out. {_SKELETON}",
        )
    if path == f"{info}/entry_points.txt" or top.endswith(".data"):
        what = "entry points" if path.endswith("entry_points.txt") else "scripts or data for other folders"
        raise BadWheel(
            "wheel-at-start",
            f"{filename} holds {path}: {what}, which a model does not need",
            f"Take scripts, plugins and data files out of pyproject.toml. {_SKELETON}",
        )
    if top == info:
        if not _INFO.fullmatch(rest):
            raise BadWheel("wheel-malformed", f"{filename} holds {path}, which does not belong in a wheel's {info}")
    elif top.endswith(".dist-info") or not (rest or top.endswith(".py")):
        raise BadWheel("wheel-malformed", f"{filename} holds {path}, which is neither in its packages nor in {info}")


def _text(filename: str, path: str, data: bytes) -> str:
    """The file as people read it: UTF-8, and meaning to Python what it shows."""
    try:
        text = data.decode()
        # By the ends of lines that Python knows, of which splitlines() has more.
        for line in re.split("\r\n|\r|\n", text, maxsplit=2)[:2] if path.endswith(".py") else ():
            if (said := _COOKIE.match(line)) and said[1].lower() not in ("utf-8", "utf8"):
                raise ValueError(f"it declares the encoding {said[1]}")
    except ValueError as error:
        raise BadWheel(
            "wheel-not-pure",
            f"{filename} holds {path}, which is not UTF-8 text that a reviewer can read: {error}",
            "Keep data in the model file, and source in UTF-8.",
        ) from None
    odd = next((one for one in text if unicodedata.category(one) == "Cc" and one not in "\t\n\r\f"), None)
    if odd is not None or _BIDIRECTIONAL.search(text):
        raise BadWheel(
            "wheel-not-pure",
            f"{filename} holds {path}, with control characters that make it read other than it runs",
            "Take them out, and keep data in the model file.",
        )
    return text


def _check_record(filename: str, members: Mapping[str, bytes], texts: Mapping[str, str], info: str) -> None:
    """RECORD lists every member once, with its digest and size, and nothing else."""
    record = f"{info}/RECORD"
    if record not in texts:
        raise BadWheel("wheel-malformed", f"{filename} has no {record}")
    expected = {
        path: ("sha256=" + _urlsafe(data), str(len(data))) if path != record else ("", "")
        for path, data in members.items()
    }
    found: dict[str, tuple[str, ...]] = {}
    try:
        rows = [row for row in csv.reader(io.StringIO(texts[record]), strict=True) if row]
    except csv.Error as error:
        raise BadWheel("wheel-malformed", f"{record} of {filename} cannot be read: {error}") from None
    for row in rows:
        if row[0] in found:
            raise BadWheel("wheel-malformed", f"{record} of {filename} lists {row[0][:200]} twice")
        found[row[0]] = tuple(row[1:])
    wrong = sorted(path for path in expected.keys() | found.keys() if expected.get(path) != found.get(path))
    if wrong:
        raise BadWheel(
            "wheel-malformed",
            f"{record} of {filename} does not agree with what the wheel holds: {', '.join(path[:200] for path in wrong[:5])}",
        )


def _urlsafe(data: bytes) -> str:
    raw = bytes.fromhex(digests.parse(digests.of_bytes(data)))
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _check_metadata(filename: str, texts: Mapping[str, str], info: str, name: str, version: str) -> Any:
    """The headers of METADATA, once they and those of WHEEL say what the file name says."""
    read = email.parser.HeaderParser(policy=email.policy.compat32).parsestr
    metadata, wheel = (read(texts.get(f"{info}/{part}", "")) for part in ("METADATA", "WHEEL"))
    said = re.sub(r"[-_.]+", "-", str(metadata.get("Name", ""))).lower(), metadata.get("Version", "")
    if said != (name, version):
        raise BadWheel(
            "wheel-malformed", f"{filename} says of itself in METADATA that it is {' '.join(said) or 'nothing'}"
        )
    pure = str(wheel.get("Root-Is-Purelib", "")).lower() == "true" and wheel.get_all("Tag") == [_TAG]
    if not pure or not str(wheel.get("Wheel-Version", "")).startswith("1."):
        raise BadWheel(
            "wheel-not-pure", f"{filename} does not say in WHEEL that it is version 1, pure, and tagged {_TAG}"
        )
    return metadata


def _packages(filename: str, members: Mapping[str, bytes], info: str) -> list[str]:
    tops = {path.partition("/")[0] for path in members} - {info}
    for top in sorted(tops):
        if not top.endswith(".py") and f"{top}/__init__.py" not in members:
            raise BadWheel(
                "wheel-malformed",
                f"{filename} holds the folder {top} without an __init__.py, which others could add modules to",
                f"Add one. {_SKELETON}",
            )
    if not tops:
        raise BadWheel("wheel-malformed", f"{filename} holds no module", _SKELETON)
    return sorted({top.removesuffix(".py") for top in tops})


def _check_names(filename: str, packages: Collection[str], reserved: Collection[str]) -> None:
    ours = {"__main__", RUNNER}
    taken = {name.casefold() for name in {*reserved, *sys.stdlib_module_names, *sys.builtin_module_names, *ours}}
    for package in packages:
        if not package.isidentifier():
            raise BadWheel("wheel-malformed", f"{filename} holds {package}, which cannot be imported by that name")
        if package.casefold() in taken:
            raise shadows(filename, package)


def shadows(filename: str, package: str) -> BadWheel:
    """A wheel has a top-level name that is another's."""
    return BadWheel(
        "wheel-shadows",
        f"{filename} holds {package}, which would stand in for another library of that name",
        "Give the package a name of your own, train again, and build its wheel.",
    )


def _defined(filename: str, texts: Mapping[str, str], info: str) -> tuple[set[str], set[str]]:
    """`module:name` of the classes and functions that modules define at their top level."""
    classes: set[str] = set()
    functions: set[str] = set()
    for path in texts:
        if not path.endswith(".py") or path.startswith(f"{info}/"):
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                statements = list(_statements(ast.parse(texts[path].removeprefix("\ufeff"), path).body))
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise BadWheel(
                "wheel-malformed", f"{filename} holds {path}, which is not Python: {type(error).__name__}", "Mend it."
            ) from None
        module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for statement in statements:
            if isinstance(statement, ast.ClassDef):
                classes.add(f"{module}:{statement.name}")
            elif isinstance(statement, ast.FunctionDef):
                functions.add(f"{module}:{statement.name}")
    return classes, functions


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Those of a module, also where they hang on a condition."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If | ast.Try):
            yield from _statements([*statement.body, *statement.orelse])
        if isinstance(statement, ast.Try):
            yield from _statements([line for handler in statement.handlers for line in handler.body])
