"""The worker's settings: read from the environment, refused with one line that names the variable."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streams.settings import load_configuration
from topics.settings import SettingsError


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("STOCKSTREAM_", "KAFKA_")):
            monkeypatch.delenv(name)


def test_the_defaults_of_the_contract() -> None:
    config = load_configuration()
    assert (config.worker.app_id, config.worker.web_host, config.worker.web_port) == ("stockstream", "127.0.0.1", 6066)
    assert config.worker.instance_id is None
    assert 6 <= config.worker.session_timeout <= 10
    assert config.worker.tick_seconds == 5
    assert config.policy.memory.records == 100_000
    assert config.policy.channels == {}


def test_the_data_folder_is_unique_per_application_and_port(monkeypatch: pytest.MonkeyPatch) -> None:
    folders = set()
    for app_id in ("stockstream", "other"):
        for port in ("6066", "6067"):
            monkeypatch.setenv("STOCKSTREAM_APP_ID", app_id)
            monkeypatch.setenv("STOCKSTREAM_WEB_PORT", port)
            folders.add(load_configuration().worker.folder)
    assert len(folders) == 4
    monkeypatch.setenv("STOCKSTREAM_DATA_DIR", "/var/lib/stockstream")
    assert load_configuration().worker.folder == Path("/var/lib/stockstream")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STOCKSTREAM_APP_ID", "no spaces"),
        ("STOCKSTREAM_WEB_PORT", "70000"),
        ("STOCKSTREAM_WEB_PORT", "http"),
        ("STOCKSTREAM_INSTANCE_ID", "../x"),
        ("STOCKSTREAM_SESSION_TIMEOUT", "5"),
        ("STOCKSTREAM_SESSION_TIMEOUT", "30"),
        ("STOCKSTREAM_WINDOW_MS", "0"),
        ("STOCKSTREAM_TICK_SECONDS", "0"),
        ("STOCKSTREAM_LOG_LEVEL", "LOUD"),
        ("STOCKSTREAM_POLICY", "/nowhere/policy.yaml"),
        ("STOCKSTREAM_WEBPORT", "6066"),
        ("STOCKSTREAM_SOMETHING", "1"),
        ("KAFKA_BOOTSTRAP", "nowhere"),
        ("KAFKA_BOOTSTRAPS", "127.0.0.1:9092"),
    ],
)
def test_what_cannot_be_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name) as refused:
        load_configuration()
    assert "\n" not in str(refused.value)


def test_a_misspelt_name_is_told_the_right_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOCKSTREAM_WEBPORT", "6066")
    with pytest.raises(SettingsError, match="did you mean STOCKSTREAM_WEB_PORT"):
        load_configuration()


def test_an_environment_shared_with_sinks_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOCKSTREAM_CHANNEL_SHOPIFY_TOKEN", "secret")
    monkeypatch.setenv("STOCKSTREAM_ALLOW_LOCAL_HTTP", "1")
    assert load_configuration().worker.app_id == "stockstream"


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("channels: {outlet: {kind: webhook, percent: 101}}", "channels.outlet.percent"),
        ("channels: {all: {kind: webhook}}", "channels.all"),
        ("grace_seconds: {id_conflict: 5}", "grace_seconds.id_conflict"),
        ("memory: {records: 0}", "memory.records"),
        ("chanels: {}", "chanels"),
        ("channels: [", "not YAML"),
    ],
)
def test_a_bad_policy_is_refused_by_field(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, field: str
) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(text, encoding="utf-8")
    monkeypatch.setenv("STOCKSTREAM_POLICY", str(path))
    with pytest.raises(SettingsError, match=field) as refused:
        load_configuration()
    assert "\n" not in str(refused.value)
