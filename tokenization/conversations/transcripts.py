"""Read chats that stand in one text, as they were rendered for a model or written down by hand.

Known are the templates of ChatML, Llama 2 and 3, Gemma, Zephyr and Alpaca, and lines that begin with `Human:`,
`### User:` and the like, as in HH-RLHF and Guanaco; Vicuna writes `USER:` and `ASSISTANT:` into one line. An answer may
quote another chat, so a text has one style, that of its first mark, and each of its speakers has one name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_INST = re.compile(r"(<s>)?\s*\[INST\]\s*(?:<<SYS>>(.*?)<</SYS>>)?(.*?)\[/INST\]", re.DOTALL)
_USUAL = {"human": "assistant", "user": "assistant", "instruction": "response", "użytkownik": "asystent"}
_ASKING = (*_USUAL, "input")
_ANSWERING = ("assistant", "asystent", "response", "bot", "gpt")
_NAMES = "|".join((*_ASKING, *_ANSWERING, "system"))
_MARK = re.compile(
    rf"""(?:<\|im_start\|>|<start_of_turn>)[ ]*(?P<chatml>\w+)[ ]*\n
    | <\|start_header_id\|>[ ]*(?P<llama>\w+)[ ]*<\|end_header_id\|>\s*
    | (?:^|\n)<\|(?P<zephyr>system|user|assistant)\|>[ ]*\n
    | (?:^|\n|(?<=.)(?=\#\#\#[ ]*(?:human|assistant)\b))[ ]*\#\#\#[ ]*(?P<hashes>{_NAMES})[ ]*:[ ]*
    | (?:^|\n)[ ]*(?P<words>{_NAMES})[ ]*:[ ]*""",
    re.IGNORECASE | re.VERBOSE,
)
_BEGINNINGS = ("<s>", "<bos>", "<|begin_of_text|>")
_ENDINGS = ("<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|endoftext|>", "<|end|>", "<end_of_turn>",
            "<eos>", "</s>", "<｜end▁of▁sentence｜>")  # fmt: skip
_END = re.compile("|".join(map(re.escape, (*_BEGINNINGS, *_ENDINGS))))
_AT_THE_BEGINNING = re.compile(rf"(?:\s*+(?:{'|'.join(map(re.escape, _BEGINNINGS))}))++\s*")
_IN_ONE_LINE = re.compile(r"\s*\b(USER|ASSISTANT): ")
_ROLES = dict.fromkeys(_ASKING, "user") | dict.fromkeys((*_ANSWERING, "model"), "assistant")
Said = tuple[str, str]
Mark = re.Match[str]


def transcript(text: str) -> list[Said]:
    """Return the role and the words of each message in the text, in order; nothing if it is no transcript of at least
    two roles. What stands before the first message, such as a preamble, is left out."""
    text = _marked(text)
    for written in (text, _IN_ONE_LINE.sub(r"\n\1: ", text)):
        said = list(filter(_words, _messages(written)))
        if len({role for role, _ in said}) > 1:
            return said
    return []


def prompt_transcript(text: str) -> list[Said]:
    """Return the role and the words of each message of a prompt that ends where the assistant is to answer, as
    `Human: ...`, `Assistant:` does; nothing if it is no such prompt. Without a template, it begins with a speaker."""
    text = f"{_marked(text).strip()}\n"
    mark, said = _MARK.search(text), list(_messages(text))
    if mark is None or said[-1:] != [("assistant", "")] or (mark.lastgroup == "words" and mark.start()):
        return []
    return list(filter(_words, said))


def without_ends(text: str) -> str:
    """Return the text without the signs by which templates end messages."""
    return _END.sub("", text).strip()


def trimmed(text: str) -> str:
    """Return a message without the signs of templates at its two ends. A `</s>` that closes an `<s>` stays, as in a
    page of the web."""
    begins = _AT_THE_BEGINNING.match(text)
    if begins and not ("<s>" in begins[0] and "</s>" in text.rstrip()[begins.end() : -len("</s>")]):
        text = text[begins.end() :]
    signs = tuple(sign for sign in _ENDINGS if sign != "</s>" or "<s>" not in text)
    end = len(text.rstrip())
    if not text.endswith(signs, 0, end):
        return text
    while sign := next((sign for sign in signs if text.endswith(sign, 0, end)), ""):
        end -= len(sign)
        while text[end - 1 : end].isspace():
            end -= 1
    return text[:end]


def _marked(text: str) -> str:
    """The text without ends of messages, and with marks of ChatML in place of `[INST]`."""
    text = _END.sub("\n", text) if _IN_ONE_LINE.search(text) else _END.sub("", text)
    mark, inst = _MARK.search(text), _INST.search(text)
    if inst and not (mark and mark.start() < inst.start()):
        text = _INST.sub(_as_chatml, text)
    return text


def _words(said: Said) -> str:
    return said[1]


def _as_chatml(match: Mark) -> str:
    system = f"<|im_start|>system\n{match[2].strip()}\n" if match[2] else ""
    return f"\n{system}<|im_start|>user\n{match[3].strip()}\n<|im_start|>assistant\n"


def _messages(text: str) -> Iterator[Said]:
    marks = list(_MARK.finditer(text))
    marks = [mark for mark in marks if mark.lastgroup == marks[0].lastgroup]
    if marks and marks[0].lastgroup in ("hashes", "words"):
        marks = list(_of_two_speakers(marks))
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    for mark, end in zip(marks, ends, strict=False):  # a text without marks has an end
        yield _ROLES.get(_name(mark), _name(mark)), text[mark.end() : end].strip()


def _of_two_speakers(marks: Sequence[Mark]) -> Iterator[Mark]:
    """The marks of the first user that has an assistant, where possible the one that usually belongs to it. A system
    prompt stands at the beginning, and an input after its instruction."""
    names = list(dict.fromkeys(map(_name, marks)))
    pairs = [(one, other) for one in names if one in _ASKING for other in names if other in _ANSWERING]
    pair = next((pair for pair in pairs if _USUAL.get(pair[0]) == pair[1]), next(iter(pairs), ()))
    last = "system"
    for mark in marks:
        name = _name(mark)
        if name in pair or (name, last) in (("system", "system"), ("input", "instruction")):
            yield mark
            last = name


def _name(mark: Mark) -> str:
    return mark[mark.lastgroup or 0].lower()
