"""A worker that must not start says so in one line that names what to mend, and ends with the contract's status."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from confluent_kafka.admin import NewPartitions

from tests.integration.worker import Worker, free_port, refused
from tests.kafka import admin_client, wait_until
from topics.catalogue import RETURNS, STOREFRONT
from topics.settings import EXIT_REFUSED

NOWHERE = "127.0.0.1:1"
FAILED = 1


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"STOCKSTREAM_WINDOW_MILLIS": "5"}, "STOCKSTREAM_WINDOW_MILLIS"),
        ({"STOCKSTREAM_POLICY": "/nowhere/policy.yaml"}, "STOCKSTREAM_POLICY"),
        ({"STOCKSTREAM_POLICY": "policy.yaml"}, "channels.outlet.percent"),
        ({"STOCKSTREAM_SESSION_TIMEOUT": "60"}, "STOCKSTREAM_SESSION_TIMEOUT"),
        ({"KAFKA_SASL_PASSWORD": "hunter2"}, "KAFKA_SASL_PASSWORD"),
    ],
    ids=["unknown key", "no policy file", "bad policy", "out of range", "contradiction"],
)
def test_refused_settings_end_with_2(tmp_path: Path, environment: dict[str, str], named: str) -> None:
    """Before anything is asked of a broker."""
    if environment.get("STOCKSTREAM_POLICY") == "policy.yaml":
        policy = tmp_path / "policy.yaml"
        policy.write_text("channels: {outlet: {kind: webhook, percent: 101}}", encoding="utf-8")
        environment = {"STOCKSTREAM_POLICY": str(policy)}
    status, text = refused(NOWHERE, tmp_path, **environment)
    assert status == EXIT_REFUSED, text
    (line,) = text.strip().splitlines()
    assert named in line
    assert "hunter2" not in text


def test_topics_that_do_not_fit_and_a_port_that_is_taken(kafka: str, tmp_path: Path) -> None:
    """A taken port ends with 1, so does a broker that is not there; topics that are not as they must be, with 2."""
    alone = Worker(NOWHERE, tmp_path, "alone").start()  # it tries for some seconds: meanwhile, the others
    try:
        _ports_and_topics(kafka, tmp_path)
        assert alone.running.wait(30) == FAILED
    finally:
        alone.running.kill()
    (line,) = alone.text().strip().splitlines()
    assert f"Kafka cannot be reached at {NOWHERE} (KAFKA_BOOTSTRAP)" in line


def _ports_and_topics(kafka: str, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        worker = Worker(kafka, tmp_path, port=taken.getsockname()[1]).start()
        assert worker.running.wait(30) == FAILED
        assert f"STOCKSTREAM_WEB_PORT={worker.port}: cannot listen" in worker.text()
        assert "Traceback" not in worker.text()
    admin = admin_client(kafka)
    more = NewPartitions(STOREFRONT.name, 5)
    admin.create_partitions([more])[STOREFRONT.name].result(15)
    wait_until(lambda: len(admin.list_topics(timeout=15).topics[STOREFRONT.name].partitions) == 5, 15, "5 partitions")
    status, text = refused(kafka, tmp_path)
    assert status == EXIT_REFUSED, text
    (line,) = text.strip().splitlines()
    assert f"topic {STOREFRONT.name} has 5 partitions, the others 4" in line
    admin.delete_topics([RETURNS.name])[RETURNS.name].result(15)
    wait_until(lambda: RETURNS.name not in admin.list_topics(timeout=15).topics, 15, "the topic is deleted")
    status, text = refused(kafka, tmp_path)
    assert status == EXIT_REFUSED, text
    (line,) = text.strip().splitlines()
    assert f"topic {RETURNS.name} does not exist; run: python -m topics apply" in line


def test_another_application_has_a_changelog_of_its_own(kafka: str, tmp_path: Path) -> None:
    """Its name follows from STOCKSTREAM_APP_ID; the line tells how to make it."""
    status, text = refused(kafka, tmp_path, STOCKSTREAM_APP_ID="other", STOCKSTREAM_WEB_PORT=str(free_port()))
    assert status == EXIT_REFUSED, text
    assert "python -m topics apply --app-id other" in text
