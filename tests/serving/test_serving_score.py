"""Batch scoring: the same answers as over the network, in every format, in bounded memory, all or nothing."""

import json
import tracemalloc

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import serving_image as si

from serving.chunks import CHUNK, chunks
from serving.errors import Refusal


def write(frame, path):
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        table = pa.Table.from_pandas(frame, preserve_index=False)
        with pa.ipc.new_stream(path, table.schema) as writer:
            writer.write_table(table)
    return path


def read(path):
    if path.suffix == ".csv":
        return pd.read_csv(path)
    return pd.read_parquet(path) if path.suffix == ".parquet" else pa.ipc.open_stream(path.read_bytes()).read_pandas()


@pytest.mark.parametrize(("come", "go"), [(".csv", ".parquet"), (".parquet", ".arrow"), (".arrow", ".csv")])
def test_every_format_gives_the_models_own_answers(image, trained, tmp_path, come, go):
    frame = si.customers()
    given = frame[["city", "member", "income", "age"]].assign(key=[f"k{number}" for number in range(len(frame))])
    source, target = write(given, tmp_path / f"in{come}"), tmp_path / f"out{go}"
    options = ["--route", "customers", "--outputs", "predict,predict_proba", "--keep", "key"]
    done = si.run_command(image, "score", source, target, *options)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    digest = next(m.release_digest for m in image.manifest.models if m.ref == "risk/customers:1")
    assert (report["rows"], report["version"], report["release_digest"]) == (60, "1", digest)
    assert "60 rows, " in done.stderr
    found = read(target)
    names = ["key", "predict", "predict_proba.old", "predict_proba.young", "model_version", "release_digest"]
    assert list(found) == names
    model = trained["frame"].estimator
    assert found["predict"].tolist() == model.predict(frame).tolist()
    np.testing.assert_allclose(found[names[2:4]].to_numpy(), model.predict_proba(frame), rtol=1e-9)
    assert found["key"].tolist() == given["key"].tolist()
    assert set(found["release_digest"]) == {digest}
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("content", "options", "told"),
    [
        (
            "text,predict\na,b\n",
            ["--route", "feedback", "--version", "1", "--keep", "predict"],
            "--keep predict: the answer has a column of that name",
        ),
        ("age,income,city,member\n1,2,Bern,true\n", [], "name one with --route: feedback, mixed, customers"),
        ("text\na\n", ["--route", "feedback"], "route feedback is split, name a version with --version: 1, 2"),
        ("text\na\n", ["--route", "other"], "no route 'other'"),
        ("text\na\n", ["--route", "feedback", "--version", "7"], "has no version '7'; it has 1, 2"),
        ("text\n", ["--route", "feedback", "--version", "1"], "0 rows"),
        ("text\na,b\n", ["--route", "feedback", "--version", "1"], "row 0 has 2 values, expected 1"),
        ("txt\na\n", ["--route", "feedback", "--version", "1"], 'did you mean "text"?'),
        ("text\na\n", ["--route", "feedback", "--version", "1", "--keep", "key"], "has no column 'key' to keep"),
        (
            "age,income,city,member\n" + "1,2,Bern,true\n" * 9000 + "x,2,Bern,true\n",
            ["--route", "customers"],
            'rows 8192 to 9000, counted from 8192: input "age": element 808 is the string',
        ),
    ],
    ids=[
        "kept twice",
        "no route",
        "split",
        "other route",
        "other version",
        "empty",
        "ragged",
        "other column",
        "other key",
        "late row",
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_written(image, tmp_path, content, options, told):
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text(content)
    done = si.run_command(image, "score", source, target, *options)
    assert done.returncode == 1
    assert told in done.stderr
    assert "refused" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_a_changed_image_scores_nothing(small_image, tmp_path):
    small_image.path("models", "payments--voice-1", "allow.json").write_text("{}")
    done = si.run_command(small_image, "score", tmp_path / "in.csv", tmp_path / "out.csv")
    assert (done.returncode, "was changed" in done.stderr) == (1, True)


def test_empty_lines_end_nothing(tmp_path):
    source = tmp_path / "in.csv"
    source.write_text("text\n" + "a\n" * CHUNK + "\n" * CHUNK + "b\n" * 3)
    assert [chunk.rows for chunk in chunks(source, "csv", (), 1_000_000)] == [CHUNK, 3]


def test_a_row_is_told_by_its_number_in_the_file(tmp_path):
    source = tmp_path / "in.csv"
    source.write_text("text\n" + "a\n" * 20 + "b,c\n")
    with pytest.raises(Refusal, match="row 20 has 2 values, expected 1"):
        list(chunks(source, "csv", (), 8))


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".arrow"])
def test_a_long_table_is_read_in_pieces_of_one_size(tmp_path, suffix):
    """Peak of what Python holds while it reads: that of a few pieces, not of the table."""
    peaks = []
    for rows in (20_000, 120_000):
        frame = pd.DataFrame({"key": np.arange(rows), "text": [f"message number {number}" for number in range(rows)]})
        source = write(frame, tmp_path / f"{rows}{suffix}")
        tracemalloc.start()
        seen = [chunk.rows for chunk in chunks(source, suffix[1:], ("key",), 1_000_000)]
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert (sum(seen), max(seen)) == (rows, CHUNK)
    assert peaks[1] < 1.5 * peaks[0]
