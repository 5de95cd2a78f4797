"""The Python interface beyond push and pull: lazy lists, methods of a version, what is kept of unknown members."""

import dataclasses

import pytest
from client_folder import CLIENT, NAME, fill

import countersign
from countersign import errors, models
from countersign.cli import VERBS


def test_lists_fetch_a_page_when_its_items_are_taken(client, portal, folder):
    for weight in range(5):
        fill(folder, weight=weight)
        client.push(folder, name=NAME)
    found = client.versions(NAME)
    assert portal.calls("GET", "/versions$") == []
    assert next(found).number == 5
    assert len(portal.calls("GET", "/versions$")) == 1
    assert [version.number for version in found] == [4, 3, 2, 1]
    assert len(portal.calls("GET", "/versions$")) == 3


def test_a_version_does_what_the_client_does(client, portal, folder, tmp_path):
    version = client.push(folder, name=NAME)
    review = version.submit("please", uses=["routing"])
    assert (review.state, review.gates[0].state) == ("open", "wait")
    assert version.stage == "ready"
    assert version.refresh().stage == "in_review"
    portal.move(NAME, 1, "approved")
    assert (version.download(tmp_path / "out") / "model.joblib").is_file()
    fill(folder, weight=2.0)
    changed = client.push(folder, name=NAME)
    assert [(change.section, change.path) for change in changed.diff(f"{NAME}:1").changes] == [
        ("files", "model.joblib")
    ]


def test_diff_names_the_base_as_the_server_wants_it(client, portal, folder):
    client.push(folder, name=NAME)
    client.push(folder, name="payments/other")
    client.diff(f"{NAME}:1", f"{NAME}:1")
    with pytest.raises(errors.NotFound):
        client.diff(f"{NAME}:1", "payments/other:1")
    assert portal.queries[-2:] == [{"base": "1"}, {"base": "payments/other:1"}]


def test_results_are_frozen_and_keep_what_they_do_not_know():
    found = models.Review.from_wire({"id": "r1", "gates": [{"code": "a", "new": 1}], "policy": "standard 3"})
    assert found.extra == {"policy": "standard 3"}
    assert found.gates[0].extra == {"new": 1}
    assert found.to_dict() == {"id": "r1", "gates": [{"code": "a", "new": 1}], "policy": "standard 3"}
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.state = "approved"


@pytest.mark.parametrize(
    "answer", [None, [], {"ref": "a/b:1"}, {"ref": "a/b:1", "model": "a/b", "number": 1, "files": 3}]
)
def test_an_answer_of_another_dialect_is_told(answer):
    with pytest.raises(errors.UnexpectedAnswer) as caught:
        models.Version.from_wire(answer)
    assert "doctor" in caught.value.hint


def test_a_version_from_nowhere_cannot_ask_anybody():
    with pytest.raises(errors.UnexpectedAnswer, match="not read through a Client"):
        models.Version.from_wire({"ref": "a/b:1", "model": "a/b", "number": 1}).refresh()


def test_every_public_name_loads_and_others_do_not():
    assert all(getattr(countersign, name) for name in countersign.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = countersign.no_such_name


def test_the_manual_names_every_verb_and_exit_code():
    text = (CLIENT.parent / "docs" / "client.md").read_text()
    assert [verb for verb in VERBS if f"`{verb}" not in text and f"{verb} " not in text] == []
    kinds = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.CountersignError)
    ]
    assert {kind.exit_code for kind in kinds} == set(range(1, 11))
    assert all(f"| {code} |" in text for code in (*range(11), 130))
