"""Add dossier_entries.about: an answer names the notice of the checks that it answers.

Safe while the previous release runs: a new nullable column that it never reads.
"""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "dossier_entries", sa.Column("about", sa.String(40), comment="code of the notice that an answer answers")
    )
