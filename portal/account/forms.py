"""Forms of the account pages."""

from wtforms import (
    HiddenField,
    PasswordField,
    RadioField,
    SelectChoice,
    SelectField,
    SelectMultipleField,
    StringField,
)
from wtforms.validators import EqualTo, InputRequired, Length
from wtforms.widgets import CheckboxInput, ListWidget

from portal.forms import Form
from registry.accounts import MIN_PASSWORD

PASSWORD_RULES = [
    InputRequired("Choose a password."),
    Length(min=MIN_PASSWORD, message=f"Use at least {MIN_PASSWORD} characters."),
]
AGAIN_RULES = [InputRequired("Type it once more."), EqualTo("password", "The two do not match.")]
PASSWORD_HINT = f"At least {MIN_PASSWORD} characters. A sentence is long and easy to remember."


class PasswordSetupForm(Form):
    """A person sets their password from the link they got."""

    password = PasswordField("Password", validators=PASSWORD_RULES, description=PASSWORD_HINT)
    again = PasswordField("Password, once more", validators=AGAIN_RULES)


class FirstAdministratorForm(Form):
    """The first person of an installation."""

    username = StringField(
        "User name",
        validators=[InputRequired("Choose a user name."), Length(max=64)],
        description="Lower-case letters, digits, dots, dashes. You sign in with it.",
    )
    name = StringField(
        "Printed name",
        validators=[InputRequired("Type your name."), Length(max=128)],
        description="Stands under what you sign.",
    )
    password = PasswordField("Password", validators=PASSWORD_RULES, description=PASSWORD_HINT)
    again = PasswordField("Password, once more", validators=AGAIN_RULES)


class SecondFactorForm(Form):
    """Proof that the authenticator app holds the secret."""

    sealed_secret = HiddenField(validators=[InputRequired()])
    code = StringField(
        "Code from the app",
        validators=[InputRequired("Type the six digits the app shows.")],
        description="Six digits; they change every 30 seconds.",
    )


class Checkboxes(SelectMultipleField):
    """Several choices, each a box."""

    widget = ListWidget(prefix_label=False)
    option_widget = CheckboxInput()


SCOPE_WORDS = {
    "read": "Read models, versions and files you may see",
    "push": "Push versions",
    "submit": "Submit for review and comment",
    "bundles": "Edit and build bundles",
    "audit": "Read the audit log",
    "advisories": "Import known vulnerabilities",
    "platform": "Propose platform changes, and hold their waves",
    "tokens": "Make and end tokens",
}


LIFETIMES = ((1, "a day"), (7, "7 days"), (30, "30 days"), (90, "90 days"), (365, "a year"))


class TokenForm(Form):
    """A new API token."""

    name = StringField(
        "What is it for?",
        validators=[InputRequired("Give it a name you will recognise."), Length(max=80)],
        description="For example: my laptop, or the nightly training.",
    )
    owner = SelectField("Acts as")
    scopes = Checkboxes("What it may do", choices=[SelectChoice(*pair) for pair in SCOPE_WORDS.items()])
    days = RadioField(
        "Ends after",
        coerce=int,
        choices=[SelectChoice(days, words) for days, words in LIFETIMES],
        default=30,
        description="A decision can never be made with a token.",
    )


class ServiceForm(Form):
    """A pipeline's identity."""

    team = SelectField("Team")
    service = StringField(
        "Name",
        validators=[InputRequired("Give it a name."), Length(max=63)],
        description="For example: nightly-training. It pushes and submits for its team; it can never decide.",
    )
