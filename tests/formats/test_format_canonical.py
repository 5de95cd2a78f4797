"""RFC 8785 known answers and what must be refused."""

import json
import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formats import canonical
from formats.canonical import CanonicalError, dumps, loads

# RFC 8785, appendix B: IEEE 754 bits and their one spelling.
NUMBERS = [
    ("0000000000000000", "0"),
    ("8000000000000000", "0"),
    ("0000000000000001", "5e-324"),
    ("8000000000000001", "-5e-324"),
    ("7fefffffffffffff", "1.7976931348623157e+308"),
    ("ffefffffffffffff", "-1.7976931348623157e+308"),
    ("4340000000000000", "9007199254740992"),
    ("c340000000000000", "-9007199254740992"),
    ("4430000000000000", "295147905179352830000"),
    ("44b52d02c7e14af5", "9.999999999999997e+22"),
    ("44b52d02c7e14af6", "1e+23"),
    ("44b52d02c7e14af7", "1.0000000000000001e+23"),
    ("444b1ae4d6e2ef4e", "999999999999999700000"),
    ("444b1ae4d6e2ef4f", "999999999999999900000"),
    ("444b1ae4d6e2ef50", "1e+21"),
    ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
    ("3eb0c6f7a0b5ed8d", "0.000001"),
    ("41b3de4355555553", "333333333.3333332"),
    ("41b3de4355555554", "333333333.33333325"),
    ("41b3de4355555555", "333333333.3333333"),
    ("41b3de4355555556", "333333333.3333334"),
    ("41b3de4355555557", "333333333.33333343"),
    ("becbf647612f3696", "-0.0000033333333333333333"),
    ("43143ff3c1cb0959", "1424953923781206.2"),
]

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-canonical.MAX_SAFE, canonical.MAX_SAFE)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=20,
)


@pytest.mark.parametrize(("bits", "expected"), NUMBERS)
def test_numbers_are_spelled_as_the_rfc_lists_them(bits, expected):
    (number,) = struct.unpack(">d", bytes.fromhex(bits))
    assert dumps(number).decode() == expected


def test_the_rfc_example_object():
    source = (
        rb'{"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],'
        rb' "string": "\u20ac$\u000F\u000aA\u0027\u0042\u0022\u005c\\\"\/", "literals": [null, true, false]}'
    )
    assert dumps(loads(source)).decode() == (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )


def test_keys_are_sorted_by_utf16_code_units():
    # In code points U+FB33 comes before U+1F600; in UTF-16 the surrogate 0xD83D comes first. RFC 8785, 3.2.3.
    keys = ["€", "\r", "\ufb33", "1", "😀", "\x80", "ö"]
    assert list(json.loads(dumps(dict.fromkeys(keys)))) == ["\r", "1", "\x80", "ö", "€", "😀", "\ufb33"]


def test_control_characters_and_delete():
    assert dumps('\b\t\n\f\r\x00\x1f\x7f"\\/').decode() == '"\\b\\t\\n\\f\\r\\u0000\\u001f\x7f\\"\\\\/"'


def test_tuples_are_lists_and_empty_containers_are_short():
    assert dumps({"b": (1, [], {}), "a": ""}) == b'{"a":"","b":[1,[],{}]}'


def test_digest_is_of_the_canonical_bytes():
    assert canonical.digest({}) == "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert canonical.digest({"b": 1, "a": 2.0}) == canonical.digest({"a": 2, "b": 1})


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (math.nan, "nan has no JSON form"),
        (math.inf, "inf has no JSON form"),
        (2**53, "past 2^53-1"),
        (-(2**53), "past 2^53-1"),
        ({1: "a"}, "is int: JSON keys are text"),
        ({None: "a"}, "JSON keys are text"),
        ("\ud800", "lone surrogate"),
        ({"\udc00": 1, "a": 2}, "lone surrogate"),
        (b"bytes", "bytes has no JSON form"),
        ({"a": {1, 2}}, "set has no JSON form"),
    ],
)
def test_what_has_no_canonical_form_is_refused(value, words):
    with pytest.raises(CanonicalError) as caught:
        dumps(value)
    assert words in str(caught.value)


def test_a_container_that_holds_itself_is_refused():
    value = []
    value.append(value)
    with pytest.raises(CanonicalError, match="nested too deeply"):
        dumps(value)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'{"a": 1, "b": 2, "a": 1}', "'a' appears twice"),
        (b'[{"x": {"k": 1, "k": 2}}]', "'k' appears twice"),
        (b"NaN", "NaN is not JSON"),
        (b"[Infinity]", "Infinity is not JSON"),
        (b"[-Infinity]", "-Infinity is not JSON"),
        (b"1e400", "larger than any double"),
        (b"9007199254740993", "past 2^53-1"),
        (b"9007199254740992.0e0001x", "not JSON"),
        (b"1" * 5000, "past 2^53-1"),
        (b'"\\ud800"', "lone surrogate"),
        (b'"\xff"', "byte 1 is 0xff"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
        (b"{} {}", "not JSON"),
        (b"", "not JSON"),
        (b"[" * 200_000, "nested too deeply"),
    ],
)
def test_ambiguous_json_is_refused(data, words):
    with pytest.raises(CanonicalError) as caught:
        loads(data)
    assert words in str(caught.value)


def test_a_surrogate_pair_escape_is_one_character():
    assert loads(b'"\\ud83d\\ude00"') == "😀"


@settings(deadline=None)  # a shared machine may stall for longer than an example takes
@given(json_values)
def test_round_trip_is_stable(value):
    once = dumps(value)
    again = loads(once)
    assert again == value
    assert dumps(again) == once


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_double_keeps_its_value(number):
    assert float(dumps(number)) == number
