"""Shadows on routes (route_members.role: asked a copy of requests, and nobody gets the answers), and experiments.

Safe while the previous release runs: the column has a default that makes every member what it was, and the table is new. The previous release
does not know it, though, and would bake a shadow as a version that answers: make the first shadow when it has ended.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("route_members") as members:
        members.add_column(sa.Column("role", sa.String(40), nullable=False, server_default="primary"))
    if op.get_bind().dialect.name == "postgresql":  # SQLite keeps no comments
        op.alter_column(
            "route_members",
            "weight",
            existing_type=sa.Integer(),
            existing_nullable=False,
            comment="per cent of the route; of a shadow: of its requests that are copied",
        )
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "experiments",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("bundle_id", sa.Uuid(), nullable=False),
        sa.Column("route", sa.String(63), nullable=False),
        sa.Column("hypothesis", sa.Text(), nullable=False, comment="what is expected, in words"),
        sa.Column("metric", sa.String(200), nullable=False, comment="what is looked at to tell"),
        sa.Column("starts_at", moment, nullable=False),
        sa.Column(
            "ends_at", moment, nullable=False, comment="moved to the moment when somebody ended it before its time"
        ),
        sa.Column("ended_by", sa.String(80), comment="who ended it before its time"),
        sa.Column("result", sa.Text(), comment="what came of it, once concluded"),
        sa.Column("concluded_at", moment),
        sa.Column("concluded_by", sa.String(80)),
        sa.Column("created_by", sa.String(80), nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.CheckConstraint("starts_at < ends_at", name=op.f("ck_experiments_lasts")),
        sa.ForeignKeyConstraint(["bundle_id"], ["bundles.id"], name=op.f("fk_experiments_bundle_id_bundles")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_experiments")),
    )
    op.create_index(op.f("ix_experiments_bundle_id"), "experiments", ["bundle_id"])
