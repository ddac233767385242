"""The contract as an AsyncAPI 3 document, from the catalogue, the models and the examples. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any, get_args

from pydantic.json_schema import JsonSchemaValue

from topics.catalogue import DEAD_LETTERS, INPUTS, REROUTED, TOPICS, Topic
from topics.dead_letters import CONNECT, REASON
from topics.examples import EXAMPLES, parsed
from topics.refusals import Reason
from topics.rerouted import OFFSET, PARTITION, TOPIC
from topics.schemas import PAYLOADS, schema_of
from topics.settings import KafkaSettings

_REF = "#/components/schemas/{model}"
_Json = dict[str, Any]

_KEYS: dict[str, _Json] = {
    "sku": {
        "type": "string",
        "minLength": 1,
        "maxLength": 64,
        "description": "the sku in UTF-8; partition = Java's murmur2 (librdkafka: partitioner=murmur2_random)",
    },
    "discrepancy_id": {"type": "string", "description": "the discrepancy_id, in the partition of its SKU"},
    "as_received": {"type": "string", "description": "the key as it was received, any bytes"},
}


def document(kafka: KafkaSettings) -> _Json:
    """The whole document. The bootstrap server and the numbers of partitions and replicas come from the settings."""
    channels = (*TOPICS, *DEAD_LETTERS)
    messages: dict[str, _Json] = {}
    schemas: dict[str, JsonSchemaValue] = {}
    for topic in TOPICS:
        if topic.name in PAYLOADS:
            schemas |= _schemas(topic)
            messages |= dict(_messages(topic))
    messages["deadLetter"] = _dead_letter()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "stockstream",
            "version": _version(),
            "description": "Movements of stock in, absolute quantities per sales channel and discrepancies out.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"kafka": {"host": kafka.bootstrap.split(",", maxsplit=1)[0], "protocol": "kafka"}},
        "channels": {_id(topic): _channel(topic, kafka) for topic in channels},
        "operations": {f"{_action(topic)}{_capital(_id(topic))}": _operation(topic) for topic in channels},
        "components": {"messages": messages, "schemas": schemas},
    }


def _version() -> str:
    try:
        return version("stockstream")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0.0.0"


def _id(topic: Topic) -> str:
    """`warehouse.movements.v1.dlq` -> `warehouseMovementsV1Dlq`."""
    first, *rest = re.split(r"[._-]", topic.name)
    return first + "".join(_capital(word) for word in rest)


def _capital(word: str) -> str:
    return word[:1].upper() + word[1:]


def _names(topic: Topic) -> list[str]:
    """The components' names of a topic's messages."""
    if topic in DEAD_LETTERS:
        return ["deadLetter"]
    if topic is REROUTED:
        return [name for t in INPUTS if t.name in PAYLOADS and t.key == "sku" for name, _ in _messages(t)]
    return [name for name, _ in _messages(topic)]


def _messages(topic: Topic) -> Iterator[tuple[str, _Json]]:
    for example in EXAMPLES[topic]:
        model = type(parsed(topic, example))
        kind = example.get("type")
        message: _Json = {
            "name": kind or model.__name__,
            "title": model.__name__,
            "summary": (model.__doc__ or "").split("\n", 1)[0],
            "contentType": "application/json",
            "payload": {"$ref": _REF.format(model=model.__name__)},
            "examples": [{"name": "example", "payload": example}],
        }
        if topic.key in _KEYS:
            message["bindings"] = {"kafka": {"key": _KEYS[topic.key], "bindingVersion": "0.5.0"}}
        yield f"{_id(topic)}{model.__name__}", message


def _schemas(topic: Topic) -> dict[str, JsonSchemaValue]:
    """The models of a topic and all that they refer to."""
    schema = dict(schema_of(topic, _REF))
    found: dict[str, JsonSchemaValue] = schema.pop("$defs", {})
    if "title" in schema:  # one model, not a union
        found[schema["title"]] = schema
    return found


def _dead_letter() -> _Json:
    text = {"type": "string"}
    names = ("topic", "partition", "offset", "connector.name", "stage", "exception.class.name", "exception.message")
    return {
        "name": "dead_letter",
        "title": "DeadLetter",
        "summary": "The untouched bytes of what could not be processed; of a value that is too large, the first KiB.",
        "contentType": "application/octet-stream",
        "headers": {
            "type": "object",
            "properties": {
                **{f"{CONNECT}{name}": text for name in names},
                REASON: {"type": "string", "enum": list(get_args(Reason))},
                **{
                    name: {"type": "string", "description": "of a record that had been rerouted"}
                    for name in (TOPIC, PARTITION, OFFSET)
                },
            },
            "required": [*(f"{CONNECT}{name}" for name in names), REASON],
        },
        "payload": {},
        "bindings": {"kafka": {"key": _KEYS["as_received"], "bindingVersion": "0.5.0"}},
    }


def _channel(topic: Topic, kafka: KafkaSettings) -> _Json:
    configuration: _Json = {"cleanup.policy": topic.cleanup.split(",")}
    if "retention.ms" in topic.config:
        configuration["retention.ms"] = int(topic.config["retention.ms"])
    return {
        "address": topic.name,
        "title": topic.name,
        "description": f"{topic.purpose}; written by {topic.writer}; broker's timestamp type {topic.timestamps}",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _names(topic)},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": kafka.partitions,
                "replicas": kafka.replication_factor,
                "topicConfiguration": configuration,
                "bindingVersion": "0.5.0",
            }
        },
    }


def _action(topic: Topic) -> str:
    """What the worker does with it; other programs do the opposite."""
    return "receive" if topic in INPUTS else "send"


def _operation(topic: Topic) -> _Json:
    channel = _id(topic)
    return {
        "action": _action(topic),
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": topic.purpose,
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in _names(topic)],
    }
