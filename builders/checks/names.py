"""The allow-list: the exact names a model file may import, and what it may do with each.

A name is a module and a qualified name without dots, as in `sklearn.linear_model._logistic:LogisticRegression`. There are no
prefixes and no patterns: a helper that turns text into a callable defeats any list that has them. Uses, each including the
one before:

- `ref`: the name may be held as a value, such as the `func` of a FunctionTransformer;
- `new`: an empty instance may be made without running its constructor, and its state restored;
- `call`: it may be called with plain values, and with the names listed for it under `takes`.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from formats import canonical

SCHEMA = "countersign.allow-list/1"
FOLDER = Path(__file__).parent / "allowlist"

Use = Literal["ref", "new", "call"]
USES: tuple[Use, ...] = ("ref", "new", "call")


@dataclass(frozen=True)
class AllowList:
    """Names with their uses. ``distributions``: top-level module -> the distribution on the index that has it."""

    uses: Mapping[str, Use]
    takes: Mapping[str, frozenset[str]] = field(default_factory=dict)
    distributions: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """`sha256:<hex>` over every name, use and taken name; the same for any order or split of the files."""
        takes = {name: sorted(taken) for name, taken in self.takes.items()}
        return canonical.digest({"schema": SCHEMA, "names": dict(self.uses), "takes": takes})

    def knows(self, label: str) -> bool:
        return label in self.uses

    def may_be_new(self, label: str) -> bool:
        return self.uses.get(label) in ("new", "call")

    def may_be_called(self, label: str) -> bool:
        return self.uses.get(label) == "call"

    def may_take(self, label: str, name: str) -> bool:
        """Whether ``label`` may be called with ``name``, itself an imported name, as an argument."""
        return name in self.takes.get(label, ())


@cache
def load(folder: Path = FOLDER) -> AllowList:
    """Read every list of ``folder``."""
    return merge([read(path) for path in sorted(folder.glob("*.json"))])


def read(path: Path) -> AllowList:
    """:raises ValueError: a list of another schema version."""
    document = json.loads(path.read_text())
    if document["schema"] != SCHEMA:
        raise ValueError(f"{path.name}: {document['schema']} is not {SCHEMA}")
    return parse(document)


def parse(document: Mapping[str, Any]) -> AllowList:
    uses: dict[str, Use] = {label: use for use in USES for label in document["names"][use]}
    takes = {label: frozenset(taken) for label, taken in document["takes"].items()}
    distribution = document["distribution"]
    tops = {label.split(":")[0].split(".")[0] for label in uses} if distribution else ()
    return AllowList(uses, takes, dict.fromkeys(tops, distribution))


def document(listed: AllowList) -> dict[str, Any]:
    """A list as :func:`read` takes it."""
    uses = {use: sorted(label for label, found in listed.uses.items() if found == use) for use in USES}
    takes = {label: sorted(taken) for label, taken in listed.takes.items()}
    return {"schema": SCHEMA, "distribution": None, "names": uses, "takes": takes}


def merge(lists: Iterable[AllowList]) -> AllowList:
    """All names of all ``lists``. A name in several has the widest use that one of them gives it."""
    uses: dict[str, Use] = {}
    takes: dict[str, frozenset[str]] = {}
    distributions: dict[str, str] = {}
    for listed in lists:
        for label, use in listed.uses.items():
            uses[label] = wider(uses.get(label), use)
        for label, taken in listed.takes.items():
            takes[label] = takes.get(label, frozenset()) | taken
        distributions |= listed.distributions
    return AllowList(uses, takes, distributions)


def wider(known: Use | None, use: Use) -> Use:
    return use if known is None else max(known, use, key=USES.index)
