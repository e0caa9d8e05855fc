"""Drives the chain as one streaming Ray Data pipeline. The only package that imports Ray."""

import os

# Read when Ray is imported: any call that finds no cluster would start one, also behind a cluster that we gave up.
os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")

from pipeline.ray_runner.connecting import Cluster, cluster
from pipeline.ray_runner.metrics import Meter
from pipeline.ray_runner.rounds import run_ray, write_ray
from pipeline.ray_runner.watching import MONITOR

__all__ = ["MONITOR", "Cluster", "Meter", "cluster", "run_ray", "write_ray"]
