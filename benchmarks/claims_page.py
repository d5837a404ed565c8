"""The page of `claims.py`: tables, plots and one sentence for each claim, out of what was measured and nothing else.

Knows the claims of PerceptionGPT by number (C1 to C11). Measures nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

CHIEF = ("acc50", "acc90", "miou", "res", "group_f1", "unreadable")
TRAINED = ("heads", "rows", "host")
HEADS = ("Acc@0.5", "Acc@0.9", "box mIoU", "mask mIoU", "F1 of groups", "unreadable")
PLAIN = ("numerals", "integers", "bins", "polygon")
BOXES = PLAIN[:3]  # without masks
Worlds = dict[str, tuple[dict[str, Any], dict[str, Any]]]  # plan, and arms by name
NOISE = 0.02  # about the standard error of some 300 questions about one thing
LEARNT = 0.2  # a box mIoU under which nothing was learnt but the mean box


def write_page(result: dict[str, Any], page: Path | None) -> str:
    """The page as text; written to `page` with its plots beside it, where one is named."""
    worlds = {
        world: (runs[0]["plan"], averaged([run["arms"] for run in runs])) for world, runs in result["worlds"].items()
    }
    plots = ""
    if page is not None:
        page.parent.mkdir(parents=True, exist_ok=True)
        plots = "\n".join(f"![{title}]({name})" for title, name in drawn(result["speed"], worlds, page))
    parts = [opening(result), speed_table(result["speed"])]
    for world, (plan, arms) in worlds.items():
        parts += [how(world, plan, len(result["worlds"][world])), accuracy_table(arms)]
        parts += [tokens_an_object(arms, result["speed"]), feedback(arms)]
    text = "\n\n".join(p for p in [*parts, plots, sentences(result["speed"], worlds)] if p) + "\n"
    if page is not None:
        page.write_text(text, encoding="utf-8")
    return text


def averaged(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Arms of several seeds as one: means of their figures, and `sd`, how the last box mIoU differs among them."""
    made = {}
    for name, first in runs[0].items():
        some = [run[name] for run in runs if name in run]
        curve = [
            {k: fmean(p[k] for p in points) for k in points[0]}
            for points in zip(*(a["curve"] for a in some), strict=True)
        ]
        made[name] = {**first, "curve": curve}
        if len(some) > 1:
            made[name]["sd"] = stdev(a["curve"][-1]["miou"] for a in some)
        if "again_iou" in first:
            made[name]["again_iou"] = fmean(a["again_iou"] for a in some)
        if "feedback" in first:
            made[name]["feedback"] = {
                fed: {k: fmean(a["feedback"][fed][k] for a in some) for k in row}
                for fed, row in first["feedback"].items()
            }
    return made


def opening(result: dict[str, Any]) -> str:
    """What was run, on what."""
    machine = ", ".join(f"{k} {v}" for k, v in result["machine"].items())
    return f"""# The claims, measured

One token against the alternatives, by `python benchmarks/claims.py` on one machine ({machine}).
In each experiment every format has the same host, renderer, loop, predictor and judges, and learns from the same
samples in the same order; the learning rate of each was chosen by its loss on held samples (ablations take that of
`vis`). Accuracy is that of free answers. Small models, short trainings: what is compared is the formats, not the state
of the art. Seconds of training are processor time of one thread; those of an answer are a clock's."""


