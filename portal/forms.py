"""The base of every form: a refusal of the domain comes back as the form's own errors, with the text still in it."""

from collections.abc import Callable
from typing import Any

from flask import g
from flask_wtf import FlaskForm

from portal import db
from portal.errors import status_of
from registry.errors import RegistryError


class Form(FlaskForm):
    """A form that can be refused.

    ::

        form = TeamForm()
        if form.validate_on_submit() and form.attempt(accounts.add_team, db.session(), actor=g.actor, slug=form.slug.data):
            return redirect(url_for("admin.team", slug=form.result.slug), 303)
        return render_template("admin/team_new.html", form=form), form.status
    """

    result: Any = None
    refusal: RegistryError | None = None

    def is_submitted(self) -> bool:
        """Never while a form is only shown again after a sign-in."""
        return not g.get("refill") and bool(super().is_submitted())

    def attempt(self, act: Callable[..., Any], /, *arguments: Any, **named: Any) -> bool:
        """Call a domain function; returns whether it accepted, with what it returned in ``result``.

        A refusal rolls the request's unit back, and each of its pointers becomes the error of the field it names.
        """
        try:
            self.result = act(*arguments, **named)
        except RegistryError as error:
            if status_of(error) >= 500:
                raise
            db.rollback()
            self.refuse(error)
            return False
        return True

    def refuse(self, error: RegistryError) -> None:
        """Show ``error`` in this form."""
        self.refusal = error
        for pointer, problem in error.errors:
            field = self._fields.get(pointer.strip("/").split("/")[0])
            if field is not None:
                field.errors = [*field.errors, problem]

    @property
    def status(self) -> int:
        """What to answer when the form is shown: 200 unsent, 422 filled in wrongly, or the refusal's own."""
        if self.refusal is not None:
            return status_of(self.refusal)
        return 422 if self.errors else 200
