"""The drivers that Faust is given instead of its own."""

from __future__ import annotations

from typing import Any

import faust
import faust.streams
from aiokafka import codec
from faust.transport.drivers import aiokafka as driver

from streams.engine import names
from streams.engine.consumer import BatchConsumer
from streams.engine.runtime import Runtime

RETRY_BACKOFF_MS = 20


class OutsideTransactionError(RuntimeError):
    """Faust tried to send by itself."""


class BatchSchema(faust.Schema):
    """Hands the records through untouched; decoding is the ledger's business."""

    def compile(
        self,
        app: Any,
        *,
        on_key_decode_error: Any = None,  # noqa: ARG002 - Faust's signature
        on_value_decode_error: Any = None,  # noqa: ARG002
        default_propagate: bool = False,
    ) -> Any:
        """Faust's hook for a decoder."""
        create_event = app.create_event

        async def decode(message: Any, *, propagate: bool = default_propagate) -> Any:  # noqa: ARG001
            return create_event(None, message.records, None, message)

        return decode


class ProducerFactory(driver.Producer):
    """Only a factory for the writers' producers: Faust's own sends would be outside the transaction."""

    def _settings_extra(self) -> dict[str, Any]:
        options = self.app.runtime.options
        return {
            "acks": "all",
            "enable_idempotence": True,
            "transaction_timeout_ms": int(options.transaction_timeout * 1000),
            "retry_backoff_ms": RETRY_BACKOFF_MS,
        }

    def send_soon(self, fut: Any) -> Any:
        """Refused."""
        raise OutsideTransactionError(repr(fut))

    async def send(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002 - Faust's signature
        """Refused."""
        raise OutsideTransactionError(repr(args[:2]))


class BatchTransport(driver.Transport):
    """Faust's Kafka transport with our consumer and producer."""

    Consumer = BatchConsumer
    Producer = ProducerFactory


def install(app: Any, runtime: Runtime) -> None:
    """Put the transport under an app. Raises RuntimeError without Faust's compiled parts or aiokafka's codecs."""
    if faust.streams._CStreamIterator is None:
        raise RuntimeError("faust-streaming has no compiled parts: install its wheel (make install)")
    if not (codec.has_snappy() and codec.has_lz4() and codec.has_zstd()):
        raise RuntimeError("aiokafka cannot read what producers compress: install cramjam (make install)")
    names.install()
    app.runtime = runtime
    app.boot_strategy.enable_web = False  # Faust's command would start its own pages on our port
    app.transport = BatchTransport(app.conf.broker_consumer, app)
