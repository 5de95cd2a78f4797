"""Proofs that a stranger can check, and damage that is found."""

import itertools

import pytest
import sqlalchemy as sa
from sqlalchemy import select

from formats import canonical, keys, merkle, notes
from registry import clock, proofs
from registry.audit import commitment
from registry.errors import MissingRole, NotFound, Unavailable
from registry.orm.audit import AuditCheckpoint, AuditEntry, AuditHead, AuditPayload
from registry.paging import Cursor
from tests import factories
from tests.support import at_once


@pytest.fixture
def written(world):
    """A world with a log of some length."""
    with world.write() as session:
        factories.approved_version(session, world)
    return world


def tamper(database, *statements):
    """Change rows as somebody with the database's password would: past every guard of ours."""
    with database.engine.begin() as connection:
        for statement in statements:
            connection.execute(statement)


def checkpoint(world, signer):
    with world.write() as session:
        return proofs.sign_checkpoint(session, signer)


def grow(world, times=1):
    for _ in range(times):
        with world.write() as session:
            factories.checking_version(session, world)


def note_key(signer):
    return notes.NoteKey(proofs.ORIGIN, keys.load_public(signer.public_pem))


# --------------------------------------------------------------------------------------------------- checkpoints


def test_a_checkpoint_signs_the_head(written, signer):
    made = checkpoint(written, signer)
    opened = notes.open_checkpoint(made.note, note_key(signer))
    with written.read() as session:
        assert (opened.size, opened.root) == proofs.head(session)
        assert proofs.latest_checkpoint(session).size == opened.size


def test_nothing_new_is_not_signed_again(written, signer):
    assert checkpoint(written, signer) is not None
    assert checkpoint(written, signer) is None


def test_an_empty_log_is_not_signed(database, signer):
    rewrite(database, 0)
    with database.write() as session:
        assert proofs.sign_checkpoint(session, signer) is None


def test_each_checkpoint_extends_the_one_before(written, signer):
    made = []
    for _ in range(4):
        made.append(checkpoint(written, signer))
        grow(written)
    with written.read() as session:
        leaves = list(session.scalars(select(AuditEntry.leaf_hash).order_by(AuditEntry.seq)))
    opened = [notes.open_checkpoint(item.note, note_key(signer)) for item in made]
    for old, new in itertools.pairwise(opened):
        proof = merkle.consistency_proof(leaves[: new.size], old.size)
        merkle.verify_consistency(old.size, new.size, old.root, new.root, proof)


def test_two_workers_signing_at_once_leave_one_checkpoint(written, signer):
    answers = at_once(*[lambda: checkpoint(written, signer)] * 4)
    assert not [answer for answer in answers if isinstance(answer, Exception)]
    with written.read() as session:
        assert len(session.scalars(select(AuditCheckpoint)).all()) == 1


def test_every_entry_has_a_proof_that_a_stranger_can_check(written, signer):
    checkpoint(written, signer)
    with written.read() as session:
        for entry in session.scalars(select(AuditEntry)):
            text = proofs.prove(session, proofs.entry(session, entry.seq, actor=written.aud))
            index, signed = notes.verify_proof(text, merkle.leaf_hash(entry.envelope), note_key(signer))
            assert index == entry.seq < signed.size


def test_a_proof_proves_no_other_entry(written, signer):
    checkpoint(written, signer)
    with written.read() as session:
        text = proofs.prove(session, proofs.entry(session, 3, actor=written.aud))
        other = proofs.entry(session, 4, actor=written.aud)
    with pytest.raises(merkle.BadProof):
        notes.verify_proof(text, merkle.leaf_hash(other.envelope), note_key(signer))


def test_a_proof_by_another_key_is_not_believed(written, signer, tmp_path):
    checkpoint(written, signer)
    stranger = keys.generate(tmp_path / "stranger.pem")
    with written.read() as session:
        entry = proofs.entry(session, 3, actor=written.aud)
        text = proofs.prove(session, entry)
    with pytest.raises(notes.BadNote):
        notes.verify_proof(text, entry.leaf_hash, note_key(stranger))


