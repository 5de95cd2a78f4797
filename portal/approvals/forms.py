"""What a reviewer states; who may decide is the domain's business."""

from wtforms import HiddenField, StringField, TextAreaField
from wtforms.validators import DataRequired, Length

from portal.forms import Form
from portal.reauthentication import SigningForm


class DecisionForm(SigningForm):
    """A decision: the digests of what was read, the reason, and proof of who signs."""

    seen_release = HiddenField()
    seen_dossier = HiddenField()


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
