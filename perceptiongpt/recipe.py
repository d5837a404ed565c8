"""In which stages, how long and how fast own data is learnt: what is right for most, by what the data holds.

Knows samples and settings of a plug-in. Knows nothing of command lines nor of models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from perceptiongpt.config import Rates, Stage
from perceptiongpt.data.mix import Source
from perceptiongpt.data.stream import Stream

LEAST, MOST = 160, 600  # steps, one for each picture between
LOOKED_AT = 32  # samples of each source
BATCH = 8


@dataclass(frozen=True)
class Held:
    """What training data holds: pictures, and whether any is named by regions or answers with regions."""

    pictures: float = float("inf")
    named: bool = True
    pointed: bool = True

    @classmethod
    def of(cls, sources: Sequence[Source | Stream]) -> Held:
        """Told from the number of pictures and from some samples of each source; what can't be read is passed over."""
        from perceptiongpt.feed import named_regions

        pictures, found = 0.0, []
        for source in sources:
            count = float("inf") if isinstance(source, Stream) else len(source)
            pictures += len(getattr(source, "records", ())) or count
            few = min(count, LOOKED_AT)
            for i in range(int(few)):
                try:
                    found.append(source[i if isinstance(source, Stream) else int(i * count / few)])
                except (ValueError, OSError):
                    continue
        named = any(r.label and not (r.box is None and r.mask is None) for s in found for r in named_regions(s))
        pointed = any(turn.regions for s in found for turn in s.turns if turn.role == "assistant")
        return cls(pictures, named, pointed)


ANY = Held()  # before the data is known


def stages(
    held: Held,
    settings: Mapping[str, Any],
    fresh: bool,
    tune: str = "lora",
    steps: int | None = None,
    batch: int | None = None,
    accumulate: int | None = None,
    times: float | None = None,
    at_once: bool = False,
) -> tuple[Stage, ...]:
    """The stages of a run on own data; `steps`: of all but the naming of image tokens; `times`: of every rate.

    A trained plug-in first learns new names (image tokens, then decoders that read words, both without a step of the
    language model, so that a picture costs a fifth), and then the whole. A fresh one on a host that reads pictures
    learns the whole `at_once`: there is nothing yet to put names to.
    """
    total = steps or round(min(MOST, max(LEAST, held.pictures)))
    staged = settings.get("points", True) and not (fresh or at_once)
    naming = staged and tune != "frozen" and held.named and bool(settings.get("trained_host_modules"))
    wording = staged and held.pointed and bool(settings.get("read_window")) and total > 3
    last = total // 4 if wording else total
    # What is trained already wants gentle steps; what is new must learn all.
    rates = Rates() if fresh else Rates(heads=3e-4, rows=5e-4, adapter=3e-4, vision=1e-4, host=5e-5)
    made = []
    if naming:
        keep = round(min(Stage.keep, max(64, 3 * held.pictures)))  # drawn at random: three times, most are among them
        made.append(Stage(aim="name", steps=2 * total, batch=4 * (batch or BATCH), keep=keep, rates=Rates(host=1e-3)))
    if wording:
        made.append(Stage(aim="words", steps=total - last, rates=Rates(heads=5e-4, host=2e-4, vision=2e-4)))
    made.append(Stage(steps=last, rates=replace(rates, host=2e-5) if tune == "full" else rates))
    frozen = {"full": ("adapter", "vision"), "frozen": ("adapter", "vision", "host")}.get(tune, ())

    def fitted(stage: Stage) -> Stage:
        peaks = {k: 0.0 if k in frozen else v * (times or 1.0) for k, v in vars(stage.rates).items()}
        size = stage.batch if stage.aim == "name" else batch or BATCH
        return replace(
            stage,
            rates=Rates(**peaks),
            batch=size,
            accumulate=accumulate or 1,
            warmup=max(1, min(50, stage.steps // 10)),
        )

    return tuple(map(fitted, made))
