"""Read-only analysis of sparse networks: degrees, power laws, small worlds, input maps."""

from .degrees import degree_distribution, degrees, hidden_degrees
from .maps import input_importance, input_map
from .power_law import PowerLaw, power_law, set_paper_p_value
from .small_world import SmallWorld, small_world

__all__ = [
    "PowerLaw",
    "SmallWorld",
    "degree_distribution",
    "degrees",
    "hidden_degrees",
    "input_importance",
    "input_map",
    "power_law",
    "set_paper_p_value",
    "small_world",
]
