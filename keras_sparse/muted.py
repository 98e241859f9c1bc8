"""TensorFlow's log without messages that are known to mean nothing where they come from."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def muted(*phrases: str) -> Iterator[None]:
    """Leaves messages out of TensorFlow's log, as long as the context lasts.

    Args:
        *phrases: Parts of the messages.
    """

    def keep(record: logging.LogRecord) -> bool:
        message = record.getMessage()
        return not any(phrase in message for phrase in phrases)

    logger = logging.getLogger("tensorflow")
    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)
