"""What a reviewer states; who may decide is the domain's business."""

from wtforms import HiddenField, PasswordField, StringField, TextAreaField
from wtforms.validators import InputRequired, Length, Regexp

from portal.forms import Form


class DecisionForm(Form):
    """A decision: the digests of what was read, the reason, and proof of who signs."""

    decision_id = HiddenField(validators=[InputRequired()])
    seen_release = HiddenField(validators=[InputRequired()])
    seen_dossier = HiddenField(validators=[InputRequired()])
    reason = TextAreaField(
        "Why?",
        validators=[InputRequired("Say what you relied on."), Length(max=4000)],
        description="Name the evaluation you relied on. Stored beside the audit log and shown to examiners.",
    )
    password = PasswordField("Your password", validators=[InputRequired("Type your password: this is a signature.")])
    code = StringField(
        "One-time code",
        validators=[InputRequired("Type the current code."), Regexp(r"[\d ]{6,9}", message="Six digits.")],
        description="A code that signed one decision cannot sign another.",
    )


class CommentForm(Form):
    """Something said beside a request."""

    text = TextAreaField("Comment", validators=[InputRequired("Write something."), Length(max=8000)])


class WithdrawForm(Form):
    """Taking a request back."""

    reason = StringField("Why?", validators=[InputRequired("Say why."), Length(max=500)])
