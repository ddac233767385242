"""What streams/engine overrides or calls in Faust, mode and aiokafka is there, as it was when the engine was written.

None of it is public. After an upgrade these tests say what moved; read the named method before changing a line here,
and run the fault tests of tests/integration/test_worker_faults.py.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import tomllib
from pathlib import Path
from typing import Any

import faust
import faust.streams
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, codec
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.subscription_state import Assignment, SubscriptionState, TopicPartitionState
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.protocol.offset import OffsetRequest
from faust.app.base import App, BootStrategy
from faust.assignor.partition_assignor import PartitionAssignor
from faust.tables.manager import TableManager
from faust.transport.drivers import aiokafka as driver
from faust.types.tuples import ConsumerMessage
from mode.utils.queues import FlowControlEvent

from streams.engine.consumer import BatchConsumer, BatchMessage
from streams.engine.slices import SliceThread
from streams.engine.table import StockTable
from streams.engine.transport import BatchSchema, BatchTransport, ProducerFactory, install

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
PINNED = ("faust-streaming", "aiokafka", "mode-streaming")

ASYNC, PLAIN = True, False
METHODS: list[tuple[Any, str, str, bool]] = [
    # overridden
    (driver.Consumer, "_new_consumer_thread", "", PLAIN),
    (driver.Consumer, "_drain_messages", "fetcher", ASYNC),
    (driver.Consumer, "perform_seek", "", ASYNC),
    (driver.Consumer, "seek_wait", "partitions", ASYNC),
    (driver.Consumer, "force_commit", "topics start_new_transaction", ASYNC),
    (driver.Consumer, "wait_empty", "", ASYNC),
    (driver.Consumer, "on_partitions_revoked", "revoked", ASYNC),
    (driver.Consumer, "on_partitions_assigned", "assigned generation_id", ASYNC),
    (driver.Consumer, "on_stop", "", ASYNC),
    (driver.AIOKafkaConsumerThread, "_create_worker_consumer", "transport", PLAIN),
    (driver.AIOKafkaConsumerThread, "_fetch_records", "consumer active_partitions timeout max_records", ASYNC),
    (driver.Producer, "_settings_extra", "", PLAIN),
    (driver.Producer, "send_soon", "fut", PLAIN),
    (driver.Producer, "send", "topic key value partition timestamp headers transactional_id", ASYNC),
    (faust.Schema, "compile", "app on_key_decode_error on_value_decode_error default_propagate", PLAIN),
    (faust.Table, "apply_changelog_batch", "batch", PLAIN),
    (faust.Table, "persisted_offset", "tp", PLAIN),
    (faust.Table, "on_rebalance", "assigned revoked newly_assigned generation_id", ASYNC),
    (faust.Table, "on_recovery_completed", "active_tps standby_tps", ASYNC),
    # called
    (driver.Consumer, "wait_first", "coros timeout", ASYNC),
    (driver.Consumer, "sleep", "n", ASYNC),
    (driver.Consumer, "wait", "coros timeout", ASYNC),
    (driver.Consumer, "_getmany", "active_partitions timeout", ASYNC),
    (driver.Consumer, "_get_active_partitions", "", PLAIN),
    (driver.Consumer, "_is_changelog_tp", "tp", PLAIN),
    (driver.Consumer, "earliest_offsets", "partitions", ASYNC),
    (driver.Consumer, "_commit", "offsets", ASYNC),
    (driver.Consumer, "assignment", "", PLAIN),
    (driver.Consumer, "stop_flow", "", PLAIN),
    (driver.Consumer, "highwater", "tp", PLAIN),
    (driver.Producer, "_new_producer", "transactional_id", PLAIN),
    (App, "create_event", "key value headers message", PLAIN),
    (FlowControlEvent, "suspend", "", PLAIN),
    (FlowControlEvent, "clear", "", PLAIN),
    (PartitionAssignor, "tables_metadata", "", PLAIN),
    (Fetcher, "fetched_records", "partitions timeout max_records", ASYNC),
    (Fetcher, "_create_fetch_waiter", "", PLAIN),
    (SubscriptionState, "fetch_context", "", PLAIN),
    (Assignment, "state_value", "tp", PLAIN),
    (AIOKafkaProducer, "create_batch", "", PLAIN),
    (AIOKafkaProducer, "send_batch", "batch topic partition", ASYNC),
    (AIOKafkaProducer, "begin_transaction", "", ASYNC),
    (AIOKafkaProducer, "commit_transaction", "", ASYNC),
    (AIOKafkaProducer, "start", "", ASYNC),
    (AIOKafkaProducer, "stop", "", ASYNC),
    (AIOKafkaClient, "_wait_on_metadata", "topic", ASYNC),
    (AIOKafkaClient, "send", "node_id request group", ASYNC),
    (BatchBuilder, "append", "timestamp key value headers", PLAIN),
    (BatchBuilder, "close", "", PLAIN),
    (OffsetRequest, "__init__", "replica_id isolation_level topics", PLAIN),
    (
        ConsumerMessage,
        "__init__",
        "topic partition offset timestamp timestamp_type headers key value checksum serialized_key_size "
        "serialized_value_size tp time_in time_out time_total generation_id",
        PLAIN,
    ),
]
ATTRIBUTES: list[tuple[Any, str]] = [
    *((driver.Consumer, name) for name in ("_stopped", "flow_active", "can_resume_flow", "suspend_flow", "callback")),
    *((driver.Consumer, name) for name in ("consumer_stopped_errors", "_unacked_messages", "_committed_offset", "app")),
    *((AIOKafkaConsumer, name) for name in ("_isolation_level", "_fetch_max_wait_ms", "_fetcher", "_closed")),
    *((Fetcher, name) for name in ("_closed", "_subscriptions")),
    *((SubscriptionState, "subscription"), (Assignment, "tps")),
    *((TopicPartitionState, "has_valid_position"), (TopicPartitionState, "position")),
    *((App, name) for name in ("consumer_generation_id", "rebalancing", "should_stop", "flow_control", "tables")),
    *((App, name) for name in ("assignor", "consumer", "producer", "transport", "boot_strategy")),
    *((TableManager, "actives_ready"), (TableManager, "changelog_topics"), (BootStrategy, "enable_web")),
    (AIOKafkaProducer, "client"),
]
OURS = (BatchConsumer, SliceThread, ProducerFactory, BatchTransport, BatchSchema, StockTable)
NO_METHODS = {"Consumer", "Producer", "logger", "_abc_impl"}
"""The transport's classes, and what mode and abc put into every class."""


