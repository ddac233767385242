"""Fixtures that all tests share: a real Kafka with fresh topics."""

from collections.abc import Generator, Iterator
from contextlib import ExitStack

import pytest
from confluent_kafka import KafkaException
from xdist.remote import Producer  # type: ignore[import-untyped]
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from deploy.local.cluster import Cluster, local_kafka
from deploy.local.errors import LocalKafkaError
from tests.kafka import EXTERNAL, REQUEST_TIMEOUT_S, LeftoverGroupError, admin_client, empty, wait_served

LOG_LINES_SHOWN = 40
WITHOUT_KAFKA = ("tests/unit/", "tests/property/")  # may be spread over workers test by test
_BROKER = pytest.StashKey[Cluster]()


class Embedded:
    """The embedded Kafka of one test module; started at first use, replaced when a test left it unusable."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._cluster: Cluster | None = None

    def emptied(self) -> Cluster:
        """A cluster without topics and groups."""
        if self._cluster is not None:
            try:
                self._cluster.check()
                empty(self._cluster.bootstrap, only_ours=False)
            except (LocalKafkaError, LeftoverGroupError):  # killed by the test, or a killed worker's session lasts on
                self.close()
        if self._cluster is None:
            try:
                self._cluster = self._stack.enter_context(local_kafka())
            except LocalKafkaError as error:
                pytest.fail(str(error), pytrace=False)
        return self._cluster

    def close(self) -> None:
        self._stack.close()
        self._cluster = None


@pytest.fixture(scope="module")
def _embedded() -> Iterator[Embedded]:
    embedded = Embedded()
    yield embedded
    embedded.close()


@pytest.fixture
def broker(_embedded: Embedded, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """An embedded Kafka without any topic, which the test may kill, pause and restart."""
    cluster = _embedded.emptied()
    monkeypatch.setenv("KAFKA_BOOTSTRAP", cluster.bootstrap)
    request.node.stash[_BROKER] = cluster
    return cluster


@pytest.fixture(scope="session")
def _external() -> str | None:
    """KAFKA_BOOTSTRAP, found to answer; a fixture that failed once fails at once for all further tests."""
    if EXTERNAL:
        try:
            admin_client(EXTERNAL).list_topics(timeout=REQUEST_TIMEOUT_S)
        except KafkaException as error:
            pytest.fail(f"KAFKA_BOOTSTRAP={EXTERNAL} does not answer: {error.args[0].str()}", pytrace=False)
    return EXTERNAL


@pytest.fixture
def kafka(_external: str | None, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The bootstrap servers of a Kafka with all of stockstream's topics, new and empty; also in KAFKA_BOOTSTRAP."""
    if _external:
        empty(_external, only_ours=True)
        bootstrap = _external
    else:
        bootstrap = request.getfixturevalue("broker").bootstrap
    from topics.admin import apply_topics
    from topics.settings import KafkaSettings

    monkeypatch.setenv("KAFKA_BOOTSTRAP", bootstrap)
    apply_topics(KafkaSettings())
    wait_served(bootstrap)
    return bootstrap


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what needs a Kafka, so that `-m 'not kafka'` is the quick half."""
    if {"kafka", "broker"} & set(getattr(item, "fixturenames", ())):
        if item.nodeid.startswith(WITHOUT_KAFKA):
            raise pytest.UsageError(f"{item.nodeid} uses a Kafka: move it to tests/integration")
        item.add_marker(pytest.mark.kafka)


class ByKafka(LoadScopeScheduling):  # type: ignore[misc]
    """With xdist: the tests of a module run on one worker and so share its Kafka; a given cluster is used by one."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(WITHOUT_KAFKA):
            return nodeid
        return "KAFKA_BOOTSTRAP" if EXTERNAL else nodeid.partition("::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByKafka:
    """For each `-n`, whatever `--dist` says."""
    return ByKafka(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that failed shows what its Kafka had to say."""
    report = yield
    if report.failed and _BROKER in item.stash:
        report.sections.append(("Kafka's log", item.stash[_BROKER].logs(LOG_LINES_SHOWN)))
    return report
