"""Settings from the environment: how Kafka is reached, and the reading, checking and refusing that all settings share.

A setting that is misspelt, contradicts another or is unsafe stops the program at once (exit 2) with one line that names
the variable. A secret may come from a file (`KAFKA_SASL_PASSWORD_FILE`) and is never shown.
"""

from __future__ import annotations

import difflib
import os
import re
import ssl
from collections.abc import Collection, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, FilePath, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

EXIT_REFUSED = 2
"""Exit status of a program whose configuration is refused."""

_SECRET_FILE_BYTES = 64 * 1024
_HOST_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?):(?P<port>\d{1,5})")
_AMBIENT = frozenset({"HOME", "OPTS", "HEAP", "JMX", "LOG4J", "VERSION", "CLUSTER", "CONFIG", "GC", "USER", "SERVICE"})
"""First words of KAFKA_ variables that Kafka's own scripts, images and Kubernetes set: not meant for us."""


class SettingsError(ValueError):
    """The configuration is refused: one line that names the environment variable. Secrets are not in it."""


class Settings(BaseSettings):
    """The base of all settings: read from the environment only, frozen, secrets also from `<NAME>_FILE`.

    An empty variable counts as not set, as compose files write it.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first (tests, command options), then the environment, then files that it names."""
        return init_settings, env_settings, _SecretFiles(settings_cls)

    @classmethod
    def variables(cls) -> dict[str, str]:
        """Field -> the environment variable that sets it."""
        return {name: _variable(cls, name, field) for name, field in cls.model_fields.items()}

    @classmethod
    def known(cls) -> set[str]:
        """Every environment variable that these settings read, with the `_FILE` form of the secrets."""
        files = {f"{_variable(cls, n, f)}_FILE" for n, f in cls.model_fields.items() if _is_secret(f)}
        return set(cls.variables().values()) | files


def _variable(cls: type[BaseSettings], name: str, field: FieldInfo) -> str:
    alias = field.validation_alias
    return alias if isinstance(alias, str) else f"{cls.model_config.get('env_prefix', '')}{name}".upper()


def _is_secret(field: FieldInfo) -> bool:
    return "SecretStr" in str(field.annotation)