def moved(owner: Any, name: str, how: str) -> str:
    return (
        f"{owner.__module__}.{owner.__name__}.{name} {how}: streams/engine depends on it. Compare the installed "
        "version with the pinned one, adapt the engine, run the fault tests."
    )


@pytest.mark.parametrize(
    ("owner", "name", "parameters", "is_async"),
    METHODS,
    ids=[f"{owner.__name__}.{name}" for owner, name, *_ in METHODS],
)
def test_methods_are_as_the_engine_expects(owner: Any, name: str, parameters: str, is_async: bool) -> None:
    method = getattr(owner, name, None)
    assert callable(method), moved(owner, name, "is gone")
    found = " ".join(parameter for parameter in inspect.signature(method).parameters if parameter != "self")
    assert found == parameters, moved(owner, name, f"takes ({found}), not ({parameters})")
    kind = "a coroutine" if is_async else "no coroutine"
    assert inspect.iscoroutinefunction(method) == is_async, moved(owner, name, f"is {kind} no longer")


@pytest.mark.parametrize(("owner", "name"), ATTRIBUTES, ids=[f"{owner.__name__}.{name}" for owner, name in ATTRIBUTES])
def test_attributes_are_there(owner: Any, name: str) -> None:
    """On the class, or set by a method of it or of a base."""
    sources = [
        inspect.getsource(base) for base in owner.__mro__ if base.__module__.startswith(("faust", "mode", "aio"))
    ]
    assert hasattr(owner, name) or any(f"self.{name} = " in s or f"self.{name}: " in s for s in sources), moved(
        owner, name, "is gone"
    )


@pytest.mark.parametrize("ours", OURS, ids=lambda ours: ours.__name__)
def test_what_the_engine_overrides_stands_in_the_table(ours: Any) -> None:
    """An override that is added must be added above, or an upgrade could take it away in silence."""
    (base,) = ours.__bases__
    overridden = {
        name for name in vars(ours) if hasattr(base, name) and not name.startswith("__") and name not in NO_METHODS
    }
    known = {name for owner, name, *_ in METHODS if issubclass(ours, owner)}
    assert overridden - known == set(), f"{ours.__name__} overrides what no test here looks at"


@pytest.mark.parametrize("distribution", PINNED)
def test_versions_are_pinned_exactly_and_installed(distribution: str) -> None:
    wanted = [
        line
        for line in tomllib.loads(PYPROJECT.read_text())["project"]["dependencies"]
        if line.startswith(distribution)
    ]
    assert wanted == [f"{distribution}=={importlib.metadata.version(distribution)}"]


def test_the_compiled_wheel_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faust without its C parts works, at a fraction of the speed: the worker refuses to start so."""
    assert faust.streams._CStreamIterator is not None, "faust-streaming is installed without its compiled parts"
    monkeypatch.setattr(faust.streams, "_CStreamIterator", None)
    with pytest.raises(RuntimeError, match="no compiled parts"):
        install(None, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["snappy", "lz4", "zstd"])
def test_every_codec_of_producers_is_asked_for(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """One batch in a codec that cannot be read would end the worker at each start."""
    assert getattr(codec, f"has_{name}")(), f"aiokafka cannot read {name}: cramjam is not installed"
    monkeypatch.setattr(codec, f"has_{name}", lambda: False)
    with pytest.raises(RuntimeError, match="cramjam"):
        install(None, None)  # type: ignore[arg-type]


def test_a_chunk_is_a_message_of_faust() -> None:
    """Slots of our own beside all of Faust's: nothing else is kept for each chunk."""
    assert set(BatchMessage.__slots__) == {"end", "epoch", "records", "start"}
    assert issubclass(BatchMessage, ConsumerMessage)
    assert "generation_id" in ConsumerMessage.__mro__[1].__slots__
