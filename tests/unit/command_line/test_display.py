"""The line of a running stage."""

import io

from pipelines import display
from pipelines.display import Board, console_on


def test_the_time_left_goes_by_the_pace_of_the_pass_that_a_stage_is_in(monkeypatch):
    out = io.StringIO()
    board = Board(console_on(out))
    board.started("shards")
    for seconds, done, total in ((100, 1, 100), (1_100, 51, 100), (2_000, 100, 100), (3_000, 1, 11), (3_020, 3, 11)):
        monkeypatch.setattr(display.time, "monotonic", lambda now=float(seconds): now)
        board.progress("shards", done, total)
    assert [line.rstrip() for line in out.getvalue().splitlines()] == [
        "shards: 1/100", "shards: 51/100   16 min left", "shards: 100/100", "shards: 1/11",
        "shards: 3/11   1 min 20 s left"
    ]  # fmt: skip
