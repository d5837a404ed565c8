"""Does asking help? Five arms, two readings, several seeds on the same questions and steps (the test LMEye never ran).

(a) static path only, (b) + constant replies, (c) the network with a learned constant for the request, (d) full, (e)
full with requests shuffled among the batch at test time; the network reads the static tokens, as released, or the
patches. As published, the static mapping first learns captions, once; then it is held in (b) to (e), and goes on
learning in (a). Every arm has the same two stages of the same questions: `look_steps` without the language model, where
the mean reply (of (a): the mean static token) is to be nearest to the answer's own embedding, and `steps` with it. (b)
to (e) learn from kept prefixes (kept_prefixes.py). What is done is kept in --out: say it again to go on. Knows no
targets: whatever comes out is printed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from telling import refuse

ARMS = {"a": "static", "b": "constant", "c": "unasked", "d": "full", "e": "full"}  # e is d, its requests shuffled
READINGS = ("tokens", "grid")
NAMES = {
    "a": "static only",
    "b": "constant replies",
    "c": "learned constant for the request",
    "d": "full",
    "e": "full, requests shuffled",
}
MARK = ("<!-- lmeye_arms: begin -->", "<!-- lmeye_arms: end -->")


@dataclass(frozen=True)
class Plan:
    """How large the experiment is."""

    host: str
    data: str  # "scenes", or a DAQUAR questions file
    network: str
    static_tokens: int
    width: int
    align_steps: int
    look_steps: int
    steps: int
    batch: int
    pool: int  # training samples, kept in memory
    n: int  # questions of the test
    seeds: int
    rate: float


def samples_of(plan: Plan, part: Any) -> list[Any]:
    """Pictures with their questions, or with captions: the same for every arm and seed."""
    from perceptiongpt.data.objects import ObjectLibrary
    from perceptiongpt.data.scene_questions import QuestionStream
    from perceptiongpt.data.vqa import read_vqa

    if plan.data != "scenes":
        found = by_picture(read_vqa("daquar", plan.data, "val" if part == "val" else "train"))
        order = np.random.default_rng(0).permutation(len(found))
        return until([found[int(i)] for i in order], plan.n if part == "val" else plan.pool)
    library = ObjectLibrary.open()
    if part == "captions":
        return list(QuestionStream("train", 1, plan.align_steps * plan.batch // 4 or 1, library, captions=True))
    seed, count = (0, plan.n) if part == "val" else (0, plan.pool)
    return until(QuestionStream(part, seed, count, library), count)


def by_picture(samples: Sequence[Any]) -> list[Any]:
    """Single questions as one dialogue about each picture."""
    from perceptiongpt.data.sample import Sample

    groups: dict[str, list[Any]] = {}
    for sample in samples:
        groups.setdefault(sample.meta["picture"], []).append(sample)
    return [
        Sample(
            some[0].image,
            tuple(t for s in some for t in s.turns),
            name,
            {"kinds": [s.meta["kind"] for s in some], "right": [s.meta["answers"] for s in some]},
        )
        for name, some in groups.items()
    ]


def until(samples: Iterable[Any], questions: int) -> list[Any]:
    """The first pictures that together have so many questions."""
    found, count = [], 0
    for sample in samples:
        if count >= questions:
            break
        found.append(sample)
        count += len(sample.turns) // 2
    return found


def pieces(samples: Sequence[Any], most: int) -> list[Any]:
    """The same dialogues, none longer than `most` questions."""
    from perceptiongpt.data.sample import Sample

    return [
        Sample(s.image, s.turns[2 * i : 2 * (i + most)], f"{s.id}-{i}")
        for s in samples
        for i in range(0, len(s.turns) // 2, most)
    ]


def learn_captions(plan: Plan, held: Any, samples: list[Any], out: Path) -> Any:
    """A model whose static mapping has learnt from captions, or what stands for them."""
    from perceptiongpt.config import Rates, Run, Stage
    from perceptiongpt.data.mix import Mix
    from perceptiongpt.train import train

    model, steps = equipped(plan, held, "static", "grid", 0, None), plan.align_steps
    rates = Rates(heads=plan.rate, rows=3 * plan.rate)
    warmup = max(1, min(50, steps // 10))
    stage = Stage(aim="align", steps=steps, batch=max(1, plan.batch // 4), warmup=warmup, rates=rates)
    run = Run(name="lmeye_arms", host=plan.host, out=str(out), stages=(stage,), save_every=10**6, log_every=50)
    train(run, model, Mix([(samples, 1.0)], 0), say=note)
    return model


def learn_alike(plan: Plan, model: Any, kept: Any, seed: int) -> float:
    """Train what asks (of (a): the static mapping) without the language model; the loss of the last tenth."""
    from perceptiongpt.model.adapt import choose_trainable

    choose_trainable(model, "all")
    asker = model.asker
    asker.static.requires_grad_(False)
    if asker.settings.arm == "static":
        asker.static.map.requires_grad_(True)
    else:
        if asker.settings.arm == "full":
            kept.ask(model)
        asker.ask.requires_grad_(False)  # or the kept requests would no longer be its own
    return _descend(plan, model, kept.batches(2 * plan.batch, seed), kept.likeness, plan.look_steps, "look")


def learn_asking(plan: Plan, model: Any, kept: Any, seed: int) -> float:
    """Train what asks (of (a): the static mapping) through the language model; the loss of the last tenth.

    On kept prefixes, but for (a), whose prefixes change as it learns: whole rows of the same questions, in the same
    order.
    """
    from perceptiongpt.model.adapt import choose_trainable

    choose_trainable(model, "all")
    alone = model.asker.settings.arm == "static"
    model.asker.static.requires_grad_(alone)
    loss_of = kept.whole_loss if alone else kept.loss
    return _descend(plan, model, kept.batches(plan.batch, seed), loss_of, plan.steps, "ask")


def _descend(plan: Plan, model: Any, batches: Iterator[Any], loss_of: Any, steps: int, name: str) -> float:
    import torch

    from perceptiongpt.config import Rates
    from perceptiongpt.rates import optimiser_of, schedule

    optimiser = optimiser_of(model, Rates(heads=plan.rate, rows=3 * plan.rate), 0.01)
    trained = [p for group in optimiser.param_groups for p in group["params"]]
    losses = []
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = group["peak"] * schedule(step, steps, max(1, min(50, steps // 10)))
        loss = loss_of(model, next(batches), step)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        losses.append(float(loss.detach()))
        if (step + 1) % 50 == 0:
            note(f"{name} {step + 1}: loss {np.mean(losses[-50:]):.3f}")
    return float(np.mean(losses[-max(1, steps // 10) :]))


def equipped(plan: Plan, held: Any, arm: str, reads: str, seed: int, static: Any) -> Any:
    """A fresh plug-in of an arm with this static mapping."""
    from perceptiongpt.model.perception import equip

    ask = {
        "network": plan.network,
        "static_tokens": plan.static_tokens,
        "width": plan.width,
        "arm": arm,
        "reads": reads,
    }
    model: Any = equip(*held, seed=seed, points=False, lora_targets="none", ask=ask)
    if static is not None:
        model.asker.static.load_state_dict(static)
        if getattr(model.asker, "fusion", None) is not None:  # what is kept of the tower is the mean that was learnt
            model.asker.fusion.load_state_dict(model.asker.static.fusion.state_dict())
    return model


def note(line: str) -> None:
    """Progress, for whoever waits."""
    print(f"  {line}", file=sys.stderr, flush=True)


def asked(plan: Plan, model: Any, tests: Any, seen: list[Any], shuffled: bool = False) -> dict[str, Any]:
    """What the model says to each question, and how spread its looks are (0: one place, 1: everywhere alike)."""
    from perceptiongpt.predict import Eye

    model.eval()
    order = np.random.default_rng(0).permutation(len(tests.rows))  # neighbours in a batch ask about other pictures
    said, spreads = [""] * len(order), []
    for start in range(0, len(order), 64):
        some = [int(i) for i in order[start : start + 64]]
        looks: list[Any] = []
        if model.asker.settings.arm == "static":
            eye, rows = Eye(model), [tests.rows[i] for i in some]
            pictures = eye.look([seen[r.picture].image for r in rows])
            words = [a.text for a in pictures.ask([r.sample.turns[0].text for r in rows], max_new_tokens=8)]
        else:
            model.asker.shuffled = shuffled
            words, looks = tests.answers(model, [tests.rows[i] for i in some])
            model.asker.shuffled = False
        for i, word in zip(some, words, strict=True):
            said[i] = word
        for look in looks:
            share = look.ravel().float() / look.sum()
            spreads.append(float(-(share * (share + 1e-12).log()).sum() / np.log(len(share))))
    return {"said": said, "spread": float(np.mean(spreads)) if spreads else None}


def experiment(plan: Plan, out: Path, similarity: Any, only: str) -> dict[str, Any]:
    """All arms, readings and seeds; what a file in `out` tells already is not run again."""
    from kept_prefixes import Kept
    from safetensors.torch import load_file, save_file

    from perceptiongpt.hosts import open_host
    from perceptiongpt.metrics.short import exact, judged

    out.mkdir(parents=True, exist_ok=True)
    told = out / "plan.json"
    if told.exists() and json.loads(told.read_text(encoding="utf-8")) != vars(plan):
        raise ValueError(f"{out} holds another experiment; name another --out or repeat its options")
    told.write_text(json.dumps(vars(plan), indent=1) + "\n", encoding="utf-8")
    held = open_host(plan.host)
    held[0].get_decoder().set_attn_implementation("eager")  # on a CPU its gradient is twice as fast
    train, seen = samples_of(plan, "train"), samples_of(plan, "val")
    aligned = out / "static.safetensors"
    if not aligned.exists():
        captions = samples_of(plan, "captions") if plan.data == "scenes" else pieces(train, 4)
        model = learn_captions(plan, held, captions, fresh(out / "work-align"))
        save_file(model.asker.static.state_dict(), aligned)
    static = load_file(aligned)
    model = equipped(plan, held, "constant", "grid", 0, static)
    tests = Kept(model, seen)
    kept: Any = None
    answers = [t.text for s in train for t in s.turns if t.role == "assistant"]
    results: dict[str, Any] = {}
    for seed in range(plan.seeds):
        for arm, reading in [(x, r) for r in reversed(READINGS) for x in "dc"] + [("b", ""), ("a", "")]:
            name = f"{arm}-{reading}".rstrip("-")
            file = out / f"{name}-{seed}.json"
            if not file.exists():
                if arm not in only:
                    continue
                note(f"{name}, seed {seed}")
                started = time.monotonic()
                kept = kept or Kept(model, train)
                model = equipped(plan, held, ARMS[arm], reading or "grid", seed, static)
                learn_alike(plan, model, kept, seed)
                loss = learn_asking(plan, model, kept, seed)
                spent = time.monotonic() - started
                ways = {arm: False, "e": True} if arm == "d" else {arm: False}
                found = {way: asked(plan, model, tests, seen, shuffled) for way, shuffled in ways.items()}
                trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
                line = {"answers": found, "seconds": spent, "trained": trained, "loss": loss}
                file.write_text(json.dumps(line) + "\n", encoding="utf-8")
                if arm == "d" and seed == 0:
                    save_file(model.asker.state_dict(), out / f"{name}-{seed}.safetensors")
            line = json.loads(file.read_text(encoding="utf-8"))
            for way, what in line["answers"].items():
                rows = [(w, r.meta["answers"], r.meta["kind"]) for w, r in zip(what["said"], tests.rows, strict=True)]
                hits = [exact(w, right) for w, right, _ in rows]
                one = {**judged(rows, answers, similarity), "hits": hits, "spread": what["spread"]}
                one["seconds"] = line["seconds"]
                note(f"{way} {reading} seed {seed}: {one['accuracy']:.3f}")
                for place in READINGS if not reading else (reading,):  # (a) and (b) read nothing
                    results.setdefault(place, {}).setdefault(way, []).append(one)
    return results


def fresh(folder: Path) -> Path:
    """A folder of a run that was cut off is begun again."""
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
    return folder


def interval(hits: np.ndarray) -> tuple[float, float]:
    """95 % of the mean of hits [seeds, questions], seeds and questions drawn anew."""
    rng = np.random.default_rng(0)
    seeds, n = hits.shape
    means = [hits[rng.integers(seeds, size=seeds)][:, rng.integers(n, size=n)].mean() for _ in range(1000)]
    return float(np.percentile(means, 2.5)), float(np.percentile(means, 97.5))


def table(results: dict[str, Any], plan: Plan) -> str:
    """Accuracy of each arm and reading with its interval, differences, and accuracies by kind, as Markdown."""
    count = results[READINGS[0]]["a"][0]["n"]
    what = "scenes" if plan.data == "scenes" else "DAQUAR"
    lines = [
        f"{what} questions, {count} held out, {plan.seeds} seeds; each arm {plan.look_steps} steps of {2 * plan.batch} "
        f"without the host and {plan.steps} of {plan.batch} with it. Network {plan.network}, "
        f"{plan.static_tokens} static tokens, {plan.pool} questions to learn from, rate {plan.rate:g}. In brackets "
        "95 % by bootstrap over seeds and questions.",
        "",
        "| arm | " + " | ".join(f"reads {r}" for r in READINGS) + " |",
        "| --- | " + " | ".join("---" for _ in READINGS) + " |",
    ]
    hits = {r: {a: np.asarray([o["hits"] for o in results[r][a]]) for a in ARMS} for r in READINGS}
    for arm, name in NAMES.items():
        cells = [f"{hits[r][arm].mean():.3f} [{_pair(interval(hits[r][arm]))}]" for r in READINGS]
        lines.append(f"| ({arm}) {name} | " + " | ".join(cells) + " |")
    for left, right in (("d", "a"), ("d", "b"), ("d", "c"), ("d", "e")):
        cells = []
        for r in READINGS:
            difference = hits[r][left] - hits[r][right]
            cells.append(f"{difference.mean():+.3f} [{_pair(interval(difference))}]")
        lines.append(f"| {left} − {right} | " + " | ".join(cells) + " |")
    first = results[READINGS[0]]["a"][0]
    lines.append("| majority answer | " + " | ".join(f"{first['majority']:.3f}" for _ in READINGS) + " |")
    if first["wups90"] is not None:
        for arm, name in NAMES.items():
            cells = [f"{np.mean([o['wups90'] for o in results[r][arm]]):.3f}" for r in READINGS]
            lines.append(f"| WUPS@0.9 ({arm}) {name} | " + " | ".join(cells) + " |")
    lines += ["", "| kind (reads grid) | n | " + " | ".join(f"({a})" for a in NAMES) + " |"]
    lines.append("| --- | --- | " + " | ".join("---" for _ in NAMES) + " |")
    for kind, facts in first["by_kind"].items():
        cells = [f"{np.mean([o['by_kind'][kind]['accuracy'] for o in results['grid'][a]]):.3f}" for a in NAMES]
        lines.append(f"| {kind} | {facts['n']} | " + " | ".join(cells) + " |")
    spread = [o["spread"] for o in results["grid"]["d"] if o["spread"] is not None]
    if spread:
        lines += [
            "",
            f"How spread a full arm's look over the grid is (0: one place, 1: all alike): {np.mean(spread):.3f}.",
        ]
    return "\n".join(lines)


def _pair(bounds: tuple[float, float]) -> str:
    return f"{bounds[0]:.3f}, {bounds[1]:.3f}"


def write_into(page: Path, text: str, title: str) -> None:
    """Put the table between its marks in a page, at the end where there are none."""
    begin, end = (f"{mark[:-4]} {title} -->" for mark in MARK)
    block = f"{begin}\n\n{text}\n\n{end}\n"
    old = page.read_text(encoding="utf-8") if page.exists() else "# Results\n\n"
    head, found, rest = old.partition(begin)
    page.write_text(head + block + (rest.partition(f"{end}\n")[2] if found else ""), encoding="utf-8")


def main(words: Sequence[str] | None = None) -> int:
    """Run the experiment; 0 when it ran, 2 when it could not."""
    top = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    top.add_argument("--host", default="default", help="host to equip (default: %(default)s)")
    top.add_argument("--data", default="scenes", help="scenes, or DAQUAR's questions.json (default: %(default)s)")
    top.add_argument("--network", default="rvii", choices=("rvii", "linear"))
    top.add_argument("--static-tokens", type=int, default=4, help="width of the static path (default: %(default)s)")
    top.add_argument("--width", type=int, default=256, help="of the network (default: %(default)s)")
    top.add_argument("--align-steps", type=int, default=300, help="caption steps before (default: %(default)s)")
    top.add_argument("--look-steps", type=int, default=400, help="without the host (default: %(default)s)")
    top.add_argument("--steps", type=int, default=100, help="with the host (default: %(default)s)")
    top.add_argument("--batch", type=int, default=32, help="questions a step (default: %(default)s)")
    top.add_argument("--pool", type=int, default=8000, help="training questions (default: %(default)s)")
    top.add_argument("--n", type=int, default=1000, help="held-out questions (default: %(default)s)")
    top.add_argument("--seeds", type=int, default=3, help="seeds (default: %(default)s)")
    top.add_argument("--rate", type=float, default=1e-3, help="peak learning rate (default: %(default)s)")
    top.add_argument("--threads", type=int, default=1, help="CPU threads (default: %(default)s)")
    top.add_argument("--out", default="runs/lmeye_arms", help="folder that keeps what is done (default: %(default)s)")
    top.add_argument("--only", default="abcd", help="train only these arms now, and print nothing (default: all)")
    top.add_argument("--wordnet", metavar="FOLDER", help="WordNet's dict folder, for WUPS@0.9")
    top.add_argument(
        "--results", metavar="FILE.md", type=Path, help="write the table into this page, such as docs/results.md"
    )
    top.add_argument("--json", metavar="FILE", type=Path, help="write all figures to FILE")
    top.add_argument("--quick", action="store_true", help="a few steps, one seed: proof that it runs")
    told = top.parse_args(words)
    if told.quick:
        told.align_steps, told.look_steps, told.steps = 4, 6, 6
        told.batch, told.pool, told.n, told.seeds = 4, 24, 24, 1
    names = (
        "host",
        "data",
        "network",
        "static_tokens",
        "width",
        "align_steps",
        "look_steps",
        "steps",
        "batch",
        "pool",
        "n",
        "seeds",
    )
    try:
        refuse(told, told.results)
        import torch

        from perceptiongpt.wordnet import WordNet

        torch.set_num_threads(told.threads)
        similarity = WordNet(told.wordnet).similarity if told.wordnet else None
        plan = Plan(rate=told.rate, **{name: getattr(told, name) for name in names})
        results = experiment(plan, Path(told.out), similarity, told.only)
        if set(told.only) < set("abcd"):
            return 0
    except (ValueError, OSError) as error:
        print(f"lmeye_arms: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    text = table(results, plan)
    if told.results:
        kind = "scenes" if plan.data == "scenes" else "daquar"
        write_into(told.results, text, f"{kind} {plan.network} {plan.static_tokens}")
    if told.json:
        plain = {
            r: {a: [{k: v for k, v in o.items() if k != "hits"} for o in os] for a, os in by.items()}
            for r, by in results.items()
        }
        told.json.write_text(json.dumps({"plan": vars(plan), "results": plain}, indent=1) + "\n", encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
