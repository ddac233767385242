"""JSON Schemas of everything that travels, one per topic, from the models. Pure.

They say less than the models where JSON Schema cannot (NFC text, broker time); descriptions fill in.
"""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from topics.catalogue import DISCREPANCIES, SYNC, TOPICS, Topic
from topics.codec import ADAPTERS
from topics.updates import Discrepancy, SyncUpdate

DIALECT = GenerateJsonSchema.schema_dialect

PAYLOADS: dict[str, TypeAdapter[Any]] = {
    **ADAPTERS,
    SYNC.name: TypeAdapter(SyncUpdate),
    DISCREPANCIES.name: TypeAdapter(Discrepancy),
}
"""Topic name -> what its values are."""


class _Plain(GenerateJsonSchema):
    """Without titles that only repeat the field's name."""

    def field_title_should_be_set(self, schema: core_schema.CoreSchema | Any) -> bool:  # noqa: ARG002 - pydantic's
        return False


def schema_of(topic: Topic, ref_template: str = "#/$defs/{model}") -> JsonSchemaValue:
    """The schema of one topic's values."""
    return PAYLOADS[topic.name].json_schema(ref_template=ref_template, schema_generator=_Plain)


def schemas() -> dict[str, JsonSchemaValue]:
    """File name -> schema, for each topic whose values are JSON of their own."""
    return {
        f"{topic.name}.schema.json": {
            "$schema": DIALECT,
            "$id": f"urn:stockstream:{topic.name}",
            "title": topic.name,
            "description": f"{topic.purpose}; written by {topic.writer}",
            **schema_of(topic),
        }
        for topic in TOPICS
        if topic.name in PAYLOADS
    }
