"""What is said when a platform change is proposed, and when it is signed."""

from wtforms import HiddenField, TextAreaField
from wtforms.validators import DataRequired, Length

from portal.forms import Form
from portal.reauthentication import SigningForm


class ProposalForm(Form):
    """Which platform, and why."""

    digest = HiddenField()
    reason = TextAreaField(
        "Why should it change?",
        validators=[DataRequired("Say why."), Length(max=4000, message="At most 4,000 characters.")],
        description="What is patched or newer, and what you tried it with. The two people who sign read it.",
    )


class ChangeForm(SigningForm):
    """A decision on a platform change."""

    seen = HiddenField()
