"""Own code on the pages: wheels and files, the difference to what was approved, a notice, and who may read it."""

import pytest

from registry import approvals, compare, own_code
from registry.errors import Blocked
from tests import factories, own_wheels
from tests.portal.catalog.conftest import VOICE, live, words

EVIL = "<script>alert(1)</script>"
NEWER = {
    "riskfeatures/__init__.py": own_wheels.FILES["riskfeatures/__init__.py"],
    "riskfeatures/encoders.py": own_wheels.MODULE.replace("* 2", f'* 3  # "{EVIL}"'),
    "riskfeatures/more.py": "TEN = 10\n",
}


def brings(world, data, filename=own_wheels.NAME):
    """A ready version with this wheel; its number."""
    with world.write() as session:
        version = factories.checking_version(session, world)
        factories.check(session, version, own_code=own_wheels.facts(world.store, data, filename))
        return factories.reload(session, version, actor=world.ana).number


def approve(world, number):
    with world.write() as session:
        request = factories.submit(session, world, world.version(session, number))
        approvals.answer(session, request, actor=world.ana, about="own-code", text="Read by two of us.")
        factories.decide(session, request, world.vic)
        factories.decide(session, request, world.cora)


@pytest.fixture
def newer(world):
    """Version 1 approved with a wheel, version 2 in review with a newer one; the request's id."""
    approve(world, brings(world, own_wheels.good()))
    number = brings(world, own_wheels.good(NEWER, version="1.1"), "riskfeatures-1.1-py3-none-any.whl")
    with world.write() as session:
        return factories.submit(session, world, world.version(session, number)).id


def test_the_first_one_is_all_new(world, ana):
    brings(world, own_wheels.good())
    text = ana.get(f"{VOICE}/versions/1").text
    said = words(text)
    assert "riskfeatures 1.0" in said
    assert "never compiled" in said
    assert "Nothing was approved before, so that all 4 files are new: 23 lines added, 0 removed." in said
    assert "+class Doubler(TransformerMixin, BaseEstimator):" in said
    assert "Brings code of its own" in said
    assert live(text) == []


def test_reviewers_see_what_differs_from_the_last_approved(visit, newer):
    text = visit("vic").get(f"/reviews/{newer}").text
    said = words(text)
    assert "Since version 1, the last approved, 3 files differ" in said
    assert "- return np.asarray(X) * 2" in said
    assert f'+ return np.asarray(X) * 3 # "{EVIL}"' in said
    assert "+TEN = 10" in said
    assert "must be answered" in said
    assert "Sign and approve" not in text
    assert 'href="#own-code"' in text
    assert EVIL not in text


def test_nobody_approves_before_the_answer(world, newer):
    with world.write() as session, pytest.raises(Blocked):
        factories.decide(session, approvals.get_request(session, newer, actor=world.vic), world.vic)


def test_the_whole_difference_is_one_click_away(ana, newer):
    answer = ana.get(f"{VOICE}/versions/2/own-code.diff")
    assert answer.mimetype == "text/plain"
    assert "--- riskfeatures/encoders.py\n+++ riskfeatures/encoders.py\n" in answer.text
    assert "--- /dev/null\n+++ riskfeatures/more.py\n" in answer.text
    assert "riskfeatures/__init__.py" not in answer.text, "it did not change"
    against = ana.get(f"{VOICE}/versions/1/own-code.diff", query_string={"base": "2"})
    assert "--- riskfeatures/more.py\n+++ /dev/null\n" in against.text


def test_others_see_what_there_is_and_not_the_source(visit, newer):
    browser = visit("aud")
    assert browser.get(f"{VOICE}/versions/2/own-code.diff").status_code == 403
    said = words(browser.get(f"{VOICE}/versions/2").text)
    assert "riskfeatures/more.py" in said
    assert "TEN = 10" not in said


def test_a_long_difference_is_cut_and_says_so(world, ana):
    long = {f"riskfeatures/part{number}.py": "x = 1\n" * 900 for number in range(4)}
    brings(world, own_wheels.good({**own_wheels.FILES, **long}))
    text = ana.get(f"{VOICE}/versions/1").text
    assert text.count("+x = 1") < 1_500
    assert "files are not shown here, whole or in part" in words(text)
    assert ana.get(f"{VOICE}/versions/1/own-code.diff").text.count("+x = 1") == 3_600


def test_the_comparison_names_wheel_and_files(world, ana, newer):
    text = ana.get(f"{VOICE}/compare/1...2").text
    assert 'id="own-code"' in text
    assert "riskfeatures/more.py not there sha256:" in words(text)
    with world.read() as session:
        found = compare.compare(session, world.version(session, 1), world.version(session, 2))
    assert [change.name for change in found.own_code] == [
        "riskfeatures", "riskfeatures.dist-info/METADATA", "riskfeatures/encoders.py", "riskfeatures/more.py",
    ]  # fmt: skip
    assert "own code" in found.parts()


def test_a_file_too_long_to_compare_is_shown_whole(world):
    def held(count):
        content = b"x = 1\n" * count
        of, size = world.store.put(own_wheels.io.BytesIO(content))
        return own_code.SourceFile("riskfeatures/long.py", of, size, count)

    changed = own_code.Changed("riskfeatures", "riskfeatures/long.py", held(3_000), held(3_001))
    (diff,) = own_code.diffs(world.store, [changed])
    assert "too long to compare" in diff.lines[2]
    assert (diff.removed, diff.added) == (3_000, 3_001)
