"""Settings: what is refused, in which words, and that no secret is among them."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from pydantic import SecretStr
from pydantic_settings import SettingsConfigDict

from topics.settings import KafkaSettings, Settings, SettingsError, load_settings, refuse_unknown

SASL = {
    "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
    "KAFKA_SASL_USERNAME": "ana",
    "KAFKA_SASL_PASSWORD": "hunter2",
}


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [n for n in os.environ if n.startswith("KAFKA_")]:
        monkeypatch.delenv(name)


def given(monkeypatch: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def test_defaults_reach_a_local_kafka() -> None:
    settings = KafkaSettings.load()
    assert (settings.bootstrap, settings.partitions, settings.replication_factor) == ("127.0.0.1:9092", 4, 1)
    config = settings.client_config()
    assert config["bootstrap.servers"] == "127.0.0.1:9092"
    assert config["security.protocol"] == "PLAINTEXT"
    assert not [name for name in config if name.startswith(("sasl", "ssl"))]
    assert settings.aiokafka_config() == {"bootstrap_servers": "127.0.0.1:9092", "security_protocol": "PLAINTEXT"}


def test_the_environment_and_the_command_line_set_them(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, {"KAFKA_BOOTSTRAP": "a:1, [::1]:2", "KAFKA_PARTITIONS": "12", "KAFKA_SASL_USERNAME": ""})
    settings = KafkaSettings.load(partitions=None, replication_factor=3)
    assert (settings.bootstrap, settings.partitions, settings.replication_factor) == ("a:1,[::1]:2", 12, 3)
    assert settings.sasl_username is None


def test_sasl_and_tls_reach_both_clients(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("hunter2\n")
    ca = ssl.get_default_verify_paths().cafile
    given(monkeypatch, {**SASL, "KAFKA_SASL_PASSWORD": "", "KAFKA_SASL_PASSWORD_FILE": str(password)})
    if ca is not None and Path(ca).exists():
        monkeypatch.setenv("KAFKA_SSL_CA_LOCATION", ca)
    settings = KafkaSettings.load()
    config = settings.client_config()
    assert config["sasl.password"] == "hunter2"
    assert config["sasl.mechanism"] == "SCRAM-SHA-512"
    aio = settings.aiokafka_config()
    assert aio["sasl_plain_password"] == "hunter2"
    assert aio["ssl_context"].verify_mode == ssl.CERT_REQUIRED
    assert aio["ssl_context"].check_hostname


def test_a_secret_is_in_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, SASL)
    settings = KafkaSettings.load()
    assert "hunter2" not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({"KAFKA_BOOTSTRAP": "localhost"}, "KAFKA_BOOTSTRAP: "),
        ({"KAFKA_BOOTSTRAP": "localhost:0"}, "KAFKA_BOOTSTRAP: "),
        ({"KAFKA_BOOTSTRAP": "localhost:65536"}, "KAFKA_BOOTSTRAP: "),
        ({"KAFKA_BOOTSTRAP": "a:1,,b:2"}, "KAFKA_BOOTSTRAP: "),
        ({"KAFKA_BOOTSTRAP": "kafka://a:1"}, "KAFKA_BOOTSTRAP: "),
        ({"KAFKA_BOOTSTRAP": "ana:hunter2@a:1"}, "KAFKA_BOOTSTRAP: "),
        ({"KAFKA_PARTITIONS": "0"}, "KAFKA_PARTITIONS: "),
        ({"KAFKA_PARTITIONS": "four"}, "KAFKA_PARTITIONS: "),
        ({"KAFKA_REPLICATION_FACTOR": "-1"}, "KAFKA_REPLICATION_FACTOR: "),
        ({"KAFKA_SECURITY_PROTOCOL": "TLS"}, "KAFKA_SECURITY_PROTOCOL: "),
        ({"KAFKA_SASL_PASSWORD": "hunter2"}, "KAFKA_SASL_PASSWORD: set, but KAFKA_SECURITY_PROTOCOL=PLAINTEXT"),
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, "KAFKA_SASL_MECHANISM: needed"),
        ({**SASL, "KAFKA_SASL_USERNAME": ""}, "KAFKA_SASL_USERNAME: needed"),
        ({**SASL, "KAFKA_SASL_MECHANISM": "hunter2"}, "KAFKA_SASL_MECHANISM: "),
        ({**SASL, "KAFKA_SASL_PASSWORD_FILE": "/dev/null"}, "KAFKA_SASL_PASSWORD_FILE: KAFKA_SASL_PASSWORD is set too"),
        ({**SASL, "KAFKA_SSL_KEY_PASSWORD": "hunter2"}, "KAFKA_SSL_KEY_PASSWORD: set without"),
        ({**SASL, "KAFKA_SSL_CA_LOCATION": "/no/such/file"}, "KAFKA_SSL_CA_LOCATION: "),
        ({**SASL, "KAFKA_SSL_CERTIFICATE_LOCATION": "/dev/null"}, "KAFKA_SSL_CERTIFICATE_LOCATION: "),
        ({"KAFKA_SSL_KEY_PASSWORD": "hunter2"}, "KAFKA_SSL_KEY_PASSWORD: set, but"),
        (
            {
                **SASL,
                "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
                "KAFKA_SASL_MECHANISM": "PLAIN",
                "KAFKA_BOOTSTRAP": "kafka.example:9092",
            },
            "KAFKA_SASL_MECHANISM: PLAIN without TLS",
        ),
        ({"KAFKA_BOOTSTRAP_SERVERS": "a:1"}, "KAFKA_BOOTSTRAP_SERVERS: unknown; did you mean KAFKA_BOOTSTRAP?"),
        ({"KAFKA_BOOTSTRAPS": "a:1"}, "KAFKA_BOOTSTRAPS: unknown; did you mean KAFKA_BOOTSTRAP?"),
        ({"KAFKA_SASL_PASSWORD_FILES": "x"}, "KAFKA_SASL_PASSWORD_FILES: unknown; did you mean"),
        ({"KAFKA_SSL_KEYSTORE_TYPE": "x"}, "KAFKA_SSL_KEYSTORE_TYPE: unknown; "),
        ({"KAFKA_SASL_OAUTHBEARER_CONFIG": "x"}, "KAFKA_SASL_OAUTHBEARER_CONFIG: unknown; "),
    ],
)
def test_what_cannot_be_right_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str], names: str
) -> None:
    given(monkeypatch, values)
    with pytest.raises(SettingsError) as refused:
        KafkaSettings.load()
    text = str(refused.value)
    assert text.startswith(names)
    assert "\n" not in text
    assert "hunter2" not in text


def test_a_certificate_needs_its_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    certificate = tmp_path / "certificate.pem"
    certificate.touch()
    given(monkeypatch, {**SASL, "KAFKA_SSL_CERTIFICATE_LOCATION": str(certificate)})
    with pytest.raises(SettingsError, match=r"^KAFKA_SSL_KEY_LOCATION: goes together"):
        KafkaSettings.load()


@pytest.mark.parametrize(
    ("content", "why"), [(None, "cannot be read"), (b"", "empty"), (b"\xff", "not UTF-8"), (b"a" * 65537, "larger")]
)
def test_a_secrets_file_must_hold_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None, why: str
) -> None:
    path = tmp_path / "password"
    if content is not None:
        path.write_bytes(content)
    given(monkeypatch, {**SASL, "KAFKA_SASL_PASSWORD": "", "KAFKA_SASL_PASSWORD_FILE": str(path)})
    with pytest.raises(SettingsError, match=rf"^KAFKA_SASL_PASSWORD_FILE: .*{why}"):
        KafkaSettings.load()


def test_kafkas_own_variables_are_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, {"KAFKA_HOME": "/opt/kafka", "KAFKA_HEAP_OPTS": "-Xmx1g", "KAFKA_LOG4J_OPTS": "x"})
    assert KafkaSettings.load().partitions == 4


def test_plain_passwords_may_stay_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, {**SASL, "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "KAFKA_SASL_MECHANISM": "PLAIN"})
    assert KafkaSettings.load().is_local


class Shop(Settings):
    """Settings as a sink has them."""

    model_config = SettingsConfigDict(env_prefix="SHOP_")

    token: SecretStr
    names: tuple[str, ...] = ()


def test_other_settings_read_and_refuse_the_same_way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("hunter2")
    assert Shop.known() == {"SHOP_TOKEN", "SHOP_TOKEN_FILE", "SHOP_NAMES"}
    with pytest.raises(SettingsError, match=r"^SHOP_TOKEN: "):
        load_settings(Shop)
    monkeypatch.setenv("SHOP_TOKEN_FILE", str(token))
    assert load_settings(Shop).token.get_secret_value() == "hunter2"
    monkeypatch.setenv("SHOP_NAMES", "no json")
    with pytest.raises(SettingsError, match="names"):
        load_settings(Shop)


def test_unknown_names_are_refused_with_the_nearest_known_one() -> None:
    known = {"STOCKSTREAM_POLICY", "STOCKSTREAM_APP_ID"}
    refuse_unknown("STOCKSTREAM_", known, environ={"STOCKSTREAM_POLICY": "x", "PATH": "y"})
    with pytest.raises(SettingsError, match="STOCKSTREAM_POLCY: unknown; did you mean STOCKSTREAM_POLICY"):
        refuse_unknown("STOCKSTREAM_", known, environ={"STOCKSTREAM_POLCY": "x"})
    with pytest.raises(SettingsError, match="STOCKSTREAM_X: unknown; known are STOCKSTREAM_APP_ID"):
        refuse_unknown("STOCKSTREAM_", known, environ={"STOCKSTREAM_X": "x"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SERVICE_HOST", "10.0.0.1"),
        ("SERVICE_PORT", "6066"),
        ("SERVICE_PORT_HTTP", "6066"),
        ("PORT", "tcp://10.0.0.1:6066"),
        ("PORT_6066_TCP", "tcp://10.0.0.1:6066"),
        ("PORT_6066_TCP_ADDR", "10.0.0.1"),
    ],
)
def test_what_kubernetes_sets_for_a_service_of_our_name_is_not_ours(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    refuse_unknown("STOCKSTREAM_", {"STOCKSTREAM_WEB_PORT"}, environ={f"STOCKSTREAM_{name}": value})
    monkeypatch.setenv(f"KAFKA_BOOTSTRAP_{name}", value)
    assert KafkaSettings.load().bootstrap == "127.0.0.1:9092"
    with pytest.raises(SettingsError):
        refuse_unknown("STOCKSTREAM_", {"STOCKSTREAM_WEB_PORT"}, environ={"STOCKSTREAM_WBE_PORT": "6066"})
