"""The codec: what goes in comes out, and what does not fit says why."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving import tensors
from serving.tensors import (
    Tensor,
    TensorError,
    convert,
    elements_of,
    from_array,
    from_raw,
    from_values,
    to_array,
    to_values,
)


@pytest.mark.parametrize(
    ("datatype", "shape", "values", "expected"),
    [
        ("FP64", (2, 2), [[1, 2.5], [3, 4]], [[1.0, 2.5], [3.0, 4.0]]),
        ("FP64", (2, 2), [1, 2.5, 3, 4], [[1.0, 2.5], [3.0, 4.0]]),
        ("FP32", (1,), [0.5], [0.5]),
        ("INT64", (2,), [-(2**63), 2**63 - 1], [-(2**63), 2**63 - 1]),
        ("UINT64", (1,), [2**64 - 1], [2**64 - 1]),
        ("INT8", (2,), [-128, 127], [-128, 127]),
        ("BOOL", (2,), [True, False], [True, False]),
        ("BYTES", (2,), ["grüezi", ""], ["grüezi", ""]),
        ("BYTES", (2, 1), [["a"], ["b"]], [["a"], ["b"]]),
    ],
)
def test_values_come_back_as_they_went_in(datatype, shape, values, expected):
    assert to_values(from_values("x", datatype, shape, values)) == expected


@pytest.mark.parametrize(
    ("datatype", "shape", "values", "message"),
    [
        ("FP64", (1,), [[[{}]]], "data is nested unevenly"),
        ("FP32", (1,), [1e39], "a number is out of range: FP32 goes from"),
        ("FP16", (2,), [1, 70_000], "a number is out of range: FP16 goes from"),
        ("FP64", (2, 2), [[1.0, 2.0], [float("nan"), 1.0]], "row 1 is NaN, and this input takes no missing values"),
        ("FP32", (2,), [1.0, float("nan")], "row 1 is NaN"),
        ("FP64", (2,), [1.0], "1 values came, shape [2] holds 2"),
        ("FP64", (2, 2), [[1.0, 2.0, 3.0, 4.0]], "values nested as [1, 4] came, shape [2, 2] holds 4"),
        ("FP64", (2,), [[1.0], [2.0, 3.0]], "data is nested unevenly"),
        ("FP64", (2,), [1.0, "2.0"], "element 1 is the string '2.0', expected a number (FP64)"),
        ("FP64", (2,), [1.0, None], "element 1 is null, and this input takes no nulls"),
        ("FP64", (1,), [True], "element 0 is true, expected a number (FP64)"),
        ("FP64", (2,), [{}, None], "element 0 is an object, expected a number (FP64)"),
        ("INT64", (2,), [1, 2.5], "element 1 is the number 2.5, expected an integer (INT64)"),
        ("INT64", (1,), [2**63], "INT64 goes from"),
        ("INT8", (2,), [1, 128], "a number is out of range: INT8 goes from -128 to 127"),
        ("UINT8", (1,), [-1], "a number is out of range: UINT8 goes from 0 to 255"),
        ("INT64", (2,), [1, True], "element 1 is true, expected an integer (INT64)"),
        ("FP64", (2, 1), [[1.0], [False]], "element 1 is false, expected a number (FP64)"),
        ("FP64", (1,), [10**400], "a number is out of range: FP64 goes from"),
        ("FP64", (1,), [[["1.0"]]], "values nested as [1, 1, 1] came, shape [1] holds 1"),
        ("BOOL", (2,), [True, 1], "element 1 is the number 1, expected true or false"),
        ("BYTES", (2,), ["a", 5], "element 1 is the number 5, expected a string"),
        ("BYTES", (1,), [None], "element 0 is null, and this input takes no nulls"),
        ("BYTES", (1,), ["\ud800"], "half of a surrogate pair"),
        ("BYTES", (2,), ["a"], "1 values came, shape [2] holds 2"),
    ],
)
def test_values_that_do_not_fit_are_named(datatype, shape, values, message):
    with pytest.raises(TensorError, match=re.escape(message)):
        from_values("x", datatype, shape, values)


def test_nulls_travel_where_a_datatype_has_room_for_them():
    numbers = from_values("x", "FP64", (3,), [1, None, 2.5], nullable=True)
    assert to_values(numbers) == [1.0, None, 2.5]
    assert math.isnan(tensors.to_array(numbers)[1])
    assert tensors.to_strings(from_values("x", "BYTES", (2,), [None, "a"], nullable=True)) == [None, "a"]
    assert from_values("x", "BOOL", (2,), [True, None], nullable=True).nulls == (1,)
    with pytest.raises(TensorError, match="INT64 has no value for it"):
        from_values("x", "INT64", (2,), [1, None], nullable=True)


def test_long_strings_among_numbers_cost_no_memory():
    # numpy would make room for the longest string at every place: here, 400 GB.
    with pytest.raises(TensorError, match="element 0 is the string"):
        from_values("x", "FP64", (100_000,), ["x" * 1_000_000, *([0.0] * 99_999)])


def test_raw_tensors_are_measured_before_they_are_believed():
    assert to_values(from_raw("x", "INT32", (2,), np.array([1, 2], "<i4").tobytes())) == [1, 2]
    with pytest.raises(TensorError, match=r"7 bytes came, INT32 of shape \[2\] has 8"):
        from_raw("x", "INT32", (2,), bytes(7))
    text = tensors.join_elements([b"a", b"bc"])
    assert to_values(from_raw("x", "BYTES", (2,), text)) == ["a", "bc"]
    with pytest.raises(TensorError, match=r"2 elements came, shape \[3\] holds 3"):
        from_raw("x", "BYTES", (3,), text)
    with pytest.raises(TensorError, match="not UTF-8"):
        from_raw("x", "BYTES", (1,), tensors.join_elements([b"\xff"]))
    for cut in (1, 4, len(text) - 1):
        with pytest.raises(TensorError, match="ends in the middle"):
            from_raw("x", "BYTES", (2,), text[:cut])


def test_only_widening_that_changes_no_value_is_silent():
    small = from_values("x", "INT32", (2,), [1, -2])
    assert to_values(convert(small, "FP64")) == [1.0, -2.0]
    for came, expected in (
        ("FP64", "INT64"),
        ("BOOL", "FP64"),
        ("BYTES", "FP64"),
        ("FP64", "FP32"),
        ("INT64", "BYTES"),
    ):
        with pytest.raises(TensorError, match=f"datatype {came} came, expected {expected}"):
            convert(Tensor("x", came, (0,), b""), expected)


def test_answers_of_any_numpy_kind_are_encoded():
    assert to_values(from_array("p", "BYTES", np.array(["a", "ü"]))) == ["a", "ü"]
    assert to_values(from_array("p", "BYTES", np.array(["a"], dtype=object))) == ["a"]
    assert to_values(from_array("p", "INT64", np.array([[1], [2]], dtype=np.int32))) == [[1], [2]]
    fortran = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    assert to_values(from_array("p", "FP64", fortran)) == [[0, 1, 2], [3, 4, 5]]
    assert to_values(from_array("p", "FP64", np.array([np.nan, np.inf, 1.5]))) == [None, None, 1.5]


@given(st.lists(st.lists(st.text(), min_size=1), min_size=1))
def test_joined_requests_split_into_the_same_pieces(groups):
    made = [from_values("x", "BYTES", (len(group),), group, nullable=True) for group in groups]
    whole = tensors.join(made)
    assert whole.shape == (sum(map(len, groups)),)
    assert [to_values(piece) for piece in tensors.split(whole, [len(group) for group in groups])] == groups


def test_join_moves_the_places_of_nulls():
    whole = tensors.join([from_values("x", "BOOL", (2,), [True, None], nullable=True)] * 2)
    assert whole.nulls == (1, 3)


@given(st.lists(st.integers(1, 5), min_size=1), st.integers(1, 3))
def test_numeric_rows_split_as_they_were_joined(counts, width):
    rows = np.arange(float(sum(counts) * width)).reshape(-1, width)
    pieces = tensors.split(from_array("x", "FP64", rows), counts)
    assert [row for piece in pieces for row in to_values(piece)] == rows.tolist()
    assert [piece.shape for piece in pieces] == [(count, width) for count in counts]


def test_frames_carry_head_and_tensors():
    sent = [from_values("a", "FP64", (2,), [1, 2]), from_values("b", "BYTES", (2,), ["x", None], nullable=True)]
    parts = [bytes(part) for part in tensors.pack({"outputs": ["predict"]}, sent)]
    head_size, data_size = tensors.FRAME.unpack(parts[0])
    rest = b"".join(parts[1:])
    assert len(rest) == head_size + data_size
    head, received = tensors.unpack(rest[:head_size], rest[head_size:])
    assert head == {"outputs": ["predict"]}
    assert [(t.name, t.shape, t.nulls, to_values(t)) for t in received] == [
        ("a", (2,), (), [1.0, 2.0]),
        ("b", (2,), (1,), ["x", None]),
    ]


def test_arrays_are_aligned_and_writable_whatever_they_came_in():
    data = memoryview(b"x" + np.arange(3.0).tobytes())[1:]
    array = tensors.to_array(Tensor("x", "FP64", (3,), data))
    assert array.flags.aligned
    assert array.flags.writeable
    assert array.tolist() == [0, 1, 2]


def test_elements_are_views_of_the_data():
    data = tensors.join_elements([b"abc"])
    (element,) = elements_of(data)
    assert element.obj is data


@pytest.mark.parametrize(
    ("datatype", "shape", "values"),
    [
        ("FP64", (3,), [1, 2.5, -0.0]),
        ("FP64", (1, 3), [1.5, 2, 3]),
        ("FP64", (2, 2), [[1, 2], [3, 4.5]]),
        ("INT64", (2, 2), [[1, -2], [2**63 - 1, -(2**63)]]),
        ("INT32", (2,), [2**31 - 1, -(2**31)]),
    ],
)
@pytest.mark.parametrize("plain", [True, False])
def test_numbers_that_are_packed_are_those_numpy_would_make(datatype, shape, values, plain):
    made = from_values("x", datatype, shape, values, plain=plain)
    assert made.data == np.array(values, dtype=tensors.DTYPES[datatype]).tobytes()
    assert made.shape == shape


@pytest.mark.parametrize(
    ("datatype", "values"),
    [("INT64", [1, 2.0]), ("INT64", [2**63]), ("FP64", [10**400]), ("FP64", ["1"]), ("INT64", [1, [2]])],
)
def test_what_cannot_be_packed_is_refused_with_its_reason_though_it_is_said_to_be_plain(datatype, values):
    with pytest.raises(TensorError):
        from_values("x", datatype, (len(values),), values, plain=True)


@pytest.mark.parametrize("values", [[float("inf"), float("-inf")], [1.0, float("inf")]])
def test_infinities_are_no_missing_values(values):
    assert to_array(from_values("x", "FP64", (2,), values)).tolist() == values
    assert to_array(from_raw("x", "FP64", (2,), np.array(values).tobytes())).tolist() == values


@pytest.mark.parametrize("datatype", ["FP64", "FP32"])
def test_nan_stands_for_a_missing_value_where_one_may_be(datatype):
    data = np.array([1.0, np.nan], tensors.DTYPES[datatype]).tobytes()
    assert from_raw("x", datatype, (2,), data, nullable=True).data == data
    with pytest.raises(TensorError, match="row 1 is NaN"):
        from_raw("x", datatype, (2,), data)


@pytest.mark.parametrize("size", [7, 9, 24])
def test_a_view_is_of_all_the_data_or_of_none(size):
    with pytest.raises(ValueError, match=r"."):
        tensors.view(Tensor("x", "FP64", (2,), bytes(size)))


def test_a_view_is_aligned_and_of_the_same_values():
    data = memoryview(b"x" + np.arange(3.0).tobytes())[1:]
    assert tensors.view(Tensor("x", "FP64", (3,), data)).flags.aligned
    assert tensors.view(Tensor("x", "FP64", (3,), data)).tolist() == [0.0, 1.0, 2.0]
