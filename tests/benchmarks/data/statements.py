"""What the documentation states about cleaning and large input: one function per block, from the lines in results/."""

from __future__ import annotations

from tests.benchmarks.result_lines import lines, listed, newest, percent, source, statement, table, verdict

MOST_KEPT, MOST_LOST = 0.03, 0.002  # of a relative's paragraphs, and of a language's own
LEAST_RATIO = 2
MOST_MB = 1_000
SOURCES = {"pl": "Polish", "en": "English"}


@statement
def languages() -> str:
    found = {line["who"]: line for line in lines("languages")}
    rule = found["rule"]
    missed = [
        f"{code} in {SOURCES[language]} {percent(share, 1)}"
        for language, kept in rule["kept"].items()
        for code, share in kept.items()
        if code != language and share > MOST_KEPT
    ]
    lost = {language: 1 - kept[language] for language, kept in rule["kept"].items()}
    rows = [
        (f"`{who}`", *(percent(1 - kept[language], 2) for language, kept in line["kept"].items()),
         *(percent(max(share for code, share in kept.items() if code != language), 1)
           for language, kept in line["kept"].items()), f"{line['mb_per_cpu_second']:.1f}")
        for who, line in found.items()
    ]  # fmt: skip
    return (
        f"What is lost of a language in its own source, and the most that stays of a relative "
        f"{source('languages', *found.values())}:\n\n"
        + table(
            ("who", "Polish lost", "English lost", "in Polish stays", "in English stays", "MB per CPU-second"), rows
        )
        + f"\n\n- {verdict(not missed)}: at most {percent(MOST_KEPT)} of any relative stays"
        + (f"; more stays of {listed(missed)}" if missed else "")
        + f"\n- {verdict(max(lost.values()) <= MOST_LOST)}: at most {percent(MOST_LOST, 1)} of a language is lost: "
        + ", ".join(f"{SOURCES[language]} {percent(share, 2)}" for language, share in lost.items())
    )


@statement
def peers() -> str:
    newest_of = {language: [newest("peers", who=who, language=language) for who in ("ours", "datatrove")]
                 for language in ("en", "pl")}  # fmt: skip
    ratios = {name: ours["mb_per_cpu_second"] / peer["mb_per_cpu_second"] for name, (ours, peer) in newest_of.items()}
    kept = "; ".join(
        f"of {ours['documents']:,} {SOURCES[name]} documents ours keep {ours['kept']:,}, theirs {peer['kept']:,}"
        for name, (ours, peer) in newest_of.items()
    )
    told = listed([f"{ratio:.0f} times in {SOURCES[name]}" for name, ratio in ratios.items()])
    return (
        f"The filters judge {told} as many MB per CPU-second as those of datatrove "
        f"{newest_of['en'][1]['datatrove']} (target {LEAST_RATIO}, {verdict(min(ratios.values()) >= LEAST_RATIO)}) "
        f"{source('peers', *(line for both in newest_of.values() for line in both))}. {kept[0].upper()}{kept[1:]}."
    )


@statement
def large() -> str:
    file, line = (newest("large", case=case) for case in ("file", "line"))
    most = max(file["peak_mb"], line["peak_mb"])
    return (
        f"Reading one file of {file['bytes'] / 1e9:.1f} GB, plain and compressed, and cleaning a piece of it takes "
        f"{file['peak_mb']} MB of memory; a line of 300 MB, which is refused, {line['peak_mb']} MB (target {MOST_MB}, "
        f"{verdict(most <= MOST_MB)}) {source('large', file, line)}."
    )
