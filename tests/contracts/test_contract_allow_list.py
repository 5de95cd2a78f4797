"""No name gets on the allow-list without two people and a reason: every change since the record began is written down."""

import json
from pathlib import Path
from typing import Any

import pytest

from builders.checks import names
from builders.checks.names import AllowList

RECORD = Path(names.__file__).parent / "allowlist" / "changes" / "changes.json"


def taken_back(listed: AllowList, changes: list[dict[str, Any]]) -> AllowList:
    """The list as it was before ``changes``, newest first taken back.

    :raises AssertionError: a change without two people or a reason, or one that says what the list does not.
    """
    uses, takes = dict(listed.uses), {name: set(taken) for name, taken in listed.takes.items()}
    for change in reversed(changes):
        people = {change["by"].strip(), change["agreed_by"].strip()}
        assert len(people - {""}) == 2, f"two different people are needed, not {sorted(people)}"
        assert len(change["reason"].split()) >= 3, f"say why: {change['reason']!r}"
        for label, use in change["added"].items():
            assert uses.pop(label, None) == use, f"{label} is said to be added as {use}"
            for taken in takes.pop(label, ()):
                assert taken in change["takes"].get(label, ()), f"{label} may be handed {taken}, which nobody agreed to"
        for label, use in change["removed"].items():
            assert label not in uses, f"{label} is said to be removed"
            uses[label] = use
            takes |= {name: set(taken) for name, taken in change["takes"].items() if name == label}
    return AllowList(uses, {name: frozenset(taken) for name, taken in takes.items()})


def test_every_change_since_the_record_began_has_two_people_and_a_reason():
    record = json.loads(RECORD.read_text())
    assert record["schema"] == "countersign.allow-list-changes/1"
    before = taken_back(names.load(), record["changes"])
    assert before.digest == record["began_at"], (
        f"the allow-list changed and {RECORD.name} does not say how: add an entry with added, removed, takes, reason, by, agreed_by"
    )


LIST = AllowList({"a:one": "ref", "a:two": "call"}, {"a:two": frozenset({"a:one"})})
ADDED = {
    "added": {"a:two": "call"}, "removed": {"a:old": "new"}, "takes": {"a:two": ["a:one"]}, "reason": "Version 2 pickles it.",
    "by": "ana", "agreed_by": "ben",
}  # fmt: skip


def test_changes_are_taken_back():
    assert taken_back(LIST, [ADDED]) == AllowList({"a:one": "ref", "a:old": "new"})


@pytest.mark.parametrize(
    "wrong",
    [
        {"agreed_by": "ana"},
        {"agreed_by": " "},
        {"by": ""},
        {"reason": "needed"},
        {"added": {"a:two": "new"}},
        {"added": {"a:three": "ref"}},
        {"takes": {}},
        {"removed": {"a:one": "ref"}},
    ],
)
def test_a_change_that_is_not_agreed_or_not_true_is_refused(wrong):
    with pytest.raises(AssertionError):
        taken_back(LIST, [ADDED | wrong])


def test_a_silent_change_is_noticed():
    wider = AllowList({**LIST.uses, "a:three": "ref"}, LIST.takes)
    assert taken_back(wider, [ADDED]).digest != taken_back(LIST, [ADDED]).digest
