import pytest


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/settings/profile",
        "/settings/security",
        "/settings/tokens",
        "/settings/services",
        "/admin/people",
        "/admin/people/new",
        "/admin/people/administrator-scientist-1",
        "/admin/teams",
        "/admin/teams/new",
        "/admin/teams/payments",
    ],
)
def test_opens(login, path):
    c = login("administrator", "scientist")
    a = c.get(path)
    assert a.status_code == 200, a.text[:3000]


def test_world(world, visit):
    from tests import factories
    with world.write() as s:
        r = factories.request_in_review(s, world)
    c = visit("cora")
    a = c.get("/")
    assert a.status_code == 200 and "1 thing waits" in a.text
