"""Registered models as JSON."""

from typing import Annotated, Literal

from pydantic import Field

from portal.api.documents.base import Document, FullName, Input, Link, Listing, Moment, Page
from registry.catalog import ListedModel
from registry.orm.catalog import RegisteredModel, Stage, Visibility

Seen = Literal["internal", "private"]


class ModelDocument(Document):
    """A registered model: the named line that versions belong to."""

    name: FullName
    team: str
    purpose: str
    """One sentence in plain words."""
    task: str
    contact: str
    owner: str | None
    visibility: Seen
    tier: str | None
    """Risk tier: low, medium or high. Null counts as high."""
    latest: int | None
    """Newest version number; null before the first push."""
    approved: int | None
    """Newest approved version number."""
    created_at: Moment
    updated_at: Moment
    url: Link

    @classmethod
    def of(cls, model: RegisteredModel | ListedModel, owner: str | None, url: str) -> "ModelDocument":
        """From a row, the name of its owner, and the address of its page."""
        return cls(
            name=model.full_name,
            team=model.full_name.partition("/")[0],
            purpose=model.purpose,
            task=model.task,
            contact=model.contact,
            owner=owner,
            visibility=model.visibility.value,
            tier=model.tier,
            latest=model.versions_made or None,
            approved=model.latest_approved,
            created_at=model.created_at,
            updated_at=model.updated_at,
            url=url,
        )


class ModelPage(Page[ModelDocument]):
    """Models, newest change first."""


class ModelQuery(Listing):
    """Filters of the catalogue."""

    q: Annotated[str, Field(max_length=200)] = ""
    """Words of name, purpose or task; a word may be the beginning of one."""
    team: str = ""
    task: str = ""
    stage: Annotated[str, Field(json_schema_extra={"enum": ["", *Stage]})] = ""
    """Models with a version in this stage."""


class NewModel(Input):
    """A model to register; its team is the first half of its name."""

    name: FullName
    purpose: Annotated[str, Field(max_length=500)] = ""
    visibility: Seen = "internal"

    def seen(self) -> Visibility:
        return Visibility(self.visibility)


class ModelChange(Input):
    """What is said of a model; members that are left out stay as they are."""

    purpose: Annotated[str, Field(max_length=500)] | None = None
    contact: Annotated[str, Field(max_length=128)] | None = None
    task: Annotated[str, Field(max_length=63)] | None = None
    visibility: Seen | None = None

    def seen(self) -> Visibility | None:
        return Visibility(self.visibility) if self.visibility else None


class NewAlias(Input):
    """Where an alias is to point."""

    number: Annotated[int, Field(ge=1, lt=2**31)]


class AliasDocument(Document):
    """An alias as it stands."""

    alias: str
    ref: str
    number: int
