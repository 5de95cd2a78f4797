"""The table of settings in the manual is the one in the code."""

import re
from dataclasses import fields

from registry.settings import PREFIX, Settings
from tests.contracts.codes import ROOT

TEXT = (ROOT / "docs" / "operations.md").read_text()
ROWS = dict(re.findall(rf"^\| `({PREFIX}\w+)` \| (.*?) \|$", TEXT, re.MULTILINE))


def row(spec):
    default = "none" if spec.default == "" else f"`{spec.default}`"
    return f"{default} | {spec.metadata['help']}"


def test_every_setting_has_its_row():
    expected = {PREFIX + spec.name.upper(): row(spec) for spec in fields(Settings)}
    assert {name: ROWS.get(name) for name in expected} == expected, "copy the row into docs/operations.md"


def test_no_row_is_left_of_a_setting_that_is_gone():
    assert set(ROWS) == {PREFIX + spec.name.upper() for spec in fields(Settings)}


def test_secrets_are_said_to_come_from_files():
    for spec in fields(Settings):
        if spec.metadata["secret"]:
            assert not spec.default, f"{spec.name} must have no default"
    assert "_FILE" in TEXT
