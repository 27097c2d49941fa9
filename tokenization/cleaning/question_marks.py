"""Tell the lines in which question marks stand for lost letters, as programs write them for what an encoding lacks:
`?ód? le?y w ?rodkowej Polsce`."""

from __future__ import annotations

import re

_INSIDE = re.compile(r"[a-ząćęłńóśźż]\?+[a-ząćęłńóśźż]")
# A word of letters and question marks alone, so no address, no file pattern and no code. After a question, a blank or a
# capital follows.
_WORD = re.compile(r"""(?<![^\s("'„“‘])[^\W\d_]*(?:\?+[a-ząćęłńóśźż][^\W\d_]*)+\?*(?=[,.;:!)"'”’]*(?:\s|$))""")
# Words that begin the next sentence in chats without blanks: "how are you?what is it"
_NEXT = re.compile(
    r"""\?(?:what|how|who|why|when|where|which|are|is|do|does|did|can|could|would|will|have|you|they|she|it|and|or|but|
    yes|yeah|the|that|this|kto|gdzie|czy|kiedy|dlaczego|ile|jak|jaki|jaka|jakie)$""",
    re.VERBOSE,
)
# Of the words of a line. About every third word of Polish has a letter of its own; chats glue two questions in a line.
_LEAST, _LEAST_SHARE, _LEAST_INSIDE = 3, 1 / 12, 2
_AT_THE_END = re.compile(r"[a-ząćęłńóśźż]\?(?= [a-ząćęłńóśźż])")  # a question ends a sentence


def shows_question_marks(line: str) -> bool:
    """Return whether letters of a line are lost and question marks stand in their places."""
    if not _INSIDE.search(line):
        return False
    lost = [word for word in _WORD.findall(line) if not _NEXT.search(word)]
    if len(lost) < _LEAST_INSIDE or not any(map(_INSIDE.search, lost)):
        return False
    return len(lost) + len(_AT_THE_END.findall(line)) >= max(_LEAST, _LEAST_SHARE * len(line.split()))
