"""Where device parameters come from: fits to measured tables, trace readers, seeded generators, the bundled fleet."""

from fedopt.devices.fleets import Layout, cell, phones64, random_fleet
from fedopt.devices.freqbench import Cluster, Survey, SurveyRow, read_freqbench, survey
from fedopt.devices.power import PowerFit, fit_power
from fedopt.devices.traces import (
    BenchmarkedPhone,
    LinkSpeed,
    read_ai_benchmark,
    read_link_speeds,
    read_sample_counts,
)

__all__ = [
    "BenchmarkedPhone",
    "Cluster",
    "Layout",
    "LinkSpeed",
    "PowerFit",
    "Survey",
    "SurveyRow",
    "cell",
    "fit_power",
    "phones64",
    "random_fleet",
    "read_ai_benchmark",
    "read_freqbench",
    "read_link_speeds",
    "read_sample_counts",
    "survey",
]
