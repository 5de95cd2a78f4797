"""The table of an image's settings in the manual has those of the server, with their defaults."""

import re
from dataclasses import fields

from serving.settings import Settings
from tests.contracts.codes import ROOT


def test_every_setting_of_the_server_has_its_row():
    text = (ROOT / "docs" / "serving.md").read_text()
    found = dict(re.findall(r"^\| `COUNTERSIGN_(\w+)` \| (\S+) \|", text, re.MULTILINE))
    expected = {spec.name.upper(): f"`{spec.default}`" if spec.default else "none" for spec in fields(Settings)}
    assert found == expected
