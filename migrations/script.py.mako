"""${message}

Say why, and that it is safe beside the previous release:
- [ ] expand, backfill and contract are three revisions
- [ ] new columns are nullable or have a server default
- [ ] large tables are changed in batches
- [ ] it ran on a populated SQLite and PostgreSQL database (tests/registry/test_registry_migrations.py)
"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}
