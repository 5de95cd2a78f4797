"""A push that does not fit says where, and nobody refers to bytes that are not theirs."""

import math
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from formats import digest as digests
from registry import accounts, cards, catalog, lineage, uploads, versions
from registry.errors import Invalid, MissingRole, NotFound, NotInTeam
from tests import factories
from tests.factories import MODEL
from tests.registry.pushing import MODEL_BYTES, SAMPLE, prepare, register
from tests.support import refused

# --------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("change", "pointers"),
    [
        pytest.param({"format": "hdf5"}, ["/format"], id="unknown-format"),
        pytest.param({"format": "pickle"}, ["/files"], id="mislabelled-format"),
        pytest.param({"card": "no head"}, ["/card"], id="card-without-head"),
        pytest.param({"card": "---\npurpose: x\n"}, ["/card"], id="card-without-end"),
        pytest.param({"card": "---\n: : :\n  - [\n---\n"}, ["/card"], id="card-not-yaml"),
        pytest.param({"card": "---\n- a\n---\n"}, ["/card"], id="card-not-a-mapping"),
        pytest.param({"card": factories.card(owner=None)}, ["/card"], id="card-without-owner"),
        pytest.param({"card": factories.card(sample_kind="made up")}, ["/card/sample_kind"], id="card-bad-field"),
        pytest.param({"card": factories.card() + "x" * 200_000}, ["/card"], id="card-too-long"),
        pytest.param({"card": factories.card() + "\x00"}, ["/card"], id="card-with-nul"),
        pytest.param({"card": factories.card() + "\ud800"}, ["/card"], id="card-with-broken-character"),
        pytest.param({"label": "x" * 64}, ["/label"], id="long-label"),
        pytest.param({"label": "1\x00"}, ["/label"], id="label-with-nul"),
        pytest.param({"metrics": [versions.MetricClaim("f1", math.nan)]}, ["/metrics/0"], id="nan"),
        pytest.param(
            {"metrics": [versions.MetricClaim("f1", 1), versions.MetricClaim("f1", math.inf)]}, ["/metrics/1"], id="inf"
        ),
        pytest.param({"metrics": [versions.MetricClaim("", 1)]}, ["/metrics/0"], id="metric-without-name"),
        pytest.param({"params": {"alpha": math.nan}}, ["/params"], id="nan-parameter"),
        pytest.param({"params": {"a": ["\udfff"]}}, ["/params"], id="parameter-broken-character"),
        pytest.param({"environment": {"python": math.inf}}, ["/environment"], id="inf-environment"),
        pytest.param({"tags": {"": "x"}}, ["/tags"], id="tag-without-name"),
        pytest.param({"tags": {"k" * 64: "x"}}, ["/tags"], id="long-tag"),
        pytest.param({"tags": {"k": "x" * 501}}, ["/tags"], id="long-tag-value"),
        pytest.param({"sources": [lineage.Source("made_of", "dataset", "x")]}, ["/lineage/0"], id="unknown-relation"),
        pytest.param({"sources": [lineage.Source("trained_on", "cat", "x")]}, ["/lineage/0"], id="unknown-kind"),
        pytest.param({"sources": [lineage.Source("trained_on", "dataset", "")]}, ["/lineage/0"], id="empty-source"),
        pytest.param(
            {"sources": [lineage.Source("trained_on", "dataset", "x", "md5:1")]}, ["/lineage/0"], id="bad-digest"
        ),
        pytest.param(
            {"sources": [lineage.Source("derived_from", "version", "voice")]}, ["/lineage/0"], id="parent-unnamed"
        ),
    ],
)
def test_a_push_that_does_not_fit_says_where_and_leaves_nothing(world, change, pointers):
    push = replace(prepare(world), **change)
    error = refused(
        world.database,
        Invalid,
        lambda session: versions.register_version(
            session, actor=world.ana, full_name=MODEL, push=push, create_model=True
        ),
    )
    assert sorted({at for at, _ in error.errors}) == pointers
    assert all(problem for _, problem in error.errors)


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"sample.jsonl": SAMPLE}, id="no-model"),
        pytest.param({"model.joblib": MODEL_BYTES}, id="no-sample"),
        pytest.param({"model.joblib": MODEL_BYTES, "sample.jsonl": SAMPLE, "notes.txt": b"x"}, id="unknown-file"),
        pytest.param(
            {"model.joblib": MODEL_BYTES, "sample.jsonl": SAMPLE, "wheels/a-1-py3-none-any.whl": b"x"},
            id="undeclared-wheel",
        ),
        pytest.param(
            {"model.joblib": MODEL_BYTES, "sample.jsonl": SAMPLE, "own-code.json": b"{}", "wheels/a.zip": b"x"},
            id="no-wheel",
        ),
        pytest.param({"../model.joblib": MODEL_BYTES, "sample.jsonl": SAMPLE}, id="outside"),
        pytest.param({"/model.joblib": MODEL_BYTES, "sample.jsonl": SAMPLE}, id="absolute"),
        pytest.param({"MODEL.joblib": MODEL_BYTES, "sample.jsonl": SAMPLE}, id="other-case"),
    ],
)
def test_a_push_holds_what_a_push_holds(world, files):
    with world.write() as session:
        stored = {path: factories.blob(session, world, data) for path, data in files.items()}
    push = replace(prepare(world), files=stored)
    error = refused(
        world.database,
        Invalid,
        lambda session: versions.register_version(
            session, actor=world.ana, full_name=MODEL, push=push, create_model=True
        ),
    )
    assert {at for at, _ in error.errors} == {"/files"}


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text() | st.text("\x00\ud800\r\n:-{}[]&*!|>'\"%@` \t", max_size=30))
def test_any_text_is_a_card_or_refused(text):
    for card in (text, f"---\n{text}\n---\n", f"---\npurpose: {text}\ntask: t\nowner: o\ncontact: c\n---\n{text}"):
        try:
            head = cards.parse(card).head
        except Invalid:
            continue
        assert set(head) >= {"purpose", "task", "owner", "contact"}


