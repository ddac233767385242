"""The `kafka` fixture: every test finds all topics, and nothing in them."""

import os
import subprocess
import sys

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from tests.kafka import admin_client, is_ours
from topics.catalogue import BY_NAME, WAREHOUSE, changelog


def records(bootstrap: str) -> int:
    """How many records the partition of the tests holds."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "stockstream-count", "log_level": 0})
    try:
        first, end = consumer.get_watermark_offsets(TopicPartition(WAREHOUSE.name, 0), timeout=15)
        return int(end - first)
    finally:
        consumer.close()


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_finds_empty_topics(kafka: str, turn: int) -> None:
    """Whatever the test before it produced."""
    assert records(kafka) == 0, f"turn {turn}"
    producer = Producer({"bootstrap.servers": kafka, "log_level": 0})
    producer.produce(WAREHOUSE.name, b"{}", b"RETRO-CLOCK", partition=0)
    assert producer.flush(15) == 0
    assert records(kafka) == 1


def test_all_topics_are_there(kafka: str) -> None:
    """Those of the catalogue and the changelog of the default worker group; KAFKA_BOOTSTRAP names the cluster."""
    found = admin_client(kafka).list_topics(timeout=15).topics
    assert {*BY_NAME, changelog("stockstream").name} <= set(found)
    assert os.environ["KAFKA_BOOTSTRAP"] == kafka


MEMBER = """
import sys
from confluent_kafka import Consumer
bootstrap, topic = sys.argv[1:]
consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "stockstream", "session.timeout.ms": 6000})
consumer.subscribe([topic])
while not consumer.assignment():
    consumer.poll(0.1)
print(len(consumer.assignment()), flush=True)
while True:
    consumer.poll(0.1)
"""


@pytest.mark.parametrize("turn", [1, 2])
def test_a_killed_member_does_not_outlive_its_test(kafka: str, turn: int) -> None:
    """Its session lasts on for seconds: the next test's member must not share the partitions with it."""
    command = [sys.executable, "-c", MEMBER, kafka, WAREHOUSE.name]
    member = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert member.stdout is not None
        assigned = int(member.stdout.readline())
    finally:
        member.kill()
        member.communicate()
    partitions = admin_client(kafka).list_topics(WAREHOUSE.name, timeout=15).topics[WAREHOUSE.name].partitions
    assert assigned == len(partitions), f"turn {turn}: another member holds some"


def test_other_topics_of_a_cluster_that_was_given_are_left_alone() -> None:
    """By name: the catalogue's and any worker group's changelog are ours, nothing else."""
    ours = (WAREHOUSE.name, WAREHOUSE.dlq, changelog("my-own-group").name)
    assert all(is_ours(name) for name in ours)
    assert not any(is_ours(name) for name in ("orders", "warehouse.movements", "__consumer_offsets", "changelog"))
