"""Labelling, training, and the push folder of both versions."""

import hashlib
import json
import subprocess
import sys
from importlib.metadata import version as installed
from pathlib import Path

import card
import corpus
import joblib
import jsonschema
import label
import numpy as np
import pytest
import train
import yaml
from joblib.numpy_pickle import NumpyUnpickler
from voice_container import VOICE

SCHEMA = VOICE.parents[1] / "docs" / "schemas" / "card-head.v1.json"
FLOOR = {1: {"accuracy": 0.78, "worst_category_recall": 0.5}, 2: {"accuracy": 0.85, "worst_category_recall": 0.6}}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[int, Path]:
    """The push folders, written as a person writes them."""
    root = tmp_path_factory.mktemp("voice")
    for version in (1, 2):
        assert train.main(["--version", str(version), "--out", str(root / str(version))]) == 0
    return {version: root / str(version) for version in (1, 2)}


def metrics(folder: Path) -> dict[str, float]:
    return {row["name"]: row["value"] for row in json.loads((folder / "metrics.json").read_text())}


@pytest.mark.parametrize("version", [1, 2])
def test_a_version_is_good_enough(folders, version):
    values = metrics(folders[version])
    for name, floor in FLOOR[version].items():
        assert values[name] >= floor
    assert values["labelling_purity"] >= 0.85
    assert values["share_sent_to_other"] <= 0.2


def test_version_2_is_better_in_every_figure_on_the_same_messages(folders):
    rows = {v: {r["name"]: r for r in json.loads((folders[v] / "metrics.json").read_text())} for v in (1, 2)}
    for name in ("accuracy", "macro_recall", "worst_category_recall", "share_sent_to_other"):
        first, second = rows[1][name], rows[2][name]
        assert first["dataset"] == second["dataset"] == "feedback-october-held-out"
        gain = second["value"] - first["value"]
        assert gain > 0.02 if first["higher_is_better"] else gain < -0.02


def test_declared_figures_can_be_measured_again_from_the_file(folders):
    model = joblib.load(folders[2] / "model.joblib")
    messages = train.held_out()
    right = sum(model.predict([m.text for m in messages]) == np.array([m.category for m in messages]))
    assert metrics(folders[2])["accuracy"] == round(right / len(messages), 4)
    assert tuple(sorted(corpus.categories())) == tuple(model.classes_)


def test_no_held_out_message_was_read_in_training():
    read = {m.text for recipe in train.RECIPES.values() for dataset in recipe.datasets for m in dataset.messages}
    held_out = train.held_out()
    assert not read & {m.text for m in held_out}
    assert len(held_out) > 1800


def test_training_again_gives_the_same_bytes(folders, tmp_path):
    train.write_push_folder(1, tmp_path)
    for file in sorted(folders[1].iterdir()):
        again = (tmp_path / file.name).read_bytes()
        assert hashlib.sha256(again).digest() == hashlib.sha256(file.read_bytes()).digest(), file.name


@pytest.mark.parametrize("version", [1, 2])
def test_the_pickle_names_nothing_of_our_own(folders, version):
    """Names an unpickler must import: only libraries that the lock pins, and no module of this folder."""
    named: set[str] = set()

    class Recorder(NumpyUnpickler):
        def find_class(self, module: str, name: str) -> type:
            named.add(f"{module}:{name}")
            return super().find_class(module, name)

    path = folders[version] / "model.joblib"
    with path.open("rb") as file:
        model = Recorder(str(path), file, ensure_native_byte_order=True).load()
    assert [name for name, _ in model.steps] == ["words", "category"]
    assert {name.partition(":")[0].partition(".")[0] for name in named} <= {
        "sklearn", "numpy", "scipy", "joblib", "collections", "builtins",
    }  # fmt: skip
    assert "sklearn.pipeline:Pipeline" in named
    assert not any(name.startswith("builtins:") and name.split(":")[1] in {"eval", "exec", "getattr"} for name in named)
    assert path.stat().st_size < 8_000_000


def test_the_model_loads_where_this_folder_is_unknown(folders):
    code = "import sys, joblib; m = joblib.load(sys.argv[1]); print(m.predict(['I forgot the PIN of my card'])[0])"
    command = [sys.executable, "-I", "-c", code, str(folders[2] / "model.joblib")]
    assert subprocess.run(command, capture_output=True, check=True, cwd="/").stdout.strip() == b"cards-pin"


