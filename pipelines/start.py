"""Where `rxt` begins: a signal that ends it, at whatever moment, ends it in one line and with one exit code."""

from __future__ import annotations

import os
import signal
import sys

INTERRUPTED = 130
ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # Ctrl-C, `kill`, a terminal that closes


def main() -> None:
    """Load the command line and run it. What a command does not hear itself is a KeyboardInterrupt to it."""
    heard = [number for number in ENDS if signal.getsignal(number) is not signal.SIG_IGN]  # as behind nohup, or by `&`
    for number in heard:
        signal.signal(number, _leave)  # whatever module is being loaded might catch an exception
    from pipelines import cli

    for number in heard:
        signal.signal(number, signal.default_int_handler)
    try:
        cli.main()
    except KeyboardInterrupt:  # before or behind what the command does
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)


def _leave(*_: object) -> None:
    os.write(2, b"interrupted\n")
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
