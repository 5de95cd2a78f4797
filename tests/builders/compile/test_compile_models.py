"""The models of docs/compiled.md compile and are equal: some here, all of them in a soak, and the page is of this list."""

import os
import re
import sys
import warnings
from pathlib import Path

import pytest

from builders.compile import comparing, making
from serving import introspection

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "tools"))

import compiled_models  # noqa: E402

CASES = {case.name: case for case in (*compiled_models.estimators(), *compiled_models.pipelines())}
SHORT = [
    "LogisticRegression, 3 classes",
    "RandomForestClassifier",
    "RandomForestClassifier, 3 classes",
    "LGBMClassifier, 3 classes",
    "XGBRegressor",
    "GradientBoostingRegressor",
    "SVR",
    "IsolationForest",
    "KMeans",
    "impute, scale, one-hot, logistic regression",
    "impute with flags, ordinal, random forest",
    "impute, scale, rare categories, ridge",
    "scale, PCA, logistic regression",
    "text: words and characters, logistic regression",
    "text: counts, tf-idf, selected terms, naive Bayes",
]
ROW = re.compile(r"^\| (?P<name>[^|]+) \| (?P<kind>[^|]+) \| (?P<engine>[^|]+) \| (?P<rows>[^|]+) \|", re.MULTILINE)


def rows():
    """The tables' rows by model."""
    found = ROW.finditer((ROOT / "docs" / "compiled.md").read_text())
    return {row["name"]: row for row in found if row["name"] not in ("Model", "---")}


def test_the_page_is_of_these_models():
    assert list(rows()) == list(CASES), "run: make compiled"


def test_at_least_25_estimators_and_10_pipelines_compile():
    compiled = {name for name, row in rows().items() if row["engine"] != "its own library"}
    kinds = {name: case.kind for name, case in CASES.items()}
    single = {name.partition(",")[0] for name in compiled if kinds[name] not in ("columns", "matrix", "text")}
    assert len(single) >= 25
    assert len([name for name in compiled if kinds[name] in ("columns", "matrix", "text")]) >= 10


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES if os.environ.get("COUNTERSIGN_SOAK") else SHORT)
def test_it_compiles_to_what_the_page_says(name, tmp_path):
    case = CASES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = case.fit()
        signature = introspection.introspect(model, case.sample)["signature"]
        head, data = making.make(model, signature, case.sample)
        pieces = iter(data)
        for place, candidate in enumerate(head["candidates"]):
            (tmp_path / str(place)).mkdir()
            for file in candidate["files"]:
                (tmp_path / str(place) / file["path"]).write_bytes(next(pieces))
        for file, blob in zip(("answered.bin", "refused.bin"), pieces, strict=False):
            (tmp_path / file).write_bytes(blob)
        folders = [tmp_path / str(place) for place in range(len(head["candidates"]))]
        found = comparing.compare(folders, comparing.read(tmp_path), 1e-6)
    equal = [item for item in found["candidates"] if item["equal"]]
    assert bool(equal) is (rows()[name]["engine"] != "its own library"), (head["left_out"], found["candidates"])
