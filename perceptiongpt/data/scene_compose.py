"""Puts objects of the library on a photograph: which ones, where, how large, in what light, and what stays visible.

Knows nothing of language (scene_expressions.py, scene_talk.py) nor of files (scenes.py). Lengths are pixels of the
composed picture, H high and W wide; every choice is drawn from the generator that comes in.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from perceptiongpt.data.objects import LibraryObject, ObjectLibrary, Split
from perceptiongpt.data.scene_cast import Actor, Cast, cast_of, choose

SIZES_WH = ((320, 240), (360, 270), (400, 300), (384, 256), (400, 225), (320, 320), (288, 288), (240, 320), (300, 400))
SIDE_SHARE = (0.20, 0.64)  # of the picture's height, drawn longest side; less is under three patches of a 224 px eye
LEAST_VISIBLE = 1 / 3  # of an object's own pixels
LEAST_AREA = 0.01  # of the picture
VIEW_ANGLE = math.radians(45)  # vertical, of the camera over the ground plane
BIGGEST_CROWD = 10
SIDED = frozenset({"left", "right", "clockwise", "counterclockwise"})  # in a name: the thing is never mirrored


@dataclass(frozen=True, eq=False)
class SceneObject:
    """A thing in a composed picture.

    `mask`: bool [H, W], what is visible of it; `box`: xyxy of that mask; `visible_share`: 0..1 of its own pixels.
    `askable`: visible and large enough, and of the split's targets. `foot`: y where it stands on the ground plane,
    None for things that are merely pasted.
    """

    name: str
    kind: str
    colour: str | None
    mask: np.ndarray
    box: tuple[float, float, float, float]
    visible_share: float
    object_id: str
    askable: bool
    tags: tuple[str, ...] = ()
    foot: float | None = None


@dataclass(frozen=True)
class _Place:
    actor: Actor
    x: int
    y: int
    w: int
    h: int
    grounded: bool

    @property
    def foot(self) -> int:
        return self.y + self.h


def compose(
    library: ObjectLibrary, split: Split, rng: np.random.Generator, count: tuple[int, int] = (2, 6), alike: int = 0
) -> tuple[Image.Image, list[SceneObject]]:
    """A picture RGB of `count[0]` to `count[1]` things and what is visible of each, back to front.

    `alike`: so many of them are of one kind, and things are the smaller the more there are.
    """
    if not max(1, alike) <= count[0] <= count[1] <= BIGGEST_CROWD:
        raise ValueError(f"count {count}, {alike} alike came; wanted 1 and alike <= least <= most <= {BIGGEST_CROWD}")
    cast = cast_of(library, split)
    size_wh = SIZES_WH[int(rng.integers(len(SIZES_WH)))]
    pitch = cast.pitches[int(rng.integers(len(cast.pitches)))] if cast.pitches else None
    actors = choose(cast, pitch, rng, int(rng.integers(count[0], count[1] + 1)), split == "novel", alike)
    canvas = _ground(library, cast, rng, size_wh)
    crowd = min(1.0, math.sqrt(4 / len(actors))) if alike else 1.0 if len(actors) < 4 else 0.9
    places = _arrange(library, actors, pitch, rng, size_wh, crowd)
    owner = np.zeros((size_wh[1], size_wh[0]), np.uint8)  # 0: background, k: the k-th place
    vary = split == "train"
    drawn = [_draw(library, canvas, owner, k, place, rng, vary) for k, place in enumerate(places, 1)]
    objects = [_seen(owner, k, p, pixels) for k, (p, pixels) in enumerate(zip(places, drawn, strict=True), 1)]
    return _light(canvas, rng), [o for o in objects if o is not None]


def _ground(library: ObjectLibrary, cast: Cast, rng: np.random.Generator, size_wh: tuple[int, int]) -> Image.Image:
    """A random piece of a random photograph at the picture's size."""
    photograph = library.background(cast.backgrounds[int(rng.integers(len(cast.backgrounds)))])
    width, height = photograph.size
    share = rng.uniform(0.6, 1.0) * min(width / size_wh[0], height / size_wh[1])
    w, h = size_wh[0] * share, size_wh[1] * share
    x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
    box = (x, y, min(x + w, width), min(y + h, height))
    picture = photograph.resize(size_wh, Image.Resampling.BILINEAR, box=box, reducing_gap=2.0)
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else picture


