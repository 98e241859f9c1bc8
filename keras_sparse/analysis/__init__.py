"""Read-only analysis of sparse networks: degrees, power laws, small worlds, input maps, what rewiring did, pictures."""

from .degrees import DegreeDistribution, Degrees, degree_distribution, degrees, hidden_degrees
from .history import Exploration, explored
from .maps import input_importance, input_map
from .monitor import Monitor
from .plots import plot_degrees, plot_input_map, plot_turnover
from .power_law import PowerLaw, power_law, set_paper_p_value
from .small_world import SmallWorld, small_world

__all__ = [
    "DegreeDistribution",
    "Degrees",
    "Exploration",
    "Monitor",
    "PowerLaw",
    "SmallWorld",
    "degree_distribution",
    "degrees",
    "explored",
    "hidden_degrees",
    "input_importance",
    "input_map",
    "plot_degrees",
    "plot_input_map",
    "plot_turnover",
    "power_law",
    "set_paper_p_value",
    "small_world",
]
