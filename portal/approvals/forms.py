"""What a reviewer states; who may decide is the domain's business."""

from wtforms import HiddenField, PasswordField, StringField, TextAreaField
from wtforms.validators import DataRequired, InputRequired, Length, Regexp

from portal.forms import Form
from registry.orm.approval import Outcome


class DecisionForm(Form):
    """A decision: the digests of what was read, the reason, and proof of who signs."""

    decision_id = HiddenField()
    seen_release = HiddenField()
    seen_dossier = HiddenField()
    reason = TextAreaField(
        "Why?",
        validators=[DataRequired("Say what you relied on."), Length(max=4000, message="At most 4,000 characters.")],
        description="Name the evaluation you relied on. Stored beside the audit log and shown to examiners.",
    )
    password = PasswordField("Your password", validators=[InputRequired("Type your password: this is a signature.")])
    code = StringField(
        "One-time code",
        validators=[InputRequired("Type the current code."), Regexp(r"^[\d ]{6,9}$", message="Six digits.")],
        description="From your authenticator app. A code signs one decision only.",
    )
    outcome = StringField("Decision", validators=[InputRequired("Press one of the three buttons.")])

    @property
    def wanted(self) -> Outcome | None:
        """Which button was pressed; there is no default, because Enter in a field must not sign anything."""
        return next((outcome for outcome in Outcome if outcome.value == self.outcome.data), None)


class CommentForm(Form):
    """Something said beside a request."""

    text = TextAreaField(
        "Comment",
        validators=[DataRequired("Write something."), Length(max=8000, message="At most 8,000 characters.")],
        description="The request's dossier grows by it: whoever is about to sign reads it first.",
    )


class AnswerForm(Form):
    """The requester's side answers what the checks noticed."""

    about = HiddenField()
    text = TextAreaField(
        "Your answer",
        validators=[DataRequired("Write an answer."), Length(max=8000, message="At most 8,000 characters.")],
        description="Why it is there, on what ground, and who agreed. It becomes part of the dossier that is signed.",
    )


class WithdrawForm(Form):
    """Taking a request back."""

    reason = StringField(
        "Why?", validators=[DataRequired("Say why."), Length(max=500, message="At most 500 characters.")]
    )
