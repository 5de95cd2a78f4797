"""What the checks noticed, on the pages: told, answered by the requester's side, and no button to approve before."""

import pytest

from tests import factories
from tests.portal.approvals.conftest import path_of, words
from tests.support import nothing_changes

NOTICED = [
    {"code": "names-callable", "message": "It calls functions that its parameters name: numpy.log1p."},
    {
        "code": "personal-data",
        "message": "It holds values that look like personal data: 1 like an IBAN, as DE******00.",
    },
]


@pytest.fixture
def asked(world):
    with world.write() as session:
        version = factories.checking_version(session, world)
        factories.check(session, version, notices=NOTICED)
        return factories.submit(session, world, factories.reload(session, version, actor=world.ana)).id


def test_both_pages_tell_them(visit, asked) -> None:
    browser = visit("vic")
    for page in (path_of(asked), "/models/payments/voice/versions/1"):
        said = words(browser.get(page).text)
        assert "May hold personal data" in said
        assert "as DE******00" in said
        assert "numpy.log1p" in said


def test_answered_then_approved(world, visit, asked) -> None:
    reviewer, scientist = visit("vic"), visit("ben")
    page = reviewer.get(path_of(asked)).text
    assert "Sign and approve" not in page
    assert "Request changes" in page
    assert "nobody can approve before" in words(page)
    answer = scientist.submit(
        f"{path_of(asked)}/answers", {"about": "personal-data", "text": "Agreed in <81>."}, page=path_of(asked)
    )
    assert (answer.status_code, answer.location) == (303, f"{path_of(asked)}#noticed")
    page = reviewer.get(path_of(asked)).text
    assert "Sign and approve" in page
    assert "Agreed in &lt;81&gt;." in page
    assert "ben answered" in words(page)


@pytest.mark.parametrize(
    ("username", "about", "status"), [("vic", "personal-data", 403), ("ana", "names-callable", 422)]
)
def test_refused_answers_change_nothing(world, visit, asked, username, about, status) -> None:
    browser = visit(username)
    with nothing_changes(world.database):
        answer = browser.act(f"{path_of(asked)}/answers", about=about, text="It is fine.")
    assert answer.status_code == status
