"""What the refs of the audit log stand for: ``version:<hex>`` is ``payments/voice:3`` to a reader, and the way back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from registry.orm.account import Person, Team
from registry.orm.advisory import AdvisoryBundle, Waiver
from registry.orm.approval import ReleaseRequest
from registry.orm.catalog import ModelVersion, RegisteredModel
from registry.orm.experiment import Experiment
from registry.orm.image import Build, Bundle, Image
from registry.orm.platform import Platform, PlatformChange


@dataclass(frozen=True)
class Subject:
    """Something an audit entry is about."""

    kind: str
    id: UUID
    label: str
    """For a reader: ``payments/voice:3``, a username, an image digest."""


def _numbered(table: type[ModelVersion] | type[ReleaseRequest]) -> Select[UUID, str, int]:
    query = select(table.id, RegisteredModel.full_name, ModelVersion.number)
    if table is ReleaseRequest:
        query = query.join(ModelVersion, ModelVersion.id == ReleaseRequest.version_id)
    return query.join(RegisteredModel, RegisteredModel.id == ModelVersion.model_id)


_FOUND: Mapping[str, Callable[[], Select[*tuple[Any, ...]]]] = {
    "person": lambda: select(Person.id, Person.username),
    "team": lambda: select(Team.id, Team.slug),
    "model": lambda: select(RegisteredModel.id, RegisteredModel.full_name),
    "version": lambda: _numbered(ModelVersion),
    "request": lambda: _numbered(ReleaseRequest),
    "bundle": lambda: select(Bundle.id, Bundle.full_name),
    "build": lambda: select(Build.id, Bundle.full_name).join(Bundle, Bundle.id == Build.bundle_id),
    "image": lambda: select(Image.id, Image.digest),
    "advisories": lambda: select(AdvisoryBundle.id, AdvisoryBundle.digest),
    "platform": lambda: select(Platform.id, Platform.digest),
    "platform_change": lambda: select(PlatformChange.id, Platform.digest).join(PlatformChange.platform),
    "experiment": lambda: select(Experiment.id, Bundle.full_name, Experiment.route).join(
        Bundle, Bundle.id == Experiment.bundle_id
    ),
    "waiver": lambda: select(Waiver.id, Waiver.advisory),
}


def describe(session: Session, refs: set[str]) -> dict[str, Subject]:
    """What these refs stand for, in one query per kind; kinds without names of their own are left out."""
    wanted: dict[str, list[UUID]] = {}
    for ref in refs:
        kind, _, ident = ref.partition(":")
        if kind in _FOUND:
            wanted.setdefault(kind, []).append(UUID(ident))
    found = {}
    for kind, ids in wanted.items():
        query = _FOUND[kind]()
        key = query.selected_columns[0]
        for row_id, *label in session.execute(query.where(key.in_(ids))):
            found[f"{kind}:{row_id.hex}"] = Subject(kind, row_id, ":".join(str(part) for part in label))
    return found


def ref_of(session: Session, text: str) -> str:
    """The ref of what somebody typed: ``payments/voice:3``, ``payments/voice``, a username, an image digest, or a ref.

    :returns: ``text`` itself when nothing has that name; searching for it then finds nothing.
    """
    name, _, number = text.partition(":")
    if "/" in name and number.isdecimal() and len(number) < 10:
        query = select(ModelVersion.id).join(RegisteredModel, RegisteredModel.id == ModelVersion.model_id)
        query = query.where(RegisteredModel.full_name == name, ModelVersion.number == int(number))
        kind = "version"
    elif "/" in text:
        kind, query = "model", select(RegisteredModel.id).where(RegisteredModel.full_name == text)
    elif name == "sha256":
        kind, query = "image", select(Image.id).where(Image.digest == text)
        if session.scalars(query).first() is None:
            kind, query = "advisories", select(AdvisoryBundle.id).where(AdvisoryBundle.digest == text)
    else:
        kind, query = "person", select(Person.id).where(Person.username == text.lower())
    row_id = session.scalars(query).first()
    return f"{kind}:{row_id.hex}" if row_id is not None else text
