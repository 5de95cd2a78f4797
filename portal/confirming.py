"""Re-authentication before a grave act: who is signed in types their password and a one-time code once more."""

from flask import g
from wtforms import PasswordField, StringField
from wtforms.validators import InputRequired, Regexp

from portal import db
from portal.forms import Form
from registry import signing_in
from registry.errors import BadCredentials, LockedOut

METHOD = "password+totp"


class ConfirmedForm(Form):
    """A form that a person signs."""

    password = PasswordField("Your password", validators=[InputRequired("Type your password: this is a signature.")])
    code = StringField(
        "One-time code",
        validators=[InputRequired("Type the current code."), Regexp(r"^[\d ]{6,9}$", message="Six digits.")],
        description="From your authenticator app. A code signs one decision only.",
    )


def is_their_password(form: ConfirmedForm) -> bool:
    """Whether the password is that of who is signed in; if not, ``form`` says so. Asked before the unit that writes is
    opened: hashing is too slow to hold the writer's lock.
    """
    try:
        with db.reading() as unit:
            signing_in.check_password(unit, g.actor.name, form.password.data or "")
    except LockedOut as error:
        form.refuse(LockedOut("you are locked out after too many failures", hint=f"{error.hint} Nothing was signed."))
        return False
    except BadCredentials:
        count_failure()
        form.refuse(
            BadCredentials(
                "that is not your password",
                hint="Nothing was signed; your text is kept.",
                errors=[("/password", "Type it again.")],
            )
        )
        return False
    return True


def count_failure() -> None:
    """A code or password did not fit; too many of them lock the account."""
    with db.separate() as unit:
        signing_in.note_failure(unit, g.actor.name)
