"""Known vulnerabilities: bundles of advisories, what they say, which wheels locks and images hold, findings, waivers.

Safe while the previous release runs: tables of their own, which it never reads. What it checks or bakes in the meantime is
not among the wheels; start the new workers when its own have ended. The wheels of what is there are taken from the locks of
versions and the bills of materials of images. Its workers do not claim jobs of the kind advisories.
"""

import os
import re
import time
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
SLICE = 500


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":  # SQLite keeps no comments
        op.alter_column(
            "jobs",
            "subject_id",
            existing_type=sa.Uuid(),
            existing_nullable=False,
            comment="version to check, build to bake, rebuild or rescan to do, bundle of advisories to import",
        )
    _tables_of_bundles()
    _tables_of_wheels()
    op.create_table(
        "advisory_waivers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "advisory",
            sa.String(80),
            nullable=False,
            comment="id or alias; no foreign key, because later bundles may not have it",
        ),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_by", sa.String(80), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT, comment="when somebody ended it before its time"),
        sa.Column("ended_by", sa.String(80)),
        sa.ForeignKeyConstraint(["owner_id"], ["people.id"], name=op.f("fk_advisory_waivers_owner_id_people")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_advisory_waivers")),
    )
    op.create_index(op.f("ix_advisory_waivers_advisory"), "advisory_waivers", ["advisory"])
    op.create_index(op.f("ix_advisory_waivers_owner_id"), "advisory_waivers", ["owner_id"])
    _take_wheels()


def _tables_of_bundles() -> None:
    op.create_table(
        "advisory_bundles",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False, comment="bytes of the file"),
        sa.Column("state", sa.String(40), nullable=False),
        sa.Column("records", sa.Integer(), comment="advisories in it that are not withdrawn"),
        sa.Column("newest_at", MOMENT, comment="when its newest record was last changed"),
        sa.Column(
            "stale_days",
            sa.Integer(),
            nullable=False,
            comment="age of the newest record from which it calls nothing clean",
        ),
        sa.Column(
            "block_at",
            sa.Integer(),
            nullable=False,
            comment="severity from which an advisory blocks an approval, 1 to 4",
        ),
        sa.Column("error", sa.JSON(), comment="code, message, hint when it was refused"),
        sa.Column("imported_by", sa.String(80), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("imported_at", MOMENT),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_advisory_bundles")),
        sa.UniqueConstraint("digest", name=op.f("uq_advisory_bundles_digest")),
    )
    head = op.create_table(
        "advisory_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("bundle_id", sa.Uuid()),
        sa.ForeignKeyConstraint(
            ["bundle_id"], ["advisory_bundles.id"], name=op.f("fk_advisory_head_bundle_id_advisory_bundles")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_advisory_head")),
    )
    op.bulk_insert(head, [{"id": 1, "bundle_id": None}])
    op.create_table(
        "advisories",
        sa.Column("id", sa.String(80), nullable=False, comment="GHSA-..., PYSEC-..., as published"),
        sa.Column("aliases", sa.JSON(), nullable=False, comment="its other names"),
        sa.Column("summary", sa.String(300), nullable=False),
        sa.Column("severity", sa.Integer(), nullable=False, comment="0 unrated, 1 low, 2 medium, 3 high, 4 critical"),
        sa.Column("score", sa.Double(), comment="highest CVSS base score that its records give"),
        sa.Column("modified_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_advisories")),
    )
    op.create_index("ix_advisories_severity", "advisories", ["severity", "id"])
    op.create_table(
        "affected_packages",
        sa.Column("name", sa.String(200), nullable=False, comment="normalised"),
        sa.Column("advisory_id", sa.String(80), nullable=False),
        sa.Column(
            "ranges", sa.JSON(), nullable=False, comment="[[introduced, fixed or null, last affected or null], ...]"
        ),
        sa.Column("versions", sa.JSON(), nullable=False, comment="versions it names that are in none of the ranges"),
        sa.ForeignKeyConstraint(
            ["advisory_id"], ["advisories.id"], name=op.f("fk_affected_packages_advisory_id_advisories")
        ),
        sa.PrimaryKeyConstraint("name", "advisory_id", name=op.f("pk_affected_packages")),
    )
    op.create_index(op.f("ix_affected_packages_advisory_id"), "affected_packages", ["advisory_id"])


