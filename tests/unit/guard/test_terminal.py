"""Text of data, reports and logs commands no terminal, and an output may be closed, full, gone, or in another
encoding."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.code_digest import ROOT
from pipelines.display import Board, console_on, print_table, stage_table, table_of
from pipelines.guard.terminal import printable, say
from pipelines.planner import StageStatus
from tests.support.processes import SECONDS
from tests.support.toy_graph import toy

ATTACK = "\x1b]0;owned\x07\x1b[2Jzażółć\r\u202edesrever\x9b31m"
RXT = str(Path(sys.executable).with_name("rxt"))


def test_only_ends_of_lines_and_tabs_are_left_of_control_characters():
    assert printable("a\tb\nzażółć 你好 ✓") == "a\tb\nzażółć 你好 ✓" and printable("a\r\nb") == "a\nb"
    shown = printable(ATTACK)
    assert all(c.isprintable() for c in shown) and "zażółć" in shown


def test_no_way_of_printing_lets_a_control_character_through():
    out = io.StringIO()
    say(ATTACK, out)
    console = console_on(out)
    with Board(console) as board:
        board.line(ATTACK)
        board.started("sft")
        board.progress("sft", 1, 1, ATTACK)
    print_table(console, table_of(("a", "b"), [("x", ATTACK)]))
    failed = StageStatus(toy("sft"), "failed", ATTACK)
    print_table(console, stage_table([failed]))
    text = out.getvalue()
    assert text.count("zażółć") == 5 and all(c.isprintable() or c == "\n" for c in text)


@pytest.fixture
def environment(tmp_path):
    return {**os.environ, "RXT_STORE": str(tmp_path), "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/m.db"}


def shell(line, environment):
    line = line.replace("rxt", RXT, 1)
    return subprocess.run(line, shell=True, env=environment, cwd=ROOT, capture_output=True, timeout=SECONDS)


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_with_nobody_to_print_to_a_command_runs(environment, closed):
    done = shell(f"rxt status {closed}", environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("option", ["", "--json"])
def test_who_cannot_be_asked_said_nothing(environment, tmp_path, option):
    attempt = tmp_path / "tokenizer" / "0123456789ab-1"
    attempt.mkdir(parents=True)
    (attempt / "manifest.json").write_text("{}")
    done = shell(f"rxt stage discard tokenizer {attempt.name} {option} <&-", environment)
    assert done.returncode == 2 and b"error: nobody said yes: nothing was deleted" in done.stderr and attempt.exists()
    assert not option or json.loads(done.stdout)["exit_code"] == 2


@pytest.mark.parametrize(("words", "shown"), [("status", "store {}"), ("plan tiny", "tiny on ")])
def test_a_working_folder_that_was_deleted_stops_no_look(environment, tmp_path, words, shown):
    gone = tmp_path / "gone"
    line = f"mkdir {gone} && cd {gone} && rmdir {gone} && {RXT} {words}"
    done = subprocess.run(line, shell=True, env=environment, capture_output=True, timeout=SECONDS)
    assert done.returncode == 0 and shown.format(tmp_path).encode() in done.stdout, done.stderr


def test_a_file_that_is_opened_later_does_not_become_a_closed_output(environment, tmp_path):
    program = f"""
from pipelines.guard import terminal
terminal.prepare_streams()
file = open({str(tmp_path / "out")!r}, "w")
file.write(str(file.fileno()))
print("lost")
"""
    subprocess.run(f'{sys.executable} -c "$CODE" <&- >&- 2>&-', shell=True, env={**environment, "CODE": program},
                   cwd=ROOT, check=True, timeout=SECONDS)  # fmt: skip
    assert int((tmp_path / "out").read_text()) > 2


@pytest.mark.parametrize("words", ["status", "--help"])
def test_a_full_output_is_one_line_on_standard_error(environment, words):
    done = shell(f"rxt {words} > /dev/full", environment)
    assert done.returncode == 2
    assert done.stderr.decode() == "error: stdout cannot be written: No space left on device\n"


@pytest.mark.parametrize(
    "reader, said", [("| true", "the run saves what it has and leaves"), ("> /dev/full", "the run goes on")]
)
def test_a_run_whose_reader_has_left_saves_and_leaves_and_one_without_room_goes_on(environment, reader, said):
    program = """
import sys, time
from pipelines.guard import terminal
terminal.prepare_streams()
with terminal.patient(sys.stdout):
    try:
        for _ in range(100):
            terminal.say("a line")
            time.sleep(0.01)
        print("to the end", file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
"""
    done = subprocess.run(f'{sys.executable} -c "$CODE" {reader}', shell=True, env={**environment, "CODE": program},
                          cwd=ROOT, capture_output=True, text=True, timeout=SECONDS)  # fmt: skip
    warning, ending = done.stderr.splitlines()
    assert warning.startswith("warning: stdout cannot be written: ") and warning.endswith(said)
    assert ending == ("interrupted" if "|" in reader else "to the end")


@pytest.mark.parametrize("encoding", ["ascii", "iso8859-2"])
def test_an_encoding_without_a_character_spells_it_out(environment, encoding):
    done = shell("rxt stage list --preset żółw", environment | {"PYTHONIOENCODING": encoding, "LC_ALL": "C"})
    assert done.returncode == 2 and b"unknown preset" in done.stderr and b"Traceback" not in done.stderr
