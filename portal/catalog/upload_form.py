"""What an upload says; the bytes are in the store already and stand here by digest."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from wtforms import (
    FieldList,
    FileField,
    FormField,
    HiddenField,
    RadioField,
    SelectChoice,
    SelectField,
    StringField,
    TextAreaField,
)
from wtforms import Form as Rows
from wtforms.validators import InputRequired, Length

from formats import canonical, card, own_code
from formats import digest as digests
from portal.catalog.receiving import Kept
from portal.errors import status_of
from portal.forms import Form
from registry.access import Actor
from registry.errors import RegistryError
from registry.orm.account import Team
from registry.versions import EXTENSIONS, REQUIREMENTS, SAMPLE, MetricClaim

FILES = {"model": "the model file", "sample": "sample rows", "requirements": "requirements", "wheel": "a wheel"}
NEEDED = ("model", "sample")
METRIC_ROWS = 3


def template(actor: Actor, full_name: str) -> str:
    """A card to fill in; what it leaves empty is refused with its name."""
    team, _, name = full_name.partition("/")
    owner = yaml.safe_dump(team or actor.name).partition("\n")[0]
    return card.template(owner=owner, title=name.replace("-", " ").capitalize() or "Your model")


class MetricRow(Rows):
    """One number about the version."""

    metric = StringField("Metric", validators=[Length(max=80)])
    value = StringField("Value")
    dataset = StringField("Measured on", validators=[Length(max=200)])
    better = SelectField(
        "Better when",
        choices=[SelectChoice("", "not said"), SelectChoice("higher", "higher"), SelectChoice("lower", "lower")],
        validate_choice=False,
    )


class UploadForm(Form):
    """A new version."""

    team = SelectField("Team")
    name = StringField(
        "Model",
        validators=[InputRequired("Name the model."), Length(max=63)],
        description="An existing model of the team, or a new name: lower-case letters, digits and dashes.",
    )
    format = RadioField(
        "Format",
        choices=[SelectChoice(name, f"{name} ({paths[0]})") for name, paths in EXTENSIONS.items()],
        default="joblib",
    )
    model_file = FileField(
        "Model file",
        description="As joblib, pickle, skops, ONNX, LightGBM (text) or XGBoost (JSON) saved it. It is scanned before anything opens it.",
    )
    sample_file = FileField(
        "Sample rows", description="sample.jsonl: 1 to 1,000 records the model can answer, one JSON object a line."
    )
    requirements_file = FileField(
        "Requirements", description="requirements.txt, if the model needs more than its own imports show."
    )
    wheel_file = FileField(
        "Wheel of your own code",
        description="If the model needs a class or function of yours: name-version-py3-none-any.whl. Reviewers read its source.",
    )
    model_digest = HiddenField()
    model_label = HiddenField()
    sample_digest = HiddenField()
    sample_label = HiddenField()
    requirements_digest = HiddenField()
    requirements_label = HiddenField()
    wheel_digest = HiddenField()
    wheel_label = HiddenField()
    label = StringField(
        "Label", validators=[Length(max=63)], description="Your own name for it, such as 1.4.0. Optional."
    )
    metrics = FieldList(FormField(MetricRow), min_entries=METRIC_ROWS, max_entries=50)
    card = TextAreaField("Card", validators=[InputRequired("A version needs a card.")])

    def __init__(self, *, teams: Sequence[Team], start: Mapping[str, str]) -> None:
        """Offer the person's teams, and begin with ``start``."""
        super().__init__(data=dict(start))
        self.team.choices = [SelectChoice(team.slug, team.slug) for team in teams]
        self._refused: Mapping[str, RegistryError] = {}
        self._status: int | None = None

    def take(self, stored: Mapping[str, Kept], refused: Mapping[str, RegistryError]) -> None:
        """Put the files that came into the form; a refused one becomes its field's problem."""
        for field, kept in stored.items():
            part = field.removesuffix("_file")
            if part in FILES:
                self[f"{part}_digest"].data, self[f"{part}_label"].data = kept.digest, kept.name
        self._refused = refused

    def validate(self, extra_validators: Any = None) -> bool:
        """Besides the fields: every needed file is there, and metrics are numbers."""
        valid = bool(super().validate(extra_validators))
        for part, what in FILES.items():
            field, given = self[f"{part}_file"], self[f"{part}_digest"].data
            problem = ""
            if error := self._refused.get(f"{part}_file"):
                problem, self._status = f"{error}. {error.hint}".strip(), status_of(error)
            elif given and not _is_digest(given):
                problem = "It did not arrive whole: choose it again."
            elif given and part == "wheel" and (fault := self._wheel_fault()):
                problem = f"{fault}. {fault.hint}"
            elif not given and part in NEEDED:
                problem = f"Choose {what}."
            if problem:
                field.errors, valid = [problem], False
        return self._valid_metrics() and valid

    def _wheel_fault(self) -> own_code.BadWheel | None:
        try:
            own_code.split(self.wheel_label.data or "")
        except own_code.BadWheel as error:
            return error
        return None

    def own_code(self) -> bytes | None:
        """The document that names the wheel, when one was sent that is called like one."""
        digest = self.wheel_digest.data
        if not digest or not _is_digest(digest) or self._wheel_fault():
            return None
        wheel = own_code.Declared(*own_code.split(self.wheel_label.data), digest)
        return canonical.dumps(own_code.declaration([wheel]))

    def files(self) -> dict[str, str]:
        """Digests by path in the version, of a valid form."""
        found = {EXTENSIONS[str(self.format.data)][0]: self.model_digest.data, SAMPLE: self.sample_digest.data}
        if self.requirements_digest.data:
            found[REQUIREMENTS] = self.requirements_digest.data
        if (document := self.own_code()) is not None:
            found[own_code.FILE] = digests.of_bytes(document)
            found[own_code.WHEELS + self.wheel_label.data] = self.wheel_digest.data
        return found

    def _valid_metrics(self) -> bool:
        valid = not self.metrics.errors
        self.metrics.errors = [problem for row in self.metrics for field in row for problem in field.errors]
        for row in self.metrics:
            if row.metric.data and _number(row.value.data) is None:
                self.metrics.errors, valid = [f"{row.metric.data}: {row.value.data!r} is not a number."], False
        return valid

    def claims(self) -> list[MetricClaim]:
        """The metrics that were filled in."""
        return [
            MetricClaim(
                name=row.metric.data.strip(),
                value=_number(row.value.data) or 0.0,
                dataset=(row.dataset.data or "").strip(),
                higher_is_better={"higher": True, "lower": False}.get(row.better.data),
            )
            for row in self.metrics
            if (row.metric.data or "").strip()
        ]

    def refuse(self, error: RegistryError) -> None:
        """The domain speaks of files; here they are fields."""
        super().refuse(error)
        for pointer, problem in error.errors:
            if pointer.startswith("/files"):
                self.model_file.errors = [*self.model_file.errors, problem]

    @property
    def status(self) -> int:
        """As of every form, but a full store says so."""
        return self._status or super().status


def _is_digest(text: str) -> bool:
    try:
        digests.parse(text)
    except ValueError:
        return False
    return True


def _number(text: str | None) -> float | None:
    try:
        return float((text or "").strip().replace(",", "."))
    except ValueError:
        return None
