"""Topics on a real Kafka: created, corrected and checked. Every wait is bounded, every failure is one line."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ClusterMetadata,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
    TopicMetadata,
)

from topics.catalogue import CLOCK, Topic, all_topics
from topics.settings import KafkaSettings

_CALL_SECONDS = 10.0
_READY_SECONDS = 30.0


class TopicsError(Exception):
    """Topics are not as the pipeline needs them, or Kafka cannot be asked: one line with the cause and the cure."""


class Kafka:
    """An admin client whose failures are `TopicsError`s."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self.settings = kafka
        self._last_error = ""
        config: dict[str, Any] = {**kafka.client_config(), "error_cb": self._remember}
        self._admin = AdminClient(config)

    def _remember(self, error: Any) -> None:
        self._last_error = error.str()

    def metadata(self, seconds: float = _CALL_SECONDS) -> ClusterMetadata:
        """Brokers and topics as they are now."""
        try:
            return self._admin.list_topics(timeout=seconds)
        except KafkaException as exc:
            self._admin.poll(0)
            why = self._last_error or exc.args[0].str()
            raise TopicsError(
                f"Kafka cannot be reached at {self.settings.bootstrap} (KAFKA_BOOTSTRAP): {why}"
            ) from None

    def create(self, topics: Iterable[Topic]) -> None:
        """Create topics and wait until each partition has a leader."""
        new = [_new_topic(topic, self.settings) for topic in topics]
        if not new:
            return
        for name, future in self._admin.create_topics(new, request_timeout=_CALL_SECONDS).items():
            try:
                future.result(_CALL_SECONDS)
            except KafkaException as exc:
                if exc.args[0].name() != "TOPIC_ALREADY_EXISTS":  # another `apply` was faster
                    raise TopicsError(f"{name} cannot be created: {exc.args[0].str()}") from None
            except TimeoutError:
                raise TopicsError(f"{name} cannot be created: no answer in {_CALL_SECONDS:.0f} s") from None
        self._await_leaders({topic.topic for topic in new})

    def _await_leaders(self, names: set[str]) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            found = self.metadata().topics
            if all(n in found and _is_led(found[n], self.settings.partitions) for n in names):
                return
            time.sleep(0.05)
        raise TopicsError(f"created topics have no leaders after {_READY_SECONDS:.0f} s; are all brokers up?")

    def configs(self, names: Iterable[str]) -> dict[str, dict[str, str]]:
        """Topic -> its settings as they stand."""
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        if not resources:
            return {}
        futures = self._admin.describe_configs(resources, request_timeout=_CALL_SECONDS)
        found: dict[str, dict[str, str]] = {}
        for resource, future in futures.items():
            entries = self._result(future, f"{resource.name}: its settings cannot be read")
            found[resource.name] = {name: entry.value for name, entry in entries.items()}
        return found

    def correct(self, wrong: dict[str, dict[str, str]]) -> None:
        """Set these settings of these topics, and leave all others alone."""
        resources = [
            ConfigResource(
                ResourceType.TOPIC,
                name,
                incremental_configs=[
                    ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
                    for key, value in config.items()
                ],
            )
            for name, config in wrong.items()
        ]
        if resources:
            for resource, future in self._admin.incremental_alter_configs(resources).items():
                self._result(future, f"{resource.name}: its settings cannot be changed")

    def _result(self, future: Any, otherwise: str) -> Any:
        try:
            return future.result(_CALL_SECONDS)
        except KafkaException as exc:
            raise TopicsError(f"{otherwise}: {exc.args[0].str()}") from None
        except TimeoutError:
            raise TopicsError(f"{otherwise}: no answer in {_CALL_SECONDS:.0f} s") from None


