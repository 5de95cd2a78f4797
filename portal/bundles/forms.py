"""Routes of a bundle, written as people read them: one line a share."""

import re

from wtforms import HiddenField, IntegerField, RadioField, SelectChoice, SelectField, StringField, TextAreaField
from wtforms.validators import DataRequired, InputRequired, Length, NumberRange

from portal.forms import Form
from registry.errors import Invalid
from registry.orm.image import Bundle, MemberRole, Rebuild, RouteMember
from registry.routes import MemberSpec, RouteSpec

HINT = (
    "One line a share: route, version, weight in per cent. A version is team/model:3, or team/model@approved to follow "
    "what is approved. A fourth word such as 5-95 bounds how far the weight may be moved later. The last word shadow makes it a "
    "shadow: so many per cent of the requests are copied to it, and nobody gets its answers."
)
_LINE = re.compile(
    r"(?P<route>\S+)\s+(?P<model>[^\s:@]+)(?::(?P<number>[0-9]{1,9})|@(?P<follow>[^\s:@]+))"
    r"\s+(?P<weight>[0-9]{1,3})\s*%?(?:\s+(?P<low>[0-9]{1,3})-(?P<high>[0-9]{1,3}))?(?P<shadow>\s+shadow)?"
)


class RoutesForm(Form):
    """The routes of a bundle, one line a share."""

    revision = HiddenField()
    routes = TextAreaField(
        "Routes",
        validators=[InputRequired("A bundle needs a route."), Length(max=8000, message="At most 8,000 characters.")],
        description=HINT,
    )
    rebuild = RadioField(
        "When a followed version is approved",
        choices=[
            SelectChoice(Rebuild.AUTO.value, "Build at once"),
            SelectChoice(Rebuild.PROPOSE.value, "Ask the owner first"),
        ],
        default=Rebuild.AUTO.value,
    )


class NewBundleForm(RoutesForm):
    """A new bundle."""

    name = StringField(
        "Name",
        validators=[InputRequired("Name it team/bundle."), Length(max=127, message="At most 127 characters.")],
        description="One of your teams, then a name: payments/feedback-router.",
    )


class ExperimentForm(Form):
    """What a route is split or shadowed for."""

    route = SelectField("Route", validators=[InputRequired("Choose a route.")])
    hypothesis = TextAreaField(
        "What do you expect?",
        validators=[DataRequired("Say what you expect."), Length(max=2000, message="At most 2,000 characters.")],
        description="In one sentence that can turn out wrong.",
    )
    metric = StringField(
        "What tells?",
        validators=[DataRequired("Name a metric."), Length(max=200, message="At most 200 characters.")],
        description="The number you will look at, and where it comes from.",
    )
    days = IntegerField(
        "Ends after so many days",
        default=14,
        validators=[InputRequired("Give a number."), NumberRange(1, 365, message="1 to 365 days.")],
    )


class ConclusionForm(Form):
    """What came of an experiment."""

    result = TextAreaField(
        "What came of it?",
        validators=[DataRequired("Say what came of it."), Length(max=4000, message="At most 4,000 characters.")],
        description="Kept with the bundle and in the audit log; it can be said once.",
    )


def write(bundle: Bundle) -> str:
    """The bundle's routes as the form shows them."""
    return "\n".join(_line(member) for member in bundle.members)


def _line(member: RouteMember) -> str:
    version = f":{member.version.number}" if member.version else f"@{member.follow}"
    bounds = (member.min_weight, member.max_weight)
    words = [member.route, f"{member.model.full_name}{version}", str(member.weight)]
    words += [] if bounds == (0, 100) else [f"{bounds[0]}-{bounds[1]}"]
    return "  ".join(words + (["shadow"] if member.role is MemberRole.SHADOW else []))


def read(text: str) -> list[RouteSpec]:
    """Routes from the form's lines, in the order they are named.

    :raises Invalid: naming the line that does not fit.
    """
    shares: dict[str, list[MemberSpec]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        found = _LINE.fullmatch(line.strip())
        if found is None:
            raise Invalid(
                f"line {number} is not route, version, weight: {line.strip()[:120]!r}",
                hint="For example: feedback payments/feedback-voice:2 90",
                errors=[("/routes", f"line {number} cannot be read")],
            )
        bounds = (int(found["low"]), int(found["high"])) if found["low"] else (0, 100)
        pin = int(found["number"]) if found["number"] else None
        role = MemberRole.SHADOW if found["shadow"] else MemberRole.PRIMARY
        share = MemberSpec(
            found["model"], int(found["weight"]), number=pin, follow=found["follow"], bounds=bounds, role=role
        )
        shares.setdefault(found["route"], []).append(share)
    return [RouteSpec(name, members) for name, members in shares.items()]
