"""Answers to notices, and scanning again: dossier_entries.about, allow_lists, rescans.

Safe while the previous release runs: a new nullable column and new tables that it never reads. Its workers do not know jobs
of the kind rescan: they are queued by a worker of this release only, which is to be started when the others have ended.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "dossier_entries", sa.Column("about", sa.String(40), comment="code of the notice that an answer answers")
    )
    if op.get_bind().dialect.name == "postgresql":  # SQLite keeps no comments
        op.alter_column(
            "dossier_entries",
            "kind",
            existing_type=sa.String(20),
            existing_nullable=False,
            comment="request, comment, answer, evidence, validation, finding, condition",
        )
        op.alter_column(
            "jobs",
            "subject_id",
            existing_type=sa.Uuid(),
            existing_nullable=False,
            comment="version to check, build to bake, rebuild or rescan to do",
        )
    op.create_table(
        "allow_lists",
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column(
            "names", sa.JSON(), nullable=False, comment="name -> ref, new or call, and the names that it may be handed"
        ),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False, comment="when it last became the one in use"),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_allow_lists")),
    )
    op.create_table(
        "rescans",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version_id", sa.Uuid(), nullable=False),
        sa.Column("allow_list", sa.String(71), nullable=False),
        sa.Column("outcome", sa.String(10), comment="passed or failed; empty while it waits"),
        sa.Column("findings", sa.JSON(), nullable=False, comment="of the failed scan: code, message, hint"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(["allow_list"], ["allow_lists.digest"], name=op.f("fk_rescans_allow_list_allow_lists")),
        sa.ForeignKeyConstraint(
            ["version_id"], ["model_versions.id"], name=op.f("fk_rescans_version_id_model_versions")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rescans")),
        sa.UniqueConstraint("version_id", "allow_list", name=op.f("uq_rescans_version_id_allow_list")),
    )
    op.create_index(op.f("ix_rescans_version_id"), "rescans", ["version_id"])
    op.create_index(op.f("ix_rescans_allow_list"), "rescans", ["allow_list"])
