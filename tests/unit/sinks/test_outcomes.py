"""What each answer means, as tables: status by status and error by error; and it never raises, whatever the bytes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from standardwebhooks.webhooks import Webhook

from sinks import channels
from sinks.channel import (
    MAX_WAIT_S,
    Answer,
    Applied,
    Batch,
    Outcome,
    Permanent,
    Result,
    Seen,
    Spoiled,
    Stale,
    Stopped,
    Throttled,
    Transient,
    Unconfirmed,
    Wanted,
    idempotency_key,
    retry_after_s,
)
from sinks.channels.shopify import ShopifyChannel
from sinks.channels.webhook import WebhookChannel
from sinks.settings import Endpoint, SettingsError
from sinks.simulators.base import SECRET, TOKEN
from tests.builders.sinks import AT, shopify_listing

ENDPOINT = Endpoint("STOCKSTREAM_CHANNEL_X_", "https://shop.example", SecretStr(TOKEN), SecretStr(SECRET))


def batch(*quantities: int, known: int | None = None) -> Batch:
    return tuple(Wanted(f"SKU-{n}", 7, q, AT, shopify_listing(n), known) for n, q in enumerate(quantities))


def answer(status: int = 200, body: Any = b"", headers: Mapping[str, str] | None = None, cut: bool = False) -> Answer:
    return Answer(status, headers or {}, body if isinstance(body, bytes) else orjson.dumps(body), AT, cut)


def shopify() -> ShopifyChannel:
    made = channels.build("shopify", "shop", ENDPOINT)
    assert isinstance(made, ShopifyChannel)
    return made


def webhook() -> WebhookChannel:
    made = channels.build("webhook", "outlet", ENDPOINT)
    assert isinstance(made, WebhookChannel)
    return made


@pytest.mark.parametrize("channel", [shopify(), webhook()], ids=["shopify", "webhook"])
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (301, Transient),
        (307, Transient),
        (400, Spoiled),
        (401, Stopped),
        (402, Stopped),
        (403, Stopped),
        (404, Transient),
        (408, Unconfirmed),
        (410, Stopped),
        (413, Spoiled),
        (422, Spoiled),
        (423, Stopped),
        (425, Transient),
        (429, Throttled),
        (500, Unconfirmed),
        (502, Unconfirmed),
        (503, Transient),
        (504, Unconfirmed),
        (520, Unconfirmed),
    ],
)
def test_a_status_means_the_same_to_all_channels(channel: Any, status: int, expected: type[Result]) -> None:
    results = channel.outcome(batch(1, 2), answer(status)).results
    assert [type(result) for result in results] == [expected] * 2


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        ("901", MAX_WAIT_S),
        ("315360000", MAX_WAIT_S),
        ("9" * 400, MAX_WAIT_S),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("٧", None),
        (format_datetime(AT + timedelta(seconds=30), usegmt=True), 30.0),
        (format_datetime(AT - timedelta(seconds=30), usegmt=True), 0.0),
        (format_datetime(AT + timedelta(days=3650), usegmt=True), MAX_WAIT_S),
        ("Mon, 23 Nov 2026 10:00:30 -0000", 30.0),
    ],
)
def test_retry_after(text: str, seconds: float | None) -> None:
    assert retry_after_s(answer(429, headers={"retry-after": text})) == seconds
    assert webhook().outcome(batch(1), answer(503, headers={"retry-after": text})).results == (Throttled(seconds),)


# webhook --------------------------------------------------------------------------------------------------------


def test_a_webhook_is_signed_as_the_standard_says() -> None:
    at = datetime.now(UTC)
    request = webhook().request(batch(1, 2), at)
    Webhook(SECRET).verify(request.body, dict(request.headers))
    event = orjson.loads(request.body)
    assert event["type"] == "stock.updated"
    assert [update["quantity"] for update in event["data"]["updates"]] == [1, 2]


def test_a_retry_has_the_same_id_and_body_and_another_time() -> None:
    first, second = (webhook().request(batch(1), AT + timedelta(seconds=s)) for s in (0, 60))
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.headers["webhook-timestamp"] != second.headers["webhook-timestamp"]
    assert first.body == second.body


def test_the_largest_webhook_stays_below_20_kb() -> None:
    limit = webhook().limits.batch
    items = tuple(Wanted(f"{n:02}" + "𐍈" * 62, 2**63 - 1, 10**9, AT) for n in range(limit))
    assert len(webhook().request(items, AT).body) < 20_000


def test_any_2xx_is_success_and_a_single_refused_update_is_refused_for_good() -> None:
    assert webhook().outcome(batch(1), answer(204)) == Outcome((Applied(),))
    assert webhook().outcome(batch(1), answer(422)).results == (Permanent("HTTP 422"),)


def test_a_gateway_that_is_busy_is_left_alone_as_long_as_it_says() -> None:
    assert webhook().outcome(batch(1), answer(502, headers={"retry-after": "9"})).wait_s == 9.0


@pytest.mark.parametrize("secret", [None, "hush", "whsec_", "whsec_%%%"])
def test_a_webhook_needs_a_secret(secret: str | None) -> None:
    endpoint = Endpoint("STOCKSTREAM_CHANNEL_X_", "https://x.example", None, SecretStr(secret) if secret else None)
    with pytest.raises(SettingsError, match=r"^STOCKSTREAM_CHANNEL_X_SECRET: ") as refused:
        channels.build("webhook", "x", endpoint)
    assert "%%%" not in str(refused.value)


# shopify --------------------------------------------------------------------------------------------------------


def payload(
    *errors: tuple[str, list[str] | None], changes: int = 0, cost: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    group = {"id": "g", "reason": "correction", "changes": [{"name": "available", "delta": 1}] * changes}
    faults = [{"code": code, "field": field, "message": "no"} for code, field in errors]
    data = {"inventorySetQuantities": {"inventoryAdjustmentGroup": group if changes else None, "userErrors": faults}}
    return {"data": data, "extensions": {"cost": cost or {}}}


def at(index: int, name: str = "quantity") -> list[str]:
    return ["input", "quantities", str(index), name]


def top(code: str, **extensions: Any) -> dict[str, Any]:
    return {"errors": [{"message": "no", "extensions": {"code": code, **extensions}}]}


HALF_FULL = {"maximumAvailable": 1000, "currentlyAvailable": 2, "restoreRate": 50}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (payload(), [Applied, Applied]),
        (payload(("CHANGE_FROM_QUANTITY_STALE", at(1))), [Spoiled, Stale]),
        (payload(("CHANGE_FROM_QUANTITY_STALE", at(0)), ("INVALID_LOCATION", at(1))), [Stale, Permanent]),
        (payload(("INVALID_INVENTORY_ITEM", at(0, "inventoryItemId"))), [Permanent, Spoiled]),
        (payload(("ITEM_NOT_STOCKED_AT_LOCATION", at(1))), [Spoiled, Permanent]),
        (payload(("NON_MUTABLE_INVENTORY_ITEM", at(1))), [Spoiled, Permanent]),
        (payload(("SOMETHING_NEW", at(1))), [Spoiled, Permanent]),
        (payload(("NO_DUPLICATE_INVENTORY_ITEM_ID_GROUP_ID_PAIR", ["input"])), [Spoiled, Spoiled]),
        (payload(("INVALID_INVENTORY_ITEM", at(99))), [Spoiled, Spoiled]),
        (payload(("INVALID_INVENTORY_ITEM", None)), [Spoiled, Spoiled]),
        (payload(("IDEMPOTENCY_CONCURRENT_REQUEST", None)), [Unconfirmed, Unconfirmed]),
        (payload(("IDEMPOTENCY_KEY_PARAMETER_MISMATCH", None)), [Stale, Stale]),
        (payload(("IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED", None)), [Stale, Stale]),
        (payload(("INVALID_REASON", ["input", "reason"])), [Stopped, Stopped]),
        (top("THROTTLED"), [Throttled, Throttled]),
        ({"errors": [{"message": "Throttled"}]}, [Throttled, Throttled]),
        (top("ACCESS_DENIED"), [Stopped, Stopped]),
        (top("SHOP_INACTIVE"), [Stopped, Stopped]),
        (top("undefinedField"), [Stopped, Stopped]),
        (top("MAX_COST_EXCEEDED"), [Spoiled, Spoiled]),
        (top("INTERNAL_SERVER_ERROR"), [Unconfirmed, Unconfirmed]),
        (top("INVALID_VARIABLE"), [Spoiled, Spoiled]),
        (
            top("INVALID_VARIABLE", problems=[{"path": ["quantities", 1, "locationId"], "explanation": "bad"}]),
            [Spoiled, Permanent],
        ),
        ({"errors": "Not Found"}, [Unconfirmed, Unconfirmed]),
        ({"data": None}, [Unconfirmed, Unconfirmed]),
        ({}, [Unconfirmed, Unconfirmed]),
        ([], [Unconfirmed, Unconfirmed]),
        (b"<html>", [Unconfirmed, Unconfirmed]),
        (b"", [Unconfirmed, Unconfirmed]),
    ],
)
def test_what_shopify_says(body: Any, expected: list[type[Result]]) -> None:
    results = shopify().outcome(batch(1, 2), answer(body=body)).results
    assert [type(result) for result in results] == expected


def test_an_error_that_names_no_item_is_that_of_the_only_one() -> None:
    assert shopify().outcome(batch(1), answer(body=payload(("INVALID_LOCATION", None)))).results == (
        Permanent("INVALID_LOCATION: no"),
    )


def test_an_answer_that_was_cut_says_nothing() -> None:
    results = shopify().outcome(batch(1), answer(body=payload(), cut=True)).results
    assert isinstance(results[0], Unconfirmed)


def test_success_without_the_changes_that_must_be_is_none() -> None:
    """10 -> 12 has to change something; 12 -> 12 has not."""
    assert shopify().outcome(batch(12, known=10), answer(body=payload())).results == (Stale(),)
    assert shopify().outcome(batch(12, known=10), answer(body=payload(changes=1))).results == (Applied(),)
    assert shopify().outcome(batch(12, known=12), answer(body=payload())).results == (Applied(),)
    assert shopify().outcome(batch(12, known=None), answer(body=payload())).results == (Applied(),)


def test_the_bucket_decides_how_long_to_wait() -> None:
    cost = {"requestedQueryCost": 12, "throttleStatus": HALF_FULL}
    throttled = {"errors": [{"message": "Throttled"}], "extensions": {"cost": cost}}
    assert shopify().outcome(batch(1), answer(body=throttled)).results == (Throttled(0.2),)
    assert shopify().outcome(batch(1), answer(body=payload(cost=cost))) == Outcome((Applied(),), 0.2)
    never = {"requestedQueryCost": 10**9, "throttleStatus": {**HALF_FULL, "restoreRate": 0.001}}
    assert shopify().outcome(batch(1), answer(body=payload(cost=never))).wait_s == MAX_WAIT_S


def test_the_mutation_compares_and_has_a_key() -> None:
    request = shopify().request(batch(5, known=3), AT)
    asked = orjson.loads(request.body)
    quantity = {**asked["variables"]["input"]["quantities"][0]}
    assert quantity.pop("changeFromQuantity") == 3
    assert quantity == {"quantity": 5, "inventoryItemId": shopify_listing(0)["inventory_item_id"],
                        "locationId": shopify_listing(0)["location_id"]}  # fmt: skip
    assert "@idempotent(key: $key)" in asked["query"]
    assert request.path == "/admin/api/2026-04/graphql.json"
    unknown = orjson.loads(shopify().request(batch(5), AT).body)
    assert unknown["variables"]["input"]["quantities"][0]["changeFromQuantity"] is None
    assert unknown["variables"]["key"] != asked["variables"]["key"], "other parameters, other key"


def test_what_was_read_and_what_was_not() -> None:
    level = {"inventoryLevel": {"quantities": [{"name": "available", "quantity": -4}]}}
    body = {"data": {"a0": level, "a1": None, "a2": {"inventoryLevel": None}}}
    assert shopify().seen(batch(1, 2, 3), answer(body=body)) == Seen((-4, None, None))
    assert isinstance(shopify().seen(batch(1), answer(body=b"x")), Unconfirmed)
    assert isinstance(shopify().seen(batch(1), answer(body={"data": None})), Unconfirmed)
    assert isinstance(shopify().seen(batch(1), answer(body=top("THROTTLED"))), Throttled)
    assert isinstance(shopify().seen(batch(1), answer(401)), Stopped)


@pytest.mark.parametrize(
    ("listing", "usable"),
    [
        (shopify_listing(1), True),
        ({}, False),
        ({"inventory_item_id": "gid://shopify/InventoryItem/1"}, False),
        ({"inventory_item_id": 1, "location_id": 2}, False),
        ({"inventory_item_id": "1", "location_id": "2"}, False),
    ],
)
def test_which_listings_can_be_used(listing: dict[str, Any], usable: bool) -> None:
    assert shopify().lists(listing) is usable


@pytest.mark.parametrize(("version", "fits"), [("2026-04", True), ("2027-01", True), ("2026-01", False), ("x", False)])
def test_api_versions(version: str, fits: bool) -> None:
    endpoint = Endpoint("STOCKSTREAM_CHANNEL_X_", "https://x.example", SecretStr(TOKEN), None, version)
    if fits:
        assert channels.build("shopify", "x", endpoint)
        return
    with pytest.raises(SettingsError, match=r"^STOCKSTREAM_CHANNEL_X_API_VERSION: "):
        channels.build("shopify", "x", endpoint)


def test_a_shop_needs_a_token() -> None:
    with pytest.raises(SettingsError, match=r"^STOCKSTREAM_CHANNEL_X_TOKEN: "):
        channels.build("shopify", "x", Endpoint("STOCKSTREAM_CHANNEL_X_", "https://x.example"))


# keys and any bytes ---------------------------------------------------------------------------------------------


def test_a_key_is_made_of_versions_not_of_quantities() -> None:
    """When stock returns to an earlier value, the write that says so must not be swallowed."""
    ten, nine, ten_again = (Wanted("CLOCK", version, q, AT) for version, q in ((1, 10), (2, 9), (3, 10)))
    keys = {idempotency_key("shop", (item,)) for item in (ten, nine, ten_again)}
    assert len(keys) == 3
    assert idempotency_key("shop", (ten,)) in keys
    assert idempotency_key("other", (ten,)) not in keys
    assert idempotency_key("shop", (Wanted("CLOCK", 1, 10, AT, round=1),)) not in keys


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from([at(0), "CHANGE_FROM_QUANTITY_STALE"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "data",
                    "errors",
                    "extensions",
                    "cost",
                    "code",
                    "userErrors",
                    "inventorySetQuantities",
                    "field",
                    "inventoryAdjustmentGroup",
                    "changes",
                    "name",
                    "throttleStatus",
                    "a0",
                    "inventoryLevel",
                    "quantities",
                    "quantity",
                    "problems",
                    "path",
                    "message",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(
    st.integers(100, 599), st.binary(max_size=200) | json_values.map(lambda v: orjson.dumps(v) if _fits(v) else b"{")
)
def test_no_answer_makes_a_channel_raise(status: int, body: bytes) -> None:
    items = batch(1, 2, known=5)
    for channel in (shopify(), webhook()):
        assert len(channel.outcome(items, answer(status, body)).results) == 2
    seen = shopify().seen(items, answer(status, body))
    assert not isinstance(seen, Seen) or len(seen.quantities) == 2


def _fits(value: Any) -> bool:
    try:
        orjson.dumps(value)
    except (TypeError, ValueError):
        return False
    return True
