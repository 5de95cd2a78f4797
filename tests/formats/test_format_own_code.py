"""What a wheel of own code may hold: text that people can read, under names of its own, all of it in RECORD."""

import pytest

from formats import own_code
from formats.own_code import BadWheel, Declared
from formats.shapes import ShapeError
from tests import own_wheels

DIGEST = "sha256:" + "1" * 64


def test_a_good_wheel_says_what_it_defines():
    wheel = own_code.judge(own_wheels.NAME, own_wheels.members(own_wheels.good()), reserved={"numpy"})
    assert (wheel.name, wheel.version, wheel.packages) == ("riskfeatures", "1.0", ("riskfeatures",))
    assert wheel.classes == ("riskfeatures.encoders:Doubler",)
    assert wheel.functions == ("riskfeatures.encoders:halve",)
    assert [file.path for file in wheel.files] == [
        "riskfeatures-1.0.dist-info/METADATA",
        "riskfeatures-1.0.dist-info/WHEEL",
        "riskfeatures/__init__.py",
        "riskfeatures/encoders.py",
    ]
    assert wheel.lines["riskfeatures/encoders.py"] == own_wheels.MODULE.count("\n")


def test_names_are_those_of_the_top_level_also_behind_a_condition():
    source = "try:\n    class A: pass\nexcept ImportError:\n    class B:\n        class Inner: pass\nif 1:\n    def f():\n        class Local: pass\nfrom os import system\n"
    files = {"riskfeatures/__init__.py": source}
    wheel = own_code.judge(own_wheels.NAME, own_wheels.members(own_wheels.good(files)))
    assert wheel.classes == ("riskfeatures:A", "riskfeatures:B")
    assert wheel.functions == ("riskfeatures:f",), "what it imports is not its own"


@pytest.mark.parametrize("label", own_wheels.HOSTILE)
def test_hostile_wheels_are_refused(label):
    data, code = own_wheels.HOSTILE[label]
    with pytest.raises(BadWheel) as caught:
        own_code.judge(own_wheels.NAME, own_wheels.members(data), reserved={"numpy"})
    assert caught.value.code == code
    assert caught.value.hint
    assert own_wheels.NAME in str(caught.value)


def test_a_record_that_tells_another_content_is_refused():
    members = own_wheels.members(own_wheels.good())
    members["riskfeatures/encoders.py"] += b"import os\n"
    with pytest.raises(
        BadWheel, match=r"RECORD of .* does not agree with what the wheel holds: riskfeatures/encoders.py"
    ):
        own_code.judge(own_wheels.NAME, members)


@pytest.mark.parametrize(
    ("filename", "code"),
    [
        ("riskfeatures-1.0-cp311-cp311-manylinux_2_28_x86_64.whl", "wheel-not-pure"),
        ("riskfeatures-1.0-py2.py3-none-any.whl", "wheel-not-pure"),
        ("riskfeatures-1.0.tar.gz", "wheel-malformed"),
        ("../riskfeatures-1.0-py3-none-any.whl", "wheel-malformed"),
    ],
)
def test_file_names_of_other_wheels(filename, code):
    with pytest.raises(BadWheel) as caught:
        own_code.split(filename)
    assert caught.value.code == code


def test_the_declaration_is_read_as_it_is_written():
    wheels = (Declared("a-b", "1.0", DIGEST), Declared("c", "2.0+bank.1", DIGEST))
    document = own_code.declaration(wheels[::-1])
    assert own_code.parse(document) == wheels


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "countersign.own-code/2"},
        {"wheels": []},
        {"wheels": [{"name": "A", "version": "1", "sha256": DIGEST}]},
        {"wheels": [{"name": "a", "version": "1", "sha256": "1"}]},
        {"wheels": [{"name": "a", "version": "1", "sha256": DIGEST, "more": 1}]},
        {"wheels": [{"name": "a", "version": "1", "sha256": DIGEST}] * 2},
        {"more": 1},
    ],
)
def test_another_declaration_is_refused(change):
    document = own_code.declaration([Declared("a", "1.0", DIGEST)])
    with pytest.raises(ShapeError):
        own_code.parse({**document, **change})
