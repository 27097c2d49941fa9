"""The commands that look after a store and a machine. `pipelines/upkeep` does the work."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from pipelines.commands.arguments import ConfigFile, Json, PresetOption, Sets, StageName, complete_stage
from pipelines.guard.addresses import masked_address
from pipelines.guard.terminal import say

DAMAGED, REFUSED = 1, 2


def gc(
    yes: Annotated[bool, typer.Option("--yes", help="Delete. Without it, only say what would go.")] = False,
    as_json: Json = False,
) -> int:
    """What of the store nothing needs: checkpoints of complete stages, replaced attempts."""
    from pipelines.artifacts import ArtifactStore, StoreError
    from pipelines.display import byte_size, console_on, print_table, table_of
    from pipelines.session import store_url
    from pipelines.upkeep.gc import find_garbage, remove

    store = ArtifactStore(store_url())
    store.check_readable()
    found, code = find_garbage(store, lambda text: say(text, sys.stderr)), 0
    for garbage in list(found) if yes else ():
        try:
            remove(store, garbage)
        except StoreError as error:
            store.check_readable()  # else the store is away, and all the rest with it
            attempt = garbage.attempt
            say(f"error: {attempt.stage} {attempt.artifact_id} was not deleted: {error}", sys.stderr)
            found.remove(garbage)
            code = REFUSED
    total = sum(garbage.size for garbage in found)
    if as_json:
        entries = [
            {"stage": g.attempt.stage, "artifact_id": g.attempt.artifact_id, "reason": g.reason, "bytes": g.size}
            for g in found
        ]
        print(json.dumps({"store": store.shown, "deleted": yes, "bytes": total, "garbage": entries}, indent=2))
        return code
    rows = [(g.attempt.stage, g.attempt.artifact_id, g.reason, byte_size(g.size)) for g in found]
    if rows:
        print_table(console_on(sys.stdout), table_of(("stage", "artifact", "what goes", "size"), rows))
    say(f"store {store.shown}: {byte_size(total)} {'deleted' if yes else 'may go; nothing was deleted'}")
    if found and not yes:
        print("next: rxt gc --yes")
    return code


def verify(
    stage: Annotated[
        str | None, typer.Argument(metavar="STAGE", help="All stages without it.", autocompletion=complete_stage)
    ] = None,
    as_json: Json = False,
) -> int:
    """Whether the files of complete artifacts are those that were written, by their digests."""
    from jobs.stage.context import StageError
    from pipelines.artifacts import ArtifactStore
    from pipelines.display import byte_size
    from pipelines.session import store_url
    from pipelines.upkeep.verify import verify as verify_attempt

    store = ArtifactStore(store_url())
    store.check_readable()
    stages = store.stages()
    if not stages:  # else a mistyped address would look sound
        raise StageError(
            f"store {store.shown} holds no artifacts: there is nothing to verify", "RXT_STORE=URL rxt verify"
        )
    if stage is not None and stage not in stages:
        raise StageError(f"the store has no stage {stage}; there are: {', '.join(stages) or 'none'}", "rxt stage list")
    attempts = [attempt for name in ([stage] if stage else stages) for attempt in store.attempts(name)]
    examined = []
    for attempt in attempts:
        verified = verify_attempt(store, attempt)
        if verified is None:
            continue
        examined.append(verified)
        if not as_json:
            what = verified.damage or f"{verified.files} files, {byte_size(verified.size)}"
            say(f"{attempt.stage} {attempt.artifact_id}: {'DAMAGED ' if verified.damage else ''}{what}")
    damaged = [verified for verified in examined if verified.damage]
    if as_json:
        entries = [
            {"stage": v.attempt.stage, "artifact_id": v.attempt.artifact_id, "damage": v.damage} for v in examined
        ]
        print(json.dumps({"store": store.shown, "damaged": len(damaged), "artifacts": entries}, indent=2))
    else:
        say(f"store {store.shown}: {len(examined)} complete artifacts, {len(damaged)} of them damaged")
        for verified in damaged:
            attempt = verified.attempt
            discard = f"rxt stage discard {attempt.stage} {attempt.artifact_id}"
            say(f"next: {verified.way_out or f'copy {masked_address(store.uri(attempt))} again, or {discard}'}")
    return DAMAGED if damaged else 0


def logs(
    stage: StageName,
    artifact: Annotated[
        str | None, typer.Option("--artifact", metavar="ID", help="Another attempt than the newest.")
    ] = None,
    preset: PresetOption = "tiny",
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """What an attempt at a stage said, and why it failed."""
    from pipelines.session import Session
    from pipelines.upkeep.logs import print_logs

    print_logs(Session.open(preset, config, sets or []), stage, artifact)


def doctor(as_json: Json = False) -> int:
    """What this machine has and lacks, with the next command."""
    from pipelines.upkeep.doctor import examine_machine, print_findings

    return print_findings(examine_machine(), as_json)


def support(
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Another file than rxt-support-TIME.zip.")
    ] = None,
    preset: PresetOption = "tiny",
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """One archive for whoever looks into a failure: settings, states, logs; no data, no secrets."""
    from jobs.stage.context import StageError
    from pipelines.display import byte_size
    from pipelines.session import Session
    from pipelines.upkeep.support import write_bundle

    file = output or Path(time.strftime("rxt-support-%Y%m%d-%H%M%S.zip"))
    try:
        names = write_bundle(Session.open(preset, config, sets or []), file)
    except OSError as error:
        raise StageError(f"{file} cannot be written: {error.strerror}", "rxt support --output FILE") from error
    say(f"{file}: {len(names)} files, {byte_size(file.stat().st_size)}; look through it before you send it")
