"""Words and letters by which English and Polish are told from their near relatives.

Signs of a language are those that its neighbours do not have: Dutch, Norwegian and Indonesian also know "in", "is" and
"over"; Czech, Slovak, Croatian and Serbian also know "na", "za", "po", "ć" and "ó". Scots, Silesian and Kashubian are
so near that identifiers take them for English and Polish: their own signs speak against it. What is also a rare word
of the language itself ("hale", "podle") counts beside another sign only.
"""

from __future__ import annotations

import re

from tokenization.records import Language

_WORD = re.compile(r"[^\W\d_]+")
# Letters that are neither Latin, with phonetic and full-width ones, nor signs of formulas.
_OTHER_LETTER = re.compile(
    r"[^\0-\u02ff\W\d_\u1d00-\u1dbf\u1e00-\u1eff\u2071-\u209c\u2100-\u214f\u2c60-\u2c7f\ua720-\ua7ff"
    r"\uab30-\uab6f\ufb00-\ufb06\uff21-\uff5a\U0001d400-\U0001d7ff]"
)

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
_SHARED: dict[Language, frozenset[str]] = {  # German has "so" and "will", Polish "to" and "my", Slovak "nie" and "pod"
    "en": frozenset("to my so will her or may some over out".split()),
    "pl": frozenset("nie jak jako bez pod nad ze we ich jej teraz tej".split()),
}
_POLISH_LETTER = re.compile("[ąęłśźż]")

_SCOTS = re.compile(
    r"""\b(tae(?! kwon)|intae|wi|wioot|fae|frae|yer|yersel|oot|aboot|doon|noo|roon|toun|hoose|soond|hae|haein|haes|
    mair|maist|micht|richts?|nicht|licht|sicht|thocht|brocht|eneuch|acause|anither|onie|onybody|ither|ithers|wis|
    wull|shuid|whan|whaur|wha|whase|whilk|jist|anely|aifter|efter|atween|amang|ablow|forby|dae|daein|nae|
    makkit|tak|gie|gied|gaed|gaun|gangin|twa|thae|thir|thon|thay|thaim|thair|thare|oor|siccar|siccarness|unkent|
    kythe|wirk|wirkin|warld|wark|pairt|pairties|stairt|stert|chynge\w*|maun|hame|muckle|gey|unco|guid|heid|deid|
    leid|luik|tuik|buik|wrang|strang|haud|forrit|ilka|awbodie|awbody|naebody|naebodie|naething|bodie|bairns?|lairn|
    lairnin|weel|bygane|wabsteid|mishanter|ettle\w*|yaise\w*|yaisin|yaisage|remuiv\w*|follae\w*|windae\w*|
    watter|cauld|fowks?|kintras?|wheen|caipitals?|lairge|mairket|gairdens?|pairk|airmy|naition\w*|[sc]eety|veelages?|
    toonships?|oreegin\w*|poleetic\w*|releegi\w*|\w*ee(?:tion|cial)\w*|
    (?:din|win|hin|wad|wid|maun|is|was|wis|has|had|did|does|wouldn?|couldn?|shouldn?|needn?)na|
    needit|haun(?!t|ch)\w+|staun(?!ch)\w*|(?:(?:ca|[dw]i)n|\w*[dstv]|are|were|hae)nae|
    (?!bandit|pundit)\w{2,}(?:ct|ck|kk|rt|nt|sk|pt|nk|mp|wn|nd|st|ff)it)\b(?!['’-])""",
    re.VERBOSE,
)
# No proof alone: there are furs and funds, and there is "settin' o' the sun".
_PERHAPS_SCOTS = re.compile(
    r"""\b(fur|o(?!['’])|fund|canna|moose|toon|hale|cud|whit|wes|mak|aff|aw|
    (?!plug|log|orig|marg|beg|cous|adm|virg|rob|cab|bas|bullet|lat|sat|mart|viol|res|gob|pump|nap|vitam|insul|rais|
    assass|mandar|jave|pop)\w{2,}[bdgklmnprstvwz]ins?)\b""",
    re.VERBOSE,
)
_SILESIAN = re.compile(
    r"""\b(niy\w*|dlo|tyj|przi\w*|jeźli|yno|tyn|ker[yoe]|kerego|keryj|kery[cm]h?|tyż|żodn\w+|teroz\w*|
    coby|bydzie|iże|inksz\w+|miyndzy|wiyncyj|podug|wszyjsk\w+|wszysk\w+|zaroz|werta|werty|jejich|pokoż|
    zicher|szymel|szymlu|swroco|wklud[zź]\w*|nowyj|dalij|myńsz\w+|istniyj\w*|zorta|durkowan\w+|
    \w*(?:okumy[nń]|ymy[nń]|spamiy|rozszyrz|nasztal|sztart|plikacyj|wersyj|funkcyj|formacyj|pozycyj|wiyr[cs]|piyrsz|
    zawiyr|dziy[nń])\w*|
    żech|żechmy|[ôŏ]\w+|god(?:ać|oł|ała|ali|ōm|ej|ejcie|ka|ki|kōm)|\w*[aouyó]rzi\w*)\b""",
    re.VERBOSE,
)
_KASHUBIAN = re.compile(r"\b(jidz\w+|\w+(?<!re)(?<!d)żi(?!ng|o)\w*)\b")
_UKRAINIAN = re.compile(
    r"""\b(shch[eoy]\w*|yak(?:yi|ykh|shcho)?|duzhe|tsei|von[aoy]|moi[aey]|moya|tvoi[aey]|tvoya|nashoho|yoho|yii|
    budutʹ?|zavzhdy|znai?[ju]u?|mov[iyu]|narodu?iv|spravy)\b(?!-)""",
    re.VERBOSE,
)
_PERHAPS_SILESIAN = re.compile(r"\b(abo|ino|kaj|zawdy|skuli|podle|miano|cug|tabula)\b")
# Of Silesian, Kashubian, Sorbian, Czech and Slovak, and of Ukrainian in Latin script.
_LETTER_OF_RELATIVES = re.compile("[ōŏôõãëòùŭěřůčšžýľťďňʹ]")
_POLISH_NAME = re.compile(r"""(?<=\S[ ("'„“‘-])(?=[A-ZĄĆĘŁŃÓŚŹŻ])(?=[\w-]*[ąćęłńóśźżĄĆĘŁŃÓŚŹŻ])[\w-]+""")
_SENTENCE_END = re.compile(r"[.!?…][\"'”’»)]*$")
_WORDS_OF_SENTENCE = 7  # at least; twice as many if no sign ends it
_WORDS_BETWEEN_COMMAS = 4  # fewer are lists of names
_SHORT_WORD = 3  # letters, as words have that join others; most lists of names have none
_MEAN_LENGTH = 3.5  # letters: abbreviations are shorter
_CAPITALS = 0.9  # of the words
_CAPITALISED_WITHIN = re.compile(r"(?<=[\w,;’] )[A-ZÀ-ÖØ-ÞĄĆĘŁŃÓŚŹŻ][\w-]*")


