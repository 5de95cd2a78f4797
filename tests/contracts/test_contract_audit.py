"""Everything that can be recorded is recorded somewhere, and everything governed can be."""

import ast

import pytest

from registry.access import Permission
from registry.audit import Action
from tests.contracts.codes import ROOT, files


def used(kind):
    """Members of an enumeration that the source names, apart from the line that defines them."""
    names = set()
    for path in files():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr.isupper():
                owner = node.value
                name = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
                if name == kind:
                    names.add((path.relative_to(ROOT).as_posix(), node.attr))
    return names


def test_every_action_is_recorded_by_somebody():
    recorded = {name for _, name in used("Action")}
    assert {action.name for action in Action} - recorded == set(), "remove it, or record it where it happens"


def test_every_permission_is_asked_for_by_somebody():
    asked = {name for path, name in used("Permission") if path != "registry/access.py"}
    assert {permission.name for permission in Permission} - asked == set()


@pytest.mark.parametrize("action", Action)
def test_an_action_reads_as_a_thing_and_what_happened_to_it(action):
    thing, _, happened = action.value.partition(":")
    assert thing.isidentifier()
    assert happened.isidentifier()
    assert action.value == action.value.lower()
