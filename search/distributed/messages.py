"""What chief and workers tell each other, in the messages of KerasTuner's service.

A message of KerasTuner's holds a trial. All that ours say beside its name and status is one JSON value, which travels
as a hyperparameter. Who calls is in the call's metadata, as `UpdateTrial` and `EndTrial` have no place for it.

| call | asks | gets |
|---|---|---|
| `GetSpace` | whether the chief is there | nothing: workers know the space |
| `CreateTrial` | for a trial | RUNNING with "hyperparameters", "pending", "known"; IDLE: ask again; STOPPED: leave, with "error" if the search failed |
| `UpdateTrial` | says that it is alive, and the epochs done | RUNNING |
| `EndTrial` | hands in a "record", with the "upload"ed network; or leaves with nothing, or with the "error" that ends the search | |

An UpdateTrial or EndTrial for a trial that is no longer the caller's is answered FAILED_PRECONDITION.
"""  # noqa: E501 - a table

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Self

import keras_tuner
from keras_tuner.engine.trial import Trial
from keras_tuner.src import protos

SERVICE: Any = protos.get_service()
"""KerasTuner's messages; generated code, without types."""
STUBS: Any = protos.get_service_grpc()
"""Its service."""

_KEY: Final = "keras_sparse"
_METADATA: Final = "keras-sparse-bin"

OPTIONS: Final = [
    ("grpc.max_send_message_length", 64 << 20),
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.so_reuseport", 0),  # a second chief on one port is an error
]
"""Of the connection, on both sides."""


@dataclass(frozen=True)
class Caller:
    """Who calls.

    Args:
        worker: KERASTUNER_TUNER_ID of the worker.
        search: What it searches for, see `identity`.
        session: A number that no other process has.
        chief: The session of the chief that it works for; 0 before the first answer.
    """

    worker: str
    search: str
    session: int = field(default_factory=lambda: secrets.randbits(62))
    chief: int = 0

    def of(self, chief: int) -> Self:
        """The same, working for a chief."""
        return replace(self, chief=chief)

    def metadata(self) -> tuple[tuple[str, bytes]]:
        """As gRPC sends it."""
        return ((_METADATA, json.dumps(asdict(self)).encode()),)

    @classmethod
    def read(cls, metadata: Any) -> Self:
        """From what gRPC received.

        Raises:
            ValueError: It says nothing like that.
        """
        try:
            found = cls(**json.loads(dict(metadata)[_METADATA]))
        except (KeyError, TypeError, ValueError):
            raise ValueError("the caller does not say who it is") from None
        if not (isinstance(found.worker, str) and isinstance(found.session, int) and isinstance(found.chief, int)):
            raise ValueError("the caller does not say who it is")
        return found


def identity(oracle: Any) -> str:
    """A mark of what an oracle searches for: equal for a chief and the workers that were started alike."""
    space = [(type(hp).__name__, hp.get_config()) for hp in oracle.get_space().space]
    text = json.dumps([space, repr(oracle.scoring), oracle.seed], default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def pack(content: dict[str, Any], *, trial: str = "", status: str = "RUNNING") -> Any:
    """KerasTuner's message of a trial."""
    hyperparameters = keras_tuner.HyperParameters()
    hyperparameters.values = {_KEY: json.dumps(content)}
    return Trial(hyperparameters, trial_id=trial, status=status).to_proto()


def unpack(message: Any) -> tuple[dict[str, Any], str, str]:
    """(content, trial, status) of a message.

    Raises:
        ValueError: It is none of ours.
    """
    trial = Trial.from_proto(message)
    content = json.loads(trial.hyperparameters.values.get(_KEY) or "null")
    if not isinstance(content, dict):
        raise ValueError("no message of keras_sparse")
    return content, trial.trial_id, str(trial.status)
