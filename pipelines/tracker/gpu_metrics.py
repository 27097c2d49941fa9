"""Reads the load of this machine's GPUs through NVML, if `pynvml` (the package nvidia-ml-py) and a driver are there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

Sampler = Callable[[], dict[str, float]]


def gpu_sampler() -> Sampler:
    """A function that returns the present values under the names that MLflow knows: no values without NVML."""
    try:
        import pynvml
    except ImportError:
        return dict
    try:
        pynvml.nvmlInit()
        gpus = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:  # no driver, no GPU
        return dict
    return lambda: {
        f"gpu_{number}_{name}": value for number, gpu in enumerate(gpus) for name, value in _values(pynvml, gpu).items()
    }


def _values(nvml: Any, gpu: Any) -> dict[str, float]:
    """What this kind of GPU tells; some tell only a part."""
    values: dict[str, float] = {}
    with contextlib.suppress(nvml.NVMLError):
        memory = nvml.nvmlDeviceGetMemoryInfo(gpu)
        values["memory_usage_megabytes"] = memory.used / 1e6
        values["memory_usage_percentage"] = 100 * memory.used / memory.total
    with contextlib.suppress(nvml.NVMLError):
        values["utilization_percentage"] = nvml.nvmlDeviceGetUtilizationRates(gpu).gpu
    with contextlib.suppress(nvml.NVMLError):
        values["power_usage_watts"] = nvml.nvmlDeviceGetPowerUsage(gpu) / 1000
    return values