def apply_topics(kafka: KafkaSettings, app_id: str = "stockstream") -> list[str]:
    """Create what is missing and correct what differs; a second call changes nothing.

    Returns:
        What was done, one line for each topic that was touched and one for the rest.

    Raises:
        TopicsError: a topic has another number of partitions (nothing is changed then), or Kafka says no.
    """
    client = Kafka(kafka)
    metadata = client.metadata()
    wanted = all_topics(app_id)
    existing = [t for t in wanted if t.name in metadata.topics]
    _refuse_repartitioning(existing, metadata, kafka.partitions)
    _check_brokers(metadata, kafka)
    missing = [t for t in wanted if t.name not in metadata.topics]
    client.create(missing)
    done = [f"created {t.name}: {kafka.partitions} partitions, {t.cleanup}" for t in missing]
    settings = client.configs(t.name for t in existing)
    wrong: dict[str, dict[str, str]] = {}
    for topic in existing:
        now = settings[topic.name]
        differs = {k: v for k, v in _config(topic, kafka).items() if now.get(k) != v}
        if differs:
            wrong[topic.name] = differs
            done += [f"corrected {topic.name}: {k} {now.get(k)} -> {v}" for k, v in differs.items()]
        replicas = _replicas(metadata.topics[topic.name])
        if replicas != kafka.replication_factor:
            done.append(
                f"kept {topic.name}: replication factor {replicas}, not {kafka.replication_factor}; "
                "kafka-reassign-partitions changes it"
            )
    client.correct(wrong)
    right = len(existing) - len(wrong)
    return [*done, f"{right} of {len(wanted)} topics were right already"] if right else done


def check_inputs(kafka: KafkaSettings, app_id: str = "stockstream") -> int:
    """The number of partitions that all topics of the pipeline have.

    Raises:
        TopicsError: one line that names the topic that is missing or that differs, and the cure.
    """
    return common_partitions(Kafka(kafka).metadata(), app_id)


def common_partitions(metadata: ClusterMetadata, app_id: str) -> int:
    """As `check_inputs`, on metadata at hand."""
    wanted = all_topics(app_id)
    missing = [t.name for t in wanted if t.name not in metadata.topics or not metadata.topics[t.name].partitions]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise TopicsError(f"topic {missing[0]}{more} does not exist; run: python -m topics apply --app-id {app_id}")
    counts = {t.name: len(metadata.topics[t.name].partitions) for t in wanted}
    usual = Counter(counts.values()).most_common(1)[0][0]
    other = next((name for name, count in counts.items() if count != usual), None)
    if other is not None:
        raise TopicsError(
            f"topic {other} has {counts[other]} partitions, the others {usual}: all must have the same number, "
            f"or a SKU's records part; delete {other} and run: python -m topics apply --partitions {usual}"
        )
    return usual


def _refuse_repartitioning(existing: list[Topic], metadata: ClusterMetadata, partitions: int) -> None:
    for topic in existing:
        found = len(metadata.topics[topic.name].partitions)
        if found != partitions:
            raise TopicsError(
                f"topic {topic.name} has {found} partitions, not {partitions}: a change would part the records of a "
                f"SKU; use KAFKA_PARTITIONS={found} (or --partitions {found}), or move to new topics"
            )


def _check_brokers(metadata: ClusterMetadata, kafka: KafkaSettings) -> None:
    if len(metadata.brokers) < kafka.replication_factor:
        raise TopicsError(
            f"KAFKA_REPLICATION_FACTOR={kafka.replication_factor} needs as many brokers; there are "
            f"{len(metadata.brokers)} at {kafka.bootstrap}"
        )


def _config(topic: Topic, kafka: KafkaSettings) -> dict[str, str]:
    config = topic.config
    if kafka.replication_factor >= 3:  # one broker may be lost, and no acknowledged record with it
        config["min.insync.replicas"] = str(kafka.replication_factor - 1)
    if topic is CLOCK:  # a segment is deleted whole: daily ones would keep ticks for two days
        config["segment.ms"] = str(60 * 60 * 1000)
    return config


def _new_topic(topic: Topic, kafka: KafkaSettings) -> NewTopic:
    return NewTopic(topic.name, kafka.partitions, kafka.replication_factor, config=_config(topic, kafka))


def _replicas(topic: TopicMetadata) -> int:
    return min((len(p.replicas) for p in topic.partitions.values()), default=0)


def _is_led(topic: TopicMetadata, partitions: int) -> bool:
    return len(topic.partitions) >= partitions and all(p.leader >= 0 for p in topic.partitions.values())
