"""Seconds of work on a device, how long the device itself was busy, and with what."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

NOT_MEASURED = "not measured"
TOP = 10
"""Operations of a table."""
SAMPLING_SECONDS = 0.05
EVENTS = {
    "cuda": (DeviceType.CUDA, "self_device_time_total"),
    "cpu": (DeviceType.CPU, "self_cpu_time_total"),
}
"""Kind of a profile's events on each device, and which of their times is theirs alone."""


def settle(device: str) -> None:
    """Waits for what the device still does."""
    if device == "cuda":
        torch.cuda.synchronize()


def seconds_of(work: Callable[[], object], device: str) -> float:
    """Wall seconds until the device is done."""
    settle(device)
    began = perf_counter()
    work()
    settle(device)
    return perf_counter() - began


def profiled(work: Callable[[], object], device: str) -> dict[str, Any]:
    """Seconds in which the device did anything, and the operations that took it and the CPU longest."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device == "cuda" else [])]
    with profile(activities=activities) as found:
        work()
        settle(device)
    kind, _ = EVENTS[device]
    events = [event for event in found.events() or () if event.device_type == kind]
    averages = found.key_averages()
    return {
        "busy_seconds": covered([(event.time_range.start, event.time_range.end) for event in events]) / 1e6,
        "top_on_the_device": top(averages, device),
        "top_on_the_cpu": top(averages, "cpu"),
    }


def covered(spans: list[tuple[float, float]]) -> float:
    """Length of what some spans cover together: kernels of several streams, and copies beside them, overlap."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def top(averages: Any, device: str) -> list[dict[str, Any]]:
    """The operations that take a device longest, and what share of all of its time they take."""
    kind, field = EVENTS[device]
    rows = sorted((row for row in averages if row.device_type == kind), key=lambda row: -getattr(row, field))
    total = sum(getattr(row, field) for row in rows) or 1.0
    return [
        {
            "name": row.key[:120],
            "calls": row.count,
            "milliseconds": round(getattr(row, field) / 1e3, 3),
            "share": round(getattr(row, field) / total, 3),
        }
        for row in rows[:TOP]
    ]


@contextmanager
def utilisation(device: str) -> Iterator[list[int]]:
    """Percent of the time that NVML says a kernel ran, sampled meanwhile; stays empty where NVML cannot be asked."""
    found: list[int] = []
    ended = threading.Event()

    def sample() -> None:
        while not ended.wait(SAMPLING_SECONDS):
            try:
                found.append(torch.cuda.utilization())
            except (ImportError, RuntimeError):  # no pynvml (its package is nvidia-ml-py), or no driver that it knows
                return

    if device != "cuda":
        yield found
        return
    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    try:
        yield found
    finally:
        ended.set()
        sampler.join()
