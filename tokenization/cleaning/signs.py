"""Words and letters by which English and Polish are told from their near relatives.

Signs of a language are those that its neighbours do not have: Dutch, Norwegian and Indonesian also know "in", "is" and
"over"; Czech, Slovak, Croatian and Serbian also know "na", "za", "po", "ć" and "ó". Scots, Silesian and Kashubian are
so near that identifiers take them for English and Polish: their own signs speak against it.
"""

from __future__ import annotations

import re

from tokenization.records import Language

_WORD = re.compile(r"[^\W\d_]+")

_ENGLISH = frozenset(
    """the and that with have from not what were when there can your which their will each about how out then she many
    some these would other into more than who may you are they could should where this it its them been only also our
    his him my but or if so to""".split()
)
_POLISH = frozenset(
    """się że jest oraz lub przez przy może można jako tylko być był była było były są będzie który która które którego
    której których tym tego tej tych temu jeśli gdy kiedy gdzie jeszcze bardzo masz mają miał jestem więc aby żeby także
    też każdy wszystko ktoś coś sobie siebie swój swoje albo lecz ponieważ podczas należy wybierz kliknij wtedy teraz
    dlaczego dlatego dobrze nie czy już ich jej jego pod nad przed bez dla jak we ze""".split()
)
_POLISH_LETTER = re.compile("[ąęłśźż]")

_SCOTS = re.compile(
    r"""\b(tae|intae|wi|wioot|fae|frae|yer|yersel|oot|aboot|doon|noo|roon|toun|toon|hoose|moose|soond|hae|haein|haes|
    mair|maist|micht|richts?|nicht|licht|sicht|thocht|brocht|eneuch|acause|anither|onie|onybody|ither|ithers|wis|wes|
    wull|cud|shuid|whit|whan|whaur|wha|whase|whilk|jist|anely|aifter|efter|atween|amang|ablow|forby|dae|daein|nae|aw|
    mak|makkit|tak|gie|gied|gaed|gaun|gangin|twa|thae|thir|thon|thay|thaim|thair|thare|oor|siccar|siccarness|unkent|
    kythe|wirk|wirkin|warld|wark|pairt|pairties|stairt|stert|chynge\w*|maun|hale|hame|muckle|gey|unco|guid|heid|deid|
    leid|luik|tuik|buik|wrang|strang|haud|forrit|ilka|awbodie|awbody|naebody|naebodie|naething|bodie|bairns?|lairn|
    lairnin|weel|aff|bygane|wabsteid|mishanter|ettle\w*|yaise\w*|yaisin|yaisage|remuiv\w*|follae\w*|windae\w*|fund|
    needit|haun\w+|staun\w*|\w{2,}nae|(?!bandit|pundit)\w{2,}(?:ct|ck|kk|rt|nt|sk|pt|nk|mp|wn|nd|st|ff)it)\b(?!['’])""",
    re.VERBOSE,
)
# "fur", "o" and "settins" are no proof alone: there are furs, and there is "settin' o' the sun".
_PERHAPS_SCOTS = re.compile(
    r"\b(fur|o(?!['’])|(?!plug|log|orig|marg|beg|cous|adm|virg|rob|cab|bas|bullet|lat|mart|viol|res)"
    r"\w{2,}[bdgklmnprstvwz]ins?)\b"
)
_SILESIAN = re.compile(
    r"""\b(niy\w*|abo|dlo|tyj|przi\w*|jeźli|ino|yno|tyn|ker[yoe]|kerego|keryj|kery[cm]h?|skuli|tyż|żodn\w+|teroz\w*|
    coby|bydzie|iże|inksz\w+|miyndzy|wiyncyj|podle|podug|wszyjsk\w+|wszysk\w+|zaroz|miano|werta|werty|jejich|pokoż|
    zicher|cug|szymel|szymlu|swroco|wkludź|zorta|tabula|durkowan\w+|
    \w*(?:okumy[nń]|ymy[nń]|spamiy|rozszyrz|nasztal|sztart|plikacyj|wersyj|funkcyj|formacyj|pozycyj|wiyr[cs]|piyrsz|
    zawiyr|dziy[nń])\w*)\b""",
    re.VERBOSE,
)
_LETTER_OF_RELATIVES = re.compile("[ōŏôõãëòùŭěřůčšž]")  # of Silesian and Kashubian, of Sorbian and Czech


def words(paragraph: str) -> list[str]:
    """Return the words as they are written."""
    return _WORD.findall(paragraph)


def own_signs(lower: list[str], language: Language) -> int:
    """Count the lower-case words that are signs of the language."""
    if language == "en":
        return sum(map(_ENGLISH.__contains__, lower))
    return sum(1 for word in lower if word in _POLISH or (not word.isascii() and _POLISH_LETTER.search(word)))


def signs_of_relatives(paragraph: str, found: list[str], language: Language) -> int:
    """Count the signs of Scots if the language is English, of Silesian, Kashubian, Sorbian and Czech if it is Polish.
    `found` are the words of the paragraph. Names such as Zoë are no signs."""
    lower = paragraph.lower()
    if language == "en":
        sure = len(_SCOTS.findall(lower))
        perhaps = len({*_PERHAPS_SCOTS.findall(lower)})
        return sure + (perhaps if sure or perhaps > 1 else 0)
    letters = 0
    if _LETTER_OF_RELATIVES.search(paragraph):
        letters = sum(1 for word in found if word[0].islower() and _LETTER_OF_RELATIVES.search(word))
    return len(_SILESIAN.findall(lower)) + letters
