"""What a worker measures: per batch, never per record; seconds and bytes; no SKU and no id in a label."""

from __future__ import annotations

from typing import Any, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.gc_collector import GCCollector

from streams import VERSION
from streams.core.ledger import Batch, Tally
from topics.catalogue import INPUTS
from topics.refusals import Reason
from topics.updates import Kind, Severity

disable_created_metrics()  # type: ignore[no-untyped-call]  # a series per counter that nothing here reads

KINDS, SEVERITIES, REASONS = get_args(Kind), get_args(Severity), get_args(Reason)
OUTCOMES = ("applied", "duplicate", "dead_lettered", "rerouted")
SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
AGE_SECONDS = (0.1, 1, 5, 30, 60, 300, 3600, 86_400)
MAX_SOURCES = 100
"""Label values for sources; the rest counts as `other`: a hostile upstream must not fill Prometheus."""


class Metrics:
    """All series of one worker, initialised to zero. It is the engine's observer."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self._sources: set[str] = set()

        def counter(name: str, words: str, *labels: str) -> Counter:
            return Counter(f"stockstream_{name}", words, labels, registry=registry)

        def gauge(name: str, words: str, *labels: str) -> Gauge:
            return Gauge(f"stockstream_{name}", words, labels, registry=registry)

        def histogram(name: str, words: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"stockstream_{name}", words, labels, buckets=buckets, registry=registry)

        self.consumed = counter("records_consumed_total", "Records read and decided, by topic", "topic")
        self.records = counter("records_total", "What became of each record", "topic", "outcome")
        self.dead_letters = counter("dead_letters_total", "Records sent to a dead-letter topic", "topic", "reason")
        self.unknown_fields = counter("unknown_fields_total", "Fields of inbound records that nobody knows", "topic")
        self.late = counter("late_records_total", "Counts that changed nothing because they were late", "kind")
        self.skew = counter("clock_skew_records_total", "occurred_at more than 5 min ahead of the broker", "source")
        self.age = histogram("record_age_seconds", "Broker time less occurred_at", AGE_SECONDS, "source")
        self.fold = histogram("batch_fold_seconds", "Decode and fold of one chunk of records", SECONDS, "topic")
        self.fold_seconds = counter("fold_seconds_total", "Time spent in decode and fold")
        self.encode_seconds = counter("encode_seconds_total", "Time spent in encoding rows and outputs")
        self.commit = histogram("commit_seconds", "One transaction, from begin to committed", SECONDS)
        self.commits = counter("commits_total", "Transactions committed")
        self.last_commit = gauge("last_commit_timestamp_seconds", "When the last transaction was committed")
        self.batch_records = histogram(
            "batch_records", "Records in one transaction's window", (1, 10, 100, 1000, 5000, 10_000, 20_000, 40_000)
        )
        self.written = counter("records_written_total", "Records written, the changelog's included")
        self.rows = gauge("table_rows", "SKUs in the stock table of this worker")
        self.remembered = gauge("memory_records", "Records in the memory of this worker")
        self.assigned = gauge("partitions_assigned", "Partition numbers that this worker owns")
        self.rebalances = counter("rebalances_total", "Assignments of partitions")
        self.recovery = histogram(
            "recovery_seconds", "Restore of table and memory", (0.1, 0.5, 1, 2, 5, 10, 30, 60, 300)
        )
        self.recovering = gauge("recovery_in_progress", "1 while table and memory are restored")
        self.lag = gauge("consumer_lag_records", "End of the log less our position", "topic", "partition")
        self.jumps = counter("offset_jumps_total", "Fetched slices that did not continue the last one", "topic")
        self.updates = counter("sync_updates_published_total", "Sync updates published")
        self.discrepancies = counter("discrepancies_total", "Discrepancies opened", "kind", "severity")
        self.open = gauge(
            "discrepancies_open", "Discrepancies that wait for a person or for the data", "kind", "severity"
        )
        self.auto_resolved = counter("auto_resolved_total", "Discrepancies closed by the data itself", "kind")
        self.human = counter("human_items_total", "Commands by which people worked on discrepancies", "kind")
        self.loop_lag = histogram("event_loop_lag_seconds", "How late the event loop wakes us", SECONDS)
        self.info = gauge("build_info", "1", "version")
        self._initialise()

    def _initialise(self) -> None:
        """A series that was never touched is missing, and an alert on it silent: make all that can exist."""
        for topic in INPUTS:
            self.consumed.labels(topic.name)
            self.jumps.labels(topic.name)
            self.unknown_fields.labels(topic.name)
            for outcome in OUTCOMES:
                self.records.labels(topic.name, outcome)
            for reason in REASONS:
                self.dead_letters.labels(topic.name, reason)
        for kind in KINDS:
            self.auto_resolved.labels(kind)
            self.human.labels(kind)
            for severity in SEVERITIES:
                self.discrepancies.labels(kind, severity)
                self.open.labels(kind, severity)
        for what in ("older_count", "late_count"):
            self.late.labels(what)
        self.info.labels(VERSION).set(1)

    # -- the engine's observer ------------------------------------------------------------------------------------
    def committed(self, partition: int, batch: Batch, events: int, seconds: float, written: int) -> None:  # noqa: ARG002
        """A transaction is durable: only now do its records count."""
        tally = batch.tally
        for (topic, outcome), count in tally.outcomes.items():
            self.consumed.labels(topic).inc(count)
            self.records.labels(topic, outcome).inc(count)
        for (topic, reason), count in tally.reasons.items():
            self.dead_letters.labels(topic, reason).inc(count)
        for topic, count in tally.unknown_fields.items():
            self.unknown_fields.labels(topic).inc(count)
        for what, count in tally.late.items():
            self.late.labels(what).inc(count)
        self._ages(tally)
        self._told(tally)
        self.updates.inc(tally.updates)
        self.commits.inc()
        self.commit.observe(seconds)
        self.batch_records.observe(events)
        self.written.inc(written)
        self.last_commit.set_to_current_time()

    def folded(self, topic: str, events: int, seconds: float) -> None:  # noqa: ARG002
        """Records met their rows."""
        self.fold.labels(topic).observe(seconds)
        self.fold_seconds.inc(seconds)

    def closed(self, seconds: float) -> None:
        """A window was encoded."""
        self.encode_seconds.inc(seconds)

    def recovered(self, rows: int, remembered: int, seconds: float) -> None:
        """Table and memory are whole again."""
        self.rows.set(rows)
        self.remembered.set(remembered)
        self.recovery.observe(seconds)
        self.recovering.set(0)

    def rebalanced(self, partitions: int) -> None:
        """Partitions were assigned; recovery begins."""
        self.rebalances.inc()
        self.assigned.set(partitions)
        self.recovering.set(1 if partitions else 0)

    def jumped(self, topic: str) -> None:
        """A slice was refused."""
        self.jumps.labels(topic).inc()

    # -- parts ----------------------------------------------------------------------------------------------------
    def _ages(self, tally: Tally) -> None:
        """One sample per source and window, the oldest: the tail is what matters, and records are many."""
        for source, (age, skewed) in tally.ages.items():
            name = self._source(source)
            self.age.labels(name).observe(max(0, age) / 1000)
            if skewed:
                self.skew.labels(name).inc(skewed)

    def _source(self, name: str) -> str:
        if name in self._sources:
            return name
        if len(self._sources) >= MAX_SOURCES:
            return "other"
        self._sources.add(name)
        return name

    def _told(self, tally: Tally) -> None:
        for (kind, severity, how), count in tally.told.items():
            if how == "opened":
                self.discrepancies.labels(kind, severity).inc(count)
            elif how == "auto_resolved":
                self.auto_resolved.labels(kind).inc(count)
            elif how != "repeated":
                self.human.labels(kind).inc(count)

    def gauges(self, runtime: Any, highwaters: dict[tuple[str, int], int]) -> None:
        """Refresh what is looked up rather than counted, at a scrape."""
        ledgers = runtime.ledgers
        self.rows.set(sum(len(ledger.rows) for ledger in ledgers.values()))
        self.remembered.set(sum(len(ledger.books.memory) for ledger in ledgers.values()))
        self.assigned.set(len(ledgers))
        self.lag.clear()
        for number, ledger in ledgers.items():
            for topic in INPUTS:
                end = highwaters.get((topic.name, number))
                if end is not None:
                    lag = max(0, end - ledger.positions.get(topic.name, 0))
                    self.lag.labels(topic.name, str(number)).set(lag)
        for kind in KINDS:
            for severity in SEVERITIES:
                total = sum(ledger.books.desk.open_count.get((kind, severity), 0) for ledger in ledgers.values())
                self.open.labels(kind, severity).set(total)
