"""Runs by name: functions that say what they scored. Knows the values of a run (config.py) and nothing else.

Over 300 lines, since each run that the packaged weights went through stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from perceptiongpt.config import Rates, Run, Stage, Weights


def tiny() -> Run:
    """A random two-layer host on drawn shapes: proof that the method learns, in under a minute of one CPU thread.

    Scored on 40 unseen pictures, answers generated: mean box IoU 0.62, box IoU over 0.5 in 0.84 of 76 questions.
    """
    return Run(
        name="tiny",
        host="tiny:aya_vision",
        out="runs/tiny",
        data=(("shapes", 1.0),),
        stages=(Stage(steps=250, batch=8, warmup=20, rates=Rates(heads=4e-3, adapter=4e-3, host=4e-3, rows=5e-3)),),
        settings={
            "decoder_width": 64,
            "lora_targets": "all",
            "trained_host_modules": ("model.multi_modal_projector",),
        },
    )


def first_light() -> Run:
    """The default model: SmolLM2-135M and a DINOv2-small that learn to point on composed scenes.

    Scored on 500 expressions of scenes:test, answers generated: Acc@0.5 0.62, mask mIoU 0.51, after an hour and a half
    of one CPU thread and a loading process; docs/model_history.md tells how that run went.
    """
    return Run(
        name="first_light",
        host="default",
        out="runs/first_light",
        data=(("scenes:train", 1.0),),
        stages=(
            Stage(aim="name", steps=2000, batch=32, warmup=20, keep=6400, rates=Rates(host=2e-3)),
            Stage(aim="words", steps=2100, batch=8, warmup=50, rates=Rates(heads=1e-3, host=3e-4, vision=5e-4)),
            Stage(
                aim="all", steps=450, batch=4, warmup=30, rates=Rates(heads=4e-4, adapter=1e-3, host=2e-5, vision=2e-5)
            ),
        ),
        decay=0.03,
        threads=1,
        workers=1,
        save_every=100,
        settings={
            "decoder_depth": 3,
            "read_layers": "fused",
            "read_window": 12,
            "lora_targets": "attention",
            "lora_rank": 16,
            "lora_alpha": 32,
            "lora_vision_layers": 5,
            "trained_host_modules": ("model.multi_modal_projector",),
        },
        weights=Weights(name=0.2, cycle=0.1),
    )


def second_light() -> Run:
    """`first_light` taught on, from its folder: several of a kind, things that aren't there, questions in words.

    The score counts in full; `perceptiongpt calibrate` afterwards. Scored on 1,000 expressions of scenes:test, answers
    generated: Acc@0.5 0.69, mask mIoU 0.55; docs/model_history.md tells how the packaged weights went through it.
    """
    return Run(
        name="second_light",
        start="runs/first_light",
        out="runs/second_light",
        data=(("scenes:train", 0.40), ("missing:train", 0.25), ("alike:train", 0.22), ("questions:train", 0.13)),
        stages=(
            Stage(aim="words", steps=2200, batch=8, warmup=60, rates=Rates(heads=7e-4, host=1.5e-4, vision=3e-4)),
            Stage(
                aim="all", steps=280, batch=4, warmup=30, rates=Rates(heads=3e-4, adapter=6e-4, host=2e-5, vision=2e-5)
            ),
        ),
        decay=0.03,
        threads=1,
        workers=1,
        save_every=100,
        weights=Weights(name=0.2, cycle=0.1, score=1.0),
    )


def third_light() -> Run:
    """`second_light` taught on with finer pictures: the default host saw 224 pixels before, and 336 from then on.

    At last all but the eyes learns, mostly from several of a kind and questions in words. Scored on 1,000 expressions
    of scenes:test, answers generated: Acc@0.5 0.69, Acc@0.75 0.51, mask mIoU 0.58; docs/model_history.md tells how the
    packaged weights went through it.
    """
    return replace(
        second_light(),
        name="third_light",
        start="runs/second_light",
        out="runs/third_light",
        data=(("scenes:train", 0.36), ("alike:train", 0.32), ("missing:train", 0.22), ("questions:train", 0.10)),
        stages=(
            Stage(aim="words", steps=900, batch=8, warmup=60, rates=Rates(heads=7e-4, host=1.5e-4, vision=3e-4)),
            Stage(steps=360, batch=4, warmup=20, rates=Rates(heads=3e-4, adapter=8e-4, host=0.0, vision=0.0)),
        ),
    )


def fourth_light() -> Run:
    """`third_light` taught on to enumerate, to look twice and closer, to tell what a region shows, to learn how words
    and picture match and to weigh it, from other artists' drawings and whole photographs, too.

    Scored on 1,000 expressions of scenes:test, answers generated: Acc@0.5 0.71, Acc@0.75 0.52, mask mIoU 0.62;
    docs/model_history.md tells how the packaged weights went through it.
    """
    return replace(
        third_light(),
        name="fourth_light",
        start="runs/third_light",
        out="runs/fourth_light",
        data=(
            ("scenes:train", 0.20),
            ("alike:train", 0.22),
            ("missing:train", 0.20),
            ("closer:train", 0.16),
            ("pointed:train", 0.16),
            ("photos:train", 0.06),
        ),
        stages=(
            Stage(aim="words", steps=850, batch=8, warmup=60, rates=Rates(heads=7e-4, host=1.5e-4, vision=3e-4)),
            Stage(steps=320, batch=4, warmup=30, rates=Rates(heads=3e-4, adapter=8e-4, host=0.0, vision=0.0)),
        ),
        settings={
            "read_window": 12,  # as it has it
            "enumerates": True,
            "passes_over": True,
            "looks_twice": True,
            "looks_closer": True,
            "region_features": True,
            "weighs_match": True,
            "learns_match": True,
        },
        weights=Weights(name=0.2, match=0.3, look=0.3, cycle=0.1, score=1.0),
    )


def fifth_light() -> Run:
    """`fourth_light` taught on with frozen eyes: decoders to tell several of a kind apart and what isn't there, then
    the word after a region to be told what the region's vector carries, the language model frozen, too.

    Scored on 2,500 expressions of scenes:test, answers generated: Acc@0.5 0.73, Acc@0.75 0.57, mask mIoU 0.63;
    docs/model_history.md tells how the packaged weights went through it.
    """
    fourth = fourth_light()
    mask = tuple(f"decoder.mask.{part}" for part in ("features", "aligned", "place"))
    return replace(
        fourth,
        name="fifth_light",
        start="runs/fourth_light",
        out="runs/fifth_light",
        data=(
            ("alike:train", 0.28),
            ("pointed:train", 0.38),
            ("missing:train", 0.11),
            ("scenes:train", 0.13),
            ("closer:train", 0.07),
            ("photos:train", 0.03),
        ),
        stages=(
            Stage(
                aim="words",
                steps=1050,
                warmup=30,
                rates=Rates(heads=5e-4, host=0.0, vision=0.0),
                frozen=("encoder.", "fusion", "decoder.reader.", *mask),
            ),
            Stage(
                aim="talk", steps=400, warmup=30, rates=Rates(heads=2e-3, rows=0.0, adapter=0.0), frozen=("encoder.",)
            ),
        ),
        settings={**fourth.settings, "echoes": True},
        weights=Weights(match=0.1, score=1.0),
    )


def sixth_light() -> Run:
    """`fifth_light` taught on with frozen eyes, the map that decoders look at learning, too, and region vectors with
    it; then the echo of what these carry now.

    Scored on 2,500 expressions of scenes:test, answers generated: Acc@0.5 0.73, Acc@0.75 0.59, mask mIoU 0.63;
    docs/model_history.md tells how the packaged weights went through it.
    """
    written = tuple(f"encoder.{part}" for part in ("box", "mask", "point", "norm"))
    words = Rates(heads=5e-4, host=0.0, vision=0.0)
    return replace(
        fifth_light(),
        name="sixth_light",
        start="runs/fifth_light",
        out="runs/sixth_light",
        data=(
            ("alike:train", 0.30),
            ("pointed:train", 0.27),
            ("missing:train", 0.15),
            ("scenes:train", 0.18),
            ("closer:train", 0.07),
            ("photos:train", 0.03),
        ),
        stages=(
            Stage(aim="words", steps=1050, warmup=20, rates=words, frozen=(*written, "fusion")),
            Stage(
                aim="talk", steps=170, warmup=10, rates=Rates(heads=1.2e-3, rows=0.0, adapter=0.0), frozen=("encoder.",)
            ),
        ),
        weights=Weights(match=0.1, look=0.3, score=1.0),
    )


def seventh_light() -> Run:
    """`sixth_light` taught on as it was, with more of what isn't there and of several of a kind.

    Scored on 2,500 expressions of scenes:test, answers generated: Acc@0.5 0.77, Acc@0.75 0.62, mask mIoU 0.66;
    docs/model_history.md tells how the packaged weights went through it.
    """
    sixth = sixth_light()
    words, talk = sixth.stages
    return replace(
        sixth,
        name="seventh_light",
        start="runs/sixth_light",
        out="runs/seventh_light",
        data=(
            ("alike:train", 0.31),
            ("pointed:train", 0.14),
            ("missing:train", 0.23),
            ("scenes:train", 0.19),
            ("closer:train", 0.08),
            ("photos:train", 0.05),
        ),
        stages=(replace(words, steps=1620, rates=replace(words.rates, heads=4.5e-4)), replace(talk, steps=220)),
    )


def eighth_light() -> Run:
    """`seventh_light` given a feature pyramid, which learns to name what it shows; then decoders with it, and the echo.

    Scored on 2,500 expressions of scenes:test, answers generated: Acc@0.5 0.78, Acc@0.75 0.63, mask mIoU 0.67;
    docs/model_history.md tells how the packaged weights went through it.
    """
    seventh = seventh_light()
    words, talk = seventh.stages
    named = Rates(heads=1.5e-3, host=0.0)
    return replace(
        seventh,
        name="eighth_light",
        start="runs/seventh_light",
        out="runs/eighth_light",
        data=(
            ("alike:train", 0.31),
            ("pointed:train", 0.12),
            ("missing:train", 0.24),
            ("scenes:train", 0.20),
            ("closer:train", 0.08),
            ("photos:train", 0.05),
        ),
        stages=(
            replace(words, steps=800, rates=replace(words.rates, heads=5e-4), frozen=(*words.frozen, "namer.")),
            Stage(aim="name", steps=300, batch=32, warmup=15, keep=3200, rates=named),
            replace(words, steps=600, warmup=30, rates=replace(words.rates, heads=4e-4)),
            replace(talk, steps=150),
        ),
        settings={**seventh.settings, "pyramid": "host:pyramid"},
        weights=Weights(name=0.1, match=0.1, look=0.3, score=1.0),
    )


def ninth_light() -> Run:
    """`eighth_light` taught on as it was, at last with finer pictures: the default host sees 392 pixels since.

    Wants a library with more objects than the packaged one; docs/model_history.md tells how the packaged weights went
    through it, and what they score.
    """
    eighth = eighth_light()
    *_, words, talk = eighth.stages
    return replace(
        eighth,
        name="ninth_light",
        start="runs/eighth_light",
        out="runs/ninth_light",
        stages=(replace(words, steps=1200), replace(words, steps=480), replace(talk, steps=100)),
    )


def tenth_light() -> Run:
    """`ninth_light` given an echo that hears counted colours: first what hears them learns colours under true masks,
    then the echo learns to tell them; all else is frozen.

    docs/model_history.md tells how the packaged weights went through it, and what they score.
    """
    ninth = ninth_light()
    *_, talk = ninth.stages
    hears = Rates(heads=1e-3, host=0.0, vision=0.0)
    still = ("decoder.", "fusion", "namer.", "encoder.")
    return replace(
        ninth,
        name="tenth_light",
        start="runs/ninth_light",
        out="runs/tenth_light",
        data=(("pointed:train", 0.8), ("alike:train", 0.1), ("scenes:train", 0.1)),
        stages=(
            Stage(aim="words", steps=200, warmup=10, rates=hears, frozen=still),
            replace(talk, steps=120, warmup=10),
        ),
        settings={**ninth.settings, "region_colours": True, "looks_mirrored": True},
    )


def eleventh_light() -> Run:
    """`tenth_light` taught to tell things of one kind apart that touch: every place of a picture says the box of the
    thing that covers it; all else is frozen.

    Wants a library with more objects than the packaged one. What ships went through it twice: docs/model_history.md.
    """
    tenth = tenth_light()
    stage = Stage(aim="apart", steps=12_000, batch=8, warmup=30, keep=7000, rates=Rates(heads=2e-3))
    return replace(
        tenth,
        name="eleventh_light",
        start="runs/tenth_light",
        out="runs/eleventh_light",
        data=(("alike:train", 0.8), ("closer:train", 0.2)),
        stages=(stage,),
        settings={**tenth.settings, "tells_apart": True},
    )


def twelfth_light() -> Run:
    """`eleventh_light` taught to refine the outlines of things: masks that were spoilt on purpose are mended; all else
    is frozen. They are then drawn to the edges of the picture, which is not learnt. docs/model_history.md tells on
    which pictures what ships learnt it.
    """
    eleventh = eleventh_light()
    stage = Stage(aim="outline", steps=3000, batch=16, warmup=100, keep=7000, rates=Rates(heads=3e-3))
    return replace(
        eleventh,
        name="twelfth_light",
        start="runs/eleventh_light",
        out="runs/twelfth_light",
        stages=(stage,),
        settings={**eleventh.settings, "refines": True, "looks_sliced": True, "follows_edges": True},
    )


def whole_light() -> Run:
    """All that `first_light` to `twelfth_light` did one after the other, in one run from the bare host: every part is
    there from the beginning. `perceptiongpt calibrate` afterwards.

    What ships did not come of it, and it has not been run whole: `apart` and `outline` a few steps each.
    """
    first, twelfth = first_light(), twelfth_light()
    apart, outline = eleventh_light().stages[0], replace(twelfth.stages[0], batch=8, accumulate=2)  # the same pictures
    return replace(
        first,
        name="whole_light",
        out="runs/whole_light",
        data=(
            ("alike:train", 0.28),
            ("missing:train", 0.20),
            ("scenes:train", 0.18),
            ("pointed:train", 0.16),
            ("closer:train", 0.08),
            ("questions:train", 0.05),
            ("photos:train", 0.05),
        ),
        stages=(
            Stage(aim="name", steps=2000, batch=32, warmup=20, keep=4800, rates=Rates(heads=1.5e-3, host=2e-3)),
            Stage(aim="words", steps=2000, batch=8, warmup=60, rates=Rates(heads=1e-3, host=3e-4, vision=5e-4)),
            Stage(steps=400, batch=4, warmup=30, rates=Rates(heads=3e-4, adapter=8e-4, host=0.0, vision=0.0)),
            Stage(
                aim="talk", steps=300, warmup=30, rates=Rates(heads=2e-3, rows=0.0, adapter=0.0), frozen=("encoder.",)
            ),
            apart,
            outline,
        ),
        settings={**first.settings, **twelfth.settings},
        weights=Weights(name=0.2, match=0.3, look=0.3, cycle=0.1, score=1.0),
    )


# A narrow static path: where all is told in advance, there is nothing left to ask for.
ASK = {"network": "rvii", "reads": "grid", "static_tokens": 4, "replies": 5, "width": 256, "depth": 3}


def lmeye_align() -> Run:
    """LMEye's first stage: a frozen language model learns nothing, a static mapping of 4 tokens learns captions."""
    return Run(
        name="lmeye_align",
        out="runs/lmeye_align",
        data=(("captions:train", 1.0),),
        stages=(Stage(aim="align", steps=1500, batch=16, rates=Rates(heads=2e-3)),),
        settings={"points": False, "lora_targets": "none", "ask": ASK},
        workers=1,
    )