class _SecretFiles(EnvSettingsSource):
    """Reads `<NAME>_FILE` for each secret: a password in a file does not show in a process list."""

    def __call__(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, field in self.settings_cls.model_fields.items():
            variable = _variable(self.settings_cls, name, field)
            path = os.environ.get(f"{variable}_FILE") if _is_secret(field) else None
            if path:
                if os.environ.get(variable):
                    raise SettingsError(f"{variable}_FILE: {variable} is set too; keep one of them")
                found[field.validation_alias if isinstance(field.validation_alias, str) else name] = _secret(
                    f"{variable}_FILE", path
                )
        return found


def _secret(variable: str, path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            raw = file.read(_SECRET_FILE_BYTES + 1)
        text = raw.decode("utf-8").rstrip("\r\n")
    except OSError as exc:
        raise SettingsError(f"{variable}: {path} cannot be read: {exc.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{variable}: {path} is not UTF-8 text") from None
    if not text or len(raw) > _SECRET_FILE_BYTES:
        raise SettingsError(f"{variable}: {path} is {'empty' if not text else 'larger than 64 KiB'}")
    return text


_S = TypeVar("_S", bound=Settings)


def load_settings(cls: type[_S], **overrides: Any) -> _S:
    """Read settings from the environment; `overrides` (not None) are what the command line said.

    Raises:
        SettingsError: one line that names the variable, without any secret.
    """
    variables = cls.variables()
    try:
        return cls(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False, include_context=False)[0]
        place, message = first["loc"], first["msg"].removeprefix("Value error, ")
        if not place:  # a contradiction: its message begins with the variable
            raise SettingsError(message) from None
        variable = variables.get(str(place[0]), str(place[0]))
        inside = "".join(f".{part}" for part in place[1:] if isinstance(part, str | int))
        raise SettingsError(f"{variable}{inside}: {message}") from None
    except SettingsError:
        raise
    except ValueError as exc:  # pydantic-settings: a value of a complex field that is not JSON
        raise SettingsError(" ".join(str(exc).split())) from None


def refuse_unknown(
    prefix: str, known: Collection[str], *, near_only: bool = False, environ: Mapping[str, str] | None = None
) -> None:
    """Refuse variables with this prefix that nobody reads: most are typing errors, and silence would hide them.

    `near_only`: refuse only what looks like a known name (other programs use the prefix too).
    """
    for name, value in sorted((os.environ if environ is None else environ).items()):
        if not name.startswith(prefix) or name in known or _is_service_link(name, value):
            continue
        words = [k.removeprefix(prefix) for k in known]
        near = difflib.get_close_matches(name.removeprefix(prefix), words, n=1, cutoff=0.65)  # BOOTSTRAP_SERVERS: 0.69
        if near:
            raise SettingsError(f"{name}: unknown; did you mean {prefix}{near[0]}?")
        if not near_only:
            raise SettingsError(f"{name}: unknown; known are {', '.join(sorted(known))}")


_SERVICE_LINK = re.compile(r"_SERVICE_HOST$|_SERVICE_PORT(_\w+)?$|_PORT_\d+_(TCP|UDP|SCTP)(_\w+)?$")


def _is_service_link(name: str, value: str) -> bool:
    """What Kubernetes sets in every pod for a Service that is called as we are (`stockstream`, `kafka-bootstrap`)."""
    return bool(_SERVICE_LINK.search(name)) or (name.endswith("_PORT") and "://" in value)


class KafkaSettings(Settings):
    """How Kafka is reached, and how topics are created."""

    model_config = SettingsConfigDict(env_prefix="KAFKA_")

    bootstrap: str = "127.0.0.1:9092"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_ca_location: FilePath | None = None
    ssl_certificate_location: FilePath | None = None
    ssl_key_location: FilePath | None = None
    ssl_key_password: SecretStr | None = None
    partitions: Annotated[int, Field(ge=1, le=1000)] = 4
    replication_factor: Annotated[int, Field(ge=1, le=9)] = 1

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Read the KAFKA_ variables. Raises SettingsError, also for a name that is nearly one of ours."""
        own = {k: v for k, v in os.environ.items() if k.startswith("KAFKA_") and k.split("_")[1] not in _AMBIENT}
        refuse_unknown("KAFKA_", cls.known(), near_only=True, environ=own)
        for prefix in ("KAFKA_SASL_", "KAFKA_SSL_", "KAFKA_SECURITY_"):  # silence would be unsafe
            refuse_unknown(prefix, {name for name in cls.known() if name.startswith(prefix)}, environ=own)
        return load_settings(cls, **overrides)

    @field_validator("bootstrap")
    @classmethod
    def _hosts_and_ports(cls, value: str) -> str:
        servers = [server.strip() for server in value.split(",")]
        for server in servers:
            match = _HOST_PORT.fullmatch(server)
            if match is None or not 0 < int(match["port"]) < 65536:
                shown = "a part" if "@" in server else ascii(server[:80])  # user:password@host is no secret's place
                raise ValueError(f"{shown} is not host:port")
        return ",".join(servers)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        sasl, tls = self.security_protocol.startswith("SASL"), self.security_protocol.endswith("SSL")
        own = self.variables()
        for name in ("sasl_mechanism", "sasl_username", "sasl_password"):
            given = getattr(self, name) is not None
            if given and not sasl:
                raise ValueError(f"{own[name]}: set, but KAFKA_SECURITY_PROTOCOL={self.security_protocol} has no SASL")
            if sasl and not given:
                raise ValueError(f"{own[name]}: needed with KAFKA_SECURITY_PROTOCOL={self.security_protocol}")
        for name in ("ssl_ca_location", "ssl_certificate_location", "ssl_key_location", "ssl_key_password"):
            if getattr(self, name) is not None and not tls:
                raise ValueError(f"{own[name]}: set, but KAFKA_SECURITY_PROTOCOL={self.security_protocol} has no TLS")
        if (self.ssl_certificate_location is None) != (self.ssl_key_location is None):
            raise ValueError("KAFKA_SSL_KEY_LOCATION: goes together with KAFKA_SSL_CERTIFICATE_LOCATION")
        if self.ssl_key_password is not None and self.ssl_key_location is None:
            raise ValueError("KAFKA_SSL_KEY_PASSWORD: set without KAFKA_SSL_KEY_LOCATION")
        if self.sasl_mechanism == "PLAIN" and not tls and not self.is_local:
            raise ValueError(
                "KAFKA_SASL_MECHANISM: PLAIN without TLS sends the password in clear text; use SASL_SSL or SCRAM"
            )
        return self

    @property
    def is_local(self) -> bool:
        """Whether all bootstrap servers are this machine."""
        hosts = [server.rpartition(":")[0].strip("[]") for server in self.bootstrap.split(",")]
        return all(host == "localhost" or _is_loopback(host) for host in hosts)

    def client_config(self) -> dict[str, Any]:
        """What every confluent-kafka client needs, in librdkafka's names. It holds secrets: never log it."""
        config: dict[str, Any] = {
            "bootstrap.servers": self.bootstrap,
            "security.protocol": self.security_protocol,
            "log_level": 2,  # a broker that is away is reported by us, once, not by librdkafka on each attempt
            "socket.connection.setup.timeout.ms": 10_000,
            "socket.timeout.ms": 30_000,
            "socket.keepalive.enable": True,
            "reconnect.backoff.max.ms": 2_000,
        }
        optional = {
            "sasl.mechanism": self.sasl_mechanism,
            "sasl.username": self.sasl_username,
            "sasl.password": self.sasl_password and self.sasl_password.get_secret_value(),
            "ssl.ca.location": self.ssl_ca_location,
            "ssl.certificate.location": self.ssl_certificate_location,
            "ssl.key.location": self.ssl_key_location,
            "ssl.key.password": self.ssl_key_password and self.ssl_key_password.get_secret_value(),
        }
        config.update({k: str(v) for k, v in optional.items() if v is not None})
        return config

    def aiokafka_config(self) -> dict[str, Any]:
        """The same for aiokafka's clients, in its names. It holds secrets: never log it."""
        config: dict[str, Any] = {"bootstrap_servers": self.bootstrap, "security_protocol": self.security_protocol}
        if self.sasl_mechanism and self.sasl_password:
            config |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.sasl_username,
                "sasl_plain_password": self.sasl_password.get_secret_value(),
            }
        if self.security_protocol.endswith("SSL"):
            config["ssl_context"] = self._ssl_context()
        return config

    def _ssl_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ssl_ca_location)
        if self.ssl_certificate_location is not None:
            password = self.ssl_key_password and self.ssl_key_password.get_secret_value()
            context.load_cert_chain(self.ssl_certificate_location, self.ssl_key_location, password or None)
        return context


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