def test_a_card_says_dates_as_they_are_written():
    head = cards.parse(factories.card() + "").head
    assert head["purpose"] == "Routes feedback"
    dated = cards.parse("---\npurpose: x\ntask: t\nowner: o\ncontact: c\nlimits: 2026-10-31\n---\n").head
    assert dated["limits"] == "2026-10-31"


# --------------------------------------------------------------------------------------------------- whose bytes


def push_of(world, digest, actor):
    """A push by ``actor`` whose model file is said to be ``digest``."""
    push = prepare(world, actor=actor)
    return replace(push, files={**push.files, "model.joblib": digest})


def theirs(world, *, visibility="internal"):
    """Bytes of a version of team lending."""
    with world.write() as session:
        if visibility == "private":
            factories.private_model(session, world, "lending/churn", actor=world.lea)
        push = factories.push(session, world, actor=world.lea, content=b"the bytes of lending")
        versions.register_version(session, actor=world.lea, full_name="lending/churn", push=push, create_model=True)
    return digests.of_bytes(b"the bytes of lending")


@pytest.mark.parametrize("visibility", ["internal", "private"])
def test_nobody_refers_to_bytes_of_a_model_they_may_not_read(world, visibility):
    """Knowing a digest is not having the bytes: it would give them out through a version of one's own."""
    digest = theirs(world, visibility=visibility)
    push = push_of(world, digest, world.ana)
    known = refused(world.database, NotFound, lambda session: _push(session, world, push))
    missing = digests.of_bytes(b"nobody has these")
    unknown = refused(
        world.database, NotFound, lambda session: _push(session, world, push_of(world, missing, world.ana))
    )
    assert str(known).replace(digest, "") == str(unknown).replace(missing, ""), "the two cannot be told apart"
    assert "PUT" in known.hint
    with world.read() as session:
        assert uploads.may_refer(session, digest, actor=world.ana) is None


def _push(session, world, push):
    versions.register_version(session, actor=world.ana, full_name=MODEL, push=push, create_model=True)


def test_whoever_sent_bytes_may_refer_to_them(world):
    digest = theirs(world)
    with world.write() as session:
        assert uploads.note(session, actor=world.ana, digest=digest, size=20)
    version, _ = register(world, push_of(world, digest, world.ana))
    assert version.number == 1


def test_a_declared_user_may_refer_to_the_bytes(world):
    digest = theirs(world)
    with world.write() as session:
        model = catalog.get_model(session, "lending/churn", actor=world.ana)
        catalog.declare_use(
            session, model, accounts.get_team(session, "payments"), actor=world.ana, purpose="fine-tuning"
        )
    assert register(world, push_of(world, digest, world.ana))[1]


def test_a_consumer_sends_no_bytes(world):
    refused(
        world.database,
        MissingRole,
        lambda session: uploads.note(session, actor=world.kim, digest=digests.of_bytes(b"x"), size=1),
    )


def test_another_teams_model_takes_no_version_of_mine(world):
    theirs(world)
    push = prepare(world)
    refused(
        world.database,
        NotInTeam,
        lambda session: versions.register_version(session, actor=world.ana, full_name="lending/churn", push=push),
    )
