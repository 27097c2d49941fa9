"""Where `rxt` begins: a signal that ends it, at whatever moment, ends it in one line and with one exit code."""

from __future__ import annotations

import os
import signal
import sys

INTERRUPTED = 130
ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # Ctrl-C, `kill`, a terminal that closes


def main() -> None:
    """Load the command line and run it. To a command that does not hear signals itself, Ctrl-C is a KeyboardInterrupt,
    and the others are a SystemExit."""
    _stand_somewhere()
    heard = [number for number in ENDS if signal.getsignal(number) is not signal.SIG_IGN]  # as behind nohup, or by `&`
    for number in heard:
        signal.signal(number, _leave)  # whatever module is being loaded might catch an exception
    from pipelines import cli

    for number in heard:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else _end)
    try:
        cli.main()
    except KeyboardInterrupt:  # before or behind what the command does
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)


def _stand_somewhere() -> None:
    """Leave a working folder that was deleted, for `/`: torch cannot load its libraries there. The folder of the
    project would be worse, where a relative path is likely to name another file than the user meant."""
    try:
        os.getcwd()
    except FileNotFoundError:
        os.chdir("/")


def _end(*_: object) -> None:
    os.write(2, b"interrupted\n")
    raise SystemExit(INTERRUPTED)


def _leave(*_: object) -> None:
    os.write(2, b"interrupted\n")
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
