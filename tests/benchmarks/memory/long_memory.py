"""Many facts in one long conversation: with fragments (Mixture-of-Memory) beside plain slots, one JSON line per cell.

    python -m tests.benchmarks.memory.long_memory --model ARTIFACT/model --tokenizer ARTIFACT/tokenizer.json \
        --training-seed 0

A conversation tells `facts` facts or more over `interactions` interactions, in the open sentences of the test split. A
tenth is changed later, and small talk stands between. Each turn is written with its reference answer. Then facts are
asked from the memory at the end, and no question is written. Questions, weights and the number of slots are the same
for both memories. Costs are CPU seconds of one thread: of a turn (load the slots, answer, write) and of loading alone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import torch

from jobs.evaluation.conversations import EncodedConversation, list_questions
from jobs.evaluation.rates import Outcome, rate
from jobs.evaluation.speakers import FragmentSpeaker, ReactiveSpeaker
from rxt_model.config import FragmentsConfig
from rxt_model.state import remember
from tests.benchmarks.memory.speaking import encode, load_speaker
from tests.benchmarks.record import RESULTS, append, environment
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.conversations.template import decode_answer
from tokenization.dialogues.broad.plan import Script, ScriptTurn
from tokenization.dialogues.broad.speech import tell_script
from tokenization.dialogues.score import score
from tokenization.dialogues.spec import DialogueSpec
from tokenization.hashing import stable_hash
from tokenization.records import LANGUAGES, Conversation

# facts, interactions, and turns that try to tell a fact: the later ones of a long conversation find no new value
CELLS = {16: (32, 18), 64: (128, 80), 256: (512, 340), 512: (1000, 860)}
CHANGED = 0.1  # share of the facts
BATCH = 64
ASKED = 160  # facts of a conversation, at most
COSTS_AT = (10, 100, 300, 990)
MEASURED = 10  # turns from each of these on


def main() -> None:
    arguments = parse()
    torch.set_num_threads(1)
    tokenizer = Tokenizer.load(arguments.tokenizer)
    plain, about = load_speaker(arguments.model, tokenizer, 0)
    assert isinstance(plain, ReactiveSpeaker), "a stateless model has no memory"
    plain.arms = ("rxt",)  # emptied, both memories are the same
    model, slots = plain.model, plain.model.config.memory.slots
    fragments = FragmentsConfig(loaded=arguments.loaded, recent=arguments.recent)
    common = {"case": "long_memory", **environment("torch"), "training_seed": arguments.training_seed, **about}
    common |= {"slots": slots, "conversations": 2 * arguments.conversations, "writes": "teacher-forced"}
    for facts in arguments.facts:
        turns = CELLS[facts][0]
        counts, spoken = zip(*conversations(facts, arguments.conversations), strict=True)
        told = [encode(tokenizer, one, model.config.length) for one in spoken]
        cell = common | {"facts": min(counts), "interactions": turns}
        for name, speaker in (("slots", plain), ("fragments", FragmentSpeaker(model))):
            used = fragments if name == "fragments" else None
            model.config = replace(model.config, memory=replace(model.config.memory, fragments=used))
            settings = {} if used is None else {"size": used.size, "loaded": used.loaded, "recent": used.recent}
            costs = converse(speaker, told, turns)
            lines = [cell | {"memory": name} | settings | line for line in answers(speaker, tokenizer, told, turns)]
            lines += [cell | {"memory": name} | settings | {"by": "cost"} | cost for cost in costs]
            append(arguments.results, lines)
            for line in lines:
                shown = ("accuracy", "n", "turn_cpu_s", "load_cpu_s", "store_bytes")
                print(facts, name, line.get("arm", ""), line["by"], line["group"], *(
                    f"{key} {line[key]:.4g}" for key in shown if key in line), flush=True)  # fmt: skip


def conversations(facts: int, count: int) -> Iterator[tuple[int, Conversation]]:
    """Yield how many facts it tells and the conversation, `count` of each language. After their last interaction,
    conversations ask `facts` facts, at most `ASKED`."""
    turns, tells = CELLS[facts]
    spec = DialogueSpec(turns=(turns, turns), facts=(1, 1))
    for language in LANGUAGES:
        for index in range(count):
            name = f"long-{language}-{facts}-{index}"
            rng = Random(stable_hash(f"benchmark/{name}"))
            script = [ScriptTurn("talk")] * turns
            changed = rng.sample(range(tells), int(CHANGED * facts))
            places = sorted(rng.sample(range(turns), tells + len(changed)))
            order = [ScriptTurn("tell", (fact,)) for fact in range(tells)]
            for fact in changed:
                order.insert(rng.randrange(order.index(ScriptTurn("tell", (fact,))) + 1, len(order) + 1),
                             ScriptTurn("change", (fact,)))  # fmt: skip
            for place, turn in zip(places, order, strict=True):
                script[place] = turn
            asked = [ScriptTurn("ask", (fact,)) for fact in range(tells)]
            whole = tell_script(Script((*script, *asked), tells), spec, language, "test", rng, name)
            known = [probe for probe in whole.probes if probe.kind != "unknown"]
            yield len(known), replace(whole, probes=tuple(rng.sample(known, min(facts, ASKED))))


def converse(
    speaker: ReactiveSpeaker | FragmentSpeaker, told: Sequence[EncodedConversation], turns: int
) -> list[dict[str, Any]]:
    """Write all turns of the conversations to memory. Returns what a turn costs and what is kept at some turns."""
    speaker.begin(range(len(told)))
    rows, costs = range(len(told)), []
    with torch.inference_mode():
        for turn in range(turns):
            if turn in COSTS_AT:
                costs.append({"group": str(turn)} | cost(speaker, told[0], turn))
            written = [one.queries[turn] + one.answers[turn] for one in told]
            speaker.remember(rows, written, [False] * len(told))
    return costs


def cost(speaker: ReactiveSpeaker | FragmentSpeaker, one: EncodedConversation, turn: int) -> dict[str, float]:
    """Return the mean CPU times of `MEASURED` turns of the first conversation, if each came next, and its bytes."""
    spent = {"turn_cpu_s": 0.0, "load_cpu_s": 0.0}
    kept, slots = 0, 0
    for query, reference in zip(one.queries[turn : turn + MEASURED], one.answers[turn:], strict=False):
        began = time.process_time()
        speaker.answer(["rxt"], [0], [query])
        if isinstance(speaker, ReactiveSpeaker):
            remember(speaker.model, speaker.memory[:, :1], [query + reference])
            slots = speaker.memory[:, :1].nbytes
            spent["turn_cpu_s"] += (time.process_time() - began) / MEASURED
            continue
        state = speaker.states[0]
        assert state.fragments is not None, "the config keeps fragments"
        state.written(speaker.model, query + reference)
        loads = time.process_time()
        spent["turn_cpu_s"] += (loads - began) / MEASURED
        state.read(speaker.model, query)
        spent["load_cpu_s"] += (time.process_time() - loads) / MEASURED
        kept, slots = state.fragments.nbytes, state.memory.nbytes
    return {**spent, "store_bytes": kept, "slot_bytes": slots}


def answers(
    speaker: ReactiveSpeaker | FragmentSpeaker, tokenizer: Tokenizer, told: Sequence[EncodedConversation], turns: int
) -> Iterator[dict[str, Any]]:
    """Ask all questions at the end of the conversations, with each arm. Yields lines by what was asked."""
    questions = list_questions(told)
    for arm in speaker.arms:
        outcomes: list[Outcome] = []
        with torch.inference_mode():
            for start in range(0, len(questions), BATCH):
                part = questions[start : start + BATCH]
                rows = [question.conversation for question in part]
                found = speaker.answer([arm] * len(part), rows, [told[q.conversation].queries[q.turn] for q in part])
                for question, ids in zip(part, found, strict=True):
                    text = decode_answer(tokenizer, ids)
                    outcomes.append(Outcome(question, arm, text, score(text, question.probe, question.language)))
        groups: dict[tuple[str, str], list[Outcome]] = {("all", "all"): outcomes}
        for outcome in outcomes:
            probe = outcome.question.probe
            distance = probe.distance - (probe.turn - turns)  # to the end of the conversation
            octave = f"{2 ** (distance.bit_length() - 1)}-{2 ** distance.bit_length() - 1}"
            for key in (("kind", probe.kind), ("language", outcome.question.language), ("distance", octave)):
                groups.setdefault(key, []).append(outcome)
        yield from ({"arm": arm, "by": by, "group": group} | rate(of) for (by, group), of in groups.items())


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="model folder of an RxT with a copying head, any fsspec URL")
    parser.add_argument("--tokenizer", required=True, help="tokenizer.json")
    parser.add_argument("--training-seed", type=int, required=True, help="seed the model was trained with")
    parser.add_argument("--facts", type=int, nargs="+", choices=tuple(CELLS), default=tuple(CELLS))
    parser.add_argument("--conversations", type=int, default=1, help="of each language")
    parser.add_argument("--loaded", type=int, default=FragmentsConfig.loaded)
    parser.add_argument("--recent", type=int, default=FragmentsConfig.recent)
    parser.add_argument("--results", type=Path, default=RESULTS / "long_memory.jsonl")
    return parser.parse_args()


if __name__ == "__main__":
    main()
