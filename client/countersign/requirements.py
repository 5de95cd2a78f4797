"""`requirements.txt` of a model: `name==version` lines, because what was approved is one set of versions."""

import re
from dataclasses import dataclass

from countersign.environment import normalise

_PIN = re.compile(
    r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[\w\s,.-]*\])?\s*===?\s*([A-Za-z0-9][A-Za-z0-9.!+_-]*)\s*(?:;.*)?"
)


@dataclass(frozen=True, slots=True)
class Requirements:
    """``pins``: version by normalised name; ``problems``: (line number, what is wrong with it)."""

    pins: dict[str, str]
    problems: tuple[tuple[int, str], ...]


def read(text: str) -> Requirements:
    """Read pins; hashes and index options are left to the server, which makes the lock anew."""
    pins: dict[str, str] = {}
    problems: list[tuple[int, str]] = []
    for number, line in _logical_lines(text):
        content = re.split(r"\s--hash[=\s]", re.sub(r"(^|\s)#.*$", "", line))[0].strip()
        if not content:
            continue
        match = _PIN.fullmatch(content)
        if match:
            pins[normalise(match[1])] = match[2]
        else:
            problems.append((number, _why(content)))
    return Requirements(pins, tuple(problems))


def _logical_lines(text: str) -> list[tuple[int, str]]:
    lines: list[tuple[int, str]] = []
    begun: tuple[int, str] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        start, before = begun or (number, "")
        if line.endswith("\\"):
            begun = (start, before + line[:-1] + " ")
        else:
            lines.append((start, before + line))
            begun = None
    if begun:
        lines.append(begun)
    return lines


def _why(content: str) -> str:
    if content.startswith(("-e", "--editable", ".", "/")):
        return f"{content!r} is a local folder: pin its version, and bring its wheel with --wheel or publish it"
    if "://" in content or " @ " in content or content.startswith("git+"):
        return f"{content!r} is not on the index: pin its version, and bring its wheel with --wheel or publish it"
    if content.startswith("-"):
        return f"{content!r} is an option of pip: the server uses its own index, remove the line"
    return f"{content!r} is not pinned: write name==version"
