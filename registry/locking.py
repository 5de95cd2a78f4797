"""Locking one row for the rest of the transaction."""

import sqlalchemy as sa
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

from registry.orm.base import Base


def lock(session: Session, row: Base) -> None:
    """Wait for whoever else is changing ``row``, then see its columns as they left them.

    The lock is taken by a query of its own: PostgreSQL refuses to lock through the outer joins a loaded row came with.
    """
    if session.get_bind().dialect.name == "sqlite":
        return  # this transaction has been the only writer since it began, before the row was loaded
    mapper = sa.inspect(type(row))
    identity = [
        column == value for column, value in zip(mapper.primary_key, mapper.primary_key_from_instance(row), strict=True)
    ]
    columns = [getattr(mapper.class_, attribute.key) for attribute in mapper.column_attrs]
    # FOR NO KEY UPDATE: rows that refer to this one may be inserted meanwhile, which else would deadlock with us.
    fresh = session.execute(sa.select(*columns).where(*identity).with_for_update(key_share=True)).one()
    for column, value in zip(columns, fresh, strict=True):
        set_committed_value(row, column.key, value)