def lmeye_instruct() -> Run:
    """LMEye's second stage: the request, the interaction and the replies learn from questions; all else is frozen."""
    return Run(
        name="lmeye_instruct",
        start="runs/lmeye_align/model",
        out="runs/lmeye_instruct",
        data=(("questions:train", 1.0),),
        stages=(Stage(aim="ask", steps=3000, batch=8, rates=Rates(heads=1e-3, rows=3e-3)),),
        settings={"points": False, "lora_targets": "none", "ask": ASK},
        workers=1,
    )


PRESETS: dict[str, Callable[[], Run]] = {
    "tiny": tiny,
    "first_light": first_light,
    "second_light": second_light,
    "third_light": third_light,
    "fourth_light": fourth_light,
    "fifth_light": fifth_light,
    "sixth_light": sixth_light,
    "seventh_light": seventh_light,
    "eighth_light": eighth_light,
    "ninth_light": ninth_light,
    "tenth_light": tenth_light,
    "eleventh_light": eleventh_light,
    "twelfth_light": twelfth_light,
    "whole_light": whole_light,
    "lmeye_align": lmeye_align,
    "lmeye_instruct": lmeye_instruct,
}


def preset(name: str) -> Run:
    """The preset of that name; an unknown one raises ValueError that lists them."""
    if name not in PRESETS:
        raise ValueError(f"there is no preset {name!r}; choose one of {', '.join(sorted(PRESETS))}")
    return PRESETS[name]()
