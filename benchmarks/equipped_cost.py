"""What it costs a host to be equipped and not used: its own `generate`, with the plug-in switched off, and bare.

Two copies of one host answer the same prompt in turn, one bare, one equipped; the ratio is the median over pairs, each
pair in another order than the one before. Beside the clock's stands the processor's own time, which another job on the
machine disturbs less.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import perceptiongpt

sys.path.insert(0, str(Path(__file__).parent))
from telling import model_facts, options, target, told

PICTURE = Path(perceptiongpt.__file__).parent / "demo" / "scene.jpg"
AT_MOST = 1.01


def inputs(model: Any) -> dict[str, Any]:
    """A question about the packaged picture, as the host's own `generate` takes it."""
    import torch

    from perceptiongpt.data.picture import open_picture
    from perceptiongpt.data.render import Renderer
    from perceptiongpt.data.sample import Turn

    held, picture = model.backbone, open_picture(PICTURE)
    canvas = held.canvas(picture.size)
    rendered = Renderer(held.processor, **model.spelling()).asking(
        [Turn("user", "What is on the left?")], held.spelled(canvas)
    )
    ids = torch.tensor([rendered.ids], device=held.device)
    pixels = held.given(held.pixels([canvas.view(picture)]))
    kinds = {"mm_token_type_ids": (ids == held.image_token_id).int()} if held.turns else {}
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), **pixels, **kinds}


def pairs(first: Callable[[], Any], second: Callable[[], Any], rounds: int) -> dict[str, float]:
    """Medians over `rounds` pairs, taken in turns: seconds of each and the ratio second / first, by both clocks."""
    told: dict[str, list[float]] = {k: [] for k in ("bare", "equipped", "ratio", "cpu_ratio")}
    for number in range(rounds + 1):
        took = {}
        for which in ((0, 1), (1, 0))[number % 2]:
            clock, processor = time.perf_counter(), time.process_time()
            (first, second)[which]()
            took[which] = time.perf_counter() - clock, time.process_time() - processor
        if number:  # the first pair warms up
            told["bare"].append(took[0][0])
            told["equipped"].append(took[1][0])
            told["ratio"].append(took[1][0] / took[0][0])
            told["cpu_ratio"].append(took[1][1] / took[0][1])
    return {k: statistics.median(v) for k, v in told.items()}


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """The figures of one host, which answers as the command says."""
    import torch

    from perceptiongpt.hosts import equip, open_host, quiet
    from perceptiongpt.model.adapt import disabled

    tokens, rounds = (6, 2) if given.quick else (given.tokens, given.rounds)
    torch.set_num_threads(given.threads)
    with quiet(), torch.inference_mode():
        bare, processor = open_host(given.host, "float32", "cpu")
        model = equip(copy.deepcopy(bare), processor).eval()
        question = inputs(model)
        how = {"max_new_tokens": tokens, "min_new_tokens": tokens, "do_sample": False}
        said = [bare.generate(**question, **how)]

        def unused() -> Any:
            with disabled(model) as held:
                bare: Any = held
                return bare.generate(**question, **how)

        said.append(unused())
        figures = pairs(lambda: bare.generate(**question, **how), unused, rounds)
    return {
        "host": given.host,
        "tokens": tokens,
        "rounds": rounds,
        **figures,
        "same_answer": bool(torch.equal(*said)),
        "at_most": {"ratio": AT_MOST},
        "machine": model_facts(model),
    }


def table(result: dict[str, Any]) -> str:
    """The figures as lines to read, the ratio beside its target."""
    names = ("bare", "equipped", "ratio", "cpu_ratio")
    most = {"ratio": target(result["ratio"], "<=", AT_MOST)}
    return "\n".join(f"{name:<10} {result[name]:.4f}{most.get(name, '')}" for name in names)


def main(argv: Sequence[str] | None = None) -> int:
    """The command: 0 when it ran, 2 for what was refused."""
    read = options("equipped_cost", __doc__, "two rounds of six tokens")
    read.add_argument("--host", default="default", help="what open_host takes (default: %(default)s)")
    read.add_argument("--tokens", type=int, default=32, help="an answer's length (default: %(default)s)")
    read.add_argument("--rounds", type=int, default=15, help="pairs (default: %(default)s)")
    read.add_argument("--threads", type=int, default=1, help="CPU threads (default: %(default)s)")
    return told(read, measure, table, argv)


if __name__ == "__main__":
    sys.exit(main())
