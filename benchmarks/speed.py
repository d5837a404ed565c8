"""How fast answers come: our loop against the host's own `generate`, a whole call against its floor, many questions.

Knows the targets that it prints beside each figure. Rounds of the two sides of a ratio are interleaved and medians are
compared, since machines are shared. Knows nothing of how well an answer fits (`perceptiongpt evaluate` does).
"""

from __future__ import annotations

import argparse
import gc
import math
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import perceptiongpt

sys.path.insert(0, str(Path(__file__).parent))
from forced import endless, saying
from telling import model_facts, options, peak_megabytes, target, told

PICTURE = Path(perceptiongpt.__file__).parent / "demo" / "scene.jpg"
PHRASE = "the sofa"
PARTS = ("vision", "prefill", "decode", "heads")
BATCHES = (1, 2, 4, 8, 16, 32)
QUESTIONS, OBJECTS, SIDE = 32, 64, 512
RESET = Path("/proc/self/clear_refs")
# Width, layers, heads, inner width: about 2 and 7 thousand million weights; run where there is an accelerator.
LARGE = {"2B": (2560, 24, 20, 6912), "7B": (4096, 32, 32, 11008)}
AT_MOST = {"loop_over_generate": 1.0, "call_over_floor": 1.1, "questions_ratio": 0.35, "mask_memory_mb": 64.0}
WHAT = {
    "loop_over_generate": "our loop / the host's generate, same tokens",
    "call_over_floor": "whole detect call / vision, prefill, n + 1 raw steps",
    "questions_ratio": f"{QUESTIONS} questions about one picture / as many looks",
    "mask_memory_mb": f"memory of {OBJECTS} objects over 1, {SIDE} x {SIDE}, MB",
}


