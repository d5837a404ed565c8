"""What a model's scores mean, which regions it stands by and whose box to believe: what is chosen after training.

Knows logits and their probabilities. Knows nothing of files (model.store) nor of how the numbers are found (metrics).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor

MOST_TEMPERATURE, MOST_BIAS, MOST_WEIGHT = 100.0, 100.0, 100.0


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """A region's score is sigmoid(logit / temperature + bias); regions under `min_score` are left out of answers.

    Logits under 0 are divided by `below` instead, where that isn't 0: a score may be too shy among the sure and too
    bold among the doubtful.

    A box is drawn round the region's mask where that box and the decoded one have an IoU of `agree` or more: masks have
    the finer rim. Of a model that enumerates, the second and further things of one breath need a score of `more`, and
    the first that has less ends them; what is told in words, such as a number, wants to be sure of them, and needs
    `counted` where that is more. Things of one name mostly look alike, so there such a thing's logit also gains `alike`
    for each 1 by which the cosine of what the picture shows there, and of what it shows at that before it which looks
    most like it, is over a half. Where a phrase asks for a colour and another is more a region's own, the logit loses
    `tinted` for each 1 between the cosines of what it shows and both words. Else, as it is born, it changes nothing.
    Raises ValueError for a temperature outside 0.01..100, one `below` outside it that isn't 0, a bias outside
    -100..100, an `alike` or `tinted` outside 0..100, and any other outside 0..1.
    """

    temperature: float = 1.0
    bias: float = 0.0
    min_score: float = 0.0
    agree: float = 1.0
    more: float = 0.25
    counted: float = 0.0
    below: float = 0.0
    alike: float = 0.0
    tinted: float = 0.0

    def __post_init__(self) -> None:
        heat = (1 / MOST_TEMPERATURE, MOST_TEMPERATURE)
        limits = (heat, (-MOST_BIAS, MOST_BIAS), *[(0.0, 1.0)] * 4, heat, *[(0.0, MOST_WEIGHT)] * 2)
        for field, (least, most) in zip(fields(self), limits, strict=True):
            value = getattr(self, field.name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            same = field.name == "below" and number and value == 0
            if not number or not (same or least <= value <= most):  # NaN is in no range
                wanted = f"a number from {least:g} to {most:g}" + ", or 0" * (field.name == "below")
                raise ValueError(f"{field.name} is {repr(value)[:40]}; wanted {wanted}")
            object.__setattr__(self, field.name, float(value))

    def scores(self, logits: Tensor) -> Tensor:
        """Logits [N] to float32 probabilities [N], in the same order."""
        z = logits.float()
        if self.below:
            return (z.clamp(min=0) / self.temperature + z.clamp(max=0) / self.below + self.bias).sigmoid()
        return (z / self.temperature + self.bias).sigmoid()

    def further(self, words: bool = False) -> dict[str, float]:
        """What a further thing's logit needs and gains, as `model.generate` takes them: where regions are asked for, or
        `words`, which alone weigh what it looks like."""
        return {"more": self.least_logit(words), "alike": self.alike if words else 0.0}

    def least_logit(self, words: bool = False) -> float:
        """The logit of a further thing's least score, where regions are asked for or `words`."""
        least = max(self.more, self.counted) if words else self.more
        odds = math.inf if least == 1 else least / (1 - least)
        cooled = (math.log(odds) if odds else -math.inf) - self.bias
        return cooled * (self.below if self.below and cooled < 0 else self.temperature)


def read_operating_point(value: Any) -> OperatingPoint:
    """The operating point of a JSON object, such as a model's config holds; ValueError for what is none."""
    names = {f.name for f in fields(OperatingPoint)}
    if not isinstance(value, dict) or set(value) - names:
        raise ValueError(f"an operating point is {str(value)[:80]!r}; wanted an object of {', '.join(sorted(names))}")
    return OperatingPoint(**value)
