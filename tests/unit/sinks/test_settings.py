"""What is refused at start, in one line that names the variable and shows no secret."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sinks.settings import SettingsError, endpoint_of, load

POLICY = "channels: {outlet: {kind: webhook}, my-shop: {kind: shopify}}"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("STOCKSTREAM_"):
            monkeypatch.delenv(name)
    (tmp_path / "policy.yaml").write_text(POLICY)
    monkeypatch.setenv("STOCKSTREAM_POLICY", str(tmp_path / "policy.yaml"))


def endpoint(name: str) -> object:
    return endpoint_of(name, *load())


def test_a_channel_has_variables_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("shpat_from_a_file\n")
    monkeypatch.setenv("STOCKSTREAM_CHANNEL_MY_SHOP_URL", "https://shop.example/")
    monkeypatch.setenv("STOCKSTREAM_CHANNEL_MY_SHOP_TOKEN_FILE", str(tmp_path / "token"))
    found = endpoint_of("my-shop", *load())
    assert found.url == "https://shop.example"
    assert found.token is not None
    assert found.token.get_secret_value() == "shpat_from_a_file"
    assert "shpat" not in repr(found)


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example",
        "ftp://shop.example",
        "shop.example",
        "https://",
        "https://user:hush@shop.example",
        "https://shop.example/?token=hush",
        "https://10.0.0.7/hook",
        "https://169.254.169.254/latest",
        "https://[::1]/",
        "https://127.0.0.1:8000",
        "https://localhost",
        "http://127.0.0.1:8000",
        "https://shop.example:0",
        "https://shop.example:99999",
    ],
)
def test_an_unsafe_url_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("STOCKSTREAM_CHANNEL_OUTLET_URL", url)
    with pytest.raises(SettingsError, match=r"^STOCKSTREAM_CHANNEL_OUTLET_URL: .+") as refused:
        endpoint("outlet")
    assert "hush" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_plain_http_is_for_this_machine_and_by_permission(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOCKSTREAM_ALLOW_LOCAL_HTTP", "1")
    monkeypatch.setenv("STOCKSTREAM_CHANNEL_OUTLET_URL", "http://127.0.0.1:8000/hook")
    assert endpoint("outlet")
    monkeypatch.setenv("STOCKSTREAM_CHANNEL_OUTLET_URL", "http://shop.example")
    with pytest.raises(SettingsError, match="https"):
        endpoint("outlet")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("STOCKSTREAM_CHANEL_OUTLET_URL", "https://x.example", "did you mean STOCKSTREAM_CHANNEL_OUTLET_URL?"),
        ("STOCKSTREAM_CHANNEL_OTHER_THING", "x", "STOCKSTREAM_CHANNEL_OTHER_THING: unknown"),
        ("STOCKSTREAM_HTTP_TIMEOUT_S", "0", "STOCKSTREAM_HTTP_TIMEOUT_S: "),
        ("STOCKSTREAM_WEB_PORT", "70000", "STOCKSTREAM_WEB_PORT: "),
        ("STOCKSTREAM_POLICY", "/nowhere.yaml", "STOCKSTREAM_POLICY=/nowhere.yaml: cannot be read"),
    ],
)
def test_what_is_misspelt_or_out_of_range_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        load()
    assert says in str(refused.value)


def test_two_channels_must_not_share_variables(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("channels: {my-shop: {kind: webhook}, my.shop: {kind: webhook}}")
    with pytest.raises(SettingsError, match="STOCKSTREAM_CHANNEL_MY_SHOP_URL"):
        load()


def test_a_worker_may_share_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOCKSTREAM_DATA_DIR", "/var/lib/stockstream")
    settings, policy = load()
    assert settings.app_id == "stockstream"
    assert set(policy.channels) == {"outlet", "my-shop"}


@pytest.mark.parametrize(
    ("channel", "environment_", "says"),
    [
        ("nowhere", {}, "channels.nowhere: not in the policy; it has my-shop, outlet"),
        ("outlet", {}, "STOCKSTREAM_CHANNEL_OUTLET_URL: Field required"),
        ("outlet", {"STOCKSTREAM_CHANNEL_OUTLET_URL": "https://x.example"}, "STOCKSTREAM_CHANNEL_OUTLET_SECRET: "),
        ("my-shop", {"STOCKSTREAM_CHANNEL_MY_SHOP_URL": "https://x.example"}, "STOCKSTREAM_CHANNEL_MY_SHOP_TOKEN: "),
    ],
)
def test_refused_configuration_ends_with_2(channel: str, environment_: dict[str, str], says: str) -> None:
    command = [sys.executable, "-m", "sinks", "run", channel]
    environment = {**os.environ, **environment_}
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"refused: {says}" in done.stderr
