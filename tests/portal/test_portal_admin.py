"""People, teams and roles: what two administrators do to each other and to everybody else."""

import re
from collections.abc import Callable

import pytest

from registry import accounts
from registry.db import Database
from registry.orm.account import Person, Role
from tests.factories import World
from tests.portal.conftest import Browser

Visit = Callable[[str], Browser]


def roles(database: Database, username: str) -> dict[Role, bool]:
    with database.read() as session:
        return {grant.role: grant.in_force for grant in accounts.load_person(session, username=username).roles}


def test_a_new_person_gets_a_link_that_works(
    world: World, visit: Visit, browser: Callable[[], Browser], database: Database
) -> None:
    answer = visit("root").submit("/admin/people/new", {"username": "Noor", "name": "Noor Jansen"})
    assert answer.status_code == 201
    link = re.search(r'id="link">http://127\.0\.0\.1:5000(/setup/[^<]+)<', answer.text)[1]
    assert "Welcome, Noor Jansen" in browser().get(link).text
    assert roles(database, "noor") == {}


@pytest.mark.parametrize(
    ("username", "status", "words"),
    [("ana", 409, "ana exists already"), ("No Spaces", 422, "not a user name"), ("", 422, "Choose a user name")],
)
def test_a_refused_person_keeps_the_typed_text(
    world: World, visit: Visit, username: str, status: int, words: str
) -> None:
    answer = visit("root").submit("/admin/people/new", {"username": username, "name": "Noor Jansen"})
    assert answer.status_code == status
    assert words in answer.text
    assert 'value="Noor Jansen"' in answer.text


def test_a_deciding_role_takes_two_administrators(world: World, visit: Visit, database: Database) -> None:
    root, rita = visit("root"), visit("rita")
    root.act("/admin/people/ben/roles", role="compliance")
    assert roles(database, "ben")[Role.COMPLIANCE] is False
    page = root.get("/admin/people/ben").text
    assert "Another administrator must confirm it" in page
    assert "/roles/compliance/confirm" not in page
    assert root.act("/admin/people/ben/roles/compliance/confirm").status_code == 403
    assert roles(database, "ben")[Role.COMPLIANCE] is False
    assert "ben" in rita.get("/admin/people").text
    assert "ben is to become compliance" in rita.get("/").text
    assert "/roles/compliance/confirm" in rita.get("/admin/people/ben").text
    assert rita.act("/admin/people/ben/roles/compliance/confirm").status_code == 303
    assert roles(database, "ben")[Role.COMPLIANCE] is True


def test_an_ordinary_role_counts_at_once(world: World, visit: Visit, database: Database) -> None:
    visit("root").act("/admin/people/nil/roles", role="auditor")
    assert roles(database, "nil") == {Role.AUDITOR: True}


def test_nobody_gives_themselves_a_deciding_role(world: World, visit: Visit, database: Database) -> None:
    answer = visit("root").act("/admin/people/root/roles", role="validator")
    assert answer.status_code == 403
    assert "cannot give yourself" in answer.text
    assert Role.VALIDATOR not in roles(database, "root")


def test_a_lone_administrator_is_told_what_bootstrap_is(
    make_person: Callable[..., Person], sign_in: Callable[..., Browser], database: Database
) -> None:
    root = sign_in(make_person("root", roles=["administrator"]))
    make_person("cora")
    assert "You are the only administrator" in root.get("/admin/people/cora").text
    root.act("/admin/people/cora/roles", role="compliance")
    assert roles(database, "cora")[Role.COMPLIANCE] is True
    assert "logged as bootstrap" in root.get("/admin/people/cora").text
    answer = root.act("/admin/people/root/roles/administrator/revoke")
    assert answer.status_code == 409
    assert "last administrator" in answer.text


def test_refusing_and_taking_away(world: World, visit: Visit, database: Database) -> None:
    root = visit("root")
    root.act("/admin/people/ben/roles", role="validator")
    root.act("/admin/people/ben/roles/validator/revoke")
    root.act("/admin/people/ben/roles/scientist/revoke")
    assert roles(database, "ben") == {}
    assert root.act("/admin/people/ben/roles/scientist/revoke").status_code == 404
    assert root.act("/admin/people/ben/roles", role="emperor").status_code == 404


def test_resetting_a_second_factor_ends_sessions(world: World, visit: Visit) -> None:
    cora, root = visit("cora"), visit("root")
    assert root.act("/admin/people/cora/second-factor/reset").status_code == 303
    assert cora.get("/").status_code == 303
    assert root.act("/admin/people/root/second-factor/reset").status_code == 403


def test_disabling(world: World, visit: Visit) -> None:
    ana, root = visit("ana"), visit("root")
    assert root.act("/admin/people/ana/disable").status_code == 303
    assert ana.get("/").status_code == 303
    assert root.act("/admin/people/root/disable").status_code == 403
    assert "Disabled" in root.get("/admin/people/ana").text


def test_teams(world: World, visit: Visit, database: Database) -> None:
    root = visit("root")
    assert root.submit("/admin/teams/new", {"slug": "labs", "name": "Labs"}).location == "/admin/teams/labs"
    answer = root.submit("/admin/teams/new", {"slug": "labs", "name": "Other labs"})
    assert answer.status_code == 409
    assert 'value="Other labs"' in answer.text
    assert root.submit("/admin/teams/labs", {"username": "Ben"}).status_code == 303
    answer = root.submit("/admin/teams/labs", {"username": "nobody"})
    assert answer.status_code == 404
    assert "no person nobody" in answer.text
    with database.read() as session:
        person = accounts.load_person(session, username="ben")
        assert {team.slug for team in person.teams} == {"payments", "labs"}
    root.act("/admin/teams/labs/members/ben/remove")
    assert "Nobody yet" in root.get("/admin/teams/labs").text


def test_people_are_found_by_the_beginning_of_their_name(world: World, visit: Visit) -> None:
    root = visit("root")
    page = root.get("/admin/people?q=ca").text
    assert "/admin/people/carl" in page
    assert "/admin/people/cora" not in page
    assert "Nobody found" in root.get("/admin/people?q=%25").text
