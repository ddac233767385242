"""The published documents are valid by their own standards, and say the same as the code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator, Draft202012Validator

from tests.builders.bad_input import BAD_INPUTS, BadInput
from topics.asyncapi import document
from topics.catalogue import DEAD_LETTERS, TOPICS, WAREHOUSE
from topics.examples import EXAMPLES
from topics.schemas import schemas
from topics.settings import KafkaSettings

PUBLISHED = Path(__file__).parents[1] / "data" / "asyncapi" / "3.0.0-without-id.json"
"""From npm's @asyncapi/specs 6.11.1, Apache-2.0; see the licence beside it."""

SCHEMAS = schemas()


@pytest.fixture(scope="module")
def published() -> Draft7Validator:
    schema = json.loads(PUBLISHED.read_bytes())
    Draft7Validator.check_schema(schema)
    return Draft7Validator(schema)


@pytest.fixture
def whole() -> dict[str, Any]:
    return json.loads(json.dumps(document(KafkaSettings(partitions=12, replication_factor=3))))


def test_the_document_is_valid_asyncapi_3(published: Draft7Validator, whole: dict[str, Any]) -> None:
    assert [f"{error.json_path}: {error.message}" for error in published.iter_errors(whole)] == []


@pytest.mark.parametrize("part", ["info", "asyncapi"])
def test_the_published_schema_would_find_a_fault(published: Draft7Validator, whole: dict[str, Any], part: str) -> None:
    del whole[part]
    assert not published.is_valid(whole)


def test_a_wrong_payload_would_be_found(published: Draft7Validator, whole: dict[str, Any]) -> None:
    whole["components"]["schemas"]["Received"]["type"] = "movement"
    assert not published.is_valid(whole)


def test_every_topic_is_a_channel_with_its_settings(whole: dict[str, Any]) -> None:
    channels = {channel["address"]: channel for channel in whole["channels"].values()}
    assert set(channels) == {topic.name for topic in (*TOPICS, *DEAD_LETTERS)}
    binding = channels[WAREHOUSE.name]["bindings"]["kafka"]
    assert (binding["partitions"], binding["replicas"]) == (12, 3)
    assert binding["topicConfiguration"] == {"cleanup.policy": ["delete"], "retention.ms": 14 * 86_400_000}
    assert {operation["channel"]["$ref"] for operation in whole["operations"].values()} == {
        f"#/channels/{name}" for name in whole["channels"]
    }


def test_every_reference_leads_somewhere(whole: dict[str, Any]) -> None:
    found = list(_references(whole))
    assert len(found) > 100
    for reference in found:
        here: Any = whole
        for part in reference.removeprefix("#/").split("/"):
            assert part in here, reference
            here = here[part]


def _references(part: Any) -> Any:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for inner in part.values():
            yield from _references(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _references(inner)


def test_every_message_has_an_example_that_fits_its_schema(whole: dict[str, Any]) -> None:
    messages = [m for name, m in whole["components"]["messages"].items() if name != "deadLetter"]
    assert len(messages) == sum(map(len, EXAMPLES.values()))
    for message in messages:
        schema = {**message["payload"], "components": whole["components"]}
        for example in message["examples"]:
            Draft202012Validator(schema).validate(example["payload"])


@pytest.mark.parametrize("name", list(SCHEMAS))
def test_the_json_schemas_are_valid_and_accept_the_examples(name: str) -> None:
    schema = SCHEMAS[name]
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    examples = next(e for topic, e in EXAMPLES.items() if name == f"{topic.name}.schema.json")
    for example in examples:
        validator.validate(example)
        assert not validator.is_valid({k: v for k, v in example.items() if k not in ("sku", "occurred_at")})


_ABOUT_FIELDS = {"missing_field", "type", "location", "quantity", "sequence", "field"}
"""NFC text and the broker's time cannot be said in a JSON Schema."""
_SAID_BY_CODE = {
    "reclassified to the same",
    "quantity 1e2",  # 100, 5 and 1 to JSON Schema, which knows no spelling of numbers
    "quantity 5.0 (3 characters)",
    "sequence 1.0 (3 characters)",
    "source 'a\\n' (2 characters)",  # Python's $ matches before a last line end; ECMA's, which is meant, does not
}


@pytest.mark.parametrize(
    "bad", [b for b in BAD_INPUTS if b.reason in _ABOUT_FIELDS and b.name not in _SAID_BY_CODE], ids=str
)
def test_the_json_schemas_refuse_what_the_codec_refuses(bad: BadInput) -> None:
    """So that a producer can check its records beforehand."""
    schema = SCHEMAS[f"{bad.topic.name}.schema.json"]
    assert not Draft202012Validator(schema).is_valid(json.loads(bad.value or b""))
