"""What asking costs: the same answer with a request in one pass, with two passes, and without asking.

Knows the targets that it prints beside each figure. The interactive network is fresh, since its cost does not depend on
what it has learnt; every answer is made equally long. Seconds are medians of interleaved rounds, the picture seen once;
beside the clock's stands the processor's own time, which another job on the machine disturbs less.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import perceptiongpt

PICTURE = Path(perceptiongpt.__file__).parent / "demo" / "scene.jpg"
QUESTION = "What is on the left of the sofa, and what colour is it?"
ASK = {"network": "rvii", "reads": "grid", "replies": 5, "width": 256, "depth": 3}
AT_MOST = {"ratio_cached": 1.15}
ROWS = (
    ("plain", "s", "the answer without asking"),
    ("cached", "s", "with a request, one pass"),
    ("two_pass", "s", "with a request, the whole input read twice"),
    ("ratio_cached", "", "one pass / without"),
    ("ratio_two_pass", "", "two passes / without"),
    ("cpu_ratio_cached", "", "one pass / without, processor time"),
    ("cpu_ratio_two_pass", "", "two passes / without, processor time"),
    ("look", "s", "of it, the network's own look and reply"),
)


def measure(model: Any, tokens: int, rounds: int, pixels: dict[str, Any], size_wh: tuple[int, int]) -> dict[str, float]:
    """Medians over `rounds` of each way to answer with `tokens` tokens; the ratios are of the medians."""
    import torch

    from perceptiongpt.data.collate import assemble, pad_id
    from perceptiongpt.data.render import Renderer
    from perceptiongpt.data.sample import Turn
    from perceptiongpt.model import generate as loop

    held, seen = model.backbone, model.see(pixels)
    canvas = held.canvas(size_wh)

    def prompt(request: Sequence[int]) -> Any:
        renderer = Renderer(held.processor, **{**model.spelling(), "request": request})
        rendered = renderer.asking([Turn("user", QUESTION)], held.spelled(canvas))
        return assemble([rendered], [canvas], {}, pad_id(renderer.tokenizer), left=True)

    request = model.spelling()["request"]
    plain, asking = prompt(()), prompt(request)
    as_long = prompt(held.processor.tokenizer.encode("a", add_special_tokens=False)[:1] * len(request))

    def answer(batch: Any) -> None:
        (said,) = loop.generate(model, batch, seen, [0], max_new_tokens=tokens, max_regions=0, seed=0)
        assert len(said.ids) == tokens, f"{len(said.ids)} tokens were said, wanted {tokens}"

    @torch.inference_mode()
    def twice() -> None:
        """The released procedure: read the whole input for the request, then all of it again to answer."""
        embeds = model.embed(as_long.input_ids, seen)
        positions, _ = held.positions(as_long.input_ids, as_long.attention_mask, seen.grids)
        states, _ = model.states(embeds, None, positions)
        model.asker.reply(states[:, -1], seen.sources, torch.zeros(1, dtype=torch.long))
        answer(as_long)

    ways = {"plain": lambda: answer(plain), "cached": lambda: answer(asking), "two_pass": twice}
    spent: dict[str, list[float]] = {name: [] for name in (*ways, *(f"cpu_{name}" for name in ways), "look")}
    ends = loop.end_tokens
    setattr(loop, "end_tokens", lambda model: set())  # noqa: B010 - an answer must not end before the others do
    try:
        for number in range(rounds + 1):  # the first warms up
            for name, way in ways.items():
                started, worked = time.perf_counter(), time.process_time()
                way()
                spent[name] += [time.perf_counter() - started] * (number > 0)
                spent[f"cpu_{name}"] += [time.process_time() - worked] * (number > 0)
            with torch.inference_mode():
                started = time.perf_counter()
                model.asker.reply(torch.zeros(1, held.width), seen.sources, torch.zeros(1, dtype=torch.long))
                spent["look"] += [time.perf_counter() - started] * (number > 0)
    finally:
        loop.end_tokens = ends
    seconds = {name: statistics.median(times) for name, times in spent.items()}
    ratios = {
        f"{clock}ratio_{name}": seconds[clock + name] / seconds[f"{clock}plain"]
        for clock in ("", "cpu_")
        for name in ("cached", "two_pass")
    }
    return {**seconds, **ratios, "prompt": plain.input_ids.shape[1]}


def table(result: dict[str, Any]) -> str:
    """The figures as lines to read, each beside its target."""
    lines = []
    for name, unit, what in ROWS:
        value, most = result["figures"][name], AT_MOST.get(name)
        told = "" if most is None else f"  wanted <= {most:g}" + ("" if value <= most else "  MISSED")
        lines.append(f"{what:<46} {value:>8.3f} {unit:<2}{told}".rstrip())
    facts = "; ".join(f"{k} {v}" for k, v in result["machine"].items())
    return "\n".join([*lines, f"{result['tokens']} tokens an answer, prompt of {result['figures']['prompt']}; {facts}"])


def main(words: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0 when it ran, 2 when it could not."""
    top = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    top.add_argument("--host", default="default", help="host to ask with (default: %(default)s)")
    top.add_argument("--tokens", type=int, default=32, help="tokens an answer (default: %(default)s)")
    top.add_argument("--rounds", type=int, default=9, help="rounds (default: %(default)s)")
    top.add_argument("--threads", type=int, default=2, help="CPU threads (default: %(default)s)")
    top.add_argument("--dtype", default="auto", help="auto, float32 or bfloat16 (default: %(default)s)")
    top.add_argument("--quick", action="store_true", help="two rounds: proof that it runs")
    top.add_argument("--json", metavar="FILE", help="write the figures to FILE")
    told = top.parse_args(words)
    try:
        result = run(told)
    except (ValueError, OSError) as error:
        print(f"ask_cost: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    if told.json:
        Path(told.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(table(result))
    return 0


def run(told: argparse.Namespace) -> dict[str, Any]:
    """All figures of one run."""
    import torch

    from perceptiongpt.data.picture import open_picture
    from perceptiongpt.hosts import open_host
    from perceptiongpt.model.perception import equip

    if min(told.tokens, told.rounds, told.threads) < 1:
        raise ValueError(
            f"{told.tokens} tokens, {told.rounds} rounds, {told.threads} threads; wanted at least 1 of each"
        )
    torch.set_num_threads(told.threads)
    host, processor = open_host(told.host, told.dtype)
    model = equip(host, processor, points=False, lora_targets="none", ask=ASK).eval()
    picture = open_picture(PICTURE)
    pixels = model.backbone.pixels([model.backbone.canvas(picture.size).view(picture)])
    with torch.inference_mode():
        figures = measure(model, told.tokens, 2 if told.quick else told.rounds, pixels, picture.size)
    machine = {
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "threads": told.threads,
        "dtype": str(model.backbone.dtype).removeprefix("torch."),
        "torch": torch.__version__,
    }
    options = shlex.join(f"--{k}={v}" for k, v in vars(told).items() if v and k not in ("json", "quick"))
    return {
        "benchmark": "ask_cost",
        "host": told.host,
        "tokens": told.tokens,
        "rounds": 2 if told.quick else told.rounds,
        "figures": figures,
        "ratio_cached": figures["ratio_cached"],
        "ratio_two_pass": figures["ratio_two_pass"],
        "at_most": AT_MOST,
        "machine": machine,
        "command": f"python benchmarks/ask_cost.py {options}" + (" --quick" if told.quick else ""),
    }


if __name__ == "__main__":
    sys.exit(main())
