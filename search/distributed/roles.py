"""Who this process is in a search on several: KerasTuner's environment variables, read and checked."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Final, Literal

from ..errors import SearchError

TUNER_ID: Final = "KERASTUNER_TUNER_ID"
ORACLE_IP: Final = "KERASTUNER_ORACLE_IP"
ORACLE_PORT: Final = "KERASTUNER_ORACLE_PORT"
TIMEOUT: Final = "KERAS_SPARSE_WORKER_TIMEOUT"

LOOPBACK: Final = "127.0.0.1"
DEFAULT_TIMEOUT: Final = 60.0


class WorkersError(SearchError):
    """Several processes cannot search as asked, or cannot go on."""


class RoleError(WorkersError):
    """The environment variables say nothing that can be done."""

    exit_code = 2


@dataclass(frozen=True)
class Role:
    """What a process does in a search.

    Args:
        kind: "alone" runs all trials, "chief" hands them out, "worker" runs those it is given.
        name: KERASTUNER_TUNER_ID; the chief's contains "chief", every worker has one of its own.
        host: KERASTUNER_ORACLE_IP, where the chief listens.
        port: KERASTUNER_ORACLE_PORT.
        timeout: KERAS_SPARSE_WORKER_TIMEOUT: after so many seconds of silence a chief takes a worker for dead, and a
            worker its chief. Default: 60.
    """

    kind: Literal["alone", "chief", "worker"] = "alone"
    name: str = "tuner0"
    host: str = LOOPBACK
    port: int = 0
    timeout: float = DEFAULT_TIMEOUT

    def environment(self) -> dict[str, str]:
        """The variables from which `role` reads this role."""
        found = {TUNER_ID: self.name, ORACLE_IP: self.host, ORACLE_PORT: str(self.port)}
        return found | {TIMEOUT: str(self.timeout)}


def role() -> Role:
    """The role of this process.

    Without KERASTUNER_ORACLE_IP it is alone, as KerasTuner has it.

    Raises:
        RoleError: A variable is missing or out of range.
    """
    timeout = _timeout()
    host = os.environ.get(ORACLE_IP, "").strip()
    if not host:
        return Role(timeout=timeout)
    name, port = os.environ.get(TUNER_ID, "").strip(), os.environ.get(ORACLE_PORT, "").strip()
    for variable, value, what in (
        (TUNER_ID, name, '"chief" for the chief, a name of its own for every worker'),
        (ORACLE_PORT, port, "the port on which the chief listens"),
    ):
        if not value:
            raise RoleError(f"{ORACLE_IP} is set, but {variable} is not. Set it: {what}. Or unset {ORACLE_IP}.")
    if not (port.isascii() and port.isdecimal() and 1 <= int(port) <= 65535):
        raise RoleError(f"{ORACLE_PORT} must be a port, 1 to 65535, got {port!r}.")
    return Role("chief" if "chief" in name else "worker", name, host, int(port), timeout)


def address(host: str, port: int) -> str:
    """Host and port in one."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _timeout() -> float:
    text = os.environ.get(TIMEOUT, "").strip()
    try:
        timeout = float(text) if text else DEFAULT_TIMEOUT
    except ValueError:
        timeout = math.nan
    if not (math.isfinite(timeout) and timeout > 0):
        raise RoleError(f"{TIMEOUT} must be a number of seconds > 0, got {text!r}.")
    return timeout
