"""Runs what is not complete: stages in topological order, and independent ones at once. The rest is in the store.

However and whenever the process ends, the next command finds in the store how to go on.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager, suppress
from graphlib import TopologicalSorter

from jobs.configs.evaluation import EvaluateConfig
from jobs.configs.execution import Execution
from jobs.evaluation.own_words.reader import read_own_words
from jobs.stage import ray_setup
from jobs.stage.background import in_background
from jobs.stage.context import Interrupted, StageError
from jobs.stage.resources import demand_of, device_for
from pipelines.advice import way_back
from pipelines.artifacts import FAILURE, ArtifactStore
from pipelines.attempt import Build, StageFailed, Surroundings
from pipelines.display import Board, byte_size, duration, short_path, training_share
from pipelines.failures import headline, summary
from pipelines.feed import catch_up
from pipelines.guard.token import Token
from pipelines.invocation import Invocation
from pipelines.lease import DEFAULT_TIMES, LeaseHeld, LeaseTimes, holder_of
from pipelines.peak_memory import PeakMemory
from pipelines.planner import StageStatus, examine, plan
from pipelines.stage import Stage
from pipelines.tracker.errors import TrackingError
from pipelines.tracker.results import show_results
from pipelines.tracking import Tracking

DONE, FAILED, REFUSED, INTERRUPTED = 0, 1, 2, 130
POLL_SECONDS = 0.2


class _RayEnded(RuntimeError):
    """Ray, or the contact with it, is lost."""


class Runner:
    """`stages` is the whole DAG. Call `run` once per object. If `lost_ray` is true after it, threads wait for Ray, as
    the end of the process would: leave it by `os._exit`."""

    def __init__(
        self,
        stages: list[Stage],
        store: ArtifactStore,
        execution: Execution,
        tracking: Tracking,
        board: Board,
        invocation: Invocation,
        times: LeaseTimes = DEFAULT_TIMES,
    ) -> None:
        self.stages, self.store, self.execution, self.times = stages, store, execution, times
        self.tracking, self.board, self.invocation = tracking, board, invocation
        self._statuses: dict[str, StageStatus] = {}
        self._settled: set[str] = set()  # made complete by this run, or reused
        self._stop = threading.Event()
        self._shortage = ""
        self.lost_ray = False

    def run(self, targets: list[Stage], fresh: Iterable[str] = (), wait: bool = True) -> int:
        """Makes `targets` complete; those named in `fresh` get new attempts. Returns the exit code. With `wait`, an
        attempt of a machine that cannot be seen is waited for until its lease runs out.

        Raises StageError for an unmet precondition, before anything is started: another process writes a target, a
        store or a tracker cannot be used, a cluster does not answer, machines lack the CPUs or GPUs that a stage wants.
        """
        started = time.monotonic()
        fresh = set(fresh)
        self._statuses = plan(self.stages, self.store)
        work = [t for t in targets if t.name in fresh or not self._statuses[t.name].is_complete]
        if not work:
            for target in targets:
                self._say_reused(self._statuses[target.name])
            return DONE
        self._check(work, wait)
        with self._signals():
            return self._make(targets, fresh, started)

    def _make(self, targets: list[Stage], fresh: set[str], started: float) -> int:
        """Begins, records and ends the run in the tracker, and runs the targets. Returns the exit code."""
        parent = self.tracking.start_run(self.invocation.command, self.invocation.overrides)
        code = FAILED
        try:
            around = Surroundings(
                self.store, self.execution, self.tracking, self.board, self.invocation, parent, self._stop, self.times
            )
            with PeakMemory() as memory:
                self._link_reused(parent, fresh)
                code = self._loop(around, {target.name: target for target in targets}, fresh)
            self._show_results(targets, parent)
            self._sum_up(targets, parent, memory.bytes, time.monotonic() - started)
        except _RayEnded as error:
            self.lost_ray = True
            self.board.line(str(error), "red")
            code = INTERRUPTED if self._stop.is_set() else FAILED
        except KeyboardInterrupt:  # the second Ctrl-C: threads, Ray and leases end with the process
            self.board.close()
            sys.stdout.flush()
            os._exit(INTERRUPTED)
        finally:
            self._end_tracking({DONE: "FINISHED", INTERRUPTED: "KILLED"}.get(code, "FAILED"))
            if not self.lost_ray:
                ray_setup.shutdown()
        return code

    def _check(self, work: list[Stage], wait_for_lease: bool) -> None:
        for stage in work:  # a mistake in such a file would else be found after all training
            if isinstance(stage.config, EvaluateConfig) and stage.config.own_words:
                read_own_words(stage.config.own_words)
        for stage in work:
            attempt = self._statuses[stage.name].attempt
            holder = holder_of(self.store, attempt) if attempt is not None else None
            if attempt is None or holder is None or self._statuses[stage.name].is_complete:
                continue
            if holder.is_seen_alive(self.times) or not (wait_for_lease or holder.has_ended):
                raise LeaseHeld(attempt, holder)
        self.store.check_shared()
        self.store.check_writable()
        self.tracking.check()
        ray_setup.prepare_environment()
        Token.find()  # of one that no header takes, Ray's client would abort this process
        try:
            if ray_setup.cluster_address():
                ray_setup.ensure_ray(self.execution)
            for stage in work:
                if demand := demand_of(stage.config, self.execution):
                    device_for(stage.name, demand, self.execution)
        except StageError:
            ray_setup.shutdown()
            raise

    def _loop(self, around: Surroundings, targets: dict[str, Stage], fresh: set[str]) -> int:
        sorter = TopologicalSorter(
            {name: [up.name for up in stage.inputs.values() if up.name in targets] for name, stage in targets.items()}
        )
        sorter.prepare()
        ready: list[str] = []
        running: dict[Future[None], str] = {}
        codes = {DONE}
        try:
            while True:
                # in the order of the curriculum, so that a reader of the log sees how the stages build on each other
                ready = sorted([*ready, *sorter.get_ready()], key=list(targets).index)
                while ready and len(running) < self.execution.parallel_stages and not self._stop.is_set():
                    name = ready.pop(0)
                    status = self._statuses[name] = examine(targets[name], self._statuses, self.store)
                    if status.is_complete and name not in fresh:
                        self._say_reused(status)
                        self._settled.add(name)
                        sorter.done(name)
                        ready += sorter.get_ready()
                    else:
                        build = Build(around, status, dict(self._statuses), name in fresh)
                        running[in_background(build.run, f"stage-{name}")] = name
                if running or INTERRUPTED in codes:
                    self._watch_ray()
                if not running:
                    break
                for future in wait(running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED).done:
                    name = running.pop(future)
                    code = self._judge(name, future.exception())
                    codes.add(code)
                    if code == DONE:
                        self._statuses[name] = examine(targets[name], self._statuses, self.store)
                        self._settled.add(name)
                        sorter.done(name)
        except _RayEnded:
            raise
        except Exception:  # whatever is wrong, no stage may go on without its runner; Ctrl-C is no Exception
            self._stop.set()
            wait(running)
            raise
        if self._stop.is_set() and sorter.is_active():
            self.board.line(f"stopped; go on with: {self.invocation.run()}")
            return INTERRUPTED
        return next(code for code in (INTERRUPTED, FAILED, REFUSED, DONE) if code in codes)

    def _watch_ray(self) -> None:
        """Says what the stages wait for. Raises _RayEnded if Ray has ended: they would wait for it in vain."""
        if what := ray_setup.ended():
            begin = "stopped, and Ray with it" if self._stop.is_set() else f"error: {what}, and no stage can go on"
            raise _RayEnded(f"{begin}: what was saved counts; go on with: {self.invocation.run()}")
        if (shortage := ray_setup.shortage()) != self._shortage:
            self._shortage = shortage
            self.board.line(shortage or "what was waited for is there", "yellow")

    def _judge(self, name: str, error: BaseException | None) -> int:
        if error is None:
            return DONE
        if isinstance(error, Interrupted):
            self.board.line(f"{name}: stopped, what it had is saved")
            return INTERRUPTED
        if isinstance(error, StageFailed):
            self._explain(name, error)
            return FAILED
        if isinstance(error, StageError):
            self.board.line(f"error: {error}\n  next     {self.invocation.next(error.remedy, name)}", "red")
            return REFUSED if isinstance(error, (LeaseHeld, ray_setup.RayUnavailable)) else FAILED
        raise error

    def _explain(self, name: str, error: StageFailed) -> None:
        attempt, failure = error.attempt, error.failure
        try:
            record = self.store.read_json(attempt, "checkpoints.json")
            steps = [checkpoint["step"] for checkpoint in record["checkpoints"]] if record else []
        except (StageError, KeyError, TypeError):  # the store is away, or the record is what failed the stage
            steps = []
        message = summary(failure).replace("\n", "\n    ")
        lines = [f"error: {headline(name, failure)}", f"  {message}"]
        if failure["next_command"]:
            lines.append(f"  next     {failure['next_command']}")
        if error.recorded:
            lines.append(f"  log      {short_path(self.store.uri(attempt))}/{FAILURE}")
        ways = []
        if not failure["repeats"]:
            resumed = f"continues this attempt{f' from step {steps[-1]}' if steps else ''}"
            ways.append(("resume", self.invocation.run(), resumed))
            ways.append(("restart", self.invocation.stage("rerun", name), "new attempt from the start"))
        with suppress(StageError):  # the store is away, which the stage has said
            status = examine(self._statuses[name].stage, self._statuses, self.store)
            ways += [("back", command, result) for command, result in way_back(self.invocation, status)]
        width = max((len(command) for _, command, _ in ways), default=0) + 3
        lines += [f"  {kind:<9}{command:<{width}}{result}" for kind, command, result in ways]
        self.board.line("\n".join(lines), "red")

    def _link_reused(self, parent: str, fresh: set[str]) -> None:
        """Links this run to the runs of complete artifacts, after sending what earlier commands could not send."""
        complete = {n: s for n, s in self._statuses.items() if s.is_complete and n not in fresh}
        runs: dict[str, str] = {}
        for name, status in complete.items():
            try:
                runs[name], count = catch_up(self.store, *status.made, self.tracking, parent)
            except (StageError, OSError) as error:
                self.board.line(f"warning: {name}: {error}; a later run tries again")
                if isinstance(error, TrackingError):  # the others would wait for it in vain
                    break
                continue
            if count:
                self.board.line(f"{name}: {count} points that MLflow had missed are sent")
        try:
            self.tracking.note_reused(runs)
        except TrackingError as error:
            self.board.line(f"warning: {error}; a later run tries again")

    def _sum_up(self, targets: list[Stage], parent: str, peak_bytes: int, seconds: float) -> None:
        """Prints the closing lines: what the run cost in time and memory."""
        self.board.line(f"this run took {duration(seconds)}")
        line = training_share(self._statuses[target.name] for target in targets if target.name in self._settled)
        if line:
            self.board.line(line)
        self.board.line(f"at most {byte_size(peak_bytes)} of memory were in use by this run's processes")
        with suppress(TrackingError):  # ending the run, which comes next, will say the same
            now = time.time_ns() // 1_000_000
            self.tracking.log_metrics(parent, [("system/peak_memory_megabytes", peak_bytes / 1e6, 0, now)])

    def _show_results(self, targets: Iterable[Stage], parent: str) -> None:
        complete = (self._statuses[target.name] for target in targets if target.name in self._settled)
        try:
            show_results(self.tracking, parent, self.store, complete)
        except StageError as error:
            self.board.line(f"warning: {error}; the run in MLflow shows no results")

    def _end_tracking(self, outcome: str) -> None:
        try:
            self.tracking.end_run(outcome)
        except TrackingError as error:
            self.board.line(f"warning: {error}")

    def _say_reused(self, status: StageStatus) -> None:
        note = f"   {status.reason}" if status.reason else ""
        self.board.line(f"{status.stage.name}: reused {status.made.attempt.artifact_id}{note}")

    @contextmanager
    def _signals(self) -> Generator[None]:
        """At the first Ctrl-C, SIGTERM or loss of the terminal running stages save and leave, at the second they end at
        once. Only the main thread receives signals."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handle(*_: object) -> None:
            signal.alarm(0)  # Ray's own handler of SIGTERM, called before, has set one that aborts this process in 3 s
            if self._stop.is_set():
                raise KeyboardInterrupt
            self._stop.set()
            self.board.line("stopping: running stages save what they have; once more to stop at once")

        heard = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as `nohup` leaves it
            heard.append(signal.SIGHUP)
        before = {number: signal.signal(number, handle) for number in heard}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
