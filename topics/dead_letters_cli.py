"""`python -m topics dlq`: look at dead letters, mend them and put them back."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from topics.codec import MAX_VALUE_BYTES, decode, rfc3339
from topics.refusals import Bad, printable
from topics.replay import Buried, NotPutBackError, PutBack, put_back, selected, sku_key
from topics.settings import KafkaSettings

dlq = typer.Typer(
    no_args_is_help=True,
    help="Look at dead letters, mend them and put them back. "
    "A dead letter is named TOPIC/PARTITION/OFFSET, as `dlq list` shows it.",
)

Topics = Annotated[
    list[str] | None, typer.Option("--topic", "-t", help="Only of this topic, with or without .dlq; may be repeated.")
]
Reasons = Annotated[
    list[str] | None, typer.Option("--reason", "-r", help="Only with this stockstream.reason; may be repeated.")
]
FromOffset = Annotated[int, typer.Option(min=0, help="Only from this offset of the dead-letter topic on.")]
Where = Annotated[str, typer.Argument(metavar="TOPIC/PARTITION/OFFSET", help="As `dlq list` shows it.")]


def _buried(
    kafka: KafkaSettings, topics: list[str] | None, reasons: list[str] | None, from_offset: int
) -> Iterator[Buried]:
    from topics.log import read_to_end

    for message in read_to_end(kafka, selected(topics or ())):
        found = _of(message)
        if found.offset >= from_offset and (not reasons or found.reason in reasons):
            yield found


def _one(kafka: KafkaSettings, place: str) -> Buried:
    from topics.log import read_one

    try:
        topic, partition, offset = place.rsplit("/", 2)
        numbers = int(partition), int(offset)
    except ValueError:
        raise NotPutBackError(f"{place}: a dead letter is named TOPIC/PARTITION/OFFSET") from None
    return _of(read_one(kafka, selected([topic])[0], *numbers))


def _of(message: Any) -> Buried:
    return Buried(
        message.topic(),
        message.partition(),
        message.offset(),
        message.key(),
        message.value(),
        tuple(message.headers() or ()),
        message.timestamp()[1],
    )


@dlq.command(name="list")
def list_letters(
    topic: Topics = None,
    reason: Reasons = None,
    from_offset: FromOffset = 0,
    limit: Annotated[int, typer.Option(min=0, help="Show at most so many; all are counted.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Show dead letters, and how many there are of each topic and reason."""
    import orjson

    counts: Counter[tuple[str, str]] = Counter()
    for found in _buried(KafkaSettings.load(), topic, reason, from_offset):
        counts[found.topic, found.reason] += 1
        if counts.total() > limit:
            continue
        if as_json:
            typer.echo(orjson.dumps(_as_json(found)).decode())
        else:
            typer.echo(f"{found.place}  {found.reason}  key={_shown(found.key, 64)}  {printable(found.message, 200)}")
    if not as_json:
        for (name, why), count in sorted(counts.items()):
            typer.echo(f"{count:>8}  {name}  {why}")
        typer.echo(f"{counts.total():>8}  dead letters" + (f", {limit} shown" if counts.total() > limit else ""))


@dlq.command()
def show(
    place: Where,
    value: Annotated[bool, typer.Option("--value", help="Only the value's bytes, to be edited or piped.")] = False,
) -> None:
    """Show one dead letter whole: key, headers, value, and what is wrong with it today."""
    found = _one(KafkaSettings.load(), place)
    if value:
        sys.stdout.buffer.write(found.value or b"")
        return
    typer.echo(f"place    {found.place} at {rfc3339(_time(found.timestamp_ms))}")
    typer.echo(f"from     {found.came_from}")
    typer.echo(f"reason   {found.reason}: {printable(found.message, 200)}")
    typer.echo(f"today    {_today(found)}")
    typer.echo(f"key      {_shown(found.key, 256)}")
    for name, content in found.headers:
        typer.echo(f"header   {printable(name, 100)} = {_shown(content, 256)}")
    typer.echo(f"value    {len(found.value or b'')} bytes")
    typer.echo(_shown(found.value, 16 * 1024))


