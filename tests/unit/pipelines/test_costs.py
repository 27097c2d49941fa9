"""What a run reports about its own cost: share of training time in steps, peak of memory, load of GPUs."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import threading
import time
import types

import pytest

from pipelines.artifacts import ArtifactStore
from pipelines.peak_memory import PeakMemory, tree_bytes
from pipelines.tracker.gpu_metrics import gpu_sampler
from pipelines.tracker.system_metrics import SystemMetrics
from tests.support import toy_graph
from tests.support.processes import SECONDS, started, until
from tests.support.toy_graph import MemoryTracking, run, toy


def test_a_run_ends_with_the_share_of_steps_over_all_training_and_its_peak_of_memory(tmp_path, monkeypatch):
    def trains(ctx, config):
        return {"seconds_in_steps": float(config.steps), "seconds_in_fit": 100.0}

    monkeypatch.setattr(toy_graph, "trains", trains, raising=False)
    store, tracking = ArtifactStore(str(tmp_path)), MemoryTracking()
    stages = [toy("data"), toy("sft", function="trains", steps=90), toy("mrl", function="trains", steps=50)]
    assert run(stages[:2], store, file=io.StringIO()) == 0
    out = io.StringIO()
    assert run(stages, store, tracking=tracking, file=out) == 0
    took, share, memory = out.getvalue().splitlines()[-3:]
    assert re.fullmatch(r"this run took \d+(\.\d)? s", took)
    assert share == "70% of 3 min 20 s of training were spent in steps: sft, mrl"
    assert memory.startswith("at most ") and memory.endswith("iB of memory were in use by this run's processes")
    ((name, megabytes, _, _),) = tracking.parents[-1]["points"]
    assert name == "system/peak_memory_megabytes" and megabytes > 10


def test_a_rerun_that_fails_says_nothing_of_earlier_training(tmp_path, monkeypatch):
    def trains(ctx, config):
        if store.attempts("sft")[1:]:
            raise RuntimeError("a worker died")
        return {"seconds_in_steps": 90.0, "seconds_in_fit": 100.0}

    monkeypatch.setattr(toy_graph, "trains", trains, raising=False)
    store, out = ArtifactStore(str(tmp_path)), io.StringIO()
    stages = [toy("sft", function="trains")]
    stages.append(toy("smat", *stages, function="trains"))
    assert run(stages, store, file=out) == 0 and "in steps: sft, smat" in out.getvalue()
    out = io.StringIO()
    assert run(stages, store, fresh=["sft", "smat"], file=out) == 1
    assert "a worker died" in out.getvalue() and "in steps" not in out.getvalue()


def test_a_run_without_training_says_nothing_of_steps(tmp_path):
    out = io.StringIO()
    assert run([toy("data")], ArtifactStore(str(tmp_path)), file=out) == 0
    assert "in steps" not in out.getvalue() and "of memory" in out.getvalue()


def test_memory_of_descendants_counts_and_the_peak_stays(monkeypatch):
    monkeypatch.setattr("pipelines.peak_memory.SAMPLE_SECONDS", 0.05)
    before = tree_bytes()
    grow = "x = bytearray(b'x') * (200 << 20); print('grown', flush=True); input()"
    with PeakMemory() as memory:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with started([sys.executable, "-c", grow], **pipes) as child:
            child.stdout.readline()
            assert tree_bytes() > before + (190 << 20)
            until(lambda: memory.bytes >= before + (190 << 20), child)
            child.communicate(b"\n", timeout=SECONDS)
        assert tree_bytes() < before + (100 << 20)
    assert memory.bytes > before + (190 << 20)


@pytest.mark.parametrize(("seconds", "waits"), [(0.0, 3), (0.05, 3), (0.1, 5)])
def test_samples_of_memory_take_a_small_share_of_a_core(monkeypatch, seconds, waits):
    def busy() -> int:
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            pass
        return 1

    class Left(threading.Event):
        def wait(self, timeout=None):
            waited.append(timeout)
            return True

    waited = []
    monkeypatch.setattr("pipelines.peak_memory.tree_bytes", busy)
    memory = PeakMemory()
    memory._left = Left()
    memory.run()
    assert waits <= waited[0] < waits + 1


class NVMLError(Exception):
    pass


def nvml(power):
    """Make a driver with two GPUs. It may not know the `power`."""

    def watts(gpu):
        if power is None:
            raise NVMLError
        return power

    return types.SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda i: i,
        nvmlDeviceGetMemoryInfo=lambda gpu: types.SimpleNamespace(used=(gpu + 1) * 2e9, total=8e9),
        nvmlDeviceGetUtilizationRates=lambda gpu: types.SimpleNamespace(gpu=40 + gpu),
        nvmlDeviceGetPowerUsage=watts,
    )


def test_gpus_are_sampled_where_there_are_any(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", nvml(power=None))
    assert gpu_sampler()() == {
        "gpu_0_memory_usage_megabytes": 2000, "gpu_0_memory_usage_percentage": 25, "gpu_0_utilization_percentage": 40,
        "gpu_1_memory_usage_megabytes": 4000, "gpu_1_memory_usage_percentage": 50, "gpu_1_utilization_percentage": 41,
    }  # fmt: skip
    monkeypatch.setitem(sys.modules, "pynvml", nvml(power=250_000))
    points = []
    sampler = SystemMetrics(0, points.extend)
    sampler.start()
    sampler.stop()
    values = {name: value for name, value, _, _ in points}
    assert values["system/gpu_1_power_usage_watts"] == 250 and values["system/cpu_utilization_percentage"] >= 0


def test_without_nvml_or_a_driver_there_is_nothing_of_gpus(monkeypatch):
    def absent():
        raise NVMLError

    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert gpu_sampler()() == {}
    without_driver = nvml(power=None)
    without_driver.nvmlInit = absent
    monkeypatch.setitem(sys.modules, "pynvml", without_driver)
    assert gpu_sampler()() == {}
