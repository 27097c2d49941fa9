"""What a text may begin with and still is a text: prose that looks like mail, subtitles, XML or code for a line."""

import time

import pytest

from tokenization.quarantine import Rejected
from tokenization.sources.formats.mail import POSTMARK
from tokenization.sources.seen import Seen
from tokenization.sources.signs import is_mail
from tokenization.sources.source import Source
from tokenization.sources.texts import pieces, read


def reads(path, **more) -> tuple[list[str], list[Rejected], list[str]]:
    """Return the texts, what was rejected, and the formats."""
    source = Source(name="mine", kind="files", language="en", licence="MIT", path=str(path), **more)
    seen = Seen()
    found = [one for piece in pieces(source) for one in read(source, piece, seen=seen)]
    bad = [one for one in found if isinstance(one, Rejected)]
    return [one for one in found if isinstance(one, str)], bad, list(seen.files)


MESSAGE = "From: Anna <a@b.pl>\nSubject: the flood\n\nThe water is gone.\n"


@pytest.mark.parametrize(
    "head",
    [
        MESSAGE,
        MESSAGE.replace("\n", "\r\n"),
        "Received: by host;\n\tsome time\nDate: Mon, 1 Jan 2024 10:00:00 +0100\n\nThe water is gone.\n",
        f"From a@b.pl Thu Jan  1 10:00:00 1998\n{MESSAGE}",
        f"From - Thu Jan 01 10:00:00 +0000 1998\r\n{MESSAGE}",
        f"From a@b.pl Thu, 1 Jan 1998 10:00:00\n{MESSAGE}",
    ],
)
def test_mail_is_told(tmp_path, head):
    (tmp_path / "a.txt").write_bytes(head.encode())
    assert is_mail(head.encode()) and reads(tmp_path)[::2] == (["The water is gone."], ["mail"])


@pytest.mark.parametrize(
    "head",
    [
        b"HAMLET: To be or not to be.\r\nOPHELIA: Good my lord.\r\n" * 1_000 + b"The end\r\n",
        b"From a " + b"10:30 " * 10_000 + b"\n",
        b"From a " + b"Thu Jan 1 10:30 " * 4_000 + b"\n",
        b"From a Thu Jan  1 10:30" + b" 199" * 10_000 + b"\n",
        b"a: b\n" + b" \t" * 30_000,
    ],
)
def test_no_content_takes_long(head):
    begin = time.process_time()
    assert not is_mail(head) and not POSTMARK.match(head)
    assert time.process_time() - begin < 0.5
