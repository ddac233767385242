"""Settings of a sink: the policy, its HTTP, and each channel's URL and secrets.

For a channel named `outlet` the variables are STOCKSTREAM_CHANNEL_OUTLET_URL, _TOKEN, _SECRET and _API_VERSION; other
characters than letters and digits are `_` in the variable. Token and secret may come from a file, as ..._TOKEN_FILE.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from topics.policy import Policy, PolicyError, load_policy
from topics.settings import Settings, SettingsError, load_settings, refuse_unknown

__all__ = ["Endpoint", "SettingsError", "SinkSettings", "endpoint_of", "load"]

CHANNEL_PREFIX = "STOCKSTREAM_CHANNEL_"
_WORKERS_OWN = {f"STOCKSTREAM_{name}" for name in ("DATA_DIR", "SESSION_TIMEOUT", "WINDOW_MS", "TICK_SECONDS")}
"""Set for a worker in the same environment; a sink has no use for them."""


class SinkSettings(Settings):
    """What is common to all channels."""

    model_config = SettingsConfigDict(env_prefix="STOCKSTREAM_")

    policy: Path
    app_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")] = "stockstream"
    instance_id: str | None = None
    web_host: str = "127.0.0.1"
    web_port: Annotated[int, Field(ge=0, le=65535)] = 0
    allow_local_http: bool = False
    """Plain http, to this machine only: for simulators."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "console"] = "json"
    http_timeout_s: Annotated[float, Field(gt=0, le=120)] = 15.0


class _ChannelVariables(Settings):
    url: str
    token: SecretStr | None = None
    secret: SecretStr | None = None
    api_version: str | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a channel is, and what opens it. Secrets are not shown."""

    prefix: str
    url: str
    token: SecretStr | None = None
    secret: SecretStr | None = None
    api_version: str | None = None

    def variable(self, name: str) -> str:
        """The environment variable of one of the fields, for messages."""
        return f"{self.prefix}{name}"


def load(**overrides: Any) -> tuple[SinkSettings, Policy]:
    """Read and check all that is common. Raises SettingsError."""
    settings = load_settings(SinkSettings, **overrides)
    try:
        policy = load_policy(settings.policy)
    except PolicyError as exc:
        raise SettingsError(str(exc)) from None
    known = SinkSettings.known() | _WORKERS_OWN
    for name in policy.channels:
        known |= _variables(name, policy).known()
    refuse_unknown("STOCKSTREAM_", known)
    return settings, policy


def endpoint_of(name: str, settings: SinkSettings, policy: Policy) -> Endpoint:
    """Where the channel is. Raises SettingsError."""
    values = load_settings(_variables(name, policy))
    endpoint = Endpoint(_prefix(name), values.url.rstrip("/"), values.token, values.secret, values.api_version)
    _check_url(endpoint, settings.allow_local_http)
    return endpoint


def _prefix(name: str) -> str:
    return f"{CHANNEL_PREFIX}{re.sub('[^A-Z0-9]', '_', name.upper())}_"


def _variables(name: str, policy: Policy) -> type[_ChannelVariables]:
    """The variables of one channel, as a settings class of its own."""
    twins = [other for other in policy.channels if other != name and _prefix(other) == _prefix(name)]
    if twins:
        raise SettingsError(f"channels.{name}: {twins[0]} would be set by the same {_prefix(name)}URL; rename one")

    class Variables(_ChannelVariables):
        model_config = SettingsConfigDict(env_prefix=_prefix(name))

    return Variables


def _check_url(endpoint: Endpoint, allow_local_http: bool) -> None:
    variable = endpoint.variable("URL")
    try:
        url = urlsplit(endpoint.url)
        port = url.port
    except ValueError:
        raise SettingsError(f"{variable}: is no URL") from None
    if not url.hostname or port == 0:
        raise SettingsError(f"{variable}: must be https://host[:port][/path]")
    if url.username or url.password or url.query or url.fragment:
        raise SettingsError(f"{variable}: must not hold a user, password, query or fragment; secrets have variables")
    local = _is_loopback(url)
    if url.scheme == "http" and local and allow_local_http:
        return
    if url.scheme != "https":
        raise SettingsError(
            f"{variable}: must be https (http only to this machine, with STOCKSTREAM_ALLOW_LOCAL_HTTP=1)"
        )
    address = _address(url)
    if (local and not allow_local_http) or (address is not None and not local and not address.is_global):
        raise SettingsError(f"{variable}: is a private address")


def _address(url: SplitResult) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(url.hostname or "")
    except ValueError:
        return None


def _is_loopback(url: SplitResult) -> bool:
    address = _address(url)
    return url.hostname == "localhost" or (address is not None and address.is_loopback)
