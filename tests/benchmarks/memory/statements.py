"""What the documentation states about memory: one function per block, from the lines in results/.

A statement speaks of the newest line of each case and says where that line comes from. `RESULTS/` in a link stands for
the folder of results.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import mean

from jobs.evaluation.rates import wilson
from tests.benchmarks.result_lines import (
    Line,
    interval,
    lines,
    listed,
    newest,
    of_seeds,
    percent,
    source,
    span,
    statement,
    table,
    verdict,
)

ARMS = {
    ("rxt", "free-running"): "RxT, live memory",
    ("zeroed", "free-running"): "RxT, memory zeroed (control)",
    ("shuffled", "free-running"): "RxT, memory of another conversation (control)",
    ("last", "free-running"): "RxT, memory of the last turn alone (control)",
    ("no_history", "free-running"): "baseline without history (floor)",
    ("window", "free-running"): "baseline with a window of as many tokens as slots",
    ("full_history", "free-running"): "baseline with full history (rival)",
    ("rxt", "teacher-forced"): "RxT, reference answers written (diagnostic)",
    ("full_history", "teacher-forced"): "full history, reference answers written",
}
QUOTING = {
    "nearest_turn": "no model: quotes the turn that shares most words",
    "last_turn": "no model: quotes the last turn",
    "all_turns": "no model: quotes all turns",
}


def answers(by: str = "distance", group: str = "1-4", arm: str = "rxt", writes: str = "free-running") -> Line:
    return newest("recall", by=by, group=group, arm=arm, writes=writes)


@statement
def recall() -> str:
    arms = ARMS | {(arm, "user turns"): name for arm, name in QUOTING.items()}
    found = {name: answers(arm=arm, writes=writes) for (arm, writes), name in arms.items()}
    own = found["RxT, live memory"]
    rows = [
        (name, percent(line["accuracy"], 1), interval(line, 1), str(line["n"]),
         percent(line["chance"], 1), percent(line["majority"], 1))
        for name, line in found.items()
    ]  # fmt: skip
    return (
        f"One training with seed {own['training_seed']} by the code of `{own['artifact_commit'][:7]}`, asked "
        f"{own['n']} questions about facts told 1 to 4 interactions before, in {own['conversations']} conversations "
        f"{source('recall', own)}:\n\n"
        + table(("who answers", "recall", "95 %", "n", "chance", "majority"), rows)
    )  # fmt: skip


@statement
def recall_headline() -> str:
    arms = {
        arm: [
            of_seeds("recall", by="generator", group=name, arm=arm, writes="free-running")
            for name in ("template", "broad")
        ]
        for arm in ("rxt", "zeroed", "full_history")
    }
    known, new = arms["rxt"]
    shares = {
        arm: [span((100 * line["accuracy"] for line in found), ".0f") for found in of_arm]
        for arm, of_arm in arms.items()
    }
    nearest = (answers("generator", name, "nearest_turn", "user turns")["accuracy"] for name in ("template", "broad"))
    emptied, rival = (" % and ".join(shares[arm]) for arm in ("zeroed", "full_history"))
    return (
        f"The model of `make demo`, trained by the code of `{known[0]['artifact_commit'][:7]}` with {seeds(new)}, is "
        "asked for values that no training conversation tells. In sentences that it has seen it answers "
        f"{shares['rxt'][0]} % of {known[0]['n']} questions right from its memory; in new sentences, about other "
        f"things, {shares['rxt'][1]} % of {new[0]['n']}. When that memory is emptied, it answers {emptied} %. A "
        "stateless model of the same active size, which reads the whole conversation again, answers "
        f"{rival} % ({seeds(arms['full_history'][1])}). A program without a model, which keeps all sentences and "
        "quotes the one that shares most words with the question, answers "
        f"{' and '.join(map(percent, nearest))} {source('recall', *known)}."
    )


@statement
def recall_by_kind() -> str:
    once, changed, never = (answers("kind", kind) for kind in ("recall", "update", "unknown"))
    zeroed, forgetful = (answers("kind", "unknown", arm)["accuracy"] for arm in ("zeroed", "no_history"))
    rows = [
        (line["group"], percent(line["accuracy"], 1), interval(line, 1), str(line["n"]))
        for line in lines("recall")
        if line.items() >= {"by": "facts", "time": once["time"], "arm": "rxt", "writes": "free-running"}.items()
    ]
    return (
        f"Of all questions, however long ago the fact was told, it recalls {percent(once['accuracy'])} of "
        f"{once['n']} facts told once ({interval(once)}) and "
        f"{percent(changed['accuracy'])} of {changed['n']} changed later ({interval(changed)}). It refuses "
        f"{percent(never['accuracy'])} of {never['n']} questions about what was never told ({interval(never)}). With "
        f"its memory emptied it refuses {percent(zeroed)} of them, and the baseline without history "
        f"{percent(forgetful)}: a refusal shows no memory. By the facts that the conversation holds:\n\n"
        + table(("facts", "recall", "95 %", "n"), rows)
    )


@statement
def recall_by_seed() -> str:
    asked = {
        "in template": ("generator", "template"),
        "held out": ("generator", "broad"),
        "both, told 1 to 4 interactions before": ("distance", "1-4"),
        "both, changed later": ("kind", "update"),
        "both, never told, refused": ("kind", "unknown"),
    }
    own = of_seeds("recall", by="generator", group="template", arm="rxt", writes="free-running")
    trained, rows = [line["training_seed"] for line in own], []
    for name, (by, group) in asked.items():
        for shown, arm in ((name, "rxt"), (f"{name}, rival", "full_history")):
            found = of_seeds("recall", by=by, group=group, arm=arm, writes="free-running")
            shares = {line["training_seed"]: percent(line["accuracy"], 1) for line in found}
            rows.append((shown, *(shares.get(seed, "-") for seed in trained)))
        quoting = dict(by=by, group=group, arm="nearest_turn", writes="user turns")
        nearest = [newest("recall", **quoting, training_seed=seed) for seed in trained]
        rows.append((f"{name}, no model", *(percent(line["accuracy"], 1) for line in nearest)))
    return f"Trainings by seed {source('recall', *own)}:\n\n" + table(
        ("right answers", *(f"seed {seed}" for seed in trained)), rows
    )


RECIPE = {  # what the recipe is asked, and its target
    "template": ("in template, 1 to 4 facts", 0.99),
    "eight facts": ("in template, eight facts", 0.95),
    "distance 16": ("in template, four facts, asked 16 interactions later", 0.95),
    "plain": ("held out, told plainly", 0.8),
    "broad": ("held out, told in any words", 0.8),
}
REFUSED = 0.95  # the target of questions about what was never told


@statement
def recall_targets() -> str:
    whole = [line for line in lines("ablations") if line["row"] == "the recipe"
             and all(change.startswith("execution.") for change in line["changes"])]  # fmt: skip
    found = list({line["seed"]: line for line in sorted(whole, key=lambda line: line["seed"])}.values())
    rows = []
    asked = [("told", name, shown, target) for name, (shown, target) in RECIPE.items()]
    asked += [("never_told", name, f"never told, refused: {shown}", REFUSED) for name, (shown, _) in RECIPE.items()]
    for kind, name, shown, target in asked:
        cells = [line[kind][name] for line in found]
        met = verdict(min(cell["accuracy"] for cell in cells) >= target)
        n = span((cell["n"] for cell in cells), ",.0f")
        rows.append((shown, *(percent(cell["accuracy"], 1) for cell in cells), n, f"{percent(target)}: {met}"))
    text = [line["perplexity"] for line in found]
    met = verdict(max(max(one.values()) for one in text) < 110)
    shown = [f"{one['en']:.0f} / {one['pl']:.0f}" for one in text]
    rows.append(("perplexity of held-out text, English / Polish", *shown, "-", f"under 110: {met}"))
    header = ("free-running, first attempts", *(f"seed {line['seed']}" for line in found), "n", "target")
    return f"The targets of `tiny` {source('ablations', *found)}:\n\n" + table(header, rows)


def seeds(trained: list[Line]) -> str:
    return f"seed{'s' if len(trained) > 1 else ''} {listed(str(line['training_seed']) for line in trained)}"


def its_rival(trained: list[Line]) -> str:
    return f"its rival with {seeds(trained)}" if trained else "without its rival"


@statement
def own_words() -> str:
    """All trainings of each preset by the code of its newest one."""
    presets = list(dict.fromkeys(line["preset"] for line in lines("own_words")))
    groups = [("all", "all"), ("tier", "plain"), ("tier", "free"), ("tier", "hard"), ("language", "en"),
              ("language", "pl"), ("kind", "unknown")]  # fmt: skip
    rows, used, trainings, forgot = [], [], [], {"all": [], "unknown": []}
    for preset in presets:
        for by, group in groups:
            own, emptied, rival = (
                of_seeds("own_words", preset=preset, by=by, group=group, arm=arm)
                for arm in ("rxt", "emptied", "full_history")
            )
            used += own
            forgot.get(group, []).extend(emptied)
            rival = [line for line in rival if line["artifact_commit"] == own[0]["artifact_commit"]]
            shares = [line["accuracy"] for line in own]
            rows.append(
                (f"`{preset}`, {group}", percent(mean(shares), 1), span((100 * x for x in shares), ".1f"),
                 interval(own[0], 1), str(own[0]["n"]), percent(mean(line["accuracy"] for line in emptied), 1),
                 *((percent(mean(of := [line["accuracy"] for line in rival]), 1), span((100 * x for x in of), ".1f"))
                   if rival else "--"))
            )  # fmt: skip
        trainings.append(f"`{preset}` trained with {seeds(own)} ({its_rival(rival)})")
    right, told = (
        sum(one[key] - other[key] for one, other in zip(*forgot.values(), strict=True)) for key in ("correct", "n")
    )
    return (
        f"{used[0]['dialogues']} dialogues that people wrote, {used[0]['turns']} turns, {listed(trainings)} "
        f"{source('own_words', *used)}. The share of RxT is the mean over seeds, and `seeds` is its range. The "
        "interval and n are those of the first seed. With their memory emptied, the models of all seeds together "
        f"answer {right} of {told:,} questions right about what was told: what that column counts are refusals of what "
        "was not. "
        f"{nearest_turn()}:\n\n"
        + table(
            (
                "preset, questions",
                "RxT",
                "seeds",
                "95 %",
                "n",
                "memory emptied",
                "rival with full history",
                "its seeds",
            ),
            rows,
        )
    )


@statement
def scenes() -> str:
    own = of_seeds("scenes", arm="rxt")
    return (
        f"{own[0]['told']['n']:,} questions about what was told and {own[0]['never_told']['n']} about what was not, in "
        + _made("scenes", own)
        + _by_arm("scenes", {"told": "right", "never_told": "never told, refused"})
    )


@statement
def pairs() -> str:
    own = of_seeds("pairs", arm="rxt")
    return (
        f"{own[0]['alone']['n']:,} questions, in "
        + _made("pairs", own)
        + _by_arm("pairs", {"value": "has the value", "alone": "and not the other one"})
    )


def _made(case: str, own: list[Line]) -> str:
    """Say how many conversations were asked, and of which models."""
    return (
        f"{own[0]['conversations']:,} conversations, `tiny` trained with {seeds(own)} by the code of "
        f"`{own[0]['artifact_commit'][:7]}` {source(case, *own)}. Means over seeds, and their range:\n\n"
    )


def _by_arm(case: str, parts: Mapping[str, str]) -> str:
    """Return a table of the rates of a line, by its keys and their headings, for each arm that answers greedily."""
    names = {arm: name for (arm, writes), name in ARMS.items() if writes == "free-running"}
    found = {arm: of_seeds(case, arm=arm) for arm in names}
    found |= {arm: [newest(case, arm=arm)] for arm in QUOTING}
    names |= QUOTING
    rows = [
        (names[arm], "-" if arm in QUOTING else str(len(of)),
         *(cell for part in parts for cell in (
             percent(mean(line[part]["accuracy"] for line in of), 1),
             span((100 * line[part]["accuracy"] for line in of), ".1f"))))
        for arm, of in found.items()
    ]  # fmt: skip
    return table(("who answers", "seeds", *(cell for name in parts.values() for cell in (name, "of seeds"))), rows)


LONG = {
    ("slots", "rxt"): "slots alone",
    ("fragments", "rxt"): "the same slots, loaded from fragments",
    ("fragments", "zeroed"): "memory emptied (control)",
}


@statement
def long_memory() -> str:
    cells = {line["interactions"]: line["facts"] for line in lines("long_memory") if line["memory"] == "fragments"}
    found = {
        (told, *key): newest("long_memory", interactions=told, memory=key[0], arm=key[1], by="all")
        for told in sorted(cells)
        for key in LONG
    }
    rows = [
        (f"{told:,}", f"{line['facts']:,}", LONG[memory, arm], percent(line["accuracy"], 1), interval(line, 1),
         str(line["n"]))
        for (told, memory, arm), line in found.items()
    ]  # fmt: skip
    own = found[max(cells), "fragments", "rxt"]
    return (
        f"A model of `tiny`, trained with seed {own['training_seed']} by the code of `{own['artifact_commit'][:7]}` "
        f"without fragments, has {own['slots']} slots. They are written alone, or loaded from fragments "
        f"(`loaded` {own['loaded']}, `recent` {own['recent']}). Facts are told in open sentences of the test "
        f"split, the user's and the assistant's turns as the generator words them, and asked at the end "
        f"{source('long_memory', *found.values())}. The target, to hold them all, is "
        f"{verdict(own['accuracy'] == 1)}:\n\n"
        + table(("interactions", "facts told, at least", "memory", "recall", "95 %", "n"), rows)
    )


@statement
def long_memory_by_distance() -> str:
    told = 128
    rows, used = [], []
    for first, last in ((1, 7), (8, 15), (16, 31), (32, told)):
        cells = []
        for memory in ("slots", "fragments"):
            kind = {"interactions": told, "memory": memory, "arm": "rxt"}
            run = newest("long_memory", **kind, by="all")
            kind |= {"by": "distance", **{key: run[key] for key in ("time", "commit", "artifact")}}
            octaves = [line for line in lines("long_memory") if line.items() >= kind.items()
                       and first <= int(line["group"].split("-")[0]) <= last]  # fmt: skip
            correct, n = (sum(line[name] for line in octaves) for name in ("correct", "n"))
            low, high = wilson(correct, n)
            cells += [percent(correct / n, 1), f"{100 * low:.1f} to {100 * high:.1f}"]
            used += octaves
        rows.append((f"{first} to {last}", *cells, str(n)))
    header = ("told so many interactions ago", "slots alone", "95 %", "loaded from fragments", "95 %", "n")
    return (
        f"The same by how long ago a fact was told, after {told} interactions "
        f"{source('long_memory', *used)}:\n\n" + table(header, rows)
    )


@statement
def long_memory_cost() -> str:
    longest = max(line["interactions"] for line in lines("long_memory") if line["memory"] == "fragments")
    turns = sorted({int(line["group"]) for line in lines("long_memory")
                    if line["by"] == "cost" and line["interactions"] == longest})  # fmt: skip
    found = {
        turn: [newest("long_memory", memory=memory, by="cost", group=str(turn), interactions=longest)
               for memory in ("slots", "fragments")]
        for turn in turns
    }  # fmt: skip
    rows = [
        (str(turn), *(f"{1e3 * line['turn_cpu_s']:.0f} ms" for line in pair), f"{1e3 * pair[1]['load_cpu_s']:.1f} ms",
         f"{pair[1]['slot_bytes'] / 2**10:.0f} KiB", f"{pair[1]['store_bytes'] / 2**20:.1f} MiB")
        for turn, pair in found.items()
    ]  # fmt: skip
    header = (
        "interactions before",
        "turn, slots alone",
        "turn, fragments",
        "of it loading",
        "slots",
        "kept on the host",
    )
    used = [line for pair in found.values() for line in pair]
    return (
        f"CPU time of a turn (load the slots, answer, write), mean of ten, and bytes of one conversation "
        f"{source('long_memory', *used)}. Answers have different lengths, and {used[0]['load']:.0f} processes shared "
        "the two cores, so turns differ by chance. What grows is loading, since a message is compared with the words "
        "of all fragments, and what the host keeps:\n\n" + table(header, rows)
    )


@statement
def mrl_reward() -> str:
    seeds = sorted({line["seed"] for line in lines("mrl_reward")})
    plain, control = ([newest("mrl_reward", seed=s, shuffled=shuffled) for s in seeds] for shuffled in (False, True))
    half = max((line["difference"]["high"] - line["difference"]["low"]) / 2 for line in plain)
    drops = span((-line["difference"]["mean"] for line in control), ".1f")
    return (
        f"{plain[0]['iterations']} iterations of `mrl` change the mean reward on {plain[0]['episodes']:,} held-out "
        f"conversations by {listed(format(line['difference']['mean'], '+.2f') for line in plain)} of "
        f"{plain[0]['config']['reward']['scale']:.0f} for {len(seeds)} seeds, with 95 % intervals of at most "
        f"±{half:.2f}, in about {span((line['seconds'] / 60 for line in plain), '.0f')} minutes each. With rewards "
        f"shuffled between answers, the control, the reward falls by {drops} "
        f"{source('mrl_reward', *plain, *control)}."
    )


def nearest_turn() -> str:
    """Sentences about the rivals that are no models (`memory.quoting`)."""
    found = {
        group: newest("own_words", arm="nearest_turn", by=by, group=group)["accuracy"]
        for by, group in (("all", "all"), ("tier", "plain"), ("tier", "free"), ("tier", "hard"))
    }
    shares = listed(f"{percent(share, 1)} ({group})" for group, share in found.items())
    everything = percent(newest("own_words", arm="all_turns", by="all", group="all")["accuracy"], 1)
    return (
        "A rival that is no model, keeps all turns and quotes the one that shares most words with the question "
        f"(`tests/benchmarks/memory/quoting.py`) is right in {shares}. One that quotes all turns is right in "
        f"{everything}, since many questions forbid no value"
    )
