"""Sample rows are judged before anything foreign runs."""

import json

import pytest

from builders.checks import sample


def lines(*rows) -> bytes:
    return "\n".join(json.dumps(row) for row in rows).encode()


def test_rows_keep_their_columns_order_and_kinds_of_number():
    found = sample.read(lines({"b": 1.0, "a": 2}, {"a": 3, "b": None}) + b"\r\n\n")
    assert found.findings == ()
    assert found.columns == ["b", "a"]
    assert found.data == b'{"b": 1.0, "a": 2}\n{"b": null, "a": 3}\n'


def test_line_separators_inside_text_do_not_end_a_row():
    found = sample.read('{"text": "one\u2028two\u0085three"}\n'.encode())
    assert found.rows == ({"text": "one\u2028two\u0085three"},)
    assert found.data.count(b"\n") == 1


@pytest.mark.parametrize(
    ("data", "code", "told"),
    [
        (b"", "sample-empty", "no rows"),
        (b"\n \n", "sample-empty", "no rows"),
        (b"{", "sample-row", "Line 1 of sample.jsonl cannot be read"),
        (b"\xff\xfe", "sample-row", "not UTF-8"),
        (b"[1]", "sample-row", "is not an object"),
        (b"{}", "sample-row", "is not an object"),
        (b'{"a": 1, "a": 2}', "sample-row", "appears twice"),
        (b'{"a": NaN}', "sample-row", "NaN"),
        (b'{"a": 1e999}', "sample-row", "1e999"),
        (b'{"a": [1]}', "sample-row", "a list in column 'a'"),
        (b'{"a": {"b": 1}}', "sample-row", "a dict in column 'a'"),
        (b'{"": 1}', "sample-row", "name is empty"),
        (b'{"a\\u0000": 1}', "sample-row", "not printable"),
        (b'{"a": 1}\n{"b": 1}', "sample-row", "Line 2 of sample.jsonl has other columns than the first row: 'a', 'b'"),
        (b'{"a": 1}\n{"a": 1, "b": 2}', "sample-row", "'b'"),
        (lines(*({"a": 1} for _ in range(1001))), "sample-too-many", "more than 1000"),
        (lines({"a": "x" * (1 << 21)}), "sample-row", "2097152 characters"),
        (lines({f"c{number}": 1 for number in range(10_001)}), "sample-row", "10001 columns"),
    ],
)
def test_refused(data, code, told):
    found = sample.read(data)
    assert found.rows == ()
    assert found.findings[0].code == code
    assert told in found.findings[0].message
    assert found.findings[0].hint


def test_a_thousand_rows_are_allowed():
    assert len(sample.read(lines(*({"a": 1} for _ in range(1000)))).rows) == 1000


def test_the_whole_file_is_not_read_when_it_is_too_large(monkeypatch):
    monkeypatch.setattr(sample, "_MOST_BYTES", 10)
    assert sample.read(lines({"a": 1}, {"a": 2})).findings[0].code == "sample-too-large"


def test_faults_are_told_together_but_not_without_end():
    found = sample.read(b"[]\n" * 500)
    assert len(found.findings) == 20


@pytest.mark.parametrize(
    ("row", "needed"),
    [
        ({"text": "x"}, False),
        ({"a": 1, "b": 2}, False),
        ({"a": "x"}, True),
        ({"text": "x", "a": 1}, True),
        ({"text": None}, False),
    ],
)
def test_text_beside_other_columns_needs_a_frame(row, needed):
    assert sample.read(lines(row)).needs_frame is needed
