"""Where `rxt` begins: Ctrl-C while its modules are loaded ends in one line, too, and in no traceback."""

from __future__ import annotations

import os
import signal
import sys

INTERRUPTED = 130


def main() -> None:
    """Load the command line and run it."""
    heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else it is ignored, as of `rxt … &`
    if heard:
        signal.signal(signal.SIGINT, _leave)  # whatever module is being loaded might catch an exception
    from pipelines import cli

    if heard:
        signal.signal(signal.SIGINT, signal.default_int_handler)
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
