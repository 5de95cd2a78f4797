"""Bringing advisories and waiving them, each in a unit of work of its own."""

from registry import advisories, recall, waivers
from registry.orm.advisory import Severity
from tests import factories
from tests.factories import advisory

BAD = advisory("GHSA-bad0-0000-0001", "numpy", fixed="2.4.2")
"""About the one wheel of the factories' locks, numpy 2.4.1."""
MILD = advisory("GHSA-mild-0000-0001", "numpy", severity=Severity.LOW, score=2.0)


def bring(world, *records, **limits):
    with world.write() as session:
        return factories.import_advisories(session, *records, actor=world.ops, **limits)


def standing(world, number=1):
    with world.read() as session:
        return advisories.of_version(session, world.version(session, number))


def waive(world, name="GHSA-bad0-0000-0001", days=30, owner="ana"):
    with world.write() as session:
        found = recall.get(session, name, actor=world.cora)
        return waivers.waive(session, found, actor=world.cora, owner=owner, reason="Not reachable.", days=days)
