"""Take the running text out of wikitext: no templates, tables, references, pictures and lists of sources.

What a template would show is not in the text, so a sentence may lack a number or a name that stands in one.
"""

from __future__ import annotations

import re
from html import unescape

_REDIRECT = re.compile(r"\s*#\s*\w+\s*:?\s*\[\[")
_COMMENT = re.compile(r"<!--.*?(?:-->|$)", re.DOTALL)
_NO_TEXT = "ref math chem gallery timeline syntaxhighlight source pre score imagemap graph table references".split()
_ELEMENT = re.compile(rf"<({'|'.join(_NO_TEXT)})\b[^<>]*>", re.IGNORECASE)
_ENDS = {name: re.compile(rf"</{name}\s*>", re.IGNORECASE) for name in _NO_TEXT}
_TEMPLATE = re.compile(r"\{\{\{[^{}]*\}\}\}|\{\{[^{}]*\}\}|-\{[^{}]*\}-")
_TABLE = re.compile(r"^[ :*#]*\{\|(?:(?!^[ :*#]*\{\|).)*?^\s*\|\}", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[\[([^\[\]]*)\]\]")
_ADDRESS = re.compile(r"\[(?:https?:|ftp:|mailto:|//)[^\s\]]*\s*([^\[\]]*)\]")
_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_BOLD = re.compile(r"'{2,5}")
_SWITCH = re.compile(r"__[A-Z]+__")
_HEADING = re.compile(r"\s*(={1,6})\s*(.+?)\s*\1\s*")
_LIST = re.compile(r"^[*#:;]+\s*")
# Links that show a picture, name a category, or lead to another language.
_LANGUAGES = """
aa ab ace ady af ak als alt am ami an ang ann anp ar arc ary arz as ast atj av avk awa ay az azb ba ban bar bbc bcl bdr
be be-tarask be-x-old bew bg bh bi bjn blk bm bn bo bpy br bs btm bug bxr ca cbk-zam cdo ce ceb ch cho chr chy ckb co cr
crh cs csb cu cv cy da dag de dga din diq dsb dtp dty dv dz ee el eml en eo es et eu ext fa fat ff fi fiu-vro fj fo fon
fr frp frr fur fy ga gag gan gcr gd gl glk gn gom gor got gpe gsw gu guc gur guw gv ha hak haw he hi hif ho hr hsb ht hu
hy hyw hz ia iba id ie ig igl ii ik ilo inh io is it iu ja jam jbo jv ka kaa kab kbd kbp kcg kg kge ki kj kk kl km kn
knc ko koi kr krc ks ksh ku kus kv kw ky la lad lb lbe lez lfn lg li lij lld lmo ln lo lrc lt ltg lv mad mai map-bms mdf
mg mh mhr mi min mk ml mn mni mnw mo mos mr mrj ms mt mus mwl my myv mzn na nah nan nap nb nds nds-nl ne new ng nia nl
nn no nov nqo nr nrm nso nup nv ny oc olo om or os pa pag pam pap pcd pcm pdc pfl pi pih pl pms pnb pnt ps pt pwn qu rm
rmy rn ro roa-rup roa-tara rsk ru rue rw sa sah sat sc scn sco sd se sg sgs sh shi shn si simple sk skr sl sm smn sn so
sq sr srn ss st stq su sv sw syl szl szy ta tay tcy tdd te tet tg th ti tig tk tl tly tn to tpi tr trv ts tt tum tw ty
tyv udm ug uk ur uz ve vec vep vi vls vo vro wa war wo wuu xal xh xmf yi yo yue za zea zgh zh zh-classical zh-min-nan
zh-yue zu
"""
_NO_LABEL = re.compile(
    rf"\s*((?i:file|image|media|category|plik|grafika|kategoria)|{'|'.join(_LANGUAGES.split())})\s*:(?!\s)"
)
_PICTURE = re.compile(r"\s*(file|image|plik|grafika)\s*:", re.IGNORECASE)
_SOURCES = frozenset(
    "references,notes,footnotes,citations,sources,bibliography,further reading,external links,see also,"
    "notes and references,przypisy,uwagi,bibliografia,linki zewnętrzne,zobacz też,literatura,źródła".split(",")
)
_DEEPEST = 30  # templates in templates


def is_redirect(wikitext: str) -> bool:
    """Whether a page only leads to another: `#REDIRECT [[...]]`, under any word for it."""
    return bool(_REDIRECT.match(wikitext))


def without_markup(wikitext: str) -> str:
    """Return the paragraphs, headings and items of a page, one per line. Sections that list sources and other pages are
    left out, and so is a heading with nothing below it."""
    text = _without_elements(_COMMENT.sub("", wikitext))
    for pattern in (_TEMPLATE, _TABLE):
        text = _removed(pattern, text)
    for _ in range(_DEEPEST):
        text, count = _LINK.subn(_label, text)
        if not count:
            break
    text = _ADDRESS.sub(r"\1", _SWITCH.sub("", text))
    text = unescape(_TAG.sub("", _BREAK.sub(" ", _BOLD.sub("", text))))
    return "\n".join(_lines(text))


def _without_elements(text: str) -> str:
    """Remove the elements that hold no running text. The tag of one that does not end stays, and what follows it."""
    kept: list[str] = []
    begin = at = 0
    open_ones: set[str] = set()
    while element := _ELEMENT.search(text, at):
        name, at = element[1].lower(), element.end()
        if element[0].endswith("/>"):
            end = at
        elif name in open_ones or not (closing := _ENDS[name].search(text, at)):
            open_ones.add(name)
            continue
        else:
            end = closing.end()
        kept.append(text[begin : element.start()])
        begin = at = end
    return "".join([*kept, text[begin:]])


def _removed(pattern: re.Pattern[str], text: str) -> str:
    """Remove what matches, from the inside out."""
    for _ in range(_DEEPEST):
        text, count = pattern.subn("", text)
        if not count:
            break
    return text


def _label(link: re.Match[str]) -> str:
    target, bar, label = link[1].partition("|")
    if _PICTURE.match(target) or _NO_LABEL.match(target):
        return ""
    return label.rpartition("|")[2] if bar else target.lstrip(": ")


def _lines(text: str) -> list[str]:
    found: list[str] = []
    headings: list[tuple[int, str]] = []
    left_out = 0  # the level of the heading of a section that is left out
    for line in text.split("\n"):
        if heading := _HEADING.fullmatch(line):
            level = len(heading[1])
            if left_out and level > left_out:
                continue
            left_out = level if heading[2].strip().casefold() in _SOURCES else 0
            headings = [one for one in headings if one[0] < level]
            if not left_out:
                headings.append((level, heading[2]))
            continue
        words = " ".join(_LIST.sub("", line.strip()).split())
        if words and not left_out:
            found += [heading for _, heading in headings]
            headings = []
            found.append(words)
    return found
