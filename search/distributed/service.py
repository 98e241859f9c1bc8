"""KerasTuner's service, answered by the chief."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import grpc
from keras_tuner import HyperParameters

from ..errors import RunDirectoryError
from .messages import SERVICE, STUBS, Caller, unpack

if TYPE_CHECKING:
    from .chief import Chief

_log = logging.getLogger(__name__)


class RefusedError(Exception):
    """A call that is answered with an error.

    Args:
        code: gRPC's.
        why: For the worker's user.
    """

    def __init__(self, code: grpc.StatusCode, why: str) -> None:
        super().__init__(why)
        self.code = code


class Service(STUBS.OracleServicer):
    """KerasTuner's service, as far as workers use it."""

    def __init__(self, chief: Chief) -> None:
        self._chief = chief

    def GetSpace(self, request: Any, context: Any) -> Any:  # noqa: N802 - the names are the protocol's
        """Says that the chief is there."""
        # Workers declare the space themselves, see `identity`; and KerasTuner prints while it packs a conditional one.
        return SERVICE.GetSpaceResponse(hyperparameters=HyperParameters().to_proto())

    def CreateTrial(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Hands out a trial."""
        trial = self._answer(context, self._chief.create)
        return SERVICE.CreateTrialResponse(trial=trial)

    def UpdateTrial(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Hears that a worker is alive."""
        trial = self._answer(context, lambda caller: self._chief.hear(caller, request.trial_id, request.step))
        return SERVICE.UpdateTrialResponse(trial=trial)

    def EndTrial(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Takes what a worker hands in."""

        def take(caller: Caller) -> None:
            content, trial, _ = unpack(request.trial)
            self._chief.take(caller, content, trial)

        self._answer(context, take)
        return SERVICE.EndTrialResponse()

    def _answer(self, context: Any, function: Callable[[Caller], Any]) -> Any:
        """Calls a function; what goes wrong in it ends the call, or the search."""
        try:
            caller = Caller.read(context.invocation_metadata())
        except ValueError as error:
            return context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"{error}: it is no worker of keras_sparse.")
        try:
            return function(caller)
        except RefusedError as error:
            refused = error
        except OSError as error:
            path = self._chief.directory
            self._chief.fail(RunDirectoryError(f"Cannot write into {path}: {error.strerror or error}."))
            refused = RefusedError(grpc.StatusCode.ABORTED, "The chief has to stop.")
        except Exception as error:
            _log.debug("A call failed.", exc_info=True)
            self._chief.fail(error)
            refused = RefusedError(grpc.StatusCode.ABORTED, "The chief has to stop.")
        return context.abort(refused.code, str(refused))
