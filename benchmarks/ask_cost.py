"""What asking costs: the same answer with a request in one pass, with two passes, and without asking.

Knows the targets that it prints beside each figure. The interactive network is fresh, since its cost does not depend on
what it has learnt; every answer is made equally long. Seconds are medians of interleaved rounds, the picture seen once;
beside the clock's stands the processor's own time, which another job on the machine disturbs less.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import perceptiongpt

sys.path.insert(0, str(Path(__file__).parent))
from forced import endless
from telling import model_facts, options, target, told

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
    with endless():  # an answer must not end before the others do
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
        value = result["figures"][name]
        most = target(value, "<=", AT_MOST[name]) if name in AT_MOST else ""
        lines.append(f"{what:<46} {value:>8.3f} {unit:<2}{most}".rstrip())
    return "\n".join([*lines, f"{result['tokens']} tokens an answer, prompt of {result['figures']['prompt']}"])


def main(argv: Sequence[str] | None = None) -> int:
    """The command: 0 when it ran, 2 for what was refused."""
    read = options("ask_cost", __doc__, "two rounds")
    read.add_argument("--host", default="default", help="host to ask with (default: %(default)s)")
    read.add_argument("--tokens", type=int, default=32, help="tokens an answer (default: %(default)s)")
    read.add_argument("--rounds", type=int, default=9, help="rounds (default: %(default)s)")
    read.add_argument("--threads", type=int, default=2, help="CPU threads (default: %(default)s)")
    read.add_argument("--dtype", default="auto", help="auto, float32 or bfloat16 (default: %(default)s)")
    return told(read, run, table, argv)


def run(given: argparse.Namespace) -> dict[str, Any]:
    """All figures of one run."""
    import torch

    from perceptiongpt.data.picture import open_picture
    from perceptiongpt.hosts import open_host
    from perceptiongpt.model.perception import equip

    torch.set_num_threads(given.threads)
    host, processor = open_host(given.host, given.dtype)
    model = equip(host, processor, points=False, lora_targets="none", ask=ASK).eval()
    picture, rounds = open_picture(PICTURE), 2 if given.quick else given.rounds
    pixels = model.backbone.pixels([model.backbone.canvas(picture.size).view(picture)])
    with torch.inference_mode():
        figures = measure(model, given.tokens, rounds, pixels, picture.size)
    return {
        "host": given.host,
        "tokens": given.tokens,
        "rounds": rounds,
        "figures": figures,
        **{name: figures[name] for name in ("ratio_cached", "ratio_two_pass")},
        "at_most": AT_MOST,
        "machine": model_facts(model),
    }


if __name__ == "__main__":
    sys.exit(main())