@dlq.command()
def replay(  # noqa: PLR0917 - one per option
    places: Annotated[
        list[str] | None, typer.Argument(metavar="[TOPIC/PARTITION/OFFSET]...", help="Single dead letters.")
    ] = None,
    topic: Topics = None,
    reason: Reasons = None,
    from_offset: FromOffset = 0,
    value: Annotated[Path | None, typer.Option(help="A file with the mended value; for one dead letter.")] = None,
    edit: Annotated[bool, typer.Option("--edit", help="Mend the value in $EDITOR; for one dead letter.")] = False,
    key: Annotated[str | None, typer.Option(help="The right key; for one dead letter.")] = None,
    key_from_sku: Annotated[bool, typer.Option("--key-from-sku", help="Take each key from the value's sku.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Also what would come back as it stands.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Put dead letters back into their original topic: mended, or as they are after the cause has gone.

    Each is checked as the worker would check it; what would only come back is left where it is. Key, value and the
    sender's headers stay, the error headers go. The event_id stays too, so putting a record back twice counts once.
    Exit 1 if any was left or did not arrive.
    """
    single = value is not None or edit or key is not None
    if not places and not (topic or reason):
        raise NotPutBackError("name dead letters, or choose them with --topic or --reason")
    if single and (places is None or len(places) != 1):
        raise NotPutBackError("--value, --edit and --key mend one dead letter: name it as TOPIC/PARTITION/OFFSET")
    kafka = KafkaSettings.load()
    chosen = (_one(kafka, p) for p in places) if places else _buried(kafka, topic, reason, from_offset)
    mended = _read(value) if value is not None else None
    if not yes and not dry_run and not single and not typer.confirm(_question(places, topic, reason)):
        raise typer.Exit(1)
    raise typer.Exit(_replay_all(kafka, chosen, mended, edit, key, key_from_sku, force, dry_run))


def _question(places: list[str] | None, topics: list[str] | None, reasons: list[str] | None) -> str:
    which = ", ".join(places or topics or ["all topics"])
    return f"Put back {which}{' with reason ' + ', '.join(reasons) if reasons else ''}?"


def _replay_all(
    kafka: KafkaSettings,
    chosen: Iterator[Buried],
    mended: bytes | None,
    edit: bool,
    key: str | None,
    key_from_sku: bool,
    force: bool,
    dry_run: bool,
) -> int:
    """Send each, with a line for what is left; the exit status."""
    from topics.log import Sender

    sender = None if dry_run else Sender(kafka)
    done = left = 0
    with _progress() as advance:
        for found in chosen:
            try:
                content = _edited(found) if edit else mended
                source = found.value if content is None else content
                right_key = sku_key(source) if key_from_sku else key.encode() if key is not None else None
                record = put_back(found, _now_ms(), content, right_key, force=force)
            except NotPutBackError as exc:
                left += 1
                typer.echo(f"left     {found.place}: {exc}", err=True)
                continue
            done += 1
            _put(sender, record, found)
            advance(done)
    if sender is not None:
        sender.flush()
        for failure, count in Counter(sender.failed).items():
            typer.echo(f"failed   {count}: {failure}", err=True)
        done = sender.sent
    typer.echo(f"{done} {'would be ' if dry_run else ''}put back, {left} left" + _failures(sender))
    return 1 if left or (sender is not None and sender.failed) else 0


def _put(sender: Any, record: PutBack, found: Buried) -> None:
    if sender is None:
        typer.echo(f"would    {found.place} -> {record.topic.name} key={_shown(record.key, 64)}")
    else:
        sender.send(record.topic.name, record.key, record.value, list(record.headers))


def _failures(sender: Any) -> str:
    return f", {len(sender.failed)} failed" if sender is not None and sender.failed else ""


class _progress:  # noqa: N801 - used as a word
    """A counter on a terminal, nothing in a pipe."""

    def __enter__(self) -> Any:
        from rich.console import Console
        from rich.progress import Progress, TextColumn

        self._bar = Progress(TextColumn("put back {task.completed}"), console=Console(stderr=True), transient=True)
        self._bar.start()
        task = self._bar.add_task("", total=None)
        return lambda count: self._bar.update(task, completed=count)

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


def _edited(found: Buried) -> bytes:
    """The value after the person's editor has been over it."""
    editor = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "value.json"
        path.write_bytes(found.value or b"")
        try:
            subprocess.run([*editor, str(path)], check=True)
        except (OSError, subprocess.CalledProcessError) as exc:
            raise NotPutBackError(f"the editor {editor[0]} failed: {exc}") from None
        return path.read_bytes().rstrip(b"\n")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_VALUE_BYTES + 2).rstrip(b"\n")  # what is larger is refused as too_large
    except OSError as exc:
        raise NotPutBackError(f"--value {path}: {exc.strerror}") from None


def _today(found: Buried) -> str:
    if found.target is None:
        return "not put back: only the worker writes that topic"
    verdict = decode(found.target, found.key, found.value, _now_ms())
    return f"{verdict.reason}: {verdict.detail}" if isinstance(verdict, Bad) else "the codec accepts it as it is"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _time(timestamp_ms: int) -> datetime:
    return datetime.fromtimestamp(max(timestamp_ms, 0) / 1000, UTC)


def _shown(content: bytes | None, limit: int) -> str:
    """Bytes for a terminal: text where it is text, escapes where it is not, nothing that a terminal obeys."""
    if content is None:
        return "null"
    return printable(content[: 4 * limit].decode("utf-8", "backslashreplace"), limit)


def _as_json(found: Buried) -> dict[str, Any]:
    return {
        "place": found.place,
        "from": found.came_from,
        "reason": found.reason,
        "message": found.message,
        "at": rfc3339(_time(found.timestamp_ms)),
        "key": None if found.key is None else found.key.decode("utf-8", "backslashreplace"),
        "value_bytes": len(found.value or b""),
    }
