"""Experiments as JSON."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from portal.api.documents.base import Document, FullName, Input, Link, Moment, Page, Slug, page
from registry import experiments
from registry.orm.experiment import Experiment

At = Annotated[AwareDatetime, Field(strict=False, examples=["2026-12-24T12:00:00Z"])]


class ExperimentDocument(Document):
    """What a route is split or shadowed for, until when, and what came of it."""

    id: str
    bundle: FullName
    route: str
    hypothesis: str
    metric: str
    state: Literal["planned", "running", "ended", "concluded"]
    starts_at: Moment
    ends_at: Moment
    result: str | None
    """What came of it, once concluded."""
    concluded_at: Moment | None
    url: Link

    @classmethod
    def of(cls, row: Experiment) -> "ExperimentDocument":
        """From a row with its bundle."""
        return cls(
            id=str(row.id),
            bundle=row.bundle.full_name,
            route=row.route,
            hypothesis=row.hypothesis,
            metric=row.metric,
            state=experiments.state(row).value,
            starts_at=row.starts_at,
            ends_at=row.ends_at,
            result=row.result,
            concluded_at=row.concluded_at,
            url=page(f"/bundles/{row.bundle.full_name}#experiments"),
        )


class ExperimentPage(Page[ExperimentDocument]):
    """Experiments, newest first."""


class NewExperiment(Input):
    """What a route is split or shadowed for."""

    route: Slug
    hypothesis: str
    metric: str
    """What is looked at to tell."""
    starts_at: At | None = None
    """Now, where it is left out."""
    ends_at: At
    """Within a year of the start."""


class Conclusion(Input):
    """What came of an experiment."""

    result: str
