"""A receiver of Standard Webhooks that knows nothing of our versions but what it checks: it applies what is new.

It drops what it has had under the same webhook-id, as the standard says, and counts what a receiver should never see:
a version lower than the one it holds (`older_versions`), or the same version changing something twice
(`duplicate_effects`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from sinks.simulators.base import Book, Call, Faults, Reply, Secrets, Simulator

MAX_BODY_BYTES = 20_000


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class _Update(_Strict):
    sku: Annotated[str, Field(min_length=1, max_length=64)]
    version: Annotated[int, Field(ge=1)]
    quantity: Annotated[int, Field(ge=0)]
    occurred_at: Annotated[AwareDatetime, Field(strict=False)]


class _Data(_Strict):
    channel: str
    updates: Annotated[list[_Update], Field(min_length=1)]


class _Event(_Strict):
    type: Literal["stock.updated"]
    timestamp: Annotated[AwareDatetime, Field(strict=False)]
    data: _Data


class WebhookApi:
    """The receiver."""

    def __init__(self, secrets: Secrets) -> None:
        self.book = Book()
        self.versions: dict[str, int] = {}
        self.refused: set[str] = set()
        """SKUs that it refuses for good, for tests."""
        self._verifier = Webhook(secrets.secret)

    def throttled(self, retry_after_s: int) -> Reply:
        """429 with Retry-After."""
        return Reply(429, b"", {"retry-after": str(retry_after_s)})

    def reply(self, call: Call, dry: bool) -> Reply:
        """Check the signature, the size and the shape; then apply."""
        if call.method != "POST":
            return Reply(405)
        if len(call.body) >= MAX_BODY_BYTES:
            return Reply(413)
        try:
            self._verifier.verify(call.body, dict(call.headers), json_parse=False)
        except (WebhookVerificationError, ValueError):
            return Reply(401, b'{"error":"signature"}')
        try:
            event = _Event.model_validate_json(call.body)
        except ValidationError:
            return Reply(422, b'{"error":"shape"}')
        if self.refused & {update.sku for update in event.data.updates}:
            return Reply(422, b'{"error":"unknown sku"}')
        key = call.headers["webhook-id"]
        if key in self.book.answered:
            self.book.counts["repeats"] += 1
            if self.book.answered[key][0] != call.body:
                self.book.counts["id_conflicts"] += 1
            return Reply(200)
        if not dry:
            self.book.remember(key, call.body, None)
            for update in event.data.updates:
                self._apply(update)
        return Reply(200, wrote=tuple(update.sku for update in event.data.updates))

    def _apply(self, update: _Update) -> None:
        held = self.versions.get(update.sku, 0)
        if update.version < held:
            self.book.counts["older_versions"] += 1
        elif update.version == held:
            self.book.counts["repeated_versions"] += 1
            if self.book.quantities.get(update.sku) != update.quantity:
                self.book.counts["duplicate_effects"] += 1
        self.versions[update.sku] = update.version
        self.book.write(update.sku, update.quantity)


def build(secrets: Secrets, faults: Faults) -> Simulator:
    """A simulator of a webhook receiver."""
    return Simulator(WebhookApi(secrets), faults)