def medians(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each way over interleaved rounds, after one that warms up."""
    from torch import accelerator

    spent: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            if accelerator.is_available():
                accelerator.synchronize()
            spent[name] += [time.perf_counter() - started] * (number > 0)
    return {name: statistics.median(times) for name, times in spent.items()}


def prompt_of(eye: Any, seen: Any, text: str) -> Any:
    """One question about a picture that was looked at, as a batch of one."""
    from perceptiongpt.data.collate import assemble, pad_id
    from perceptiongpt.data.sample import Turn

    canvas = seen.canvases[0]
    rendered = eye.renderer.asking([Turn("user", text)], eye.model.backbone.spelled(canvas))
    return assemble([rendered], [canvas], {}, pad_id(eye.renderer.tokenizer), left=True)


def loop_against_generate(eye: Any, picture: Any, tokens: int, rounds: int) -> dict[str, float]:
    """The same `tokens` tokens without regions by our loop and by `transformers`, the picture encoded already."""
    import torch

    from perceptiongpt.model.generate import generate, silent_tokens

    model, seen = eye.model, eye.look([picture])
    prompt = prompt_of(eye, seen, "Describe this picture.").to(model.backbone.device)
    said: dict[str, list[int]] = {}

    def ours() -> None:
        (one,) = generate(model, prompt, seen.encoded, [0], max_new_tokens=tokens, max_regions=0)
        said["ours"] = one.ids

    @torch.inference_mode()
    def theirs() -> None:
        embeds = model.embed(prompt.input_ids, seen.encoded)
        positions, _ = model.backbone.positions(prompt.input_ids, prompt.attention_mask, seen.encoded.grids)
        out = model.host.generate(
            inputs_embeds=embeds,
            attention_mask=prompt.attention_mask,
            **({"position_ids": positions} if model.backbone.dynamic else {}),
            max_new_tokens=tokens,
            do_sample=False,
            suppress_tokens=silent,
        )
        said["theirs"] = out[0].tolist()

    with endless():
        silent = silent_tokens(model)
        spent = medians({"ours": ours, "theirs": theirs}, rounds)
    if said["ours"] != said["theirs"]:
        raise ValueError(f"our loop said {said['ours']}, the host's generate {said['theirs']}; they must agree")
    return {"loop": spent["ours"], "generate": spent["theirs"], "loop_over_generate": spent["ours"] / spent["theirs"]}


def call_against_floor(eye: Any, host: Any, picture: Any, rounds: int) -> dict[str, float]:
    """A `detect` call against what the bare host must do for it: see, read the prompt, n + 1 steps with their heads."""
    import torch
    from transformers import DynamicCache

    from perceptiongpt.data import phrases
    from perceptiongpt.data.picture import open_picture

    model = eye.model
    seen = eye.look([picture])
    canvas, answered = seen.canvases[0], {}

    def call() -> None:
        answered["it"] = eye.detect(picture, PHRASE)

    read: list[int] = []
    model.call_counter = read.append
    call()
    model.call_counter, tokens = None, len(read) - 1  # the prompt is read, then a step is made for each token
    prompt = prompt_of(eye, seen, phrases.ask_region(PHRASE)).to(model.backbone.device)
    pixels = model.backbone.pixels([canvas.view(open_picture(picture))])
    moved = {k: v.to(model.backbone.device) for k, v in pixels.items()}
    moved["pixel_values"] = moved["pixel_values"].to(host.dtype)
    decoder, head, width = host.get_decoder(), host.get_output_embeddings(), prompt.input_ids.shape[1]
    word = model.backbone.cache_word

    @torch.inference_mode()
    def floor() -> None:
        host.get_image_features(**moved, return_dict=True)
        cache = DynamicCache(config=host.config.get_text_config())
        embeds = host.get_input_embeddings()(prompt.input_ids.clamp(max=head.weight.shape[0] - 1))
        for step in range(tokens + 2):
            at = torch.arange(width, device=embeds.device)[None] if step == 0 else torch.tensor([[width + step - 1]])
            at = at.to(embeds.device)
            at = at.expand(3, -1, -1) if model.backbone.dynamic else at
            states = decoder(inputs_embeds=embeds, position_ids=at, use_cache=True, **{word: cache})
            embeds = host.get_input_embeddings()(head(states.last_hidden_state[:, -1:]).argmax(-1))

    spent = medians({"call": call, "floor": floor}, rounds)
    timings = answered["it"].timings
    parts = {part: timings[part] for part in PARTS}
    rest = {"rest": timings["total"] - sum(parts.values())}
    return {**spent, **parts, **rest, "tokens": tokens, "call_over_floor": spent["call"] / spent["floor"]}


def questions(eye: Any, picture: Any, count: int, rounds: int) -> dict[str, float]:
    """`count` questions about one picture in a batch, its encoding included, against as many calls one by one."""
    names = ("mug", "sofa", "lamp", "dog", "chair", "book", "cup", "bottle")
    places = ("the {}", "the red {}", "the {} on the left", "the largest {} in front of the sofa")
    asked = [places[i // len(names) % len(places)].format(names[i % len(names)]) for i in range(count)]

    def together() -> None:
        eye.look(picture).many(count).detect(asked)

    def apart() -> None:
        for phrase in asked:
            eye.detect(picture, phrase)

    spent = medians({"together": together, "apart": apart}, rounds)
    return {f"questions_{k}": v for k, v in spent.items()} | {"questions_ratio": spent["together"] / spent["apart"]}


def batches(eye: Any, picture: Any, sizes: Sequence[int], rounds: int, tokens: int = 12) -> dict[str, dict[str, float]]:
    """For each size of a batch of pictures: seconds of a call and its parts, each answer a region and words."""
    from perceptiongpt.data.picture import open_picture

    opened, found = open_picture(picture), {}
    filler = eye.renderer.words(" and so on and so on and so on and so on")[: tokens - eye.model.settings.vis_tokens]
    plan = filler + [eye.model.vis_id] * eye.model.settings.vis_tokens
    for size in sizes:
        last: dict[str, Any] = {}

        def call(size: int = size, last: dict[str, Any] = last) -> None:
            with saying(eye.model, [plan] * size):
                last["it"] = eye.look([opened] * size).detect(PHRASE, max_new_tokens=len(plan))[0]

        seconds = medians({"call": call}, rounds)["call"]
        parts = {part: last["it"].timings[part] for part in PARTS}
        found[str(size)] = {"seconds": seconds, **parts, "answers_a_second": size / seconds}
    return found


class Peak:
    """The most memory (1e6 bytes) that was held within the context: of an accelerator, else of this process."""

    def __init__(self, device: Any) -> None:
        self.device, self.megabytes = device, 0.0

    def __enter__(self) -> Peak:
        import torch

        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        elif RESET.exists():
            RESET.write_text("5")  # Linux: the peak begins anew
        return self

    def __exit__(self, *_: object) -> None:
        import torch

        if self.device.type == "cuda":
            self.megabytes = torch.cuda.max_memory_allocated(self.device) / 1e6
        else:
            self.megabytes = peak_megabytes()


def memory_of_objects(model: str | None, objects: int, side: int, threads: int) -> dict[str, float]:
    """How much more memory an answer with `objects` masks takes at its peak than one with a single mask."""
    import torch
    from PIL import Image

    from perceptiongpt import load

    torch.set_num_threads(threads)
    eye = load(model, min_score=0)
    picture = Image.open(PICTURE).convert("RGB").resize((side, side))
    device = eye.model.backbone.device
    peaks = {}
    for count in (1, objects):
        plan = [[eye.model.vis_id] * (count * eye.model.settings.vis_tokens)]
        for _ in range(2):
            gc.collect()
            with saying(eye.model, plan), Peak(device) as peak:
                answer = eye.segment(
                    picture, PHRASE, max_new_tokens=2 * len(plan[0]), max_regions=count, more=-math.inf
                )
            if len(answer) != count:
                raise ValueError(f"{len(answer)} objects were said, wanted {count}")
            del answer
        peaks[count] = peak.megabytes
    return {"one_object_mb": peaks[1], "mask_memory_mb": peaks[objects] - peaks[1]}


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Every figure of a model folder, with targets."""
    import torch

    from perceptiongpt import heap, load
    from perceptiongpt.hosts import open_host
    from perceptiongpt.model import store
    from perceptiongpt.predict import PACKAGED

    torch.set_num_threads(given.threads)
    heap.keep_pages()  # as the commands do
    rounds, tokens, count = (1, 6, 4) if given.quick else (given.rounds, given.tokens, QUESTIONS)
    eye = load(given.model, mirror=False)  # what a call costs over a bare host's; looks are segment_call.py's
    name = store.read_config(store.model_folder(given.model) if given.model else PACKAGED)["host"]
    host, _ = open_host(name)
    figures: dict[str, Any] = loop_against_generate(eye, PICTURE, tokens, rounds)
    figures |= call_against_floor(eye, host, PICTURE, 2 * rounds)
    figures |= questions(eye, PICTURE, count, max(1, rounds // 3))
    sizes = BATCHES[:2] if given.quick else BATCHES
    figures["batches"] = batches(eye, PICTURE, sizes, max(1, rounds // 3))
    objects, side = (4, 64) if given.quick else (OBJECTS, SIDE)
    with multiprocessing.get_context("spawn").Pool(1) as pool:  # a fresh process, whose peak is nobody else's
        figures |= pool.apply(memory_of_objects, (given.model, objects, side, given.threads))
    device = eye.model.backbone.device
    figures["large"] = large(given, LARGE, device) if device.type != "cpu" else {}
    return {
        "model": eye.name,
        "rounds": rounds,
        "figures": figures,
        **{key: figures[key] for key in AT_MOST},
        "at_most": AT_MOST,
        "machine": model_facts(eye.model),
    }


def large_host(width: int, layers: int, heads: int, inner: int, device: Any) -> tuple[Any, Any]:
    """A LLaVA of that shape with random weights on `device`, and the tiny LLaVA's processor: time needs no meaning."""
    import torch
    from transformers import LlavaForConditionalGeneration

    from perceptiongpt.model.tiny import FAMILIES

    small, processor = FAMILIES["llava"]()
    config = small.config
    sizes = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads}
    config.text_config.update({**sizes, "num_key_value_heads": heads, "intermediate_size": inner, "head_dim": 128})
    with torch.device(device):
        host = LlavaForConditionalGeneration._from_config(config, dtype=torch.bfloat16)
    return host.eval(), processor


def large(given: argparse.Namespace, shapes: dict[str, tuple[int, int, int, int]], device: Any) -> dict[str, Any]:
    """Our loop against `generate` on hosts of these shapes; where there is CUDA, steps as graphs as well."""
    from PIL import Image

    from perceptiongpt.model.perception import equip
    from perceptiongpt.predict import Eye

    found: dict[str, Any] = {}
    for name, shape in shapes.items():
        eye = Eye(equip(*large_host(*shape, device), lora_targets="none"), name)
        picture = Image.new("RGB", (64, 64))
        with Peak(device) as peak:
            found[name] = loop_against_generate(eye, picture, given.tokens, given.rounds)
        found[name]["peak_mb"] = peak.megabytes
        if device.type == "cuda":
            found[name]["compiled_step"] = compiled_step(eye.model.host, given.tokens, given.rounds)
    return found


def compiled_step(host: Any, tokens: int, rounds: int) -> float:
    """Seconds of one decode step with a static cache, compiled into a CUDA graph: what a step could cost there."""
    import torch
    from transformers import StaticCache

    from perceptiongpt.model.cache import cache_word

    decoder, width = host.get_decoder(), host.get_input_embeddings().embedding_dim
    word = cache_word(type(decoder).forward)
    cache = StaticCache(config=host.config.get_text_config(), max_cache_len=2 * tokens + 2)
    step = torch.compile(decoder, mode="reduce-overhead", fullgraph=True)
    embeds = torch.zeros(1, 1, width, device=host.device, dtype=host.dtype)

    @torch.inference_mode()
    def run() -> None:
        cache.reset()
        for at in range(tokens):
            torch.compiler.cudagraph_mark_step_begin()
            places = torch.tensor([[at]], device=host.device)
            step(inputs_embeds=embeds, position_ids=places, use_cache=True, **{word: cache})

    return medians({"run": run}, rounds)["run"] / tokens


def table(result: dict[str, Any]) -> str:
    """The figures as lines to read, each beside its target."""
    figures, lines = result["figures"], []
    for name, most in AT_MOST.items():
        lines.append(f"{WHAT[name]:<56} {figures[name]:>8.3f}{target(figures[name], '<=', most)}")
    lines.append(
        f"a detect call of {figures['tokens']} tokens: {figures['call']:.3f} s = "
        + ", ".join(f"{part} {figures[part]:.3f}" for part in (*PARTS, "rest"))
        + f"; its floor {figures['floor']:.3f} s"
    )
    lines.append(f"{'batch':>6} {'seconds':>9} " + " ".join(f"{p:>8}" for p in PARTS) + "  answers/s")
    for size, row in figures["batches"].items():
        parts = " ".join(f"{row[p]:>8.3f}" for p in PARTS)
        lines.append(f"{size:>6} {row['seconds']:>9.3f} {parts} {row['answers_a_second']:>10.2f}")
    for name, row in figures["large"].items():
        lines.append(f"{name}, random weights: " + ", ".join(f"{k} {v:.4f}" for k, v in row.items()))
    return "\n".join([*lines, f"model {result['model']}, {result['rounds']} rounds"])


def main(argv: Sequence[str] | None = None) -> int:
    """The command: 0 when it ran, 2 for what was refused."""
    read = options("speed", __doc__, "one round of each")
    read.add_argument("--model", metavar="FOLDER", help="a trained model (default: the one that ships)")
    read.add_argument("--threads", type=int, default=2, help="CPU threads (default: %(default)s)")
    read.add_argument("--rounds", type=int, default=9, help="interleaved rounds (default: %(default)s)")
    read.add_argument("--tokens", type=int, default=48, help="tokens of the loop's answer (default: %(default)s)")
    return told(read, measure, table, argv)


if __name__ == "__main__":
    sys.exit(main())
