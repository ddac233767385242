"""A webhook of one's own: Standard Webhooks (webhook-id, webhook-timestamp, webhook-signature; HMAC-SHA256).

The receiver gets absolute quantities with their versions and keeps the highest version of a SKU. `webhook-id` is the
same on every retry, so that it can drop what it has already taken. Only 2xx is success, whatever its body says.
The receiver refuses a call as a whole: who spoiled it is found by halving the batch.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook

from sinks.channel import (
    Answer,
    Applied,
    Batch,
    Limits,
    Outcome,
    Permanent,
    Request,
    Spoiled,
    Transient,
    Unconfirmed,
    idempotency_key,
    refusal,
    retry_after_s,
)
from sinks.settings import Endpoint, SettingsError

# 50 of the longest SKUs (64 characters of 4 bytes) stay below the 20 kB that a webhook's body may have.
LIMITS = Limits(batch=50, concurrency=4, needs_listing=False)


@dataclass(frozen=True, slots=True)
class WebhookChannel:
    """Signed POSTs of {"type": "stock.updated", "timestamp", "data": {"channel", "updates": [...]}} to one URL."""

    name: str
    signer: Webhook
    limits: Limits = LIMITS

    def lists(self, listing: Mapping[str, Any]) -> bool:  # noqa: ARG002 - a receiver knows its SKUs by our names
        """Every SKU: it needs no ids."""
        return True

    def request(self, batch: Batch, at: datetime) -> Request:
        """One signed event. Its id is that of the quantities in it; its time is that of the attempt."""
        key = f"msg_{idempotency_key(self.name, batch)}"
        updates = [
            {"sku": item.sku, "version": item.version, "quantity": item.quantity, "occurred_at": item.occurred_at}
            for item in batch
        ]
        event = {
            "type": "stock.updated",
            "timestamp": max(item.occurred_at for item in batch),
            "data": {"channel": self.name, "updates": updates},
        }
        body = orjson.dumps(event)
        headers = {
            "content-type": "application/json",
            "webhook-id": key,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": self.signer.sign(key, at, body.decode()),
        }
        return Request(body, headers)

    def outcome(self, batch: Batch, answer: Answer) -> Outcome:
        """2xx is success; anything else is the whole call's failure."""
        result = refusal(answer)
        if result is None:
            return Outcome.whole(batch, Applied())
        if isinstance(result, Spoiled) and len(batch) == 1:
            return Outcome.whole(batch, Permanent(result.reason))
        wait = retry_after_s(answer) if isinstance(result, Unconfirmed | Transient) else None
        return Outcome.whole(batch, result, wait or 0.0)


def build(name: str, endpoint: Endpoint) -> WebhookChannel:
    """A webhook needs a signing secret, whsec_..."""
    secret = endpoint.secret.get_secret_value() if endpoint.secret else ""
    if not secret.startswith("whsec_"):
        raise SettingsError(f"{endpoint.variable('SECRET')}: a webhook needs its signing secret, whsec_<base64>")
    try:
        signer = Webhook(secret)
    except (binascii.Error, ValueError, EmptyWebhookSecretError):
        raise SettingsError(f"{endpoint.variable('SECRET')}: is not base64 after whsec_") from None
    return WebhookChannel(name, signer)
