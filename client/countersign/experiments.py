"""What the server tells of experiments."""

from dataclasses import dataclass

from countersign.models import Record


@dataclass(frozen=True, kw_only=True)
class Experiment(Record):
    """What a route is split or shadowed for: `planned`, `running`, `ended` or `concluded`."""

    id: str
    bundle: str = ""
    route: str = ""
    hypothesis: str = ""
    metric: str = ""
    state: str = ""
    starts_at: str | None = None
    ends_at: str | None = None
    result: str | None = None
    url: str = ""
