"""What a plug-in is built of, checked before anything is allocated: settings come from files.

Knows which parts there are and their sizes. Knows no host and makes nothing (perception.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from perceptiongpt.core.batch import ANSWER_FORMATS
from perceptiongpt.model.interactive import AskSettings
from perceptiongpt.model.limits import refuse_outside

# Settings that a trained plug-in may be given later, with what the names of the parameters that they add begin with.
GROWN: dict[str, tuple[str, ...]] = {
    "enumerates": ("decoder.mask.earlier",),
    "looks_twice": (),
    "region_features": ("encoder.look.",),
    "region_colours": ("echo.palette.",),
    "weighs_match": ("decoder.score.match.",),
    "learns_match": ("decoder.pointer.asked.", "decoder.pointer.shown."),
    "looks_closer": (),
    "looks_mirrored": (),
    "looks_sliced": (),
    "follows_edges": (),
    "passes_over": (),
    "tells_apart": ("decoder.apart.",),
    "refines": ("decoder.outline.",),
    "echoes": ("echo.",),
    "pyramid": ("decoder.mask.pyramid.", "namer."),
}
_LIMITS = {
    "vis_tokens": (1, 64),
    "decoder_width": (16, 4096),
    "decoder_depth": (1, 16),
    "read_window": (0, 64),
    "lora_rank": (1, 1024),
    "lora_alpha": (1, 65536),
    "lora_vision_layers": (0, 256),
}
_CHOICES = {
    "read_layers": ("last", "fused"),
    "answer_format": tuple(ANSWER_FORMATS),
    "lora_targets": ("attention", "all", "none"),
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a plug-in is built of; stored beside its weights. Widths that belong to the host are never settings."""

    vis_tokens: int = 1  # K tokens an object
    decoder_width: int = 192
    decoder_depth: int = 2
    read_layers: str = "last"  # "last" as in the paper, or "fused": a learned mean over the language model's layers
    read_window: int = 0  # W: the words of the last W tokens are read beside the state; 0 as in the paper
    lora_rank: int = 8
    lora_alpha: int = 16
    lora_targets: str = "attention"  # "attention", "all" (attention and MLP) or "none"
    lora_vision_layers: int = 0  # so many of the vision tower's layers, the last that the host reads, are adapted, too
    enumerates: bool = False  # decoders are shown those before in a row of regions; one that is nowhere ends the row
    looks_twice: bool = False  # decoders find box and mask by a second look, near where the first one points
    region_features: bool = False  # a region's vector carries what the picture shows there, too
    weighs_match: bool = False  # a region's score is told how well the words match the picture, there and at best
    looks_closer: bool = False  # an answer's regions are found again in a piece of the picture around each
    looks_mirrored: bool = False  # and before that in the picture turned left to right
    looks_sliced: bool = False  # and, where a name alone asks for it, in quarters of a large picture
    follows_edges: bool = False  # masks are drawn to the edges that a picture's own pixels have
    passes_over: bool = False  # decoders that enumerate don't point again at what they are shown of a row
    tells_apart: bool = False  # of several that are asked for, each mask is cut to one, by the boxes its places say
    refines: bool = False  # the mask of a thing that is asked for alone is filled out, or cut, to what it lies on
    echoes: bool = False  # the word after a region is told outright what the region's vector carries
    region_colours: bool = False  # and which colours the region's pixels have
    learns_match: bool = False  # words and picture are matched by learnt projections, too, not by cosine alone
    trained_host_modules: tuple[str, ...] = ()  # names of host modules trained whole, such as its projector
    answer_format: str = "vis"  # or one of the alternatives that it is measured against: core.batch.ANSWER_FORMATS
    points: bool = True  # False: a plug-in that only asks; <vis> is neither said nor read
    pyramid: str = ""  # a convolutional network decoders see, too: a folder, a hub id, host:FOLDER for one of the host
    tower: str = ""  # a vision model that the decoders look through, where the host's image tokens form no grid
    ask: AskSettings | None = None  # the interactive network (LMEye); None: the model does not ask

    def __post_init__(self) -> None:
        refuse_outside(self, _LIMITS, _CHOICES)
        if self.decoder_width % 16:
            raise ValueError(
                f"decoder_width is {self.decoder_width}; wanted a multiple of 16, for eight heads at half width"
            )
        names = self.trained_host_modules
        if isinstance(names, str) or not all(isinstance(n, str) and n for n in names):
            raise ValueError(f"trained_host_modules is {names!r}; wanted a row of names of host modules")
        object.__setattr__(self, "trained_host_modules", tuple(names))
        for name in ("tower", "pyramid"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"{name} is {getattr(self, name)!r}; wanted the name of a vision model, or nothing")
        if isinstance(self.ask, dict):  # as it is stored
            object.__setattr__(self, "ask", AskSettings(**self.ask))
        for name in (n for n in GROWN if n != "pyramid"):
            if not isinstance(getattr(self, name), bool) or (getattr(self, name) and not self.decodes):
                raise ValueError(f"{name} is {getattr(self, name)!r}; wanted false, or true where <vis> is decoded")
        if self.pyramid and not self.decodes:
            raise ValueError(f"pyramid is {self.pyramid!r}; wanted none where no <vis> is decoded")
        if self.passes_over and not self.enumerates:
            raise ValueError("passes_over is true and enumerates false; wanted rows in which to pass over something")
        if self.refines and not (self.tells_apart and self.looks_closer):
            raise ValueError(
                f"refines is true, tells_apart {self.tells_apart}, looks_closer {self.looks_closer}; wanted all three: "
                "masks are refined by the boxes that places say, and by a second look"
            )
        if self.region_colours and not self.echoes:
            raise ValueError("region_colours is true and echoes false; wanted both, or an echo alone")
        if self.learns_match and not self.read_window:
            raise ValueError("learns_match is true and read_window 0; wanted a window of words to match with")
        if not isinstance(self.points, bool) or not (self.points or self.ask):
            raise ValueError(f"points is {self.points!r} and ask {self.ask!r}; wanted a plug-in that does one of them")

    @property
    def asking(self) -> Settings:
        """The same of a plug-in that only asks: no adapter, and nothing that regions were given."""
        return replace(self, points=False, lora_targets="none", **{n: getattr(Settings, n) for n in GROWN})

    @property
    def weightless(self) -> tuple[str, ...]:
        """What is set of the settings that change answers and add no weight."""
        return tuple(name for name, added in GROWN.items() if not added and getattr(self, name))

    @property
    def decodes(self) -> bool:
        """Whether regions are read from states at `<vis>`; they are spelled, or there are none, otherwise."""
        return self.points and self.answer_format == "vis"
