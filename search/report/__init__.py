"""The report of a search: one HTML page that needs nothing else, from a file or from a server while the search runs.

`collect` reads a run directory and changes nothing in it, `page` makes HTML of that, `serving` shows it live.
"""

from .collect import collect
from .page import page, write_report
from .server import serving

__all__ = ["collect", "page", "serving", "write_report"]
