"""Locking one row for the rest of the transaction."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from registry.orm.base import Base


def lock(session: Session, row: Base) -> None:
    """Wait for whoever else is changing ``row``, then see its columns as they left them.

    The lock is taken by a query of its own: PostgreSQL refuses to lock through the outer joins a loaded row came with.
    """
    mapper = sa.inspect(type(row))
    identity = [
        column == value for column, value in zip(mapper.primary_key, mapper.primary_key_from_instance(row), strict=True)
    ]
    # FOR NO KEY UPDATE: rows that refer to this one may be inserted meanwhile, which else would deadlock with us.
    session.execute(sa.select(*mapper.primary_key).where(*identity).with_for_update(key_share=True))
    session.refresh(row, [attribute.key for attribute in mapper.column_attrs])
