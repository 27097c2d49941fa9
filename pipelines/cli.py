"""The `rxt` command. This module imports only what `--help` needs; each command imports what it works with."""

from __future__ import annotations

import functools
import shlex
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from pipelines.commands import jobs, plan, upkeep
from pipelines.commands.arguments import ConfigFile, Json, Preset, PresetOption, Sets, StageName
from pipelines.commands.runs import execute, print_json, show_dry_run
from pipelines.guard.addresses import LOOPBACK, reach_directly
from pipelines.guard.home import prepare_home
from pipelines.guard.secrets import redacted
from pipelines.guard.terminal import OutputBroken, prepare_streams, say

if TYPE_CHECKING:
    from jobs.stage.context import StageError
    from pipelines.invocation import Invocation
    from pipelines.session import Session

REFUSED, INTERRUPTED = 2, 130

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
stage_app = typer.Typer(help="One stage: list, show, rerun, discard.", no_args_is_help=True)
app.add_typer(stage_app, name="stage")
data_app = typer.Typer(help="One source of texts or conversations: preview.", no_args_is_help=True)
app.add_typer(data_app, name="data")
jobs_app = typer.Typer()
app.add_typer(jobs_app, name="jobs")
model_app = typer.Typer(help="One model: show.", no_args_is_help=True)
app.add_typer(model_app, name="model")


