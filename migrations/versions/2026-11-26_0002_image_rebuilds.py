"""Images: rebuilds, where an image was pushed to, its models' signatures, and since when its layers are not kept.

Safe while the previous release runs: new nullable columns that it never reads, and a table of its own. A rebuild job that
an older worker claims fails there and is tried again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("images") as images:
        images.add_column(
            sa.Column(
                "reference",
                sa.String(length=300),
                nullable=True,
                comment="registry/repository@sha256:..., where a registry is configured",
            )
        )
        images.add_column(
            sa.Column(
                "model_signatures",
                sa.JSON(),
                nullable=True,
                comment="OpenSSF model signature of each version, by its name",
            )
        )
        images.add_column(
            sa.Column(
                "freed_at",
                sa.DateTime(timezone=True),
                nullable=True,
                comment="since when its layers are not kept; a rebuild brings them back",
            )
        )
    op.create_table(
        "image_rebuilds",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("image_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("requested_by", sa.String(length=80), nullable=False),
        sa.Column("found_digest", sa.String(length=71), nullable=True, comment="image digest that came out"),
        sa.Column(
            "difference", sa.JSON(), nullable=True, comment="first layer that differs: role, path, expected, found"
        ),
        sa.Column("error", sa.JSON(), nullable=True, comment="code, message, hint when nothing came out"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_image_rebuilds_image_id_images")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_image_rebuilds")),
    )
    with op.batch_alter_table("image_rebuilds") as rebuilds:
        rebuilds.create_index(op.f("ix_image_rebuilds_image_id"), ["image_id"], unique=False)
