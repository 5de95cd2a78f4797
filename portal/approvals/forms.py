"""What a reviewer states; who may decide is the domain's business."""

from wtforms import HiddenField, StringField, TextAreaField
from wtforms.validators import DataRequired, InputRequired, Length

from portal.confirming import ConfirmedForm
from portal.forms import Form
from registry.orm.approval import Outcome


class DecisionForm(ConfirmedForm):
    """A decision: the digests of what was read, the reason, and proof of who signs."""

    decision_id = HiddenField()
    seen_release = HiddenField()
    seen_dossier = HiddenField()
    reason = TextAreaField(
        "Why?",
        validators=[DataRequired("Say what you relied on."), Length(max=4000, message="At most 4,000 characters.")],
        description="Name the evaluation you relied on. Stored beside the audit log and shown to examiners.",
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
