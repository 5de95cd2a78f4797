"""Platform changes: platforms that workers offered, changes of them, their decisions, and the images that a wave moves.

Safe while the previous release runs: a new nullable column that it never reads, and tables of their own. Its workers bake on
what they have and do not claim jobs of the kind move; start the new workers when its own have ended. Images that are there have no
platform: the first change lists them all.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
OPEN = "state IN ('proposed', 'running', 'paused')"


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":  # SQLite keeps no comments
        op.alter_column(
            "jobs",
            "subject_id",
            existing_type=sa.Uuid(),
            existing_nullable=False,
            comment="version to check, build to bake, rebuild, rescan or move to do, bundle of advisories to import",
        )
    with op.batch_alter_table("images") as images:
        images.add_column(
            sa.Column(
                "platform",
                sa.String(71),
                nullable=True,
                comment="digest of what it stands on beside its models; empty: baked before platforms were kept",
            )
        )
    op.create_table(
        "platforms",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column(
            "line",
            sa.String(71),
            nullable=False,
            comment="digest of its target, and of whether it is the host's own interpreter",
        ),
        sa.Column("body", sa.JSON(), nullable=False, comment="countersign.platform/1"),
        sa.Column("wheels", sa.JSON(), nullable=False, comment="of the serving runtime: name to version"),
        sa.Column("worker", sa.String(120), nullable=False, comment="who offered it"),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("in_force_at", MOMENT, comment="since when bakes of its line use it; the newest counts"),
        sa.Column(
            "first_of",
            sa.String(71),
            comment="its line, when it was there before there was one to change",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_platforms")),
        sa.UniqueConstraint("digest", name=op.f("uq_platforms_digest")),
        sa.UniqueConstraint("first_of", name=op.f("uq_platforms_first_of")),
    )
    op.create_index(op.f("ix_platforms_line"), "platforms", ["line"])
    _changes()
    _moves()


def _changes() -> None:
    op.create_table(
        "platform_changes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("platform_id", sa.Uuid(), nullable=False),
        sa.Column("replaces_id", sa.Uuid(), nullable=False, comment="in force when it was proposed"),
        sa.Column("line", sa.String(71), nullable=False, comment="that of both platforms"),
        sa.Column("state", sa.String(40), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False, comment="how many the list has"),
        sa.Column("images_digest", sa.String(71), nullable=False, comment="of the sorted list of image digests"),
        sa.Column("digest", sa.String(71), nullable=False, comment="of both platforms' and the list's: what is signed"),
        sa.Column("proposed_by", sa.String(80), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("closed_at", MOMENT, comment="refused, withdrawn, or the wave has ended"),
        sa.ForeignKeyConstraint(
            ["platform_id"], ["platforms.id"], name=op.f("fk_platform_changes_platform_id_platforms")
        ),
        sa.ForeignKeyConstraint(
            ["replaces_id"], ["platforms.id"], name=op.f("fk_platform_changes_replaces_id_platforms")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_platform_changes")),
    )
    op.create_index(op.f("ix_platform_changes_platform_id"), "platform_changes", ["platform_id"])
    op.create_index(
        "uq_platform_changes_one_open",
        "platform_changes",
        ["line"],
        unique=True,
        sqlite_where=sa.text(OPEN),
        postgresql_where=sa.text(OPEN),
    )
    op.create_table(
        "platform_decisions",
        sa.Column("id", sa.Uuid(), nullable=False, comment="given to the form when it is opened: works once"),
        sa.Column("change_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("outcome", sa.String(40), nullable=False, comment="approve or reject"),
        sa.Column("roles", sa.JSON(), nullable=False, comment="deciding roles the person held when signing"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("statement", sa.JSON(), nullable=False, comment="countersign.platform-decision/1, exactly as shown"),
        sa.Column("statement_digest", sa.String(71), nullable=False),
        sa.Column("method", sa.String(40), nullable=False, comment="password+totp: the portal attests it"),
        sa.Column("decided_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["change_id"], ["platform_changes.id"], name=op.f("fk_platform_decisions_change_id_platform_changes")
        ),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name=op.f("fk_platform_decisions_person_id_people")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_platform_decisions")),
        sa.UniqueConstraint("change_id", "person_id", name=op.f("uq_platform_decisions_change_id_person_id")),
    )
    op.create_index(op.f("ix_platform_decisions_person_id"), "platform_decisions", ["person_id"])


def _moves() -> None:
    op.create_table(
        "platform_moves",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("change_id", sa.Uuid(), nullable=False),
        sa.Column("image_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(40), nullable=False),
        sa.Column("report", sa.JSON(), comment="how the new image answered the approved rows"),
        sa.Column("error", sa.JSON(), comment="code, message, hint when there is no new image"),
        sa.Column("new_image_id", sa.Uuid()),
        sa.Column("ended_at", MOMENT),
        sa.ForeignKeyConstraint(
            ["change_id"], ["platform_changes.id"], name=op.f("fk_platform_moves_change_id_platform_changes")
        ),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_platform_moves_image_id_images")),
        sa.ForeignKeyConstraint(["new_image_id"], ["images.id"], name=op.f("fk_platform_moves_new_image_id_images")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_platform_moves")),
        sa.UniqueConstraint("change_id", "image_id", name=op.f("uq_platform_moves_change_id_image_id")),
    )
    op.create_index(op.f("ix_platform_moves_image_id"), "platform_moves", ["image_id"])
    op.create_index(op.f("ix_platform_moves_new_image_id"), "platform_moves", ["new_image_id"])
    op.create_index("ix_platform_moves_state", "platform_moves", ["change_id", "state", "id"])
