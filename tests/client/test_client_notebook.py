"""An estimator becomes a version in one call, with rows that never existed."""

import json
import math
import sys
import warnings
from datetime import date

import joblib
import numpy as np
import pandas as pd
import pytest
from client_folder import CLIENT, NAME
from jsonschema import Draft202012Validator
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

import countersign
from countersign import cards, errors, sampling
from serving import tensors

TEXTS = ["Ana Smith: my card was late", "the card of Bob was late", "thank you for the help", "the help was good"] * 3
LABELS = ["card", "card", "praise", "praise"] * 3


@pytest.fixture
def voice():
    return make_pipeline(TfidfVectorizer(), SGDClassifier(random_state=0)).fit(TEXTS, LABELS)


@pytest.fixture
def frame():
    return pd.DataFrame({
        "age": [41.5, 23.25, 67.125, None],
        "visits": [1, 4, 2, 9],
        "segment": ["retail", "retail", "private", "private"],
        "active": [True, False, True, True],
    })  # fmt: skip


@pytest.fixture
def churn(frame):
    steps = make_column_transformer((OneHotEncoder(), ["segment"]), (SimpleImputer(), ["age"]), remainder="passthrough")
    return make_pipeline(steps, LogisticRegression()).fit(frame, [0, 1, 0, 1])


def card_head(portal):
    """The head of the card that was written, which must fit the published schema."""
    head = cards.head(portal.version(NAME, 1)["card_text"])
    schema = json.loads((CLIENT.parent / "docs" / "schemas" / "card-head.v1.json").read_text())
    Draft202012Validator(schema).validate(head)
    return head


def pushed_rows(portal, number=1):
    digest = next(file["digest"] for file in portal.version(NAME, number)["files"] if file["path"] == "sample.jsonl")
    return [json.loads(line) for line in portal.blobs[digest].decode().splitlines()]


def test_a_text_model_in_one_call(signed_in, voice):
    version = countersign.push(voice, TEXTS, name=NAME)
    assert (version.ref, version.is_new, version.format) == (f"{NAME}:1", True, "joblib")
    rows = pushed_rows(signed_in)
    assert len(rows) == 20
    assert not any(row["text"] in TEXTS for row in rows)
    assert not any(word in row["text"] for row in rows for word in ("Ana", "Smith", "Bob"))
    head = card_head(signed_in)
    assert head["task"] == "text-classification"
    assert head["sample_kind"] == "synthetic"
    assert (head["owner"], head["contact"]) == ("payments", "ana")
    assert "card, praise" in head["outputs"]
    model = next(file for file in signed_in.version(NAME, 1)["files"] if file["path"] == "model.joblib")
    assert signed_in.blobs[model["digest"]]


def test_the_same_call_again_returns_the_same_version(signed_in, voice):
    first = countersign.push(voice, TEXTS, name=NAME, purpose="Labels feedback.")
    again = countersign.push(voice, TEXTS, name=NAME, purpose="Labels feedback.")
    assert (again.ref, again.is_new) == (first.ref, False)


def test_real_rows_are_sent_only_when_asked_for_and_said(signed_in, churn, frame):
    countersign.push(churn, frame, name=NAME, sample_kind="real")
    assert pushed_rows(signed_in)[3] == {"age": None, "visits": 9, "segment": "private", "active": True}
    assert card_head(signed_in)["sample_kind"] == "real"


def test_a_frame_gives_made_up_rows_of_its_columns(signed_in, churn, frame):
    countersign.push(
        churn, frame, name=NAME, metrics={"auc": np.float64(0.8)}, purpose="Who may leave.", tags={"k": "v"}
    )
    rows = pushed_rows(signed_in)
    assert list(rows[0]) == ["age", "visits", "segment", "active"]
    ages = [row["age"] for row in rows if row["age"] is not None]
    assert all(20 < age < 70 for age in ages)
    assert not set(ages) & {41.5, 23.25, 67.125}
    assert rows[-1]["age"] is None
    assert {type(row["visits"]) for row in rows} <= {int, type(None)}
    assert {row["segment"] for row in rows} <= {"retail", "private", None}
    push = signed_in.version(NAME, 1)["push"]
    assert push["metrics"] == [{"name": "auc", "value": 0.8}]
    assert card_head(signed_in)["inputs"][0] == {"name": "age", "type": "number"}


def test_rows_of_ones_own(signed_in, voice):
    countersign.push(voice, TEXTS, name=NAME, sample=[{"text": "written by hand"}])
    assert pushed_rows(signed_in) == [{"text": "written by hand"}]


def test_an_array_model_and_a_card_of_ones_own(signed_in, folder):
    model = LinearRegression().fit(np.arange(12.0).reshape(6, 2), np.arange(6.0))
    version = countersign.push(model, np.arange(12.0).reshape(6, 2), name=NAME, card=folder / "card.md")
    assert list(pushed_rows(signed_in)[0]) == ["x0", "x1"]
    assert signed_in.version(NAME, 1)["card_text"] == (folder / "card.md").read_text()
    assert version.number == 1


