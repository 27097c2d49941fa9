"""What the documentation states about kernels, models and operations: one function per block, made of result lines.

A statement speaks of the newest line of each case and says where that line comes from. `RESULTS/` in a link stands for
the folder of results.
"""

from __future__ import annotations

import json

from tests.benchmarks.result_lines import lines, listed, newest, percent, source, span, statement, table, verdict

COLLAPSED_AT_MOST = 1.3  # times balanced routing, on a GPU


@statement
def moe_gpu() -> str:
    own, collapsed, eager, compiled = (
        newest("moe_gpu", impl=impl)
        for impl in ("ours", "ours collapsed", "grouped_mm", "grouped_mm compiled")
    )  # fmt: skip
    better = min(eager["ratio"], compiled["ratio"])
    checks = {
        f"at most {own['target_ms']} ms: {own['median_ms']:.2f}": own["median_ms"] <= own["target_ms"],
        f"at least {own['target_ratio']} times as fast as the better `grouped_mm` pipeline: {better:.2f}":
            better >= own["target_ratio"],
        f"at most {own['target_saved_bytes'] / 1e9:.2f} GB of saved activations: {own['saved_bytes'] / 1e9:.3f}":
            own["saved_bytes"] <= own["target_saved_bytes"],
        f"collapsed at most {COLLAPSED_AT_MOST} times as slow as balanced: {collapsed['ratio']:.2f}":
            collapsed["ratio"] <= COLLAPSED_AT_MOST,
    }  # fmt: skip
    return (
        f"Router and experts of RxT-Beta, forward and backward on {own['shape']['T']:,} tokens "
        f"{source('moe_gpu', own)}:\n\n"
        + "\n".join(f"- {verdict(met)}: {text}" for text, met in checks.items())
        + "\n\nThe kernels have been changed since and were not timed again."
    )


@statement
def attention() -> str:
    packed = [line for line in lines("attention") if line["shape"]["length"] != line["shape"]["document"]]
    shapes = {json.dumps(line["shape"]): line["shape"] for line in packed}.values()
    times = [{line["impl"]: line.get("median_ms") for line in packed if line["shape"] == shape} for shape in shapes]
    gains = [min(filter(None, (t[f"{name}_attention"] for name in ("flash", "cudnn", "efficient")))) / t["ours"]
             for t in times]  # fmt: skip
    slower = max(t["ours"] / t["varlen_attn"] for t in times)
    return (
        f"For packed rows FlexAttention is {span(gains, '.1f')} times as fast as the best back end with a boolean "
        f"mask, and takes at most {slower:.2f} times as long as `varlen_attn`. Rows of one document go to cuDNN "
        f"{source('attention', *packed)}."
    )


@statement
def moe_cpu() -> str:
    balanced, collapsed = (newest("moe_cpu", case="ours", routing=routing) for routing in ("balanced", "collapsed"))
    most, grouped = balanced["target"], newest("moe_cpu", case="grouped_mm", routing="balanced")
    checks = (
        (balanced, "to_dense", f"at most {most['to_dense']} times the dense layer: {balanced['to_dense']:.2f}"),
        (balanced, "to_padded_bmm",
         f"at most {most['to_padded_bmm']:.2f} times padded bmm: {balanced['to_padded_bmm']:.2f}"),
        (collapsed, "to_balanced",
         f"collapsed at most {collapsed['target']['to_balanced']} times balanced: {collapsed['to_balanced']:.2f}"),
        (balanced, "beyond_mb",
         f"balanced at most {most['beyond_mb']} MB beyond weights and gradients: {balanced['beyond_mb']:.0f}"),
        (collapsed, "beyond_mb",
         f"collapsed at most {most['beyond_mb']} MB beyond weights and gradients: {collapsed['beyond_mb']:.0f}"),
    )  # fmt: skip
    return (
        f"The expert layer of RxT-Beta on one CPU thread, forward and backward on {balanced['shape']['tokens']:,} "
        f"tokens, takes {balanced['median_ms']:.0f} ms, `grouped_mm` {grouped['median_ms']:.0f} ms "
        f"{source('moe_cpu', balanced)}:\n\n"
        + "\n".join(f"- {verdict(line['met'][key])}: {text}" for line, key, text in checks)
    )


@statement
def joint_step() -> str:
    own, plain = newest("joint_step", case="ours"), newest("joint_step", case="plain")
    return (
        f"A step takes {own['median_ms']:.0f} ms, the plain one {plain['median_ms']:.0f} ms, a ratio of "
        f"{own['to_plain']:.3f}; the target of at most {own['target']} is {verdict(own['met'])} "
        f"{source('joint_step', own)}."
    )


@statement
def checkpoint_stall() -> str:
    line = newest("checkpoint_stall")
    return (
        f"For {line['megabytes']:.0f} MB a step waits {line['median_ms']:.0f} ms of the {line['whole_ms']:.0f} ms that "
        f"the checkpoint takes, which is {line['share']:.2%} of 30 s; median of {line['turns']}, at most "
        f"{line['max_ms']:.0f} ms, and {line['first_ms']:.0f} ms the first time "
        f"{source('checkpoint_stall', line)}."
    )


