"""What `/metrics` shows (Prometheus). Label values come from the manifest and from our own code, never from a request.

What every request counts is plain numbers, which become series when they are asked for: the library's counters take a lock
each time, and there is one thread that counts.
"""

from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import accumulate

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.routing import Route, Version

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
CHOSEN_BY = ("key", "chance", "version")
SHADOW_OUTCOMES = ("answered", "failed", "unfit", "dropped")


class VersionMetrics:
    """Counts of one version on one route: requests, failed ones included; rows answered; failures by HTTP status; what chose it."""

    __slots__ = ("buckets", "errors", "exposure", "labels", "requests", "rows", "seconds")

    def __init__(self, version: Version) -> None:
        self.labels = (version.route, version.name)
        self.requests = 0
        self.rows = 0
        self.errors: Counts[int] = Counts()
        self.exposure = dict.fromkeys(CHOSEN_BY, 0)
        self.seconds = 0.0
        self.buckets = [0] * (len(SECONDS) + 1)

    def answered(self, seconds: float) -> None:
        """A request came to its end, that many seconds after it was read."""
        self.requests += 1
        self.seconds += seconds
        self.buckets[bisect_left(SECONDS, seconds)] += 1


class ModelMetrics:
    """Whether the process of one model is up, and how often it ended."""

    def __init__(self, up: Gauge, ended: Counter) -> None:
        self._up = up
        self._ended = ended

    def started(self) -> None:
        self._up.set(1)

    def stopped(self) -> None:
        self._up.set(0)
        self._ended.inc()


class ShadowMetrics:
    """Counters of one version in the shadow of one route."""

    def __init__(self, metrics: "Metrics", version: Version) -> None:
        labels = (version.route, version.name)
        self.seconds = metrics.shadow_seconds.labels(*labels)
        self.agreed, self.differed = (metrics.shadow_rows.labels(*labels, how) for how in ("agreed", "differed"))
        self._outcomes = {how: metrics.shadow_requests.labels(*labels, how) for how in SHADOW_OUTCOMES}

    def outcome(self, name: str) -> Counter:
        return self._outcomes[name]


class Metrics:
    """All series of one server, in a registry of their own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each of ours, that says nothing a scraper needs
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        versioned = ("route", "version")
        self._requests = _Requests()
        self._registry.register(self._requests)
        self.weight = self._gauge(
            "route_weight", "Share of the route that a version gets, of the sum on its route", versioned
        )
        self._revoked = self._gauge("revoked", "1 where a version was revoked and answers no more", versioned)
        self._revocations = self._gauge(
            "revocations_issued_timestamp_seconds", "When the revocation list that holds was issued", ()
        )
        self.outbox = self._counter(
            "outbox",
            "Logged predictions and exported spans: delivered, dropped before, lost on the way",
            ("what", "outcome"),
        )
        self.up = self._gauge("model_up", "1 while the model can answer", ("model",))
        self.ended = self._counter("model_process_ended", "Times the process of a model ended by itself", ("model",))
        self.shadow_requests = self._counter(
            "shadow_requests",
            "Copies of requests for a shadow: answered, failed, unfit for its signature, dropped because it could not follow",
            (*versioned, "outcome"),
        )
        self.shadow_rows = self._counter(
            "shadow_rows",
            "Rows for which a shadow and the version that answered predict the same, or not",
            (*versioned, "outcome"),
        )
        self.shadow_seconds = Histogram(
            "countersign_shadow_seconds",
            "From a copy handed to the process of a shadow to its answer",
            versioned,
            buckets=SECONDS,
            registry=self._registry,
        )
        self._shadow_weight = self._gauge(
            "shadow_weight", "Per cent of the route's requests that are copied to a shadow", versioned
        )
        self.shadow_up = self._gauge("shadow_up", "1 while the process of a shadow can answer", versioned)
        self.shadow_ended = self._counter(
            "shadow_process_ended", "Times the process of a shadow ended by itself", versioned
        )
        self.active = self._gauge("active_requests", "Inference requests under way", ())
        self.image = self._gauge(
            "image_info", "Always 1; the bundle served and the key that sealed it", ("bundle", "key")
        )

    def show(self, routes: Mapping[str, Route]) -> None:
        """Set the weights that hold now, and what was revoked."""
        for route in routes.values():
            for version in route.versions.values():
                self.weight.labels(route.name, version.name).set(version.weight)
            for version in route.shadows.values():
                self._shadow_weight.labels(route.name, version.name).set(version.weight)
            for version in route.every.values():
                if version.revoked:
                    self._revoked.labels(route.name, version.name).set(1)

    def show_revocations(self, issued_at: str) -> None:
        self._revocations.set(datetime.fromisoformat(issued_at).timestamp())

    def version(self, version: Version) -> VersionMetrics:
        """What is counted of ``version`` from now on."""
        self._requests.versions.append(VersionMetrics(version))
        return self._requests.versions[-1]

    def answered(self, transport: str, status: int | str) -> None:
        """A call was answered, with HTTP's status or gRPC's code."""
        self._requests.answers[transport, status] += 1

    def render(self) -> bytes:
        return generate_latest(self._registry)

    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> Counter:
        return Counter(f"countersign_{name}", text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str, labels: tuple[str, ...]) -> Gauge:
        return Gauge(f"countersign_{name}", text, labels, registry=self._registry)


class _Requests(Collector):
    """The series of what every request counts."""

    def __init__(self) -> None:
        self.versions: list[VersionMetrics] = []
        self.answers: Counts[tuple[str, int | str]] = Counts()

    def collect(self) -> Iterator[Metric]:
        each, by = self.versions, ("route", "version")
        yield _counts(
            "requests",
            "Inference requests answered by a version, failed ones included",
            by,
            ((found.labels, found.requests) for found in each),
        )
        yield _counts("rows", "Rows answered", by, ((found.labels, found.rows) for found in each))
        yield _counts(
            "errors",
            "Inference requests that failed, by HTTP status",
            (*by, "status"),
            (((*found.labels, str(status)), number) for found in each for status, number in found.errors.items()),
        )
        yield _counts(
            "answers",
            "Inference and repository calls answered, refused ones included",
            ("transport", "status"),
            (((transport, str(status)), number) for (transport, status), number in self.answers.items()),
        )
        yield _counts(
            "exposure",
            "Inference requests given to a version, by what chose it",
            (*by, "by"),
            (((*found.labels, how), number) for found in each for how, number in found.exposure.items()),
        )
        seconds = HistogramMetricFamily(
            "countersign_request_seconds", "From the whole request read to its answer ready", labels=by
        )
        ends = [*map(str, map(float, SECONDS)), "+Inf"]
        for found in each:
            seconds.add_metric(found.labels, [*zip(ends, accumulate(found.buckets), strict=True)], found.seconds)
        yield seconds


def _counts(name: str, text: str, labels: Sequence[str], found: Iterable[tuple[Sequence[str], int]]) -> Metric:
    family = CounterMetricFamily(f"countersign_{name}", text, labels=labels)
    for values, number in found:
        family.add_metric(values, number)
    return family