def test_an_entry_newer_than_the_checkpoint_waits(written, signer):
    checkpoint(written, signer)
    grow(written)
    with written.read() as session:
        newest = proofs.entry(session, proofs.head(session)[0] - 1, actor=written.aud)
        with pytest.raises(Unavailable, match="next checkpoint") as caught:
            proofs.prove(session, newest)
    assert caught.value.hint


# --------------------------------------------------------------------------------------------------- damage


def test_an_untouched_log_verifies(written):
    with written.read() as session:
        assert proofs.verify(session) == proofs.head(session)[0] > 20


def forged_envelope(database):
    """Another actor, hashed anew so that the leaf fits its envelope."""
    with database.read() as session:
        entry = session.get_one(AuditEntry, 5)
        envelope = canonical.dumps(canonical.loads(entry.envelope) | {"actor": "person:nobody"})
    tamper(
        database,
        sa.update(AuditEntry)
        .where(AuditEntry.seq == 5)
        .values(envelope=envelope, leaf_hash=merkle.leaf_hash(envelope)),
    )


def changed_envelope(database):
    tamper(database, sa.update(AuditEntry).where(AuditEntry.seq == 5).values(envelope=b"{}"))


def _event(database, seq=5):
    with database.read() as session:
        return session.get_one(AuditEntry, seq).event_id


def changed_payload(database):
    event = _event(database)
    tamper(database, sa.update(AuditPayload).where(AuditPayload.event_id == event).values(body={"name": "forged"}))


def changed_salt(database):
    event = _event(database)
    tamper(database, sa.update(AuditPayload).where(AuditPayload.event_id == event).values(salt=b"0" * 32))


def lost_payload(database):
    event = _event(database)
    tamper(database, sa.delete(AuditPayload).where(AuditPayload.event_id == event))


def removed_entry(database):
    event = _event(database)
    tamper(
        database,
        sa.delete(AuditPayload).where(AuditPayload.event_id == event),
        sa.delete(AuditEntry).where(AuditEntry.seq == 5),
    )


def removed_tail(database):
    with database.read() as session:
        size = proofs.head(session)[0]
    event = _event(database, size - 1)
    tamper(
        database,
        sa.delete(AuditPayload).where(AuditPayload.event_id == event),
        sa.delete(AuditEntry).where(AuditEntry.seq == size - 1),
    )


def added_tail(database):
    with database.read() as session:
        newest = session.scalars(select(AuditEntry).order_by(AuditEntry.seq.desc()).limit(1)).one()
        copy = {column.name: getattr(newest, column.name) for column in AuditEntry.__table__.columns}
    tamper(database, sa.insert(AuditEntry).values(copy | {"seq": newest.seq + 1, "event_id": clock.new_id()}))


def moved_head(database):
    tamper(database, sa.update(AuditHead).values(size=AuditHead.size - 1))


@pytest.mark.parametrize(
    "damage",
    [
        forged_envelope,
        changed_envelope,
        changed_payload,
        changed_salt,
        lost_payload,
        removed_entry,
        removed_tail,
        added_tail,
        moved_head,
    ],
)
def test_damage_is_found(written, damage):
    damage(written.database)
    with written.read() as session, pytest.raises(Unavailable) as caught:
        proofs.verify(session)
    assert caught.value.hint


@pytest.mark.parametrize("damage", [changed_envelope, changed_payload, changed_salt, lost_payload, removed_entry])
def test_damage_is_found_at_its_place(written, damage):
    damage(written.database)
    with written.read() as session, pytest.raises(Unavailable, match="entry 5 "):
        proofs.verify(session)