def how(world: str, plan: dict[str, Any], seeds: int) -> str:
    """What one experiment was."""
    rates = f"{len(plan['rates'])} rates tried for {plan['search_steps']} steps"
    size = f"{plan['steps']} steps of {plan['batch']} dialogues, {rates}, {plan['n']} questions of the test"
    if world == "shapes":
        return f"""## Drawn shapes

One to three shapes in 64 pixels, told by colour and form, each asked for, and then all of them together. A random host
of 0.6 million parameters, learnt whole and from nothing by every arm, so no arm has an adapter: {size},
seeds: {seeds}."""
    return f"""## Composed scenes

A light host: the first {plan["layers"]} language layers of the host "{plan["host"]}", a vocabulary of the words asked,
and the packaged model's tower and projector, which are frozen; its layers first learnt the dialogues in words alone for
{plan["talk_steps"]} steps. One start for all, whose eyes learnt to see by `vis`. The language layers are learnt on, the
upper half of them by `vis`, all by the others and by "vis, every layer". {size}, seed {plan["seed"]}."""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown: names on the left, figures on the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def speed_table(speed: dict[str, Any]) -> str:
    """What each format's answers cost."""
    head = ("format", "objects", "pictures at once", "tokens an object", "decode steps", "seconds a call", "objects/s")
    rows = [
        (
            r["format"],
            str(r["objects"]),
            str(r["batch"]),
            f"{r['tokens']:.1f}",
            str(r["steps"]),
            f"{r['seconds']:.2f}",
            f"{r['objects_a_second']:.2f}",
        )
        for r in speed["rows"]
    ]
    return f"""## What an answer costs

Each format's own tokens, forced through the same loop. A call is the picture, the prompt and the answer;
`vis` and outlines give masks, too.

{table(head, rows)}

`vis` against `numerals`, 8 objects in one picture: {speed["vis_over_numerals"]:.1f} times the objects a second (wanted
at least 8)."""


def accuracy_table(arms: dict[str, Any]) -> str:
    """What each arm came to."""
    if not arms:
        return ""
    rows = []
    for name, arm in arms.items():
        end, trained = arm["curve"][-1], arm["trained"]
        told = ["–" if k == "res" and name in BOXES else f"{end[k]:.3f}" for k in CHIEF]
        if "sd" in arm:
            told[CHIEF.index("miou")] += f" ± {arm['sd']:.3f}"
        facts = [f"{arm['rate']:g}", f"{end['samples']:.0f}", f"{end['seconds']:.0f}"]
        rows.append([name, *facts, *told, *(f"{trained[k]:,}" for k in TRAINED)])
    tried = "; ".join(
        f"{n} {', '.join(f'{r}: {v:.3f}' for r, v in a['search'].items())}" for n, a in arms.items() if a["search"]
    )
    spread = "± is the standard deviation among seeds. " if any("sd" in a for a in arms.values()) else ""
    return f"""### What training came to

{table(("arm", "rate", "samples", "seconds", *HEADS, "trained: heads", "rows", "of the host"), rows)}

{spread}Rates tried and the loss on held samples (first seed): {tried or "none"}."""


def tokens_an_object(arms: dict[str, Any], speed: dict[str, Any]) -> str:
    """What more tokens an object cost and bring."""
    costs = {r["format"]: r for r in speed["rows"] if (r["objects"], r["batch"]) == (8, 1)}
    found = [(k, n) for k, n in ((1, "vis"), (2, "vis-2"), (4, "vis-4")) if n in arms]
    if len(found) < 2:
        return ""
    rows = []
    for k, name in found:
        cost = costs.get(name)
        told = [str(cost["steps"]), f"{cost['objects_a_second']:.2f}"] if cost else ["–", "–"]
        end = arms[name]["curve"][-1]
        rows.append([str(k), f"{arms[name]['rate']:g}", *told, *(f"{end[key]:.3f}" for key in CHIEF)])
    return f"### K tokens an object\n\n{table(('K', 'rate', 'steps for 8 objects', 'objects/s', *HEADS), rows)}"


def feedback(arms: dict[str, Any]) -> str:
    """What is written back at `<vis>`, on the chief arm."""
    found = arms.get("vis", {}).get("feedback")
    if not found:
        return ""
    rows = [[name, *(f"{row[k]:.3f}" for k in CHIEF)] for name, row in found.items()]
    return f"""### What is fed back at `<vis>`

Only answers of several regions can feel it.

{table(("fed back", *HEADS), rows)}"""


