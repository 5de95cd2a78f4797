"""What people say of a model or a version; the rules are the domain's."""

from wtforms import HiddenField, IntegerField, RadioField, SelectChoice, SelectField, StringField, TextAreaField
from wtforms.validators import DataRequired, InputRequired, Length, NumberRange

from portal.forms import Form
from portal.reauthentication import ConfirmedForm
from registry.orm.catalog import Visibility

ONE_A_LINE = "One a line."


class SettingsForm(Form):
    """What is said of a model; approvals do not bind it."""

    purpose = StringField(
        "Purpose",
        validators=[Length(max=500)],
        description="One sentence that a stranger understands: what is this model for?",
    )
    task = StringField(
        "Task", validators=[Length(max=63)], description="For example text-classification or regression."
    )
    contact = StringField("Contact", validators=[Length(max=128)], description="Where to ask: a channel or an address.")
    visibility = RadioField(
        "Who sees it",
        choices=[
            SelectChoice(
                Visibility.INTERNAL.value, "Everybody who signs in; files are for the team and for declared uses"
            ),
            SelectChoice(Visibility.PRIVATE.value, "Only its team knows that it exists"),
        ],
    )
    revision = HiddenField()


class AliasForm(Form):
    """A name that points at a version."""

    alias = StringField(
        "Alias",
        validators=[InputRequired("Choose a name such as champion."), Length(max=63)],
        description="Lower-case letters, digits and dashes, such as champion.",
    )
    number = IntegerField("Version", validators=[InputRequired("Say which version."), NumberRange(min=1)])
    revision = HiddenField()


class UseForm(Form):
    """What a team uses the model for."""

    team = SelectField("Your team", validators=[InputRequired("Choose a team.")])
    purpose = StringField(
        "What for",
        validators=[InputRequired("Say what you use it for."), Length(max=500)],
        description="A sentence the owners understand.",
    )


class SubmitForm(Form):
    """Asking for release."""

    note = TextAreaField(
        "What should the reviewers know?",
        validators=[Length(max=4000)],
        description="What changed, why now, what you looked at. It stands beside the request.",
    )
    uses = TextAreaField(
        "Uses",
        validators=[InputRequired("Name at least one use.")],
        description=f"What it is to be approved for. {ONE_A_LINE}",
    )
    environments = TextAreaField(
        "Environments",
        validators=[InputRequired("Name at least one environment.")],
        description=f"Where it is to run, such as production. {ONE_A_LINE}",
    )
    prohibited_uses = TextAreaField("Not for", description=f"What it must not be used for. {ONE_A_LINE}")
    limits = TextAreaField("Limits", description=f"Where it is known to fail. {ONE_A_LINE}")


class WithdrawForm(Form):
    """Taking a request back."""

    reason = StringField("Why?", validators=[InputRequired("Say why you withdraw it."), Length(max=500)])


def lines(text: str | None) -> list[str]:
    """The lines of a text field that say something."""
    return [line.strip() for line in (text or "").splitlines() if line.strip()]


class RevokeForm(ConfirmedForm):
    """Stopping the use of a version, signed."""

    reason = TextAreaField(
        "Why must it not be used any more?",
        validators=[DataRequired("Say why."), Length(max=4000, message="At most 4,000 characters.")],
        description="Whoever runs or uses it reads this first. Kept beside the audit log.",
    )
