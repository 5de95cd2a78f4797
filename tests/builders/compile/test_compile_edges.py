"""Edge rows are where forms differ first; each of these once told two of them apart."""

import math

import numpy as np
import pytest

from builders.compile import edges, pipelines
from serving.forms import links
from serving.forms import text as text_stage
from serving.forms.text import Vectorizer

MATRIX = {"layout": "matrix", "inputs": [{"name": "input", "datatype": "FP64", "nullable": True, "shape": [-1, 2]}]}
SAMPLE = [{"a": 1.0, "b": 2.0}, {"a": -3.0, "b": 0.5}]


def test_numbers_nulls_infinities_and_both_sides_of_a_threshold():
    rows = edges.records(MATRIX, ["a", "b"], SAMPLE, [(0, 0.1)])
    values = [row["a"] for row in rows]
    assert None in values
    assert {math.inf, -math.inf, 0.0, -3.0, 1e39} <= set(values) - {None}
    near = np.float32(0.1)
    singles = [float(np.nextafter(near, np.float32(side))) for side in (-np.inf, np.inf)]
    doubles = [math.nextafter(0.1, side) for side in (-math.inf, math.inf)]
    assert {0.1, float(near), *singles, *doubles} <= set(values) - {None}
    assert all(set(row) == {"a", "b"} for row in rows)
    assert {"a": None, "b": None} in rows


def test_texts_that_are_empty_long_and_of_all_scripts():
    signature = {"layout": "text", "inputs": [{"name": "text", "datatype": "BYTES"}]}
    texts = [row["text"] for row in edges.records(signature, ["text"], [{"text": "my card"}], [])]
    assert {"", " ", "MY CARD", "İstanbul ı I i"} <= set(texts)
    assert max(map(len, texts)) >= 50_000
    assert any("\U0001f600" in text for text in texts)


def test_categories_known_unseen_and_missing():
    item = {"name": "city", "datatype": "BYTES", "nullable": True, "categories": ["Basel", "Bern"], "shape": [-1]}
    flag = {"name": "member", "datatype": "BOOL", "nullable": False, "shape": [-1]}
    rows = edges.records(
        {"layout": "frame", "inputs": [item, flag]}, ["city", "member"], [{"city": "Bern", "member": True}], []
    )
    assert {"Basel", "Bern", "", "countersign: never seen", "nan", None} <= {row["city"] for row in rows}
    assert {row["member"] for row in rows} == {True, False}


@pytest.mark.parametrize("analyzer", ["word", "char", "char_wb"])
@pytest.mark.parametrize("text", ["", " ", "a", "Lost  card\n CAFÉ café", "e\u0301 ß İ", "x y z x y"])
def test_vectorizers_find_the_terms_scikit_learn_finds(analyzer, text):
    from sklearn.feature_extraction.text import CountVectorizer

    original = CountVectorizer(analyzer=analyzer, ngram_range=(1, 3), strip_accents="unicode")
    terms = sorted(set(original.build_analyzer()(text)))
    spec = {
        "terms": terms or ["none"],
        "offset": 0,
        "idf": None,
        "binary": False,
        "sublinear": False,
        "norm": None,
        "factor": 1.0,
        "lowercase": True,
        "strip_accents": "unicode",
        "ngram_range": [1, 3],
        "stop_words": [],
        "token_pattern": original.token_pattern if analyzer == "word" else None,
        "analyzer": analyzer,
    }
    made = Vectorizer(spec, {})([text])
    found = dict(zip((terms[place] for place in made.places), made.weights, strict=True))
    expected = {term: float(original.build_analyzer()(text).count(term)) for term in terms}
    assert found == expected


@pytest.mark.parametrize("together", [1, 3, 4096])
@pytest.mark.parametrize("norm", ["l1", "l2", None])
def test_texts_come_out_together_as_each_alone(monkeypatch, together, norm):
    """Also those without a known term, at the ends and in the middle, and however many terms are gathered at once."""
    monkeypatch.setattr(text_stage, "TOGETHER", together)
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = ["", "lost card lost", "nothing known here", "card", "card app crash app app", ""]
    original = TfidfVectorizer(vocabulary=["app", "card", "crash", "lost"], norm=norm, sublinear_tf=True).fit(texts)
    spec = {
        "terms": ["app", "card", "crash", "lost"],
        "offset": 0,
        "idf": "idf",
        "binary": False,
        "sublinear": True,
        "norm": norm,
        "factor": 1.0,
        "lowercase": True,
        "strip_accents": None,
        "ngram_range": [1, 1],
        "stop_words": [],
        "token_pattern": original.token_pattern,
        "analyzer": "word",
    }
    vectorizer = Vectorizer(spec, {"idf": original.idf_})
    matrix = np.arange(12.0).reshape(4, 3)
    expected = original.transform(texts) @ matrix
    np.testing.assert_allclose(vectorizer(texts).times(matrix), expected, rtol=1e-12)
    np.testing.assert_allclose(np.vstack([vectorizer([text]).times(matrix) for text in texts]), expected, rtol=1e-12)


def test_links_at_their_ends():
    far = np.array([[-1e300, -1e300, -1e300], [800.0, -800.0, 0.0]])
    assert links.one_versus_rest(far)[0].tolist() == [1 / 3] * 3
    with np.errstate(invalid="ignore"):
        assert np.isnan(links.one_versus_rest_or_nan(far)[0]).all()
    assert links.softmax(far).sum(axis=1).tolist() == [1.0, 1.0]
    assert links.sigmoid(np.array([[-1e300], [1e300], [0.0]])).tolist() == [[1, 0], [0, 1], [0.5, 0.5]]
    # Two shares of exactly one half: the first class, as argmax says.
    assert links.larger_share(np.array([[0.5], [0.4]])).tolist() == [0, 1]


def test_pipelines_are_laid_flat_and_searches_opened():
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    inner = make_pipeline(StandardScaler(), "passthrough", make_pipeline(StandardScaler(), LogisticRegression()))
    search = GridSearchCV(inner, {"pipeline__logisticregression__C": [1.0]}, cv=2)
    search.fit([[0.0], [1.0], [2.0], [3.0]], [0, 1, 0, 1])
    assert [pipelines.name(part) for part in pipelines.steps(search)] == [
        "StandardScaler",
        "StandardScaler",
        "LogisticRegression",
    ]
