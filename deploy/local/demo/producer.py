"""One source system: sends its records to a real Kafka, as far as it is told to. A process of its own.

    python -m deploy.local.demo.producer FILE

Each line on standard input is a time in ms: everything that is due by then is sent. When the input is closed, it waits
until Kafka has all of it and ends with one line of JSON; exit 1 when Kafka did not take something.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec
from confluent_kafka import KafkaError, Message, Producer

from deploy.local.demo.script import Record
from topics.settings import KafkaSettings

MURMUR2 = "murmur2_random"
"""Java's partitioner, that the contract demands."""
CRC32 = "consistent_random"
"""librdkafka's own default: the worker has to move these records to their right partition."""
FLUSH_S = 60.0


class Sheet(msgspec.Struct):
    """What one source sends: the file that the demo hands to the process."""

    source: str
    partitioner: str
    records: list[Record]


class Sender:
    """An idempotent producer that counts what Kafka did not take."""

    def __init__(self, kafka: KafkaSettings, partitioner: str = MURMUR2) -> None:
        self.failed = 0
        self.last_error = ""
        settings = {
            **kafka.client_config(),
            "enable.idempotence": True,
            "partitioner": partitioner,
            "linger.ms": 10,
            "delivery.timeout.ms": 60_000,
        }
        self._producer = Producer(settings)

    def send(self, record: Record) -> None:
        """Hand a record over; waits while the producer's queue is full."""
        while True:
            try:
                self._producer.produce(record.topic, record.value, record.key, on_delivery=self._delivered)
            except BufferError:
                self._producer.poll(0.1)
            else:
                return

    def poll(self, seconds: float = 0) -> None:
        """Let deliveries be told."""
        self._producer.poll(seconds)

    def flush(self) -> bool:
        """Wait (bounded) until everything is written. False: something was not."""
        left = self._producer.flush(FLUSH_S)
        return not left and not self.failed

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self.failed += 1
            self.last_error = error.str()


def send_as_told(sender: Sender, records: list[Record], lines: Iterable[str]) -> int:
    """Send what is due by each line's time; returns how many were sent."""
    sent = 0
    for line in lines:
        now = int(line)
        while sent < len(records) and records[sent].due <= now:
            sender.send(records[sent])
            sent += 1
        sender.poll()
    return sent


def main(path: Path) -> int:
    """Send one sheet."""
    sheet = msgspec.msgpack.decode(path.read_bytes(), type=Sheet)
    sender = Sender(KafkaSettings.load(), sheet.partitioner)
    sent = send_as_told(sender, sheet.records, sys.stdin)
    whole = sender.flush()
    print(json.dumps({"source": sheet.source, "sent": sent, "failed": sender.failed}), flush=True)
    if not whole:
        print(f"error: Kafka did not take all of it: {sender.last_error or 'no answer'}", file=sys.stderr)
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
