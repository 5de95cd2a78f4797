"""Bundles of OSV records: read whole within bounds, faulty records named, versions in PEP 440 order, and the job."""

import io
import json
import zipfile
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version
from sqlalchemy import delete, select

from builders import advisories as job_of_advisories
from builders import cvss_scores, osv
from builders.jobs import JobFailed
from builders.worker import WORK, Worker
from formats import digest as digests
from registry import advisories, importing
from registry.matching import Range, covers, names
from registry.orm.advisory import AdvisoryBundle, BundleState, Severity
from registry.orm.job import Job, JobKind, JobLog
from registry.settings import Settings
from tests import factories

BAD_VECTOR = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"  # 9.8


def record(name="GHSA-aaaa-bbbb-cccc", package="Pillow", *events, **fields):
    """An OSV record; ``events`` are pairs like ("fixed", "1.0") of one ECOSYSTEM range."""
    affected = {"package": {"ecosystem": "PyPI", "name": package}}
    affected |= {"ranges": [{"type": "ECOSYSTEM", "events": [{kind: at} for kind, at in events]}]} if events else {}
    affected |= fields.pop("affected", {})
    return {
        "id": name,
        "modified": "2026-11-20T10:00:00.123456789Z",
        "summary": "It is bad.",
        "affected": [affected],
        **fields,
    }


