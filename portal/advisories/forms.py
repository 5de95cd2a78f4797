"""What is said when a bundle is sent, and when an advisory is waived."""

from wtforms import FileField, IntegerField, StringField, TextAreaField
from wtforms.validators import DataRequired, InputRequired, Length, NumberRange

from portal.forms import Form
from registry.waivers import MOST_DAYS


class BundleForm(Form):
    """A file of OSV records."""

    bundle = FileField(
        "Bundle",
        description="all.zip of the PyPI ecosystem, as osv.dev publishes it. At most 512 MB; nothing is unpacked here.",
    )


class WaiverForm(Form):
    """Letting an advisory stand for a while."""

    owner = StringField(
        "Who answers for it",
        validators=[DataRequired("Name a person.")],
        description="User name of the person who sees to it that it is mended before the waiver ends.",
    )
    reason = TextAreaField(
        "Why may it stand?",
        validators=[DataRequired("Say why."), Length(max=4000, message="At most 4,000 characters.")],
        description="Why it cannot be reached, or what is done about it. Shown beside the advisory and in the audit log.",
    )
    days = IntegerField(
        "Ends after so many days",
        default=30,
        validators=[InputRequired("Give a number."), NumberRange(1, MOST_DAYS, message=f"1 to {MOST_DAYS} days.")],
    )
