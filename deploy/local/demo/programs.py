"""How each program of the pipeline is started by hand: the same commands and variables that a person would use."""

from __future__ import annotations

from deploy.local.demo.play import POLICY, Ports, url
from deploy.local.demo.stack import Stack
from sinks.simulators.base import SECRET, TOKEN

FAULTS = {
    "shopify": {"throttle": 0.03, "error": 0.03, "timeout": 0.01, "reset": 0.01},
    "outlet": {"throttle": 0.03, "error": 0.03, "unavailable": 0.01, "timeout": 0.01, "reset": 0.01},
}
"""Share of calls that meet a fault; `timeout` comes after the call was applied."""
TIMEOUT_S = 2
HANGS_S = 6


def start_worker(stack: Stack, ports: Ports) -> None:
    """The one worker; also after it was killed."""
    own = {
        "STOCKSTREAM_POLICY": str(POLICY),
        "STOCKSTREAM_WEB_PORT": str(ports.worker),
        "STOCKSTREAM_INSTANCE_ID": "demo-1",
        "STOCKSTREAM_DATA_DIR": str(stack.folder / "worker"),
    }
    stack.start("worker", ["-m", "streams", "worker"], own)


def start_channel(stack: Stack, ports: Ports, channel: str, kind: str, seed: int) -> None:
    """A simulated channel with faults, and its sink."""
    port, prefix = ports.simulators[channel], f"STOCKSTREAM_CHANNEL_{channel.upper()}_"
    faults = [f"--fault={name}={share}" for name, share in FAULTS[channel].items()]
    simulate = ["-m", "sinks", "simulate", kind, "--port", str(port), "--seed", str(seed)]
    stack.start(f"simulator-{channel}", [*simulate, "--hang-s", str(HANGS_S), *faults])
    own = {
        "STOCKSTREAM_POLICY": str(POLICY),
        "STOCKSTREAM_INSTANCE_ID": f"demo-{channel}",
        "STOCKSTREAM_ALLOW_LOCAL_HTTP": "1",
        "STOCKSTREAM_HTTP_TIMEOUT_S": str(TIMEOUT_S),
        f"{prefix}URL": url(port),
        f"{prefix}TOKEN": TOKEN,
        f"{prefix}SECRET": SECRET,
    }
    stack.start(f"sink-{channel}", ["-m", "sinks", "run", channel, "--port", str(ports.sinks[channel])], own)