def reporting_errors(command: Callable[..., int | None]) -> Callable[..., None]:
    """Wraps a command that returns its exit code. A StageError is printed with the next command, and the code is 2."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            from jobs.stage.context import StageError

            try:
                code = command(*args, **kwargs)
            except StageError as error:
                code = _refused(error, kwargs)
        except KeyboardInterrupt:
            say("interrupted", sys.stderr)
            code = INTERRUPTED
        raise typer.Exit(code or 0)

    return wrapped


def _refused(error: StageError, arguments: Mapping[str, Any]) -> int:
    """Print an error with the next command."""
    following = _invocation(arguments).next(error.remedy, arguments.get("stage") or "")
    message = redacted(str(error))
    say(f"error: {message}", sys.stderr)
    if following:
        say(f"next: {following}", sys.stderr)
    if arguments.get("as_json"):
        print_json({"error": message, "next": following or None, "exit_code": REFUSED})
    return REFUSED


@app.command()
@reporting_errors
def run(
    preset: Preset = "tiny",
    until: Annotated[str | None, typer.Option("--until", metavar="STAGE", help="Stop after this stage.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would run, and the whole config.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="For the lease of a machine that was lost.")] = True,
    config: ConfigFile = None,
    sets: Sets = None,
    as_json: Json = False,
) -> int:
    """Run the pipeline; what is complete is reused."""
    from pipelines.planner import needed

    session = _open(preset, config, sets)
    targets = needed(session.stages, until)
    if dry_run:
        return show_dry_run(session, [stage.name for stage in targets], as_json)
    return execute(session, targets, (), as_json, wait)


@app.command()
@reporting_errors
def status(
    preset: Preset = "tiny",
    why: Annotated[str | None, typer.Option("--why", metavar="STAGE", help="All that made it stale.")] = None,
    config: ConfigFile = None,
    sets: Sets = None,
    as_json: Json = False,
) -> None:
    """Which stages are complete, which are not, and why."""
    from pipelines import views

    session = _open(preset, config, sets)
    statuses = session.plan()
    if why is not None:
        return views.why(session, statuses, why, as_json)
    if as_json:
        return print_json(session.as_object(statuses))
    return views.table(session, statuses)


@stage_app.command("list")
@reporting_errors
def stage_list(
    listed: Annotated[str | None, typer.Argument(metavar="PRESET", help="As --preset.")] = None,
    preset: PresetOption = "tiny",
    config: ConfigFile = None,
    sets: Sets = None,
    as_json: Json = False,
) -> None:
    """The stages, what each does, its inputs."""
    from pipelines import views

    if listed and preset not in ("tiny", listed):
        raise typer.BadParameter(f"two presets, {listed} and {preset}: name one")
    views.stage_list(_open(listed or preset, config, sets), as_json)


@stage_app.command("show")
@reporting_errors
def stage_show(
    stage: StageName,
    difference: Annotated[
        tuple[str, str] | None, typer.Option("--diff", metavar="A B", help="What differs between two artifacts of it.")
    ] = None,
    preset: PresetOption = "tiny",
    config: ConfigFile = None,
    sets: Sets = None,
    as_json: Json = False,
) -> None:
    """Config, attempts, metrics, URIs of one stage."""
    from pipelines import views
    from pipelines.upkeep.compare import show_difference

    session = _open(preset, config, sets)
    if difference:
        return show_difference(session, stage, *difference, as_json)
    return views.stage_show(session, stage, as_json)


@stage_app.command("rerun")
@reporting_errors
def stage_rerun(
    stage: StageName,
    downstream: Annotated[bool, typer.Option("--downstream", help="And all that depends on it.")] = False,
    preset: PresetOption = "tiny",
    config: ConfigFile = None,
    sets: Sets = None,
    as_json: Json = False,
) -> int:
    """One stage again, as a new attempt from the start."""
    session = _open(preset, config, sets)
    targets = session.targets_of_rerun(stage, downstream)
    return execute(session, targets, [target.name for target in targets], as_json)


@stage_app.command("discard")
@reporting_errors
def stage_discard(
    stage: StageName,
    artifact: Annotated[str, typer.Argument(metavar="ARTIFACT")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    preset: PresetOption = "tiny",
    config: ConfigFile = None,
    sets: Sets = None,
    as_json: Json = False,
) -> int:
    """Delete one attempt; an earlier one counts again."""
    from jobs.stage.context import StageError
    from pipelines import views

    session = _open(preset, config, sets)
    try:
        return views.discard(
            session, stage, artifact, as_json, None if yes else functools.partial(typer.confirm, err=as_json)
        )
    except typer.Abort as error:  # end of input, or Ctrl-C
        again = session.invocation.stage("discard", stage, artifact, "--yes")
        raise StageError("nobody said yes: nothing was deleted", again) from error


@data_app.command("preview")
@reporting_errors
def data_preview(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A name in the configuration, or a path to files.")],
    preset: PresetOption = "tiny",
    config: ConfigFile = None,
    sets: Sets = None,
    as_json: Json = False,
) -> None:
    """Its first rows as a model will see them, what is cut, what is refused."""
    from pipelines.preview import preview

    preview(_open(preset, config, sets), source, as_json)


@model_app.command("show")
@reporting_errors
def model_show(
    preset: Annotated[str, typer.Argument(metavar="PRESET", help="A published model, or a preset of the pipeline.")],
    config: ConfigFile = None,
    sets: Sets = None,
    as_json: Json = False,
) -> None:
    """Parameters, FLOPs and memory of its parts."""
    from pipelines import models

    models.show(preset, config, sets or [], as_json)


@app.command()
@reporting_errors
def chat(
    preset: Preset = "tiny",
    stage: Annotated[str | None, typer.Option("--stage", metavar="STAGE", help="Talk to this stage's model.")] = None,
    prompt: Annotated[list[str] | None, typer.Option("--prompt", metavar="TEXT", help="Say this; repeatable.")] = None,
    example: Annotated[
        list[str] | None, typer.Option("--example", metavar="LANG", help="Say generated things; repeatable.")
    ] = None,
    documents: Annotated[
        str | None, typer.Option("--documents", metavar="PATH", help="Let it look things up there: a file or folder.")
    ] = None,
    long: Annotated[bool, typer.Option("--long", help="Keep all turns; each answer reads those that match.")] = False,
    config: ConfigFile = None,
    sets: Sets = None,
) -> int:
    """Talk to the export, else to the furthest complete stage."""
    from jobs.stage.context import StageError
    from tokenization.records import LANGUAGES

    session = _open(preset, config, sets)
    examples = [known for language in example or [] for known in LANGUAGES if known == language]
    if unknown := sorted({*(example or [])} - {*LANGUAGES}):
        raise StageError(
            f"--example {unknown[0]}: not one of {', '.join(LANGUAGES)}", session.invocation.chat("--example", "pl")
        )
    model, tokenizer = session.model(stage)
    from pipelines.chat import chat as start_chat

    header = session.header
    if stage is None and model.stage != "export":
        header += f"\nthere is no export yet, so this is the model of {model.stage}; `rxt run` makes the export"
    return start_chat(model, tokenizer, header, prompt or (), examples, documents, long=long)


@app.command("own-words")
@reporting_errors
def own_words(
    dialogues: Annotated[str, typer.Argument(metavar="DIALOGUES", help="A file or URL, one JSON object a line.")],
    stage: Annotated[str | None, typer.Option("--stage", metavar="STAGE", help="Ask this stage's model.")] = None,
    save: Annotated[Path | None, typer.Option("--save", metavar="FILE", help="Keep the answers with verdicts.")] = None,
    preset: PresetOption = "tiny",
    config: ConfigFile = None,
    sets: Sets = None,
    as_json: Json = False,
) -> None:
    """Ask a model what people told it in their own words."""
    session = _open(preset, config, sets)
    model, tokenizer = session.model(stage)
    from pipelines.own_words import show

    show(model, tokenizer, session.header, dialogues, save, as_json)


@app.command(context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True})
@reporting_errors
def submit(
    command: Annotated[list[str], typer.Argument(metavar="run|stage rerun …", help="The command to submit.")],
    address: Annotated[str | None, typer.Option("--address", metavar="URL", help="The cluster's dashboard.")] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not follow the job.")] = False,
) -> int:
    """The same command as a Ray job on a running cluster."""
    from jobs.stage.context import StageError
    from pipelines.artifacts import ArtifactStore
    from pipelines.session import store_url, tracking_uri
    from pipelines.submit import check_arguments, check_order
    from pipelines.submit import submit as submit_job
    from pipelines.tracking import absolute_uri

    if command[:1] != ["run"] and command[:2] != ["stage", "rerun"]:
        raise StageError(f"{' '.join(command)}: only `run` and `stage rerun` are submitted", "rxt submit run")
    check_order(command, address, no_wait)
    check_arguments(_parsed(command))
    store, tracking = ArtifactStore(store_url()).url, absolute_uri(tracking_uri())
    return submit_job(address, command, not no_wait, store=store, tracking_uri=tracking)


@app.command()
@reporting_errors
def ui(
    port: Annotated[int, typer.Option("--port", metavar="N", min=1, max=65535, help="On 127.0.0.1.")] = 5000,
) -> int:
    """MLflow's pages on the right database."""
    from pipelines.session import tracking_uri
    from pipelines.ui import serve_ui

    return serve_ui(tracking_uri(), port)


