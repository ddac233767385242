"""What a sink counts. Names and labels are those of the metrics catalogue; the prefix is `stockstream_`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

UpdateOutcome = Literal["acked", "superseded", "stale_rejected", "failed", "unconfirmed"]
"""acked: confirmed by the channel; superseded: a newer version took its place before it was sent; stale_rejected: older
than one we knew; failed: refused for good; unconfirmed: one call whose outcome is unknown (it is asked again)."""

FRESHNESS_BUCKETS_S = (1, 5, 10, 30, 60, 300, 900)
_REMEMBERED = 4096
"""Ages kept for the percentiles of /api/status."""


class Metrics:
    """One channel's numbers."""

    def __init__(self, channel: str) -> None:
        self.registry = CollectorRegistry()
        self.channel = channel
        self._updates = self._counter("sync_updates_total", "updates by what became of them", "outcome")
        self._requests = self._counter("sync_requests_total", "HTTP calls by class of status", "code_class")
        self._request_seconds = Histogram(
            "stockstream_sync_request_seconds",
            "time of one HTTP call",
            ["channel", "code_class"],
            registry=self.registry,
            buckets=(0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60),
        )
        self._retries = self._counter("sync_retries_total", "calls that had to be repeated").labels(channel)
        self._throttles = self._counter("sync_throttles_total", "answers that asked for patience").labels(channel)
        self._throttled = self._counter("sync_throttled_seconds_total", "time waited on limits").labels(channel)
        self._cas = self._counter("cas_conflicts_total", "compare-and-set refused").labels(channel)
        self._reports = self._counter("sync_reports_total", "reports written", "type")
        self._dead = self._counter("sync_dead_letters_total", "records of the sync topic that cannot be read", "reason")
        self._auth = self._counter("auth_failures_total", "calls refused for our credentials").labels(channel)
        self._freshness = Histogram(
            "stockstream_sync_freshness_seconds",
            "occurred_at of the update to the channel's ack",
            ["channel"],
            registry=self.registry,
            buckets=FRESHNESS_BUCKETS_S,
        ).labels(channel)
        self._delivery = Histogram(
            "stockstream_sync_delivery_seconds",
            "writing of the update to Kafka to the channel's ack",
            ["channel"],
            registry=self.registry,
            buckets=(0.05, 0.1, 0.25, 0.5, *FRESHNESS_BUCKETS_S),
        ).labels(channel)
        self.counts: dict[str, float] = {"retries": 0, "throttles": 0, "throttled_seconds": 0.0, "cas_conflicts": 0}
        self.updates: dict[str, int] = dict.fromkeys(
            ("acked", "superseded", "stale_rejected", "failed", "unconfirmed"), 0
        )
        self.requests: dict[str, int] = {}
        self.reports: dict[str, int] = {}
        self.dead_letters: dict[str, int] = {}
        self.fresh_s: deque[float] = deque(maxlen=_REMEMBERED)
        self.delivery_s: deque[float] = deque(maxlen=_REMEMBERED)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"stockstream_{name}", text, ["channel", *labels], registry=self.registry)

    def gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        """A gauge that is asked when it is scraped."""
        gauge = Gauge(f"stockstream_{name}", text, ["channel"], registry=self.registry)
        gauge.labels(self.channel).set_function(value)

    def update(self, outcome: UpdateOutcome, count: int = 1) -> None:
        """Updates ended so."""
        self._updates.labels(self.channel, outcome).inc(count)
        self.updates[outcome] += count

    def request(self, code_class: str, seconds: float) -> None:
        """A call was answered, or not: 2xx, 3xx, 4xx, 5xx or none."""
        self._requests.labels(self.channel, code_class).inc()
        self._request_seconds.labels(self.channel, code_class).observe(seconds)
        self.requests[code_class] = self.requests.get(code_class, 0) + 1

    def retry(self) -> None:
        """A call has to be repeated."""
        self._retries.inc()
        self.counts["retries"] += 1

    def throttled(self, seconds: float) -> None:
        """The channel asked for patience."""
        self._throttles.inc()
        self._throttled.inc(seconds)
        self.counts["throttles"] += 1
        self.counts["throttled_seconds"] += seconds

    def paced(self, seconds: float) -> None:
        """We wait by ourselves, because the channel's budget runs low."""
        self._throttled.inc(seconds)
        self.counts["throttled_seconds"] += seconds

    def stale(self) -> None:
        """The channel held something else than we thought."""
        self._cas.inc()
        self.counts["cas_conflicts"] += 1

    def auth_failure(self) -> None:
        """Our credentials were refused."""
        self._auth.inc()

    def report(self, kind: str) -> None:
        """A report was written."""
        self._reports.labels(self.channel, kind).inc()
        self.reports[kind] = self.reports.get(kind, 0) + 1

    def dead_letter(self, reason: str) -> None:
        """A record of the sync topic could not be read."""
        self._dead.labels(self.channel, reason).inc()
        self.dead_letters[reason] = self.dead_letters.get(reason, 0) + 1

    def acked(self, freshness_s: float, delivery_s: float) -> None:
        """The channel confirmed an update of this age."""
        self.update("acked")
        self._freshness.observe(max(0.0, freshness_s))
        self._delivery.observe(max(0.0, delivery_s))
        self.fresh_s.append(freshness_s)
        self.delivery_s.append(delivery_s)

    def exposition(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)


def percentiles(values: deque[float]) -> dict[str, float] | None:
    """p50, p99 and the largest of the last few thousand."""
    if not values:
        return None
    ordered = sorted(values)
    last = len(ordered) - 1
    return {"p50": ordered[last // 2], "p99": ordered[min(last, round(last * 0.99))], "max": ordered[-1]}
