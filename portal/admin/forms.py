"""Forms of the administration pages."""

from wtforms import SelectChoice, SelectField, StringField
from wtforms.validators import InputRequired, Length

from portal.forms import Form
from registry.orm.account import Role


class PersonForm(Form):
    """Somebody new."""

    username = StringField(
        "User name",
        validators=[InputRequired("Choose a user name."), Length(max=64)],
        description="Lower-case letters, digits, dots, dashes. It cannot be changed later.",
    )
    name = StringField(
        "Printed name",
        validators=[InputRequired("Type the person's name."), Length(max=128)],
        description="Stands under what they sign.",
    )


class TeamForm(Form):
    """A new team."""

    slug = StringField(
        "Short name",
        validators=[InputRequired("Choose a short name."), Length(max=63)],
        description="The first half of team/model: lower-case letters, digits and dashes.",
    )
    name = StringField("Full name", validators=[InputRequired("Type the team's name."), Length(max=128)])


class RoleForm(Form):
    """A role to give."""

    role = SelectField("Role", choices=[SelectChoice(role.value, role.value.capitalize()) for role in Role])


class MemberForm(Form):
    """Somebody to put into a team."""

    username = StringField("User name", validators=[InputRequired("Type a user name."), Length(max=64)])