def _arrange(
    library: ObjectLibrary,
    actors: list[Actor],
    pitch: float | None,
    rng: np.random.Generator,
    size_wh: tuple[int, int],
    crowd: float,
) -> list[_Place]:
    """A place for each actor, back to front; of several tries the one that covers the others least.

    `crowd`: how large things are, of what they would be alone.
    """
    grounded = [_compressed(a.thing) for a in actors if a.grounded]
    base = rng.uniform(0.42, 0.62) * crowd / (max(grounded) if grounded else 1.0)
    places: list[_Place] = []
    for i in rng.permutation(len(actors)):
        actor = actors[int(i)]
        wh = library.view(actor.thing, actor.view).size
        share = (
            base * _compressed(actor.thing) if actor.grounded else crowd * math.exp(rng.uniform(*np.log((0.26, 0.60))))
        )
        allowed = 0.5 if rng.random() < 0.3 else 0.1
        best, least = None, math.inf
        for _ in range(12):
            place = _try(actor, wh, share, pitch, rng, size_wh)
            covered = max((_overlap(place, other) for other in places), default=0.0)
            if covered < least:
                best, least = place, covered
            if covered <= allowed:
                break
        if best is not None:
            places.append(best)
    # Who stands nearer covers who stands farther; what is pasted lies anywhere between.
    keys = [p.foot if p.grounded else p.foot * rng.uniform(0.8, 1.2) for p in places]
    return [places[i] for i in np.argsort(keys, kind="stable")]


def _try(
    actor: Actor,
    wh: tuple[int, int],
    share: float,
    pitch: float | None,
    rng: np.random.Generator,
    size_wh: tuple[int, int],
) -> _Place:
    width, height = size_wh
    foot = rng.uniform(0.45, 0.98)
    if actor.grounded and pitch is not None:
        share = share * _nearness(foot, pitch) / _nearness(0.75, pitch)
    slim = (max(wh) / min(wh)) ** 0.35  # a fork may be longer than a ball
    side = float(np.clip(share * slim, *SIDE_SHARE)) * min(height, 1.15 * width)
    scale = side / max(wh)
    w, h = max(4, round(wh[0] * scale)), max(4, round(wh[1] * scale))
    hang = 0.2 if rng.random() < 0.12 else 0.0  # of its size it may leave the picture
    x = rng.uniform(-hang * w, max(width - w * (1 - hang), 1))
    y = foot * height - h if actor.grounded else rng.uniform(-hang * h, max(height - h * (1 - hang), 1))
    return _Place(actor, round(x), round(y), w, h, actor.grounded)


def _compressed(thing: LibraryObject) -> float:
    """A thing's drawn size relative to another's: real sizes, less far apart (a cup is not 3 pixels high)."""
    centimetres = max(thing.size_cm) if thing.size_cm else 60.0
    return float(np.clip(centimetres, 8, 300) / 100) ** 0.3


def _nearness(foot: float, pitch: float) -> float:
    """How near a point of the ground is, seen at a height of 0 (top) to 1 in a picture: the sine of its depression."""
    below = math.radians(pitch) + math.atan((2 * foot - 1) * math.tan(VIEW_ANGLE / 2))
    return math.sin(min(max(below, math.radians(4)), math.radians(90)))


def _overlap(a: _Place, b: _Place) -> float:
    w = min(a.x + a.w, b.x + b.w) - max(a.x, b.x)
    h = min(a.y + a.h, b.y + b.h) - max(a.y, b.y)
    return max(w, 0) * max(h, 0) / min(a.w * a.h, b.w * b.h) if w > 0 and h > 0 else 0.0


def _draw(
    library: ObjectLibrary,
    canvas: Image.Image,
    owner: np.ndarray,
    k: int,
    place: _Place,
    rng: np.random.Generator,
    vary: bool,
) -> int:
    """Paints shadow and thing, writes k where it covers, and tells how many pixels the whole thing has."""
    cut = library.view(place.actor.thing, place.actor.view).resize((place.w, place.h), Image.Resampling.BILINEAR)
    if vary:
        cut = _varied(cut, place.grounded, rng)
    sided = SIDED & set(place.actor.thing.name.split())
    if rng.random() < 0.5 and not sided:
        cut = cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    alpha = cut.getchannel("A")
    _shadow(canvas, place, alpha, rng)
    gain = rng.uniform(0.85, 1.15)
    table = [min(255, round(v * gain)) for v in range(256)] * 3 + list(range(256))
    canvas.paste(cut.point(table).convert("RGB"), (place.x, place.y), alpha)
    solid = np.asarray(alpha) > 127
    height, width = owner.shape
    x0, y0, x1, y1 = max(place.x, 0), max(place.y, 0), min(place.x + place.w, width), min(place.y + place.h, height)
    if x0 < x1 and y0 < y1:
        owner[y0:y1, x0:x1][solid[y0 - place.y : y1 - place.y, x0 - place.x : x1 - place.x]] = k
    return int(np.count_nonzero(solid))


