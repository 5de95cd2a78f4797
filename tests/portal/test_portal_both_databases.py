"""The unit of work and sign-in on both databases."""

from collections.abc import Callable

import pytest
from sqlalchemy.exc import SQLAlchemyError

from portal import db
from registry.db import Database
from registry.orm.account import Person, Team
from tests.databases import Places
from tests.portal.conftest import Browser


@pytest.fixture
def database(databases_of_a_kind: Places) -> Database:
    return databases_of_a_kind.take("empty")


def test_sign_in_and_a_form(make_person: Callable[..., Person], sign_in: Callable[..., Browser]) -> None:
    root = sign_in(make_person("root", roles=["administrator"]))
    assert root.submit("/admin/teams/new", {"slug": "labs", "name": "Labs"}).status_code == 303
    assert root.submit("/admin/teams/new", {"slug": "labs", "name": "Labs"}).status_code == 409
    assert "labs" in root.get("/admin/teams").text


def test_a_get_cannot_write(app) -> None:
    with app.test_request_context("/"):
        db.session().add(Team(slug="sneaky", name="Sneaky"))
        with pytest.raises(SQLAlchemyError, match=r"read-?only"):
            db.session().flush()
        db.rollback()
