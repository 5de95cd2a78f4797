"""Routes of a bundle, written as people read them."""

from wtforms import HiddenField, RadioField, StringField, TextAreaField
from wtforms.validators import InputRequired, Length

from portal.forms import Form
from registry.bundles import MemberSpec, RouteSpec
from registry.errors import Invalid
from registry.orm.image import Bundle, Rebuild

HINT = "One line a share: route, version, weight in per cent. A version is team/model:3, or team/model@approved to follow what is approved."


class RoutesForm(Form):
    """The routes of a bundle, one line a share."""

    revision = HiddenField()
    routes = TextAreaField(
        "Routes", validators=[InputRequired("A bundle needs a route."), Length(max=4000)], description=HINT
    )
    rebuild = RadioField(
        "When a followed version is approved",
        choices=[(Rebuild.AUTO.value, "Build at once"), (Rebuild.PROPOSE.value, "Ask the owner first")],
        default=Rebuild.AUTO.value,
    )


class NewBundleForm(RoutesForm):
    """A new bundle."""

    name = StringField("Name", validators=[InputRequired("Name it team/bundle.")], description="team/bundle")


def write(bundle: Bundle) -> str:
    """The bundle's routes as the form shows them."""
    return "\n".join(
        f"{m.route}  {m.model.full_name}{f':{m.version.number}' if m.version else f'@{m.follow}'}  {m.weight}"
        for m in bundle.members
    )


def read(text: str) -> list[RouteSpec]:
    """Routes from the form's lines.

    :raises Invalid: naming the line that does not fit.
    """
    shares: dict[str, list[MemberSpec]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.replace("%", "").split()
        if not words:
            continue
        if len(words) != 3 or not words[2].isdecimal():
            raise Invalid(
                f"line {number} is not route, version, weight: {line!r}",
                hint=HINT,
                errors=[("/routes", f"line {number}")],
            )
        route, target, weight = words
        model, pin, reference = target.rpartition(":") if ":" in target else target.rpartition("@")
        if not pin or (pin == ":" and not reference.isdecimal()):
            raise Invalid(
                f"line {number}: {target!r} is not team/model:3 or team/model@approved",
                hint=HINT,
                errors=[("/routes", f"line {number}")],
            )
        number_, follow = (int(reference), None) if pin == ":" else (None, reference)
        shares.setdefault(route, []).append(MemberSpec(model, int(weight), number=number_, follow=follow))
    return [RouteSpec(name, members) for name, members in shares.items()]
