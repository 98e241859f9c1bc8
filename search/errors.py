"""What can go wrong with a search, each with the exit code a command line gives it."""

from __future__ import annotations


class SearchError(Exception):
    """A search that cannot go on.

    Attributes:
        exit_code: The process exit code that fits: 1 failed, 2 wrong usage.
    """

    exit_code = 1


class OutputDirectoryError(SearchError):
    """The output directory cannot be used as asked (it is not empty, it is a file, it is in use, …)."""

    exit_code = 2


class ResumeMismatchError(SearchError):
    """`resume` was asked for with another space, other data or other options than the run was started with."""

    exit_code = 2


class RunDirectoryError(SearchError):
    """A file of the run directory cannot be read or written."""


class NoTrialCompletedError(SearchError):
    """Every trial failed, so there is no network to hand over."""


class LimitsError(NoTrialCompletedError):
    """No network keeps the limits, so there is none to hand over."""
