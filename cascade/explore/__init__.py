"""Pictures of frontiers, confidences, paths and load tests; each takes records and returns matplotlib Axes."""

from cascade.explore.confidences import plot_reliability
from cascade.explore.curves import OperatingPoint, plot_frontier, plot_operating_points
from cascade.explore.load_tests import plot_latency, plot_timeline
from cascade.explore.paths import exit_rates, plot_exit_rates, plot_path_flow

__all__ = [
    "OperatingPoint",
    "exit_rates",
    "plot_exit_rates",
    "plot_frontier",
    "plot_latency",
    "plot_operating_points",
    "plot_path_flow",
    "plot_reliability",
    "plot_timeline",
]