def _tables_of_wheels() -> None:
    op.create_table(
        "wheels",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(200), nullable=False, comment="normalised"),
        sa.Column("version", sa.String(100), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_wheels")),
        sa.UniqueConstraint("name", "version", name=op.f("uq_wheels_name_version")),
    )
    for table, owner, owners in (
        ("version_wheels", "version_id", "model_versions"),
        ("image_wheels", "image_id", "images"),
    ):
        op.create_table(
            table,
            sa.Column(owner, sa.Uuid(), nullable=False),
            sa.Column("wheel_id", sa.Uuid(), nullable=False),
            sa.ForeignKeyConstraint([owner], [f"{owners}.id"], name=op.f(f"fk_{table}_{owner}_{owners}")),
            sa.ForeignKeyConstraint(["wheel_id"], ["wheels.id"], name=op.f(f"fk_{table}_wheel_id_wheels")),
            sa.PrimaryKeyConstraint(owner, "wheel_id", name=op.f(f"pk_{table}")),
        )
        op.create_index(op.f(f"ix_{table}_wheel_id"), table, ["wheel_id"])
    op.create_table(
        "advisory_findings",
        sa.Column("advisory_id", sa.String(80), nullable=False),
        sa.Column("wheel_id", sa.Uuid(), nullable=False),
        sa.Column("found_at", MOMENT, nullable=False, comment="when it was first found; later imports keep it"),
        sa.ForeignKeyConstraint(
            ["advisory_id"], ["advisories.id"], name=op.f("fk_advisory_findings_advisory_id_advisories")
        ),
        sa.ForeignKeyConstraint(["wheel_id"], ["wheels.id"], name=op.f("fk_advisory_findings_wheel_id_wheels")),
        sa.PrimaryKeyConstraint("advisory_id", "wheel_id", name=op.f("pk_advisory_findings")),
    )
    op.create_index(op.f("ix_advisory_findings_wheel_id"), "advisory_findings", ["wheel_id"])


# ------------------------------------------------------------------------------------- the wheels of what is there


def _take_wheels() -> None:
    """Written out here: what the code of that day takes for a wheel is no business of a later release."""
    known: dict[tuple[str, str], uuid.UUID] = {}
    _take("model_versions", "lock", "version_wheels", "version_id", _of_lock, known)
    _take("images", "sbom", "image_wheels", "image_id", _of_sbom, known)


def _take(
    source: str, column: str, target: str, owner: str, read: Any, known: dict[tuple[str, str], uuid.UUID]
) -> None:
    connection = op.get_bind()
    rows = sa.table(source, sa.column("id", sa.Uuid), sa.column(column, sa.JSON))
    wheels = sa.table("wheels", sa.column("id", sa.Uuid), sa.column("name"), sa.column("version"))
    held = sa.table(target, sa.column(owner, sa.Uuid), sa.column("wheel_id", sa.Uuid))
    ids = list(connection.scalars(sa.select(rows.c.id).order_by(rows.c.id)))
    for start in range(0, len(ids), SLICE):
        query = sa.select(rows.c.id, rows.c[column]).where(rows.c.id.in_(ids[start : start + SLICE]))
        holding = [(row_id, sorted(set(read(document)))) for row_id, document in connection.execute(query) if document]
        new = sorted({wheel for _, found in holding for wheel in found} - known.keys())
        known |= {wheel: _new_id() for wheel in new}
        if new:
            connection.execute(
                sa.insert(wheels), [{"id": known[wheel], "name": wheel[0], "version": wheel[1]} for wheel in new]
            )
        if links := [{owner: row_id, "wheel_id": known[wheel]} for row_id, found in holding for wheel in found]:
            connection.execute(sa.insert(held), links)


def _of_lock(lock: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for wheel in lock.get("wheels", ()):
        yield _normal(wheel["name"]), wheel["version"]


def _of_sbom(sbom: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for component in sbom.get("components", ()):
        kind, _, rest = component.get("purl", "").partition("pkg:pypi/")
        name, _, version = rest.partition("@")
        if not kind and version:
            yield _normal(name), unquote(version)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _new_id() -> uuid.UUID:
    """Version 7, as the other rows have."""
    raw = bytearray(int(time.time() * 1000).to_bytes(6, "big") + os.urandom(10))
    raw[6], raw[8] = (raw[6] & 0x0F) | 0x70, (raw[8] & 0x3F) | 0x80
    return uuid.UUID(bytes=bytes(raw))
