"""Start one in-process Ray for the whole suite, keep thread pools small, and end the processes of tests that hung."""

import os
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")
os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "30")
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
os.environ.setdefault("RAY_prestart_worker_first_driver", "0")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):  # every process of a test would compile the project again
    sys.dont_write_bytecode = False

if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # begun with nohup; what a test starts must not inherit that
    signal.signal(signal.SIGHUP, lambda *_: None)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # begun in the background
    # Children inherit that a signal is ignored, not a handler: this process goes on to ignore Ctrl-C, theirs hear it.
    signal.signal(signal.SIGINT, lambda *_: None)

import pytest

from tests.support.processes import end_processes_of

TOGETHER = ("e2e", "integration")  # folders: the one shares a finished pipeline, the other the Ray of the session


def pytest_collection_modifyitems(items):
    """Run the longest tests first. The session's Ray must start before tests that talk to another Ray in the same
    process."""
    items.sort(key=lambda item: (_scope(item.nodeid) not in TOGETHER, "ray_session" not in item.fixturenames))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """If two processes share the suite, one of them runs a whole file, and a whole folder of `TOGETHER`."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduler(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return _scope(nodeid)

        def remove_node(self, node):
            """Do not run a test again if its process ended."""
            units = self.assigned_work[node].values()
            pending = [(unit, test) for unit in units for test, is_done in unit.items() if not is_done]
            for unit, test in pending[:1]:
                unit[test] = True
            super().remove_node(node)
            return pending[0][1] if pending else None

    return Scheduler(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    try:
        return (yield)
    except BaseException:  # also the end of its time
        end_processes_of(item.nodeid)
        raise


@pytest.hookimpl(optionalhook=True)
def pytest_handlecrashitem(crashitem):
    end_processes_of(crashitem)


def _scope(nodeid):
    file = nodeid.partition("::")[0]
    return next((folder for folder in Path(file).parts if folder in TOGETHER), file)


@pytest.fixture(scope="session")
def short_folder():
    """Make folders whose paths are short enough for Ray's sockets."""
    with ExitStack() as stack:
        yield lambda: Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rxt-", dir="/tmp")))


@pytest.fixture(scope="session")
def ray_session():
    import ray

    here = {"address": "local", "include_dashboard": False, "log_to_driver": False}
    for attempt in range(3):  # Ray gives its servers half a minute at most, which may be too short on a busy machine
        try:
            ray.init(num_cpus=4, object_store_memory=200 << 20, **here)
            break
        except Exception:  # Ray raises many kinds here
            ray.shutdown()
            if attempt == 2:
                raise
    yield ray
    ray.shutdown()


@pytest.fixture
def in_double(monkeypatch):
    """Compute everything in fp64, also what the model always computes in fp32 (rotary angles, router, loss), so that it
    can be compared with equations to the last digits."""
    import torch

    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
