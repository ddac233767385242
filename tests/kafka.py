"""The Kafka that tests run against, and how it is emptied between two tests.

Topic names are constants, so tests share them: each test gets the topics new and empty. Without KAFKA_BOOTSTRAP
every module starts an embedded Kafka of its own; with it, all tests use that cluster one after the other, and only
stockstream's topics there are touched.
"""

import os
import time
from collections.abc import Callable, Container, Iterable
from concurrent.futures import Future

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from topics.catalogue import BY_NAME, changelog

EXTERNAL = os.environ.get("KAFKA_BOOTSTRAP")
"""The reader's own cluster, if tests are to use that. Read once: the fixture sets the variable for each test."""

REQUEST_TIMEOUT_S = 15.0
GONE_WITHIN_S = 30.0
SERVED_WITHIN_S = 30.0
GROUP_EMPTIES_WITHIN_S = 12.0  # longer than the longest session timeout of a worker (contract: 6-10 s)


class LeftoverGroupError(Exception):
    """A consumer group of an earlier test still has members."""


def admin_client(bootstrap: str) -> AdminClient:
    """An admin client that keeps librdkafka's chatter out of the test's output."""
    return AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})


def is_ours(topic: str) -> bool:
    """Whether a topic is one of stockstream's, with the changelog of any worker group."""
    return topic in BY_NAME or topic.endswith(changelog("").name)


def empty(bootstrap: str, *, only_ours: bool) -> None:
    """Delete topics (all but Kafka's own, or only ours) and the consumer groups that earlier tests left.

    Raises LeftoverGroupError if a group has members and does not lose them in time.
    """
    admin = admin_client(bootstrap)
    _delete_groups(admin, only_ours=only_ours)
    doomed = [topic for topic in _topics(admin) if is_ours(topic) or not only_ours]
    if doomed:
        _settle(admin.delete_topics(doomed, operation_timeout=REQUEST_TIMEOUT_S).values(), tolerated=("UNKNOWN_TOPIC",))
        wait_until(lambda: not set(doomed) & set(_topics(admin)), GONE_WITHIN_S, "the topics are deleted")


def wait_served(bootstrap: str, also: Container[str] = ()) -> None:
    """Until every partition of our topics answers: a new topic is listed a little before its leader takes it over."""
    admin = admin_client(bootstrap)
    topics = admin.list_topics(timeout=REQUEST_TIMEOUT_S).topics
    latest = {
        TopicPartition(name, partition): OffsetSpec.latest()  # type: ignore[no-untyped-call]
        for name, topic in topics.items()
        if is_ours(name) or name in also
        for partition in topic.partitions
    }
    wait_until(lambda: _all_answer(admin, latest), SERVED_WITHIN_S, "all partitions have a leader that serves")


def _all_answer(admin: AdminClient, offsets: dict[TopicPartition, OffsetSpec]) -> bool:
    futures = admin.list_offsets(offsets, request_timeout=REQUEST_TIMEOUT_S).values()
    return not any(future.exception(REQUEST_TIMEOUT_S) for future in futures)


def wait_until(condition: Callable[[], bool], within_s: float, what: str) -> None:
    """Poll `condition`; a test that waits too long fails and says for what."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s:.0f} s: {what}")
        time.sleep(0.02)


def _topics(admin: AdminClient) -> list[str]:
    return [name for name in admin.list_topics(timeout=REQUEST_TIMEOUT_S).topics if not name.startswith("__")]


def _delete_groups(admin: AdminClient, *, only_ours: bool) -> None:
    """Kafka deletes a group's offsets with the topics; members that are still there are what can spoil a test."""
    deadline = time.monotonic() + (GROUP_EMPTIES_WITHIN_S if only_ours else 0.5)
    while groups := _groups(admin, only_ours=only_ours):
        _settle(admin.delete_consumer_groups(groups).values(), tolerated=("NON_EMPTY_GROUP", "GROUP_ID_NOT_FOUND"))
        if time.monotonic() > deadline:
            raise LeftoverGroupError(f"consumer groups with members, stop these first: {', '.join(groups)}")
        time.sleep(0.05)


def _groups(admin: AdminClient, *, only_ours: bool) -> list[str]:
    listed = admin.list_consumer_groups(request_timeout=REQUEST_TIMEOUT_S).result()
    names = [group.group_id for group in listed.valid]
    return [name for name in names if name.startswith("stockstream") or not only_ours]


def _settle(futures: Iterable[Future[None]], tolerated: tuple[str, ...]) -> None:
    for future in futures:
        try:
            future.result(REQUEST_TIMEOUT_S)
        except KafkaException as error:
            if not error.args[0].name().startswith(tolerated):
                raise