@pytest.mark.parametrize("version", [1, 2])
def test_a_push_folder_is_complete(folders, version):
    folder = folders[version]
    pins = (folder / "requirements.txt").read_text().splitlines()
    assert pins == [f"{name}=={installed(name)}" for name in ("joblib", "numpy", "scikit-learn", "scipy")]
    rows = [json.loads(line) for line in (folder / "sample.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 104
    assert all(list(row) == ["text"] and row["text"] for row in rows)


@pytest.mark.parametrize("version", [1, 2])
def test_the_card_says_what_reviewers_need(folders, version):
    _, head, body = (folders[version] / "card.md").read_text(encoding="utf-8").split("---\n", 2)
    parsed = yaml.safe_load(head)
    jsonschema.validate(parsed, json.loads(SCHEMA.read_text()), cls=jsonschema.Draft202012Validator)
    required = "purpose task owner contact inputs outputs training_data metrics limits licence sample_kind uses"
    assert set(parsed) >= {*required.split(), "prohibited_uses"}
    assert parsed["sample_kind"] == "synthetic"
    assert {row["name"]: row["value"] for row in parsed["metrics"]} == metrics(folders[version])
    assert f"The Voice, version {version}" in body
    assert f"{metrics(folders[version])['accuracy']:.3f}" in body
    assert max(len(line) for line in body.splitlines()) <= 130


def test_lineage_names_each_dataset_by_the_digest_of_its_bytes(folders, tmp_path):
    assert train.main(["--version", "2", "--out", str(tmp_path / "push"), "--datasets", str(tmp_path / "data")]) == 0
    edges = json.loads((folders[2] / "lineage.json").read_text())
    assert [edge["relation"] for edge in edges] == ["trained_on", "trained_on", "evaluated_on", "produced_by"]
    for edge in edges[:3]:
        digest = hashlib.sha256((tmp_path / "data" / f"{edge['ref']}.jsonl").read_bytes()).hexdigest()
        assert edge == {**edge, "kind": "dataset", "digest": f"sha256:{digest}"}
    first = json.loads((folders[1] / "lineage.json").read_text())
    assert first[0] == edges[0]
    assert first[-1]["kind"] == edges[-1]["kind"] == "run"
    assert first[-1]["ref"] != edges[-1]["ref"]


def test_the_readme_tells_the_figures_of_these_versions(folders):
    told = (VOICE / "README.md").read_text(encoding="utf-8")
    first, second = metrics(folders[1]), metrics(folders[2])
    assert f"| Right category | {first['accuracy']:.3f} | {second['accuracy']:.3f} |" in told
    weakest = f"{first['worst_category_recall']:.3f} | {second['worst_category_recall']:.3f}"
    assert f"| Recall of the weakest category | {weakest} |" in told
    assert f"{first['share_sent_to_other']:.1%} | {second['share_sent_to_other']:.1%}".replace("%", " %") in told


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path, capsys):
    (tmp_path / "taken").write_text("a file")
    assert train.main(["--version", "1", "--out", str(tmp_path / "taken")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "taken" in line
    assert "choose another folder" in line


def test_labelling_needs_hand_read_messages_of_every_category():
    with pytest.raises(ValueError, match=r"of cards-pin, app-crash; label more"):
        label.label(
            ["a", "b", "c"],
            {0: "cards-lost", 1: "cards-lost", 2: "cards-pin"},
            ["cards-lost", "cards-pin", "app-crash"],
        )


def test_clusters_take_the_names_that_hand_read_messages_give_them():
    messages = train.JULY_TO_SEPTEMBER.messages
    hand = train._hand_labelled(train.RECIPES[1])
    assert len(hand) == 16 * 52
    found = label.label([m.text for m in messages], hand, corpus.categories())
    assert all(found.labels[i] == category and found.sure[i] for i, category in hand.items())
    unread = [i for i in range(len(messages)) if i not in hand]
    agreement = sum(found.labels[i] == messages[i].category for i in unread) / len(unread)
    assert agreement > 0.8
    sure = [i for i in unread if found.sure[i]]
    assert sum(found.labels[i] == messages[i].category for i in sure) / len(sure) > agreement
    assert len(set(found.clusters.tolist())) == 52


def test_purity_counts_the_largest_category_of_each_cluster():
    assert label.purity(np.array([0, 0, 0, 1, 1]), ["a", "a", "b", "b", "b"]) == 0.8


def test_boilerplate_is_what_many_messages_share():
    texts = [f"Dear team,\n\nSubject {i} of its own. Thanks in advance.\n\nRegards, A. Jansen" for i in "abcdefgh"]
    assert (
        label.without_boilerplate(["Dear team. Thanks in advance.", *texts])[1]
        == "Dear team, Subject a of its own"[11:]
    )


def test_the_card_of_a_version_says_what_changed():
    figures = [card.Metric(name, 0.5, "d") for name in (
        "accuracy", "macro_recall", "worst_category_recall", "share_sent_to_other", "labelling_purity",
    )]  # fmt: skip
    assert "Retrained with October" in card.card(2, figures, [("feedback-october", 3120)])
    assert "First version" in card.card(1, figures, [("feedback-july-september", 3120)])