def test_an_erased_payload_breaks_nothing(written, signer):
    """Personal data can go; the leaf keeps only a commitment that nobody can open any more."""
    event = _event(written.database)
    erased = {"salt": b"", "body": {}, "erased_at": clock.now()}
    tamper(written.database, sa.update(AuditPayload).where(AuditPayload.event_id == event).values(**erased))
    checkpoint(written, signer)
    with written.read() as session:
        assert proofs.verify(session) > 5
        entry = proofs.entry(session, 5, actor=written.aud)
        notes.verify_proof(proofs.prove(session, entry), entry.leaf_hash, note_key(signer))


def rewrite(database, keep):
    """Cut the log to ``keep`` entries and set a head that fits: verifies by itself, so only a checkpoint can tell."""
    with database.read() as session:
        leaves = list(session.scalars(select(AuditEntry.leaf_hash).order_by(AuditEntry.seq).limit(keep)))
    frontier = merkle.Frontier()
    for leaf in leaves:
        frontier = frontier.append(leaf)
    gone = sa.select(AuditEntry.event_id).where(AuditEntry.seq >= keep)
    tamper(
        database,
        sa.delete(AuditPayload).where(AuditPayload.event_id.in_(gone)),
        sa.delete(AuditEntry).where(AuditEntry.seq >= keep),
        sa.update(AuditHead).values(size=keep, frontier=frontier.to_bytes()),
    )


@pytest.mark.parametrize(
    "grown", [pytest.param(0, id="shorter"), pytest.param(1, id="as-long"), pytest.param(3, id="longer")]
)
def test_no_checkpoint_is_signed_over_a_rewritten_log(written, signer, grown):
    """A database restored from an old backup looks whole; the last checkpoint shows that it is not."""
    with written.read() as session:
        size = proofs.head(session)[0]
    grow(written)
    checkpoint(written, signer)
    rewrite(written.database, size)
    grow(written, grown)
    with written.read() as session:
        proofs.verify(session)
    with pytest.raises(Unavailable, match="does not extend the checkpoint") as caught:
        checkpoint(written, signer)
    assert "docs/operations.md" in caught.value.hint


# --------------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize("name", ["ana", "vic", "kim", "ops", "nil"])
def test_the_log_is_not_for_everybody(written, name):
    with written.read() as session:
        for act in (
            lambda actor: proofs.search(session, proofs.Filters(), Cursor(), actor=actor),
            lambda actor: proofs.entry(session, 0, actor=actor),
        ):
            with pytest.raises(MissingRole):
                act(getattr(written, name))


@pytest.mark.parametrize("name", ["aud", "cora", "root"])
def test_the_log_is_for_those_who_answer_for_it(written, name):
    with written.read() as session:
        page = proofs.search(session, proofs.Filters(), Cursor(limit=200), actor=getattr(written, name))
        assert [entry.seq for entry in page.items] == sorted((entry.seq for entry in page.items), reverse=True)
        assert page.items[-1].seq == 0


def test_the_log_is_searched_by_action_subject_and_actor(written):
    with written.read() as session:

        def found(**filters):
            page = proofs.search(session, proofs.Filters(**filters), Cursor(limit=200), actor=written.aud)
            return [entry.action for entry in page.items]

        assert set(found(action="request:decided")) == {"request:decided"}
        assert len(found(action="request:decided")) == 2
        assert len(found(actor=written.vic.ref)) == 1
        version = written.version(session)
        assert found(subject=version.audit_ref()) == [
            "version:approved",
            "version:submitted",
            "version:checked",
            "version:registered",
        ]


def test_the_timeline_of_a_version_tells_what_was_said(written):
    with written.read() as session:
        version, request = written.version(session), written.request(session)
        told = proofs.timeline(session, [version.audit_ref(), request.audit_ref()])
        newest, said = told[0]
        assert (newest.action, said.body["uses"]) == ("version:approved", ["routing customer feedback"])
        assert said.body["uses"] is not None
        assert canonical.loads(newest.envelope)["commitment"] == commitment(said.salt, said.body)


def test_an_entry_beyond_the_end_is_not_there(written):
    with written.read() as session, pytest.raises(NotFound):
        proofs.entry(session, 10_000, actor=written.aud)