def words(paragraph: str) -> list[str]:
    """Return the words as they are written."""
    return _WORD.findall(paragraph)


def other_letters(paragraph: str) -> int:
    """Count the letters of scripts other than the Latin one."""
    return 0 if paragraph.isascii() else len(_OTHER_LETTER.findall(paragraph))


def own_signs(lower: list[str], language: Language) -> int:
    """Count the lower-case words that are signs of the language."""
    if language == "en":
        return sum(map(_ENGLISH.__contains__, lower))
    accented = [word for word in lower if not word.isascii() and word not in _POLISH]
    return sum(map(_POLISH.__contains__, lower)) + sum(map(bool, map(_POLISH_LETTER.search, accented)))


def without_shared(lower: list[str], language: Language) -> list[str]:
    """Leave out the words that other languages have, too, which say little if there are no others."""
    return [word for word in lower if word not in _SHARED[language]]


def not_capitalised(found: list[str]) -> int:
    """Count the words that begin with a small letter."""
    return sum(map(str.islower, [word[0] for word in found]))


def is_sentence_in_capitals(paragraph: str, found: list[str]) -> bool:
    """Return whether these words are a sentence in capitals. Titles, names and abbreviations are not."""
    least = _WORDS_OF_SENTENCE if _SENTENCE_END.search(paragraph) else 2 * _WORDS_OF_SENTENCE
    return (
        len(found) >= max(least, _WORDS_BETWEEN_COMMAS * (1 + paragraph.count(",")))
        and sum(map(str.isupper, found)) >= _CAPITALS * len(found)
        and sum(map(len, found)) >= _MEAN_LENGTH * len(found)
        and sum(len(word) <= _SHORT_WORD for word in found) > 0
    )


def without_polish_names(paragraph: str) -> str:
    """Leave out the capitalised words with Polish letters, but not the first word."""
    return _POLISH_NAME.sub("", paragraph)


def signs_of_relatives(paragraph: str, found: list[str], language: Language, small: int) -> int:
    """Count the signs of Scots if the language is English, of Silesian, Kashubian, Sorbian, Czech, Slovak and Ukrainian
    if it is Polish. `found` are the words of the paragraph, of which `small` are not capitalised. Names such as Zoë and
    Kim Tae-hyung are no signs."""
    is_title = 2 * small <= len(found)
    lower = (paragraph if is_title else _CAPITALISED_WITHIN.sub("", paragraph)).lower()
    sure_ones, perhaps_ones = (_SCOTS, _PERHAPS_SCOTS) if language == "en" else (_SILESIAN, _PERHAPS_SILESIAN)
    sure = len(sure_ones.findall(lower))
    if language == "pl":
        sure += len(_KASHUBIAN.findall(lower)) + len(_UKRAINIAN.findall(lower))
    if language == "pl" and _LETTER_OF_RELATIVES.search(paragraph):
        sure += sum(1 for word in found if word[0].islower() and _LETTER_OF_RELATIVES.search(word))
    perhaps = len({*perhaps_ones.findall(lower)})
    return sure + (perhaps if sure or perhaps > 1 else 0)
