"""`python -m topics`: the contract's side of stockstream: topics on Kafka, schemas, dead letters."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from topics.catalogue import all_topics
from topics.dead_letters_cli import dlq
from topics.settings import EXIT_REFUSED, KafkaSettings, SettingsError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="The contract's side of stockstream: topics on Kafka, schemas, dead letters.\n\n"
    "Kafka is named by KAFKA_BOOTSTRAP (default 127.0.0.1:9092), KAFKA_SECURITY_PROTOCOL, KAFKA_SASL_* and "
    "KAFKA_SSL_*. "
    "Exit status: 0 done, 2 refused configuration, 1 anything else.",
)
app.add_typer(dlq, name="dlq")

AppId = Annotated[str, typer.Option(envvar="STOCKSTREAM_APP_ID", help="Whose changelog topic is created too.")]


@app.command()
def apply(
    partitions: Annotated[
        int | None, typer.Option(min=1, help="Partitions of every topic (default: KAFKA_PARTITIONS, else 4).")
    ] = None,
    replication_factor: Annotated[
        int | None, typer.Option(min=1, help="Copies of every partition (default: KAFKA_REPLICATION_FACTOR, else 1).")
    ] = None,
    app_id: AppId = "stockstream",
) -> None:
    """Create what is missing and correct settings that differ. A second run changes nothing.

    The number of partitions of a topic is never changed: the records of a SKU would part. Give topics the number that
    they have, or move to new topics.
    """
    from topics.admin import apply_topics

    for line in apply_topics(KafkaSettings.load(partitions=partitions, replication_factor=replication_factor), app_id):
        typer.echo(line)


@app.command(name="list")
def list_topics(
    app_id: AppId = "stockstream",
    offline: Annotated[bool, typer.Option("--offline", help="Only what should be; do not ask Kafka.")] = False,
) -> None:
    """Show all topics: what they are for, who writes them, and what Kafka has. Exit 1 if one is missing or differs."""
    from topics.admin import Kafka, common_partitions

    metadata = None if offline else Kafka(KafkaSettings.load()).metadata()
    topics = all_topics(app_id)
    width = max(len(topic.name) for topic in topics)
    for topic in topics:
        found = metadata.topics.get(topic.name) if metadata is not None else None
        here = "" if metadata is None else f"{len(found.partitions)} partitions" if found is not None else "missing"
        keeps = topic.cleanup if topic.retention_days is None else f"{topic.cleanup} {topic.retention_days} d"
        columns = f"{topic.name:<{width}}  {here:<13}  {topic.key:<14}  {keeps:<19}  {topic.purpose}"
        typer.echo(f"{columns} (by {topic.writer})")
    if metadata is not None:
        common_partitions(metadata, app_id)


@app.command()
def schemas(directory: Annotated[Path, typer.Argument(help="Made if it does not exist.")]) -> None:
    """Write one JSON Schema for each topic into a directory."""
    import orjson

    from topics.schemas import schemas as all_schemas

    directory.mkdir(parents=True, exist_ok=True)
    for name, schema in all_schemas().items():
        path = directory / name
        path.write_bytes(orjson.dumps(schema, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        typer.echo(path)


@app.command()
def asyncapi(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A .yaml or .json file; standard output if not given.")
    ] = None,
) -> None:
    """Write the contract as an AsyncAPI 3 document, as YAML or, for a .json file, as JSON."""
    import orjson
    import yaml

    from topics.asyncapi import document

    whole = document(KafkaSettings.load())
    if output is not None and output.suffix == ".json":
        text = orjson.dumps(whole, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()
    else:
        text = yaml.safe_dump(orjson.loads(orjson.dumps(whole)), sort_keys=False, allow_unicode=True, width=120)
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
        typer.echo(output)


def _say(error: Exception | str, status: int) -> int:
    typer.echo(f"topics: {error}", err=True)
    return status


def main() -> int:
    """Run a command; every expected failure is one line on standard error."""
    from topics.admin import TopicsError
    from topics.replay import NotPutBackError

    try:
        app(prog_name="python -m topics")
    except SettingsError as exc:
        return _say(exc, EXIT_REFUSED)
    except (TopicsError, NotPutBackError) as exc:
        return _say(exc, 1)
    except OSError as exc:
        return _say(f"{exc.filename or 'output'}: {exc.strerror}", 1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
