"""Every code that somebody can meet is explained, and nothing is explained that nobody can meet."""

import importlib
import json
import pkgutil
import re

import pytest

import builders
import portal
import registry
from portal.errors import HTTP_WORDS, STATUS, status_of
from registry.errors import RegistryError
from tests.contracts.codes import ROOT, codes

TEXT = (ROOT / "docs" / "errors.md").read_text()
ENTRIES = dict(re.findall(r"^### (\S+)\n(.*?)(?=^##|\Z)", TEXT, re.MULTILINE | re.DOTALL))
HTTP = {word for word, _, _ in HTTP_WORDS.values()} | {"http-error"}


def test_every_code_has_an_entry():
    missing = {code: sorted(where) for code, where in codes().items() if code not in ENTRIES}
    assert not missing, "add them to docs/errors.md: what happened, why, what to do"
    assert not HTTP - set(ENTRIES)


def test_no_entry_is_left_of_a_code_that_is_gone():
    assert set(ENTRIES) - set(codes()) - HTTP == set()


@pytest.mark.parametrize("code", ENTRIES)
def test_an_entry_says_what_happened_and_what_to_do(code):
    what, _, do = ENTRIES[code].partition("**Do:**")
    assert len(what.split()) >= 4
    assert len(do.split()) >= 3
    assert do.strip().endswith(".")


def test_codes_are_listed_once():
    headings = re.findall(r"^### (\S+)$", TEXT, re.MULTILINE)
    assert len(headings) == len(set(headings))


def refusals():
    """Every refusal of the domain and of the parts that add their own."""
    for package in (registry, portal, builders):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    waiting, found = [RegistryError], []
    while waiting:
        kind = waiting.pop()
        found.append(kind)
        waiting += kind.__subclasses__()
    return found


def test_every_refusal_has_a_status_and_it_is_the_one_documented():
    for kind in refusals():
        if not kind.__name__.startswith("_"):
            status = status_of(kind("x"))
            told = re.search(r"Status (\d+)", ENTRIES[kind.code])
            assert told is None or int(told[1]) == status, f"{kind.code}: the portal answers {status}"
    assert set(STATUS) <= set(refusals())


def test_the_words_of_the_web_server_have_the_status_documented():
    for status, (code, _, _) in HTTP_WORDS.items():
        told = re.search(r"Status (\d+)", ENTRIES[code])
        assert told is not None
        assert int(told[1]) == status, code


def test_the_example_is_an_answer_as_the_portal_gives_it():
    example = json.loads(re.search(r"```json\n(.*?)```", TEXT, re.DOTALL)[1])
    assert example["code"] == "wrong-stage"
    assert example["type"] == f"/docs/errors#{example['code']}"
    assert set(example) == {"type", "title", "status", "detail", "code", "hint", "request_id", "errors"}