def drawn(speed: dict[str, Any], worlds: Worlds, page: Path) -> list[tuple[str, str]]:
    """Plots beside the page: (title, file)."""
    from matplotlib.figure import Figure

    made = []
    for world, (_, arms) in worlds.items():
        formats = [n for n in ("vis", "vis-4", *PLAIN) if n in arms]
        figure = Figure(figsize=(12, 4), layout="constrained")
        lines: list[Any] = []
        for place, (key, title) in enumerate((("samples", "samples"), ("seconds", "seconds of training")), 1):
            axes = figure.add_subplot(1, 3, place)
            curves = [arms[name]["curve"] for name in formats]
            lines = [axes.plot([p[key] for p in c], [p["miou"] for p in c], marker="o")[0] for c in curves]
            axes.set(xlabel=title, ylabel="box mIoU", ylim=(0, None))
            axes.grid(alpha=0.3)
        axes = figure.add_subplot(1, 3, 3)
        for name in formats:
            count = sum(arms[name]["trained"][k] for k in TRAINED) / 1e6
            axes.plot([count], [arms[name]["curve"][-1]["miou"]], "o")
        axes.set(xlabel="trained, millions", ylabel="box mIoU", xlim=(0, None), ylim=(0, None))
        axes.grid(alpha=0.3)
        figure.legend(lines, formats, loc="outside lower center", ncols=len(formats))
        made.append((f"{world}: accuracy", f"{page.stem}_{world}.png"))
        figure.savefig(page.with_name(made[-1][1]), dpi=80)
    figure = Figure(figsize=(5, 3.4), layout="constrained")
    axes = figure.add_subplot()
    for name in dict.fromkeys(r["format"] for r in speed["rows"]):
        rows = [r for r in speed["rows"] if r["format"] == name and r["batch"] == 1]
        axes.plot([r["objects"] for r in rows], [r["objects_a_second"] for r in rows], marker="o", label=name)
    axes.set(xlabel="objects in a picture", ylabel="objects a second", yscale="log")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)
    made.append(("objects a second", f"{page.stem}_speed.png"))
    figure.savefig(page.with_name(made[-1][1]), dpi=80)
    return made


def reached(curve: Sequence[dict[str, float]], key: str, level: float, by: str) -> float | None:
    """Where along `by` a curve first comes to `level`, between its points on a line; None where it never does."""
    before = {key: 0.0, by: 0.0}
    for point in curve:
        if point[key] >= level:
            rise = point[key] - before[key]
            share = (level - before[key]) / rise if rise > 0 else 1.0
            return before[by] + max(0.0, share) * (point[by] - before[by])
        before = point
    return None


def sentences(speed: dict[str, Any], worlds: Worlds) -> str:
    """A sentence a claim, and a world where it was trained."""
    first = {r["format"]: r for r in speed["rows"] if (r["objects"], r["batch"]) == (8, 1)}
    tokens = ", ".join(f"{n} {r['tokens']:.1f}" for n, r in first.items() if n in PLAIN)
    told = [
        "C1 (under 4 % trains): 3.999 % of the packaged model without its projector, 6.17 % with it "
        "(docs/model_card.md): holds; the small hosts here have layers of their own learnt, so a share of them says "
        "nothing.",
        f"C3 (one token an object): {first['vis']['tokens']:.0f} for box and mask; {tokens}: holds.",
        f"C4 (faster inference): 8 objects take {first['vis']['steps']} steps against {first['numerals']['steps']} of "
        f"numerals, {speed['vis_over_numerals']:.1f} times the objects a second: "
        + ("holds." if speed["vis_over_numerals"] >= 8 else "falls short of 8 times."),
        "C5 (no quantisation error): a coordinate that is read back is off by up to 0.0005 of the canvas in numerals, "
        "integers and bins; `vis` has no such floor: holds by construction (tests/data/test_spelled_regions.py); what "
        "it is worth stands under Acc@0.9.",
        "C7 (one token for box and mask, in and out, several, amid text): holds by test (tests/model/test_generate.py, "
        "tests/tasks/test_region.py).",
        "C11 (keeps captions and VQA): with the plug-in off the host's logits are bit-identical "
        "(tests/model/test_adapt.py); trained adapters were not put to captions here: not shown.",
    ]
    for world, (_, arms) in worlds.items():
        if {"vis", "numerals"} <= set(arms):
            told += [line.replace("): ", f"), {world}: ", 1) for line in _of_training(world, arms)]
    told.sort(key=lambda sentence: int(sentence.split()[0][1:]))
    return "\n".join(["## The claims, one by one", "", *(f"- {sentence}" for sentence in told)])


