"""Says what to type next: how to go on, and how to go back when a rerun failed."""

from __future__ import annotations

from collections.abc import Mapping

from jobs.stage.context import Discard, StageError
from pipelines.invocation import Invocation
from pipelines.planner import StageStatus


def closing_lines(invocation: Invocation, statuses: Mapping[str, StageStatus], until: str | None) -> list[str]:
    """The lines below the table of these stages. `until` is the last of them, None if they are all."""
    words = ("--until", until) if until else ()
    run = invocation.run(*words)
    open_stages = [status for status in statuses.values() if not status.is_complete]
    if not open_stages:
        return [f"next: {run if until else invocation.chat()}"]
    ready = [status for status in open_stages if status.state != "blocked"]
    first = next((status for status in ready if _asked(status)), ready[0])
    name, rest = first.stage.name, len(open_stages) - 1
    asked = _asked(first)
    if asked is None:
        more = f" and the {rest} other stages that are not complete" if rest > 1 else " and one more" if rest else ""
        line = f"next: {run}   builds {name}{more}"
    elif first.failure and first.failure["repeats"]:
        line = f"next: {asked}   since {name} failed"
    else:
        line = f"next: {asked}   then {run} goes on with {name}"
    if first.state == "stale":
        line += f"; {invocation.status('--why', name)} shows the whole difference"
    return [line, *(line for status in open_stages for line in back_lines(invocation, status))]


def way_on(invocation: Invocation, statuses: Mapping[str, StageStatus], name: str) -> str:
    """The command that gets a stage made. A failure may ask for another command first; else it is `rxt run`."""
    blockers = statuses[name].waits_for or (name,)
    asked = [command for other in blockers if (command := _asked(statuses[other])) is not None]
    until = () if name == list(statuses)[-1] else ("--until", name)
    return asked[0] if asked else invocation.run(*until)


def way_back(invocation: Invocation, status: StageStatus) -> list[tuple[str, str]]:
    """Pairs of a command and its effect. They discard a failed or interrupted rerun, so that the complete attempt
    before it counts again. Empty if there is no such attempt."""
    if status.way_back is None:
        return []
    earlier, discards = status.way_back.earlier, status.way_back.discards
    leads_to = [other.artifact_id for other in (*discards[1:], earlier)]
    commands = [invocation.stage("discard", other.stage, other.artifact_id) for other in discards]
    return [(command, f"{artifact_id} counts again") for command, artifact_id in zip(commands, leads_to, strict=True)]


def back_lines(invocation: Invocation, status: StageStatus) -> list[str]:
    """The same as lines to print."""
    return [f"back: {command}   {result}" for command, result in way_back(invocation, status)]


def not_there(message: str, invocation: Invocation, statuses: Mapping[str, StageStatus], name: str) -> StageError:
    """An error for a stage that is not complete. Its remedy leads back if a failed rerun hides a complete attempt, else
    on."""
    for other in statuses[name].waits_for or (name,):
        status = statuses[other]
        newest = status.attempt
        if status.way_back is not None and newest is not None:
            earlier = status.way_back.earlier
            message += f"; {other} {newest.artifact_id} is {status.state} and hides {earlier.artifact_id}"
            return StageError(message, Discard(other, newest.artifact_id))
    return StageError(message, way_on(invocation, statuses, name))


def _asked(status: StageStatus) -> str | None:
    """The command that the failure of a stage asks for, if any."""
    return (status.failure or {}).get("next_command") or None
