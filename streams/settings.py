"""The worker's settings, from the environment. Refused with one line that names the variable (exit status 2)."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints
from pydantic_settings import SettingsConfigDict

from topics.policy import Policy, PolicyError, load_policy
from topics.settings import KafkaSettings, Settings, SettingsError, load_settings, refuse_unknown

SINKS_PREFIX = "STOCKSTREAM_CHANNEL_"
"""Variables that sinks read; a worker may share its environment with them."""
SINKS_OWN = frozenset({"STOCKSTREAM_ALLOW_LOCAL_HTTP", "STOCKSTREAM_HTTP_TIMEOUT_S"})


class WorkerSettings(Settings):
    """Everything that a worker can be told, besides KAFKA_ and the policy file."""

    model_config = SettingsConfigDict(env_prefix="STOCKSTREAM_")

    app_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")] = "stockstream"
    policy: Path | None = None
    web_host: str = "127.0.0.1"
    web_port: Annotated[int, Field(ge=0, le=65535)] = 6066
    instance_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")] | None = None
    data_dir: Path | None = None
    session_timeout: Annotated[float, Field(ge=6, le=10)] = 6.0
    window_ms: Annotated[int, Field(ge=1, le=5000)] = 50
    tick_seconds: Annotated[float, Field(ge=0.1, le=60)] = 5.0
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "console"] = "json"

    @property
    def folder(self) -> Path:
        """Where Faust may keep files: by default unique per application and port."""
        name = f"stockstream-{self.app_id}-{self.web_port}"
        return self.data_dir or Path(tempfile.gettempdir()) / f"{name}-{os.getuid()}"


@dataclass(frozen=True, slots=True)
class Configuration:
    """All that a worker needs to know."""

    worker: WorkerSettings
    kafka: KafkaSettings
    policy: Policy


def load_configuration() -> Configuration:
    """Read and check everything. Raises SettingsError: one line that names the field."""
    mine = {name: "" for name in os.environ if name.startswith("STOCKSTREAM_") and not name.startswith(SINKS_PREFIX)}
    refuse_unknown("STOCKSTREAM_", WorkerSettings.known() | SINKS_OWN, environ=mine)
    worker = load_settings(WorkerSettings)
    kafka = KafkaSettings.load()
    try:
        policy = load_policy(worker.policy) if worker.policy is not None else Policy()
    except PolicyError as exc:
        raise SettingsError(str(exc)) from None
    return Configuration(worker, kafka, policy)
