"""A push as JSON: the files are in the store already, this says what they are."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue, field_validator

from portal.api.documents.base import Digest, Input
from registry import cards, lineage, versions

Text80 = Annotated[str, Field(min_length=1, max_length=80)]


class PushedFile(Input):
    """A file by the digest it was sent under.

    A push holds the model file and `sample.jsonl`; it may hold `requirements.txt`, and `own-code.json` with the wheels that it
    names and the package index does not have, below `wheels/`.
    """

    path: Annotated[str, Field(min_length=1, max_length=255)]
    digest: Digest


class PushedMetric(Input):
    """A number its uploader declares."""

    name: Text80
    value: float
    dataset: Annotated[str, Field(max_length=200)] | None = None
    higher_is_better: bool | None = None


class PushedSource(Input):
    """Something the version comes from."""

    relation: Literal["trained_on", "evaluated_on", "built_from", "derived_from", "produced_by"]
    kind: Literal["dataset", "commit", "run", "version"]
    ref: Annotated[str, Field(min_length=1, max_length=300)]
    digest: Digest | None = None


class PushedEnvironment(Input):
    """The Python that made the model; the lock is resolved from it."""

    python: Annotated[str, Field(max_length=40, examples=["3.11.7"])] = ""
    implementation: Annotated[str, Field(max_length=40)] = ""
    platform: Annotated[str, Field(max_length=80, examples=["linux-x86_64"])] = ""
    distributions: Annotated[
        dict[str, Annotated[str, Field(max_length=200)]], Field(max_length=5000, default_factory=dict)
    ]
    """Version of each installed distribution."""


class NewVersion(Input):
    """A push. The same content again (files and card) returns the version that exists."""

    files: Annotated[list[PushedFile], Field(min_length=1, max_length=10)]
    format: Literal["joblib", "pickle", "skops", "onnx", "lightgbm", "xgboost"]
    """Fixes how the model file is scanned, and the only loader ever used."""
    label: Annotated[str, Field(max_length=63)] | None = None
    author: Annotated[str, Field(max_length=64)] = ""
    """Who trained it; only a pipeline names somebody else."""
    card: Annotated[str, Field(max_length=cards.MAX_CARD)]
    """Markdown that begins with a YAML head."""
    metrics: Annotated[list[PushedMetric], Field(max_length=200, default_factory=list)]
    params: Annotated[dict[str, JsonValue], Field(max_length=500, default_factory=dict)]
    tags: Annotated[
        dict[Annotated[str, Field(min_length=1, max_length=63)], Annotated[str, Field(max_length=500)]],
        Field(max_length=50, default_factory=dict),
    ]
    lineage: Annotated[list[PushedSource], Field(max_length=200, default_factory=list)]
    environment: Annotated[PushedEnvironment, Field(default_factory=PushedEnvironment)]
    create_model: bool = False
    """Register the model too when it is not there."""

    @field_validator("files")
    @classmethod
    def _each_path_once(cls, files: list[PushedFile]) -> list[PushedFile]:
        if len({file.path for file in files}) != len(files):
            raise ValueError("each path may appear once")
        return files

    def push(self) -> versions.Push:
        """As the domain takes it."""
        return versions.Push(
            files={file.path: file.digest for file in self.files},
            format=self.format,
            card=self.card,
            label=self.label or "",
            author=self.author,
            metrics=[
                versions.MetricClaim(metric.name, metric.value, metric.dataset or "", metric.higher_is_better)
                for metric in self.metrics
            ],
            params=self.params,
            tags=self.tags,
            sources=[lineage.Source(edge.relation, edge.kind, edge.ref, edge.digest) for edge in self.lineage],
            environment=self.environment.model_dump(exclude_defaults=True),
        )