def test_an_array_for_a_model_that_knows_its_columns_gets_their_names(signed_in, frame):
    model = LinearRegression().fit(frame[["visits"]], [0.0, 1.0, 2.0, 3.0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        countersign.push(model, frame[["visits"]].to_numpy(), name=NAME)
    assert list(pushed_rows(signed_in)[0]) == ["visits"]


def test_a_clustering_says_so(signed_in):
    model = KMeans(n_clusters=2, n_init=1, random_state=0).fit(np.arange(12.0).reshape(6, 2))
    countersign.push(model, np.arange(12.0).reshape(6, 2), name=NAME)
    assert card_head(signed_in)["task"] == "clustering"


def test_what_predict_refuses_never_leaves_the_notebook(signed_in):
    with pytest.raises(errors.CheckFailed, match="predict fails on the sample rows") as caught:
        countersign.push(LinearRegression(), np.eye(3), name=NAME)
    assert caught.value.hint == "Call fit before push."
    model = LinearRegression().fit(np.eye(3), [1.0, 2.0, 3.0])
    with pytest.raises(errors.CheckFailed) as caught:
        countersign.push(model, np.eye(2), name=NAME)
    assert "2 features" in str(caught.value)
    assert signed_in.seen == []


def test_a_lambda_is_told_with_the_next_step(signed_in):
    model = make_pipeline(FunctionTransformer(lambda values: values), LinearRegression()).fit(
        np.eye(3), [1.0, 2.0, 3.0]
    )
    with pytest.raises(errors.CheckFailed, match="cannot be saved") as caught:
        countersign.push(model, np.eye(3), name=NAME, purpose="p", contact="c")
    assert "countersign wheel init" in caught.value.hint
    assert not signed_in.calls("PUT", "blobs")


def test_joblib_is_asked_for_when_it_is_missing(signed_in, voice, monkeypatch):
    monkeypatch.setitem(sys.modules, "joblib", None)
    with pytest.raises(errors.Unusable, match="joblib is not installed"):
        countersign.push(voice, TEXTS, name=NAME, purpose="p", contact="c")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        pytest.param([], "no rows", id="empty"),
        pytest.param("text", "is a str", id="str"),
        pytest.param([1.0, 2.0], "is a list", id="flat"),
        pytest.param([[1.0], [1.0, 2.0]], "differ in length", id="ragged"),
        pytest.param(np.array([["a", "b"]]), "holds text", id="text-array"),
        pytest.param(pd.DataFrame({"day": [date(2026, 1, 1)]}), "day of X_sample holds a date", id="date"),
        pytest.param(pd.DataFrame({"a": [math.inf]}), "infinity", id="infinity"),
        pytest.param(pd.DataFrame({"a": ["x", 1]}), "mixes text and numbers", id="mixed"),
        pytest.param(pd.DataFrame([[1, 2]], columns=["a", "a"]), "two columns of one name", id="twice"),
    ],
)
def test_samples_that_cannot_be_used(data, said):
    with pytest.raises(errors.Unusable, match=said):
        sampling.read(data)


def test_a_rare_category_is_not_proposed():
    seen = sampling.read(pd.DataFrame({"city": ["Graz"] * 5 + ["Wien"] * 5 + ["Hallstatt"]}))
    assert {row["city"] for row in sampling.propose(seen)} == {"Graz", "Wien"}


def test_nothing_is_made_up_from_one_row():
    with pytest.raises(errors.Unusable, match="would be that row"):
        sampling.propose(sampling.read([[41.37, 5.0], [41.37, 5.0]]))


def test_texts_without_shared_words_give_neutral_ones():
    rows = sampling.propose(sampling.read(["Alice called", "Bob wrote"]))
    assert not any(word in row["text"] for row in rows for word in ("alice", "bob", "called", "wrote", "Alice", "Bob"))


ZONES = [None, "UTC", "Europe/Zurich", "+01:00"]


@pytest.mark.parametrize("zone", ZONES)
def test_dates_are_sampled_as_moments_of_their_zone_and_become_a_frame_again(zone):
    times = pd.date_range("2026-03-28 08:30:15.123456", periods=8, freq="5h", tz=zone)
    frame = pd.DataFrame({"opened": times, "amount": [1.5, 2.5] * 4})
    frame.loc[3, "opened"] = None
    seen = sampling.read(frame)
    assert (seen.columns[0].kind, seen.columns[0].nullable) == ("moment", True)
    ends = {None: "15.123456", "UTC": "+00:00", "Europe/Zurich": "+01:00[Europe/Zurich]", "+01:00": "+01:00"}[zone]
    assert seen.rows[0]["opened"].endswith(ends)
    pd.testing.assert_frame_equal(seen.rebuild(seen.rows), frame)
    rows = sampling.propose(seen)
    assert rows[-1]["opened"] is None
    texts = [row["opened"] for row in rows[:-1]]
    assert tensors.zone_of(texts) == zone, "the check finds the zone that the frame had"
    made = seen.rebuild(rows)
    assert made["opened"].dtype == frame["opened"].dtype
    assert made["opened"].min() >= times.min().floor("s")
    assert made["opened"].max() <= times.max()


def test_days_stay_days():
    seen = sampling.read(pd.DataFrame({"day": pd.date_range("2026-01-01", periods=30), "n": range(30)}))
    assert all(row["day"].endswith("T00:00:00") for row in sampling.propose(seen))


def test_the_same_sample_gives_the_same_rows(frame):
    assert sampling.propose(sampling.read(frame)) == sampling.propose(sampling.read(frame.copy()))


def test_a_saved_estimator_is_the_estimator(signed_in, voice, tmp_path):
    countersign.push(voice, pd.Series(TEXTS), name=NAME)
    model = next(file for file in signed_in.version(NAME, 1)["files"] if file["path"] == "model.joblib")
    (tmp_path / "back.joblib").write_bytes(signed_in.blobs[model["digest"]])
    assert joblib.load(tmp_path / "back.joblib").predict(TEXTS).tolist() == voice.predict(TEXTS).tolist()
