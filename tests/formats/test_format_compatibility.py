"""What a change of a signature means for those who call the model."""

from dataclasses import replace

import numpy as np
import pytest

from formats.compatibility import judge, widens
from formats.signature import DATATYPES, Input, Output, Signature
from serving.tensors import DTYPES

AGE = Input("age", "INT32", (-1,))
CITY = Input("city", "BYTES", (-1,), nullable=True, categories=("Basel", "Bern"))
LABEL = Output("predict", "BYTES", (-1,), labels=("old", "young"))
SCORE = Output("decision_function", "FP64", (-1,))
BASE = Signature("frame", (AGE, CITY), (LABEL, SCORE))
MATRIX = Signature("matrix", (Input("input", "FP64", (-1, 2), columns=("a", "b")),), (LABEL,))


def with_inputs(*inputs):
    return replace(BASE, inputs=inputs)


def with_outputs(*outputs):
    return replace(BASE, outputs=outputs)


def test_times_with_a_zone_and_without_are_not_the_same():
    local = replace(CITY, content_type="datetime")
    moment, other = replace(local, zone="UTC"), replace(local, zone="Europe/Zurich")
    found = judge(with_inputs(local), with_inputs(moment))
    assert found.reasons == ("The input city was of times without a zone and is of times with a zone.",)
    assert found.kind == "breaking"
    assert judge(with_inputs(moment), with_inputs(other)).keeps_callers, "a moment is one in every zone"


@pytest.mark.parametrize(
    ("after", "kind", "reasons"),
    [
        pytest.param(BASE, "unchanged", [], id="same"),
        pytest.param(with_inputs(CITY, AGE), "unchanged", [], id="order"),
        pytest.param(with_inputs(replace(AGE, datatype="FP64"), CITY), "backward", [], id="wider"),
        pytest.param(with_inputs(replace(AGE, nullable=True), CITY), "backward", [], id="may-be-empty"),
        pytest.param(
            with_inputs(AGE, replace(CITY, categories=("Basel", "Bern", "Genf"))), "backward", [], id="more-categories"
        ),
        pytest.param(
            with_outputs(LABEL, SCORE, Output("predict_proba", "FP64", (-1, 2))), "backward", [], id="more-outputs"
        ),
        pytest.param(
            with_inputs(replace(AGE, datatype="INT16"), CITY),
            "forward",
            ["The input age was INT32 and is INT16."],
            id="narrower",
        ),
        pytest.param(
            with_inputs(AGE, replace(CITY, nullable=False)),
            "forward",
            ["The input city could be empty and cannot any more."],
            id="not-empty",
        ),
        pytest.param(
            with_inputs(AGE, replace(CITY, categories=("Bern",))),
            "forward",
            ["The input city no longer knows Basel."],
            id="fewer-categories",
        ),
        pytest.param(with_outputs(LABEL), "forward", ["The output decision_function is gone."], id="fewer-outputs"),
        pytest.param(with_inputs(AGE), "breaking", ["The input city is no longer taken."], id="input-gone"),
        pytest.param(
            with_inputs(AGE, CITY, Input("sex", "BYTES", (-1,))),
            "breaking",
            ["The input sex is needed and was not."],
            id="input-new",
        ),
        pytest.param(
            with_inputs(AGE, replace(CITY, content_type="datetime")),
            "breaking",
            ["The input city was text and is datetime."],
            id="dates",
        ),
        pytest.param(
            with_outputs(replace(LABEL, labels=("young", "old")), SCORE),
            "breaking",
            ["The output predict has other labels, or in another order."],
            id="labels",
        ),
        pytest.param(
            with_outputs(replace(LABEL, datatype="INT64", labels=None), SCORE),
            "breaking",
            [
                "The output predict was BYTES [-1] and is INT64 [-1].",
                "The output predict has other labels, or in another order.",
            ],
            id="output-datatype",
        ),
    ],
)
def test_a_change_is_what_callers_would_notice(after, kind, reasons):
    found = judge(BASE, after)
    assert (found.kind, list(found.reasons)) == (kind, reasons)
    assert found.keeps_callers is (kind in ("unchanged", "backward"))


def test_a_matrix_keeps_its_columns_in_their_order():
    moved = replace(MATRIX, inputs=(replace(MATRIX.inputs[0], columns=("b", "a")),))
    assert judge(MATRIX, moved).reasons == ("The input input has other columns, or in another order.",)
    wider = replace(MATRIX, inputs=(Input("input", "FP64", (-1, 3)),))
    assert judge(MATRIX, wider).reasons[0] == "The input input had the shape [-1, 2] and has [-1, 3]."


@pytest.mark.parametrize("old", DATATYPES)
@pytest.mark.parametrize("new", DATATYPES)
def test_datatypes_widen_as_the_server_widens_them(old, new):
    kinds = {old, new} & {"BYTES", "BOOL"}
    assert widens(old, new) is (old == new if kinds else bool(np.can_cast(DTYPES[old], DTYPES[new], "safe")))