@statement
def reading_step() -> str:
    every, selected = (newest("reading_step", case=case) for case in ("every", "selected"))
    return (
        f"A step takes {every['median_ms']:.0f} ms with the output at all {every['tokens']:,} tokens, and "
        f"{selected['to_every']:.2f} times that at the {every['scored']} that are scored alone; medians of "
        f"{every['turns']} turns, of {every['min_ms']:.0f} to {every['max_ms']:.0f} ms and "
        f"{selected['min_ms']:.0f} to {selected['max_ms']:.0f} ms "
        f"{source('reading_step', every)}."
    )


@statement
def delta_step() -> str:
    found = [newest("delta_step", case="delta", length=length) for length in (1024, 8192)]
    checks = (
        f"{verdict(line['to_attention'] <= line['target'])}: at {line['length']:,} tokens at most {line['target']} "
        f"times the attention: {line['to_attention']:.2f}"
        for line in found
    )
    return (
        "CPU time of a memory-driven Gated DeltaNet, forward and backward, beside that of the gated attention that it "
        f"replaces {source('delta_step', *found)}:\n\n" + "\n".join(f"- {check}" for check in checks)
    )


@statement
def kernel_report() -> str:
    found = {line["kernel"]: line for line in lines("kernel_report")}.values()
    broken = [line["kernel"] for line in found if line["broken"]]
    return (
        f"Of {len(found)} kernels {listed(broken) if broken else 'none'} breaks a rule; the largest takes "
        f"{max(line['shared'] for line in found) / 1024:.0f} KB of shared memory "
        f"(Triton {', '.join(sorted({line['triton'] for line in found}))}; {source('kernel_report', *found)[1:]}."
    )


@statement
def end_to_end() -> str:
    line = newest("end_to_end", until="export")
    return (
        f"{line['stages']} stages were complete {line['seconds']:.0f} s after `rxt submit`, though the second machine "
        f"was lost {line['seconds_before_kill']:.0f} s after it. MLflow held {line['runs']} finished runs in one tree, "
        f"and the model answered from the object store. {line['secrets_found']} planted secrets were found in "
        f"{line['texts_searched']:,} texts {source('end_to_end', line)}."
    )


@statement
def chaos() -> str:
    found = lines("chaos")
    rows = [
        (kind, own[0]["does"], str(len(own)), span([max(line["lost"].values(), default=0) for line in own], "d"))
        for kind in dict.fromkeys(line["kind"] for line in found)
        if (own := [line for line in found if line["kind"] == kind and line["struck"]])
    ]
    return (
        f"{sum(line['struck'] for line in found)} faults in runs up to `{found[-1]['until']}` "
        f"{source('chaos', *found)}. Each run ended with the files of an undisturbed one, but "
        "for the times that reports tell:\n\n"
        + table(("fault", "what it does", "times", "most steps done again"), rows)
    )


@statement
def turn_cost() -> str:
    turns = sorted({line["turn"] for line in lines("time_to_first_token")})
    pairs = [[newest("time_to_first_token", model=m, turn=turn) for m in ("rxt", "stateless")] for turn in turns]
    rows = [
        (str(turn), f"{rival['prompt_tokens']:,}", *(f"{1e3 * line['median_s']:,.1f} ms" for line in (own, rival)),
         *(f"{line['bytes'] / 2**20:,.1f} MiB" for line in (own, rival)))
        for turn, (own, rival) in zip(turns, pairs, strict=True)
    ]  # fmt: skip
    header = ("turn", "tokens of history and query", "RxT", "stateless", "RxT holds", "stateless holds")
    own = pairs[0][0]
    return (
        f"Time from a query of {own['query_tokens']} tokens to the first token of the answer, and bytes that the "
        f"conversation keeps alive then: an RxT of {own['parameters'] / 1e6:.1f} M parameters beside a stateless "
        f"decoder of the same active size, both untrained, in fp32 on one thread "
        f"{source('time_to_first_token', own)}:\n\n"
        + table(header, rows)
    )  # fmt: skip


@statement
def turn_cost_targets() -> str:
    own = [line for line in lines("time_to_first_token") if line["model"] == "rxt" and line["turn"] > 1]
    last = max(own, key=lambda line: line["turn"])
    rival = newest("time_to_first_token", model="stateless", turn=last["turn"])
    return (
        f"The target, at most {percent(own[0]['target'])} from the first turn in time, live bytes and peak memory, is "
        f"{verdict(all(line['met'] for line in own))}: later turns of RxT take "
        f"{span((line['time_by_first_turn'] for line in own), '.3f')} times the time of turn 1, "
        f"{span((line['bytes_by_first_turn'] for line in own), '.3f')} times its live bytes and "
        f"{span((line['peak_by_first_turn'] for line in own), '.3f')} times its peak. The stateless decoder takes "
        f"{rival['time_by_first_turn']:.0f} times its first turn at turn {last['turn']} "
        f"{source('time_to_first_token', *own)}."
    )