def _of_training(world: str, arms: dict[str, Any]) -> list[str]:
    vis, end = arms["vis"], arms["vis"]["curve"][-1]
    beside = {n: sum(arms[n]["trained"][k] for k in TRAINED[1:]) for n in ("vis", *PLAIN) if n in arms}
    fewer = [n for n, count in beside.items() if count < beside["vis"]]
    rivals = {n: arms[n]["curve"][-1] for n in PLAIN if n in arms}
    wins = {k: sum(end[k] > r[k] for r in rivals.values()) for k in ("miou", "acc50", "acc90")}
    best = max(r["miou"] for r in rivals.values())
    better = "holds in this budget" if min(wins["miou"], wins["acc50"]) == len(rivals) else "does not hold throughout"
    if max(best, end["miou"]) < LEARNT:
        better = "not shown, since none has learnt more than the mean box"
    lines = [
        f"C1 (fewer parameters train): beside the heads {', '.join(f'{n} {v:,}' for n, v in beside.items())}: "
        + (f"its one row makes it more than {' and '.join(fewer)}." if fewer else "no alternative trains fewer."),
        f"C2 (a quarter of the time of numerals): {_time(arms, 'seconds')}",
        f"C6 (better than coordinates as tokens): box mIoU {end['miou']:.3f} against at best {best:.3f}; better than "
        f"{wins['miou']} of {len(rivals)} alternatives by box mIoU, {wins['acc50']} by Acc@0.5, {wins['acc90']} by "
        f"Acc@0.9: {better}.",
        f"C8 (less data): {_time(arms, 'samples')}",
    ]
    if "vis, one layer" in arms:
        one = arms["vis, one layer"]["curve"][-1]
        gain = min((end[k] - one[k] for k in ("miou", "res")), key=abs)
        verdict = "makes no difference" if abs(gain) < NOISE else "holds" if gain > 0 else "harms here"
        lines.append(
            f"C9 (fusion of layers helps): box mIoU {end['miou']:.3f} with it, {one['miou']:.3f} with one layer; "
            f"mask mIoU {end['res']:.3f}, {one['res']:.3f}: {verdict} (less than {NOISE} is chance)."
        )
    if "again_iou" in vis:
        verdict = "holds" if vis["again_iou"] >= 0.5 else "fails at this size of training"
        lines.append(
            f"C10 (a given region is reconstructed): boxes decoded from their own encoding have a mean IoU of "
            f"{vis['again_iou']:.3f} with themselves: {verdict} (0.5 wanted)."
        )
    return lines


def _time(arms: dict[str, Any], by: str) -> str:
    """What share of the numerals' budget `vis` needed to come to their level."""
    ours, theirs = arms["vis"]["curve"], arms["numerals"]["curve"]
    level, whole = theirs[-1]["miou"], theirs[-1][by]
    at = reached(ours, "miou", level, by)
    if at is None:
        return f"`vis` never came to the box mIoU of numerals ({level:.3f}) in its budget: fails."
    share = 100 * at / whole
    told = f"`vis` came to the final box mIoU of numerals ({level:.3f}) after {at:.0f} of their {whole:.0f} {by}"
    if level < LEARNT:
        return f"{told}, {share:.0f} %, but numerals had learnt no more than the mean box by then: not shown (25 %)."
    return f"{told}, {share:.0f} %: {'holds' if share <= 25 else 'fails'} (25 %)."
