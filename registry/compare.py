"""What differs between two versions of a model, and what that means for those who use them."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from formats.compatibility import Compatibility, judge
from formats.signature import Signature
from registry import lineage, own_code
from registry.access import Actor
from registry.orm.catalog import Metric, ModelVersion


@dataclass(frozen=True)
class MetricChange:
    """A metric of the newer version beside the older one's."""

    name: str
    dataset: str
    before: float | None
    after: float | None
    higher_is_better: bool | None
    measured: bool
    declared_by: str

    @property
    def better(self) -> bool | None:
        """Whether the newer value is better; ``None`` when equal, unknown, or only one has it."""
        if self.before is None or self.after is None or self.before == self.after or self.higher_is_better is None:
            return None
        return (self.after > self.before) == self.higher_is_better


@dataclass(frozen=True)
class Change:
    """A named value before and after; ``None`` where it is missing."""

    name: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Comparison:
    """Everything that differs, part by part. Only differences are listed, except for metrics."""

    base: ModelVersion | None
    version: ModelVersion
    metrics: Sequence[MetricChange]
    params: Sequence[Change]
    libraries: Sequence[Change]
    own_code: Sequence[Change]
    """Wheels of the version's own by name, and their files by path; values are digests."""
    inputs: Sequence[Change]
    outputs: Sequence[Change]
    sources: Sequence[Change]
    files: Sequence[Change]
    card: Sequence[str]
    """Unified diff of the cards, line by line."""
    compatibility: Compatibility | None
    """What the change means for callers; ``None`` while one of the two has no signature."""

    def parts(self) -> list[str]:
        """Names of the parts that differ, in plain words."""
        return [name for name, changes in self._named() if changes]

    def unchanged(self) -> list[str]:
        """Names of the parts that are the same."""
        return [name for name, changes in self._named() if not changes]

    def _named(self) -> Sequence[tuple[str, Sequence[Any]]]:
        return (
            ("training data and origin", self.sources),
            ("parameters", self.params),
            ("libraries", self.libraries),
            ("own code", self.own_code),
            ("inputs", self.inputs),
            ("outputs", self.outputs),
            ("the card", self.card),
            ("files", self.files),
        )

    def summary(self) -> str:
        """One sentence: what changed since the base."""
        if self.base is None:
            return "There is no earlier approved version: everything is new."
        if not (parts := self.parts()):
            return f"Nothing differs from version {self.base.number}."
        return f"Changed since version {self.base.number}, the last approved: {', '.join(parts)}."


def compare(
    session: Session, base: ModelVersion | None, version: ModelVersion, *, actor: Actor | None = None
) -> Comparison:
    """Compare two versions loaded with all their parts; without a base everything is new.

    :param actor: reader; sources that are versions of models they may not know of are left out.
    """
    return Comparison(
        base=base,
        version=version,
        metrics=_metrics(base.metrics if base else (), version.metrics),
        params=_changes(base.params if base else {}, version.params),
        libraries=_changes(_libraries(base), _libraries(version)),
        own_code=_own_code(base, version),
        inputs=_changes(_tensors(base, "inputs"), _tensors(version, "inputs")),
        outputs=_changes(_tensors(base, "outputs"), _tensors(version, "outputs")),
        sources=_changes(_sources(session, base, actor), _sources(session, version, actor)),
        files=_changes(_files(base), _files(version)),
        card=_card(base, version),
        compatibility=compatibility(base, version) if base else None,
    )


def compatibility(base: ModelVersion, version: ModelVersion) -> Compatibility | None:
    """Whether callers of ``base`` can call ``version`` unchanged."""
    if base.signature is None or version.signature is None:
        return None
    return judge(Signature.from_dict(base.signature), Signature.from_dict(version.signature))


def _metrics(before: Sequence[Metric], after: Sequence[Metric]) -> list[MetricChange]:
    old = {(metric.name, metric.dataset): metric for metric in before}
    rows = [
        MetricChange(
            metric.name,
            metric.dataset,
            old[key].value if (key := (metric.name, metric.dataset)) in old else None,
            metric.value,
            metric.higher_is_better,
            metric.measured,
            metric.declared_by,
        )
        for metric in after
    ]
    present = {(row.name, row.dataset) for row in rows}
    gone = [metric for key, metric in old.items() if key not in present]
    return rows + [
        MetricChange(m.name, m.dataset, m.value, None, m.higher_is_better, m.measured, m.declared_by) for m in gone
    ]


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    return [
        Change(name, before.get(name), after.get(name))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def _libraries(version: ModelVersion | None) -> dict[str, str]:
    return {wheel["name"]: wheel["version"] for wheel in ((version.lock or {}).get("wheels", ()) if version else ())}


def _own_code(base: ModelVersion | None, version: ModelVersion) -> list[Change]:
    before, after = ({wheel.name: wheel.digest for wheel in own_code.wheels_of(side)} for side in (base, version))
    files = [
        Change(item.path, item.before and item.before.digest, item.after and item.after.digest)
        for item in own_code.changes(base, version)
    ]
    return [*_changes(before, after), *files]


def _tensors(version: ModelVersion | None, side: str) -> dict[str, str]:
    described = {}
    for tensor in (version.signature or {}).get(side, ()) if version else ():
        nullable = ", may be empty" if tensor.get("nullable") else ""
        described[tensor["name"]] = f"{tensor['datatype']} {tensor['shape']}{nullable}"
    return described


def _sources(session: Session, version: ModelVersion | None, actor: Actor | None) -> dict[str, str]:
    if version is None:
        return {}
    edges = lineage.sources_of(session, version)
    hidden = lineage.hidden_parents(session, edges, actor=actor) if actor is not None else frozenset()
    return {
        f"{edge.relation.replace('_', ' ')} {edge.kind} {edge.ref}": edge.digest or "no digest"
        for edge in edges
        if edge.parent_id not in hidden
    }


def _files(version: ModelVersion | None) -> dict[str, str]:
    return {file.path: file.digest for file in version.files} if version else {}


def _card(base: ModelVersion | None, version: ModelVersion) -> list[str]:
    if base is None or base.card == version.card:
        return []
    lines = difflib.unified_diff(
        base.card.splitlines(),
        version.card.splitlines(),
        f"version {base.number}",
        f"version {version.number}",
        lineterm="",
        n=2,
    )
    return list(lines)[:400]