def _varied(cut: Image.Image, grounded: bool, rng: np.random.Generator) -> Image.Image:
    """Another look of a thing, so that its few pictures aren't learnt by heart: RGBA of the same size.

    Leant and turned where it doesn't stand on the ground, slimmer or flatter, in paler or stronger colours (mild, so
    that they keep their names); the whole of it stays in the frame.
    """
    turn = 0.0 if grounded else math.radians(rng.uniform(-25, 25))
    lean, slim = (0.0 if grounded else rng.uniform(-0.2, 0.2)), math.exp(rng.uniform(-0.2, 0.2))
    forward = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]) @ np.array(
        [[slim, lean], [0.0, 1.0]]
    )
    w, h = cut.size
    reach = np.abs(forward) @ np.array([w, h])  # of the turned frame
    forward *= min(w / reach[0], h / reach[1])
    back = np.linalg.inv(forward)  # of a place in the new frame, from the middle, to the old one
    shift = np.array([w / 2, h / 2]) - back @ np.array([w / 2, h / 2])
    if grounded:  # it still stands where it stood
        shift[1] = h - back[1, 1] * h
    told = (back[0, 0], back[0, 1], shift[0], back[1, 0], back[1, 1], shift[1])
    cut = cut.transform((w, h), Image.Transform.AFFINE, told, Image.Resampling.BILINEAR)
    for change, least, most in ((ImageEnhance.Color, 0.7, 1.25), (ImageEnhance.Contrast, 0.75, 1.2)):
        cut = change(cut).enhance(rng.uniform(least, most))  # leaves alpha alone
    return cut


@lru_cache(maxsize=1)
def _blob() -> Image.Image:
    y, x = np.mgrid[-1:1:64j, -1:1:64j]
    return Image.fromarray((255 * np.clip(1 - np.hypot(x, y), 0, 1) ** 1.2).astype(np.uint8))


def _shadow(canvas: Image.Image, place: _Place, alpha: Image.Image, rng: np.random.Generator) -> None:
    dark = rng.uniform(0.25, 0.7)
    if place.grounded:
        w, h = round(1.15 * place.w), max(6, round(0.30 * place.w))
        soft, x, y = _blob().resize((w, h)), place.x - (w - place.w) // 2, place.foot - round(0.62 * h)
    elif rng.random() < 0.6:
        reach = max(2, round(0.04 * max(place.w, place.h)))
        soft = Image.new("L", (place.w + 4 * reach, place.h + 4 * reach))
        soft.paste(alpha, (2 * reach, 2 * reach))
        soft = soft.filter(ImageFilter.BoxBlur(reach))
        x, y = place.x - 2 * reach + int(rng.integers(-reach, reach + 1)), place.y - reach
        dark *= 0.7
    else:
        return
    canvas.paste((0, 0, 0), (x, y), soft.point([round(v * dark) for v in range(256)]))


def _seen(owner: np.ndarray, k: int, place: _Place, pixels: int) -> SceneObject | None:
    """What is left of the k-th thing after all others were painted; None when nothing is."""
    mask = owner == k
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    if not len(columns):
        return None
    area = int(np.count_nonzero(mask))
    share = area / pixels
    thing = place.actor.thing
    return SceneObject(
        name=thing.name,
        kind=thing.kind,
        colour=thing.colour,
        mask=mask,
        box=(float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)),
        visible_share=share,
        object_id=thing.id,
        askable=place.actor.target and share >= LEAST_VISIBLE and area >= LEAST_AREA * mask.size,
        tags=thing.tags,
        foot=float(place.foot) if place.grounded else None,
    )


def _light(canvas: Image.Image, rng: np.random.Generator) -> Image.Image:
    """One light over the whole: gamma, gains a channel (mild: colours keep their names), at times blur, noise, JPEG."""
    gamma, contrast = rng.uniform(0.8, 1.25), rng.uniform(0.85, 1.1)
    ramp = np.linspace(0, 1, 256) ** gamma
    gains = rng.uniform(0.93, 1.07, 3) * rng.uniform(0.85, 1.12)
    curves = np.clip(((ramp - 0.5) * contrast + 0.5)[None] * gains[:, None], 0, 1)
    picture = canvas.point((255 * curves).round().astype(int).ravel().tolist())
    blur, noise, press = rng.random(3)
    if blur < 0.15:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 1.0)))
    if noise < 0.2:
        pixels = np.asarray(picture).astype(np.int16)
        reach = int(rng.integers(3, 14))
        grain = rng.integers(-reach, reach + 1, pixels.shape[:2], dtype=np.int8)
        picture = Image.fromarray(np.clip(pixels + grain[..., None], 0, 255).astype(np.uint8))
    if press < 0.3:
        packed = io.BytesIO()
        picture.save(packed, "JPEG", quality=int(rng.integers(45, 93)))
        packed.seek(0)
        picture = Image.open(packed).convert("RGB")
    return picture
