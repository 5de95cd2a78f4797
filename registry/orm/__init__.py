"""Tables only. Importing this package maps all of them."""

from registry.orm import (
    account,
    advisory,
    approval,
    audit,
    catalog,
    experiment,
    image,
    job,
    lineage,
    platform,
    scanning,
)
from registry.orm.base import Base, Governed

__all__ = [
    "Base",
    "Governed",
    "account",
    "advisory",
    "approval",
    "audit",
    "catalog",
    "experiment",
    "image",
    "job",
    "lineage",
    "platform",
    "scanning",
]
