"""Tables and migrations: one road from an empty database to the models, on both databases."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from registry import advisories, approvals, policies, proofs, revisions, schema
from registry.orm import Base, Governed
from registry.orm.advisory import ImageWheel, VersionWheel, Wheel
from registry.orm.image import Build
from tests import factories
from tests.support import bodies_of, nothing_changes

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def script():
    return ScriptDirectory.from_config(schema._config())


def test_there_is_one_head_and_its_file_says_its_number(script):
    assert script.get_heads() == [revisions.newest()]


def test_every_revision_says_why_and_that_it_is_safe(script):
    for revision in script.walk_revisions():
        assert len((revision.doc or "").split()) > 5
        assert "previous release" in revision.module.__doc__


def test_the_tables_are_what_the_models_say(database):
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []


def test_comments_of_columns_reach_the_database(database):
    """Units and meanings are for whoever reads the tables without us."""
    if database.is_sqlite:
        assert not sa.inspect(database.engine).dialect.supports_comments
        return
    columns = {column["name"]: column for column in sa.inspect(database.engine).get_columns("jobs")}
    assert columns["fence"]["comment"] == "grows by one with each claim"


def test_a_database_at_an_older_revision_is_not_current(database, script):
    assert revisions.is_current(database)
    for revision, current in ((None, False), (script.get_current_head(), True)):
        with database.engine.begin() as connection:
            connection.execute(sa.text("DELETE FROM alembic_version"))
            if revision:
                connection.execute(sa.text("INSERT INTO alembic_version VALUES (:revision)"), {"revision": revision})
        assert revisions.is_current(database) is current


def test_migrating_again_changes_nothing(database):
    with nothing_changes(database):
        schema.upgrade(database)


def test_a_new_installation_has_a_policy_and_the_log_says_so(database):
    with database.read() as session:
        assert approvals.current_policy(session).body == policies.STANDARD
        assert proofs.verify(session) == len(bodies_of(session, "policy:revised")) == 1


def test_there_is_no_way_back_but_a_backup(database, script):
    """Undoing a migration would drop parts of an audit trail."""
    assert not [revision.revision for revision in script.walk_revisions() if hasattr(revision.module, "downgrade")]
    config = schema._config()
    with nothing_changes(database), database.engine.connect() as connection:
        config.attributes["connection"] = connection
        with pytest.raises(AttributeError, match="downgrade"):
            command.downgrade(config, "base")


@pytest.mark.long
def test_alembic_runs_by_hand_on_the_settings(tmp_path):
    environ = {**os.environ, "COUNTERSIGN_DATA_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    program = (
        "from alembic import command; from registry import schema; "
        "command.upgrade(schema._config(), 'head'); command.check(schema._config())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environ, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "No new upgrade operations detected" in done.stdout
    assert (tmp_path / "countersign.db").exists()


def test_every_governed_row_names_its_subject():
    governed = [mapper.class_ for mapper in Base.registry.mappers if issubclass(mapper.class_, Governed)]
    assert len(governed) > 15
    for table in governed:
        assert table.audit_ref is not Governed.audit_ref, f"{table.__name__} needs an audit_ref()"
        assert set(table.ungoverned) <= set(sa.inspect(table).columns.keys())


def test_every_foreign_key_can_be_searched_from_its_end():
    """Each is the first column of some index or key, or its table is small by nature."""
    small = {
        "registered_models.owner_id", "bundles.current_image_id", "builds.image_id", "builds.job_id",
        "release_requests.policy_id", "route_members.version_id", "advisory_head.bundle_id", "declared_uses.team_id", "setup_links.person_id",
        "platform_changes.replaces_id",
    }  # fmt: skip
    bare = set()
    for table in Base.metadata.tables.values():
        first = {next(iter(index.columns)).name for index in table.indexes}
        first |= {
            next(iter(constraint.columns)).name
            for constraint in table.constraints
            if isinstance(constraint, sa.UniqueConstraint | sa.PrimaryKeyConstraint)
        }
        bare |= {f"{table.name}.{key.parent.name}" for key in table.foreign_keys if key.parent.name not in first}
    assert bare <= small


def test_the_wheels_of_what_was_there_are_taken_from_locks_and_bills_of_materials(database, world):
    """As an upgrade from 0003 would find them: versions and images, and no tables of wheels."""
    with world.write() as session:
        factories.approved_version(session, world)
        factories.failed_version(session, world)
        components = [{"purl": "pkg:pypi/Num.Py@2.4.1%2Bcpu"}, {"purl": "pkg:oci/base@sha256%3A00"}, {"name": "model"}]
        build = session.scalars(sa.select(Build)).one()
        image = factories.released_image(session, build, sbom={"components": components}).id
    new = ["advisory_findings", "image_wheels", "version_wheels", "wheels", "affected_packages", "advisories"]
    new += ["advisory_head", "advisory_bundles", "advisory_waivers", "experiments"]
    new += ["platform_moves", "platform_decisions", "platform_changes", "platforms"]
    with database.engine.begin() as connection:
        for table in new:
            connection.execute(sa.text(f"DROP TABLE {table}"))
        connection.execute(sa.text("ALTER TABLE images DROP COLUMN platform"))
        connection.execute(sa.text("ALTER TABLE route_members DROP COLUMN role"))
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0003'"))
    schema.upgrade(database)
    assert revisions.is_current(database)
    with world.read() as session:
        held = sa.select(Wheel.name, Wheel.version)
        of_version = held.join(VersionWheel).where(VersionWheel.version_id == world.version(session).id)
        assert session.execute(of_version).all() == [("numpy", "2.4.1")]
        of_image = held.join(ImageWheel).where(ImageWheel.image_id == image)
        assert session.execute(of_image).all() == [("num-py", "2.4.1+cpu")]
        assert advisories.in_force(session) is None
        assert session.scalars(sa.select(sa.func.count()).select_from(VersionWheel)).one() == 1
        context = MigrationContext.configure(session.connection(), opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
