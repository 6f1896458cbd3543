"""`facet admin autoscaler explain`: the autoscaler's last decision, as a table. Values: `plain`."""

from __future__ import annotations

from typing import Any

Values = dict[str, Any]


def explanation_lines(told: Values) -> list[str]:
    """The decision, its reasons and what it was taken from."""
    if told["decide_time"] is None:
        return [f"{told['model']}: nothing was decided yet; is autoscaler.mode set?"]
    held = ", BLIND: sizes are held" if told["blind"] else ""
    lines = [
        f"{told['model']}: decided {told['decide_time']}, {told['age_seconds']:.1f} s ago{held}; "
        f"costs {told['cost_per_hour']:g} an hour",
        f"{'pool':<16} {'wanted':>6} {'ready':>6} {'coming':>6}  start s  prefill tok/s  step ms",
    ]
    lines += [_pool(each) for each in told["pools"]]
    lines += ["reasons", *(f"  {_reason(each)}" for each in told["reasons"])]
    lines += ["signals", *(f"  {_signal(each)}" for each in told["signals"])]
    if told["gpu_seconds"]:
        lines.append("GPU seconds by tenant")
        lines += [
            f"  {tenant or '(idle)':<24} {seconds:12.1f}"
            for tenant, seconds in sorted(told["gpu_seconds"].items(), key=lambda each: -each[1])
        ]
    return lines


def _pool(pool: Values) -> str:
    phases, times = pool["phases"], pool["service_times"]
    coming = sum(phases.get(each, 0) for each in ("unschedulable", "pulling", "loading", "warming"))
    start = pool["startup_seconds"]
    text = times["prefill_token_seconds"].get("text", 0)
    prefill = f"{1 / text:.0f}" if text > 0 else "-"
    step = f"{times['step_base_seconds'] * 1000:.2f}+{times['step_sequence_seconds'] * 1000:.3f}b"
    learned = f"{times['samples']} samples" if times["samples"] else "not measured"
    return (
        f"{pool['name']:<16} {pool['desired']:>6} {phases.get('ready', 0):>6} {coming:>6}  "
        f"{'-' if start is None else f'{start:.0f}':>7}  {prefill:>13}  {step}, "
        f"{times['tokens_per_step']:.2f} tokens a step, {learned}"
    )


def _reason(reason: Values) -> str:
    numbers = ", ".join(f"{name} {value:g}" for name, value in sorted(reason["numbers"].items()))
    where = f" in {reason['pool']}" if reason["pool"] else ""
    detail = f" ({reason['detail']})" if reason["detail"] else ""
    return f"{reason['cause']}{where}{detail}{': ' if numbers else ''}{numbers}"


def _signal(signal: Values) -> str:
    age = signal["age_seconds"]
    read = "never read" if age is None else f"{age:.1f} s old"
    return f"{signal['name']:<14} {read}{'' if signal['valid'] else ', not trusted'}"
