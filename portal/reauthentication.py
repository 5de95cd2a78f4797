"""Re-authentication: who is signed in types password and one-time code once more, and one request checks them and acts.

Refusals come back in the form, with its text kept.
"""

import re
from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

from flask import g
from wtforms import HiddenField, PasswordField, StringField, TextAreaField
from wtforms.validators import DataRequired, InputRequired, Length, Regexp

from portal import db
from portal.forms import Form
from portal.installation import here
from registry import accounts, signing_in
from registry.errors import BadCredentials, CodeRefused, LockedOut, StaleReview
from registry.orm.approval import Decision, Outcome
from registry.orm.platform import PlatformDecision

METHOD = "password+totp"
Signed = TypeVar("Signed", Decision, PlatformDecision)


class ConfirmedForm(Form):
    """A form that a person signs."""

    password = PasswordField("Your password", validators=[InputRequired("Type your password: this is a signature.")])
    code = StringField(
        "One-time code",
        validators=[InputRequired("Type the current code."), Regexp(r"^[\d ]{6,9}$", message="Six digits.")],
        description="From your authenticator app. A code signs one decision only.",
    )


class SigningForm(ConfirmedForm):
    """A decision: the reason, and the button that was pressed."""

    decision_id = HiddenField()
    reason = TextAreaField(
        "Why?",
        validators=[DataRequired("Say what you relied on."), Length(max=4000, message="At most 4,000 characters.")],
        description="Name the evaluation you relied on. Stored beside the audit log and shown to examiners.",
    )
    outcome = StringField("Decision", validators=[InputRequired("Press one of the buttons.")])

    @property
    def wanted(self) -> Outcome | None:
        """Which button was pressed; there is no default, because Enter in a field must not sign anything."""
        return next((outcome for outcome in Outcome if outcome.value == self.outcome.data), None)


def confirm(
    form: ConfirmedForm, act: Callable[[], Any], *, purpose: str, stands: Callable[[], Any] = lambda: None
) -> bool:
    """Whether ``act`` was done by who is signed in, its result in ``form.result``; if not, ``form`` says why.

    :param purpose: what the one-time code is spent on.
    :param stands: what an earlier press of the same button has done, if it has: the second is answered like it.
    """
    if not _is_their_password(form):
        return False
    if form.attempt(_spend_and_act, form, purpose, act):
        return True
    if (done := stands()) is not None:
        form.result = done
        return True
    if isinstance(form.refusal, CodeRefused):
        _count_failure()
    return False


def sign(form: SigningForm, kind: type[Signed], decide: Callable[[UUID, Outcome], Signed]) -> bool:
    """Whether the decision stands; if not, ``form`` says why.

    :param kind: its table.
    :param decide: stores it, under the id that the form was given.
    """
    wanted, decision_id = form.wanted, _decision_id(form)
    if wanted is None:
        form.outcome.errors = ["Press one of the buttons."]
        return False
    if decision_id is None:
        form.refuse(
            StaleReview("this page does not say which decision it is", hint="It is read anew below; decide again.")
        )
        return False
    return confirm(
        form,
        lambda: decide(decision_id, wanted),
        purpose="decide",
        stands=lambda: _recorded(decision_id, kind),
    )


def pieces(statement: str) -> list[str]:
    """The sentence cut at its digests, which a page shows short with the whole in the title."""
    return re.split(r"(sha256:[0-9a-f]{64})", statement)


def _is_their_password(form: ConfirmedForm) -> bool:
    """Check before the unit that writes is opened: hashing is too slow to hold the writer's lock."""
    try:
        with db.reading() as unit:
            signing_in.check_password(unit, g.actor.name, form.password.data or "")
    except LockedOut as error:
        form.refuse(LockedOut("you are locked out after too many failures", hint=f"{error.hint} Nothing was signed."))
        return False
    except BadCredentials:
        _count_failure()
        form.refuse(
            BadCredentials(
                "that is not your password",
                hint="Nothing was signed; your text is kept.",
                errors=[("/password", "Type it again.")],
            )
        )
        return False
    return True


def _count_failure() -> None:
    with db.separate() as unit:
        signing_in.note_failure(unit, g.actor.name)


def _spend_and_act(form: ConfirmedForm, purpose: str, act: Callable[[], Any]) -> Any:
    session = db.session()
    person = accounts.load_person(session, person_id=g.actor.person_id)
    signing_in.spend_code(session, person, form.code.data or "", purpose=purpose, keys=here().vault)
    return act()


def _decision_id(form: SigningForm) -> UUID | None:
    try:
        return UUID(form.decision_id.data or "")
    except ValueError:
        return None


def _recorded(decision_id: UUID, kind: type[Signed]) -> Signed | None:
    """Return this very decision by this person, if an earlier press stored it."""
    with db.reading() as unit:
        found = unit.get(kind, decision_id)
        return found if found is not None and found.person_id == g.actor.person_id else None
