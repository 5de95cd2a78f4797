"""A scan done again knows the version's own code by its report: nothing else would allow its names."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from builders import rescan
from builders.jobs import Job
from registry import jobs, rescans
from registry.orm.job import JobKind
from registry.orm.scanning import Rescan
from tests import factories, own_wheels

PICKLE = b"\x80\x04\x8c\x15riskfeatures.encoders\x8c\x07Doubler\x93)\x81."


@pytest.mark.parametrize(("brings", "outcome"), [(True, "passed"), (False, "failed")])
def test_scanned_again(world, brings, outcome):
    own = own_wheels.facts(world.store, own_wheels.good()) if brings else None
    with world.write() as session:
        files = {
            "model.pkl": factories.blob(session, world, PICKLE),
            "sample.jsonl": factories.blob(session, world, b'{"a": 1}\n'),
        }
        version = factories.checking_version(session, world, files=files, format="pickle")
        for job in session.scalars(select(jobs.Job)):
            session.delete(job)
        factories.check(session, version, own_code=own)
    for uses in ({"a:one": "ref"}, {}):
        with world.write() as session:
            rescans.note_list(session, digest=f"sha256:{len(uses):064x}", uses=uses, takes={})
    with world.write() as session:
        claimed = jobs.claim(session, worker="w", lease=timedelta(minutes=5), kinds=[JobKind.RESCAN])
        job = Job(world.database, claimed.id, claimed.kind, claimed.subject_id, claimed.fence, timedelta(minutes=5))
    rescan.run(job, world.store, None)
    with world.read() as session:
        (again,) = session.scalars(select(Rescan)).all()
        assert again.outcome == outcome