@jobs_app.callback(invoke_without_command=True)
def list_jobs(context: typer.Context, address: jobs.Address = None, as_json: Json = False) -> None:
    """The jobs of a cluster; follow one, stop one."""
    if context.invoked_subcommand is None:
        reporting_errors(jobs.show)(address=address, as_json=as_json)


for command in (jobs.follow, jobs.stop):
    jobs_app.command()(reporting_errors(command))
for command in (plan.plan, upkeep.gc, upkeep.verify, upkeep.logs, upkeep.doctor, upkeep.support):
    app.command()(reporting_errors(command))


def _parsed(words: list[str]) -> dict[str, Any]:
    """The arguments of a command. Wrong ones, and `--help`, end this process as they would end the command."""
    found, rest = typer.main.get_command(app), list(words)
    while isinstance(found, TyperGroup):
        found = found.commands[rest.pop(0)]
    return found.make_context(shlex.join(["rxt", *words[: len(words) - len(rest)]]), rest).params


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        from pipelines.revision import commit

        print(f"rxt {version('rxt-pipeline')}   {commit() or 'commit unknown'}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Version and commit.")
    ] = False,
) -> None:
    """From raw text to a chat that remembers: a DAG of stages on Ray."""


def _invocation(arguments: Mapping[str, Any]) -> Invocation:
    """The invocation of a command with these arguments. `submit` and `ui` have no preset, a list may have `listed`."""
    from pipelines.invocation import DEFAULT_PRESET, Invocation

    preset = arguments.get("listed") or arguments.get("preset", DEFAULT_PRESET)
    return Invocation.typed(preset, arguments.get("config"), arguments.get("sets") or ())


def _open(preset: str, config: Path | None, sets: list[str] | None) -> Session:
    from pipelines.session import Session

    return Session.open(preset, config, sets or [])


def main() -> None:
    """The `rxt` command."""
    prepare_streams()
    prepare_home()
    reach_directly(*LOOPBACK)
    try:
        try:
            app(prog_name="rxt")
        finally:
            sys.stdout.flush()
    except OutputBroken as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(REFUSED)
    except Exception:  # a fault of this code
        sys.stderr.write(redacted(traceback.format_exc()))
        sys.exit(1)


if __name__ == "__main__":
    main()
