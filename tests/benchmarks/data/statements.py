"""What the documentation states about texts and tokenizers: one function per block, from the lines in results/."""

from __future__ import annotations

from tests.benchmarks.result_lines import Line, lines, listed, newest, percent, source, span, statement, table, verdict

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


@statement
def tokenize_job() -> str:
    ray = newest("tokenize_job", case="tokenize_ray")
    met, target = ray["met"], ray["target"]
    return (
        f"The job that writes shards of text takes in {ray['to_reference']:.1f} times the tokens per CPU-second of "
        f"`tokenizers` alone (target {target['to_reference']:.0f}, {verdict(met['to_reference'])}) and "
        f"{ray['to_one_process']:.2f} times those of one process that does the same work (target "
        f"{target['to_one_process']:.2f}, {verdict(met['to_one_process'])}), on {ray['gb']:g} GB of text or "
        f"{ray['tokens'] / 1e6:.0f} M tokens {source('tokenize_job', ray)}."
    )


@statement
def tokenize_job_memory() -> str:
    found = sorted((line for line in lines("tokenize_job") if "worker_peak_mb" in line), key=lambda line: line["gb"])
    rows = [
        (f"{line['gb']:g} GB", f"{line['worker_peak_mb']:.0f} MB", f"{line['driver_peak_mb']:.0f} MB") for line in found
    ]
    return (
        f"Memory by the size of the corpus {source('tokenize_job', *found)}:\n\n"
        + table(("corpus", "most of a worker", "most of the driver"), rows)
    )  # fmt: skip


@statement
def encoding() -> str:
    own = {text: newest("encoding", engine="ours", text=text) for text in ("en", "pl")}
    same = all(line["same_ids"] for line in own.values())
    return (
        f"Encoding is {own['en']['ratio']} times as fast as `tokenizers` in English and {own['pl']['ratio']} times in "
        f"Polish, with {'the same' if same else 'other'} ids; the target of {own['en']['target']} is "
        f"{verdict(all(line['met'] for line in own.values()))} {source('encoding', *own.values())}."
    )


@statement
def bpe_training() -> str:
    own, peer = (newest("bpe_training", trainer=trainer) for trainer in ("ours", "tokenizers"))
    return (
        f"Training {own['vocab_size']:,} tokens on {own['mb']} MB took {own['median_s']:.1f} CPU-seconds with "
        f"{own['peak_mb']} MB of memory, `tokenizers` {peer['median_s']:.1f} CPU-seconds with {peer['peak_mb']} MB: "
        f"{own['ratio']} times as fast at {own['compression']:g} times the compression; the targets, {own['target']} "
        f"and {own['target_compression']}, are {verdict(own['met'])} {source('bpe_training', own)}."
    )


@statement
def compression() -> str:
    def row(name: str, line: Line) -> tuple[str, ...]:
        rates = [line[where][language] for where in ("out_of_source", "in_source") for language in ("en", "pl")]
        return name, f"{line['vocabulary']:,}", *(f"{r['all'] if isinstance(r, dict) else r:.3f}" for r in rates)

    own = [
        (f"`{split}`" + (f" with {words} MB of word lists per language" if words else ""), line)
        for split in ("ours", "joined")
        for words in (0, 10)
        for line in [line for line in lines("compression")
                     if line.get("split") == split and line["mixture"]["words_mb"] == words and "target" in line][-1:]
    ]  # fmt: skip
    public = [(name, newest("compression", case=name)) for name in ("o200k", "gemma-3", "claude-2")]
    first, target = own[0][1], own[0][1]["target"]
    met = [name for name, line in own if line["met"]]
    rates = {text: first["out_of_source"][code]["all"] for code, text in (("en", "English"), ("pl", "Polish"))}
    reached = [
        f"{rates[text]:.3f} in {text} ({verdict(rates[text] >= target[code])})"
        for code, text in (("en", "English"), ("pl", "Polish"))
    ]
    columns = ("vocabulary", "size", *(f"{text}, {where} source" for where in ("out of", "in")
                                       for text in ("English", "Polish")))  # fmt: skip
    return (
        f"Bytes per token, trained on {first['mixture']['en_mb']} MB of English and "
        f"{first['mixture']['polish_passes']} passes over {first['mixture']['pl_mb']} MB of Polish "
        f"{source('compression', *(line for _, line in own + public))}:\n\n"
        + table(columns, (row(name, line) for name, line in own + public))
        + f"\n\nThe targets out of source, {target['en']} and {target['pl']}, are met by {listed(met) or 'none'}. The "
        f"pipeline trains `ours` without word lists: {listed(reached)}. With this split only word lists reach both."
    )  # fmt: skip


@statement
def corpus() -> str:
    packages = [line for line in lines("corpus") if line["case"] == "packages"]
    tiny = newest("corpus", case="tiny")
    searches, indexes = (
        [line for line in lines("corpus") if line.get("who") == who] for who in ("decide", "rensa.RMinHashLSH")
    )
    micros = [1e6 * line["cpu_seconds"] / line["documents"] for line in searches]
    return (
        f"The packages of the demo are cleaned at {span((line['mb_per_cpu_second'] for line in packages), '.1f')} MB "
        f"per CPU-second, tiny documents at {tiny['mb_per_cpu_second']:.1f}. The search for duplicates among "
        f"{span((line['documents'] / 1e6 for line in searches), 'g')} million documents takes "
        f"{span((line['bytes_per_document'] for line in searches), '.0f')} bytes of memory and {span(micros, '.1f')} "
        f"microseconds per document; the index of rensa takes "
        f"{span((line['bytes_per_document'] for line in indexes), ',.0f')} bytes {source('corpus', *searches)}."
    )