def bundle(*records, **raw):
    """A zip; ``raw`` are entries as they are."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, item in enumerate(records):
            archive.writestr(f"{number}.json", json.dumps(item))
        for name, data in raw.items():
            archive.writestr(f"{name}.json", data)
    file.seek(0)
    return file


def affects(item, version):
    (advisory,) = osv.read(bundle(item)).advisories
    (affected,) = advisory.packages.values()
    return covers(affected.ranges, version) or names(affected.versions, version)


# -------------------------------------------------------------------------------------------------- what is affected


@pytest.mark.parametrize(
    ("events", "inside", "outside"),
    [
        ([("introduced", "0"), ("fixed", "9.0.1")], ["0.1", "9.0.0", "9.0.1rc1", "9.0.1.dev0"], ["9.0.1", "10"]),
        ([("introduced", "8.2"), ("last_affected", "9.0.0")], ["8.2", "8.2.0", "9", "9.0.0+cpu"], ["8.1", "9.0.0.post1"]),
        ([("introduced", "1"), ("fixed", "2"), ("introduced", "3")], ["1.5", "3", "99"], ["0.9", "2", "2.9"]),
        ([("fixed", "2"), ("introduced", "1")], ["1", "1.9"], ["0.9", "2"]),
        ([("introduced", "1.10")], ["1.10"], ["1.9", "1.2"]),
        ([("introduced", "0"), ("fixed", "not a version")], ["0", "999"], []),
        ([("introduced", "1!0")], ["1!1"], ["2026.1"]),
    ],
)  # fmt: skip
def test_ranges_are_compared_as_pep_440_says(events, inside, outside):
    item = record("GHSA-x", "p", *events)
    assert [version for version in inside if not affects(item, version)] == []
    assert [version for version in outside if affects(item, version)] == []


def test_versions_may_be_named_in_any_spelling_also_such_as_have_no_order():
    item = record("GHSA-x", "p", affected={"versions": ["1.0", "2004d"]})
    assert [affects(item, version) for version in ("1.0.0", "1.0+cpu", "2004d", "1.0.1", "2004")] == [
        True, True, True, False, False,
    ]  # fmt: skip


def test_a_record_that_gives_commits_only_is_about_every_version():
    item = record("GHSA-x", "p", affected={"ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}]})
    assert affects(item, "0.1")
    assert affects(item, "99")


@given(
    st.lists(
        st.from_regex(r"[0-9]{1,2}\.[0-9]{1,2}(?:(?:a|rc|\.post|\.dev)[0-9])?", fullmatch=True), min_size=3, max_size=3
    )
)
def test_a_range_holds_what_lies_between(found):
    low, middle, high = sorted(found, key=Version)
    assert covers([Range(low, high, None)], middle) == (Version(middle) < Version(high))
    assert covers([Range(low, None, high)], middle)


def test_named_versions_that_a_range_covers_are_not_kept():
    item = record("GHSA-x", "p", ("introduced", "0"), ("fixed", "2"), affected={"versions": ["1.0", "1.1", "3.0"]})
    (advisory,) = osv.read(bundle(item)).advisories
    assert advisory.packages["p"].versions == {"3.0"}


# ------------------------------------------------------------------------------------------------------- how bad


@pytest.mark.parametrize(
    ("name", "severity", "stated", "wanted"),
    [
        ("GHSA-x", [("CVSS_V3", BAD_VECTOR)], "LOW", (Severity.CRITICAL, 9.8)),
        ("GHSA-x", [("CVSS_V4", "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N")], "", (Severity.CRITICAL, 9.3)),
        ("GHSA-x", [("CVSS_V2", "AV:L/AC:H/Au:M/C:P/I:N/A:N")], "", (Severity.LOW, 0.8)),
        ("GHSA-x", [("CVSS_V3", "CVSS:3.1/AV:N/AC:H/PR:L/UI:N/S:U/C:H/I:N/A:N")], "", (Severity.MEDIUM, 5.3)),
        ("GHSA-x", [("CVSS_V3", "nonsense")], "MODERATE", (Severity.MEDIUM, None)),
        ("GHSA-x", [("Ubuntu", "high")], "high", (Severity.HIGH, None)),
        ("PYSEC-1", [], "", (Severity.UNRATED, None)),
        ("MAL-2026-1", [], "", (Severity.CRITICAL, None)),
    ],
)  # fmt: skip
def test_severity(name, severity, stated, wanted):
    given_ = [{"type": kind, "score": score} for kind, score in severity]
    found = osv.parse(record(name, severity=given_, database_specific={"severity": stated}))
    assert (found.severity, found.score) == wanted


def test_a_score_of_zero_is_no_rating():
    assert cvss_scores.rating("GHSA-x", 0.0, "") is Severity.UNRATED


def test_records_that_share_a_name_are_one_advisory():
    github = record("GHSA-a", "p", ("introduced", "0"), ("fixed", "1"), aliases=["CVE-1", "PYSEC-1"])
    pypa = record(
        "PYSEC-1",
        "P",
        ("introduced", "2"),
        ("fixed", "3"),
        aliases=["CVE-1"],
        severity=[{"type": "CVSS_V3", "score": BAD_VECTOR}],
    )
    other = record("PYSEC-2", "p", ("introduced", "0"))
    found = osv.read(bundle(pypa, other, github))
    assert found.records == 3
    one, two = sorted(found.advisories, key=lambda item: item.id)
    assert (one.id, one.aliases, one.severity) == ("GHSA-a", {"CVE-1", "PYSEC-1"}, Severity.CRITICAL)
    assert [covers(one.packages["p"].ranges, version) for version in ("0.5", "1.5", "2.5")] == [True, False, True]
    assert two.id == "PYSEC-2"


# ------------------------------------------------------------------------------------------------- what is refused


def test_withdrawn_records_and_other_ecosystems_are_left_out():
    withdrawn = record("GHSA-w", "p", ("introduced", "0"), withdrawn="2026-01-01T00:00:00Z")
    npm = record("GHSA-n", affected={"package": {"ecosystem": "npm", "name": "p"}})
    found = osv.read(bundle(withdrawn, npm, record("GHSA-k", "p", ("introduced", "0"))))
    assert [item.id for item in found.advisories] == ["GHSA-k"]
    assert found.newest_at == datetime(2026, 11, 20, 10, 0, 0, 123456, tzinfo=UTC)


@pytest.mark.parametrize(
    "fault",
    [
        "not json", "[]", "null", "{}", '"text"', "[" * 100_000,
        json.dumps(record(name="")), json.dumps(record(name=7)), json.dumps(record(name="a" * 81)), json.dumps(record(name="a\nb")),
        json.dumps(record() | {"modified": "yesterday"}), json.dumps(record() | {"affected": "all"}),
        json.dumps(record("GHSA-x", "p", ("begun", "1"))), json.dumps(record("GHSA-x", "p", affected={"versions": "1.0"})),
        json.dumps(record("GHSA-x", "p", affected={"ranges": [{"type": "ECOSYSTEM", "events": []}]})),
        json.dumps(record("GHSA-x", "p", affected={"ranges": [{"type": "OTHER", "events": []}]})),
        json.dumps(record(aliases=[1])), b"\xff\xfe",
    ],
)  # fmt: skip
def test_a_record_that_cannot_be_understood_refuses_the_bundle_and_is_named(fault):
    with pytest.raises(JobFailed, match=r"1 records cannot be understood: bad\.json: ") as caught:
        osv.read(bundle(record("GHSA-k", "p", ("introduced", "0")), bad=fault))
    assert caught.value.code == "bad-advisory-bundle"


def test_many_faulty_records_are_named_up_to_a_limit():
    with pytest.raises(JobFailed, match="and 5 more"):
        osv.read(bundle(**{f"bad{number}": "x" for number in range(osv.NAMED + 5)}))


@pytest.mark.parametrize(
    ("file", "match"),
    [
        (io.BytesIO(b"no zip"), "not a zip"),
        (io.BytesIO(bundle(record()).getvalue()[:-30]), "not a zip"),
        (bundle(), "no record in it"),
        (bundle(record("GHSA-n", affected={"package": {"ecosystem": "npm", "name": "p"}})), "no record in it"),
    ],
)
def test_what_is_no_bundle(file, match):
    with pytest.raises(JobFailed, match=match):
        osv.read(file)


def test_sizes_are_bounded_whatever_the_archive_says(monkeypatch):
    monkeypatch.setattr(osv, "MAX_RECORD", 2_000)
    with pytest.raises(JobFailed, match="becomes too large"):
        osv.read(bundle(big=" " * 2_001))
    monkeypatch.setattr(osv, "MAX_TOTAL", 3_000)
    with pytest.raises(JobFailed, match="becomes too large"):
        osv.read(bundle(*[record(details="x" * 1_500)] * 3))
    monkeypatch.setattr(osv, "MAX_RECORDS", 2)
    with pytest.raises(JobFailed, match="at most 2 are read"):
        osv.read(bundle(record(), record(), record()))


# ------------------------------------------------------------------------------------------------------ the job


def work(world, file):
    """Send a file and let a worker do what is in the queue; returns the bundle as it is then."""
    data = file.getvalue()
    with world.write() as session:
        digest, size = world.store.put(io.BytesIO(data))
        session.execute(delete(JobLog))
        session.execute(delete(Job))  # the checks of versions, which are older
        importing.request(session, actor=world.ops, digest=digest, size=size, settings=Settings())
    worker = Worker(Settings(), world.database, world.store, SimpleNamespace())
    worker._checkpoint = lambda *, force=False: None
    assert worker.run_one()
    with world.read() as session:
        return session.scalars(select(AdvisoryBundle).where(AdvisoryBundle.digest == digest)).one()


def test_a_worker_imports_a_bundle_and_refuses_a_bad_one(world):
    assert WORK[JobKind.ADVISORIES] is job_of_advisories
    with world.write() as session:
        factories.ready_version(session, world)
    newest = datetime.now(UTC).isoformat()
    good = record("GHSA-a", "NumPy", ("introduced", "0"), ("fixed", "2.4.2"), modified=newest)
    found = work(world, bundle(good))
    assert (found.state, found.records, found.error) == (BundleState.DONE, 1, None)
    with world.read() as session:
        assert advisories.in_force(session).id == found.id
        assert advisories.of_version(session, world.version(session)).state == "vulnerable"
    refused = work(world, bundle(good, bad="x"))
    assert refused.state is BundleState.REFUSED
    assert "bad.json" in refused.error["message"]
    older = work(world, bundle(record("GHSA-b", "p", ("introduced", "0"))))
    assert (older.state, older.error["code"]) == (BundleState.REFUSED, "blocked")
    with world.read() as session:
        assert advisories.in_force(session).id == found.id


def test_a_damaged_file_is_told(world):
    data = bundle(record(modified=datetime.now(UTC).isoformat())).getvalue()
    digest, _ = world.store.put(io.BytesIO(data))
    path = world.store.path(digest)
    path.chmod(0o600)
    path.write_bytes(data[:-1] + b"x")
    assert digests.of_bytes(data) == digest
    assert work(world, io.BytesIO(data)).error["code"] == "unavailable"
