"""An answer painted on its picture: boxes, translucent masks, points, labels with scores, the text below.

Knows pixels and fonts. Knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from perceptiongpt.core.answer import Answer, Region
from perceptiongpt.core.masks import mask_to_box
from perceptiongpt.data.picture import open_picture
from perceptiongpt.data.sample import Picture, Sample

# Hues far from one another, for those who don't see red and green apart too (after Okabe and Ito, 2008).
COLOURS = ((230, 97, 0), (0, 114, 178), (0, 158, 115), (204, 80, 160), (240, 190, 20), (86, 180, 233), (150, 75, 40))
LEAST_SIDE, MOST_SIDE = 480, 4096  # a picture is scaled so that its longer side lies between these
LEAST_WIDTH = 320  # of the strip of text
MASK_SHARE = 0.36
LOOK_SHARE, LOOK = 0.62, (255, 60, 0)  # what was not looked at is dimmed, what was is tinted
STRIP, INK = (24, 26, 30), (240, 240, 240)
MOST_LINES = 8

Rectangle = tuple[float, float, float, float]
Colour = tuple[int, int, int]


def paint(picture: Picture, answer: Answer, colours: Sequence[Colour] = COLOURS) -> Image.Image:
    """The picture with the answer's regions on it, each in the next of `colours`, and its text on a strip below, RGB;
    where requests looked it glows.

    Small pictures are enlarged and huge ones reduced, so that labels can be read. Raises ValueError for a picture of
    another size than the answer's.
    """
    base = open_picture(picture)
    if base.size != tuple(answer.size_wh):
        raise ValueError(
            f"the picture is {base.size} and the answer about one of {tuple(answer.size_wh)}; give that one"
        )
    scale = _scale(base.size)
    size = (max(1, round(base.width * scale)), max(1, round(base.height * scale)))
    if size != base.size:
        base = base.resize(size, Image.Resampling.LANCZOS)
    # Below the strip's least width labels could not be read: narrow pictures are painted on a wider sheet.
    sheet = Image.new("RGB", (max(size[0], LEAST_WIDTH), max(size[1], 24)), STRIP)
    sheet.paste(_looked(base, answer) if answer.looked else base, (0, 0))
    pen = max(2, round(max(size) / 320))
    for number, region in enumerate(answer):
        if region.mask is not None and region.mask.any():
            _mask(sheet, region.mask, size, colours[number % len(colours)], pen)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(min(max(13, max(size) / 48), 56))
    for number, region in enumerate(answer):
        _outline(draw, region, scale, colours[number % len(colours)], pen)
    taken: list[Rectangle] = []
    for number, region in enumerate(answer):
        _label(draw, region, scale, colours[number % len(colours)], font, sheet.size, taken)
    return _with_strip(sheet, answer.text, font)


def contact_sheet(samples: Sequence[Sample], columns: int = 4, side: int = 480) -> Image.Image:
    """Samples as painted pictures in rows, each with its regions and its dialogue; `side` pixels a tile."""
    tiles = [_tile(sample, side) for sample in samples]
    if not tiles:
        raise ValueError("there are no samples to show; give a file with at least one")
    columns = min(columns, len(tiles))
    rows = [tiles[i : i + columns] for i in range(0, len(tiles), columns)]
    heights = [max(t.height for t in row) for row in rows]
    sheet = Image.new("RGB", (columns * (side + 8), sum(heights) + 8 * len(rows)), "white")
    top = 0
    for row, height in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            sheet.paste(tile, (column * (side + 8), top))
        top += height + 8
    return sheet


def _tile(sample: Sample, side: int) -> Image.Image:
    picture = open_picture(sample.image) if sample.image is not None else Image.new("RGB", (side, 24), STRIP)
    lines: list[str] = []
    regions: list[Region] = []
    for turn in sample.turns:
        # One number for each region of the dialogue, shown in its text and on its label.
        text = turn.text
        for place in range(len(turn.regions)):
            text = text.replace(f"{{{place}}}", f" [{len(regions) + place + 1}]")
        lines.append(f"{'?' if turn.role == 'user' else '>'} {text}")
        for region in turn.regions:
            name = f"{len(regions) + 1} {region.label or ''}".strip()
            regions.append(Region(region.box, region.mask, region.point, label=name))
    painted = paint(picture, Answer("\n".join(lines), tuple(regions), picture.size))
    return painted.resize((side, max(1, round(painted.height * side / painted.width))), Image.Resampling.LANCZOS)


def _scale(size_wh: tuple[int, int]) -> float:
    longest = max(size_wh)
    return min(max(1.0, LEAST_SIDE / longest), MOST_SIDE / longest)


def _looked(base: Image.Image, answer: Answer) -> Image.Image:
    """The picture as the requests saw it: the mean of where they looked, warm; the rest darker."""
    mean = np.mean(answer.looked, axis=0)
    heat = Image.fromarray((255 * mean / max(float(mean.max()), 1e-6)).astype(np.uint8)).resize(base.size)
    dim = Image.blend(base, Image.new("RGB", base.size, STRIP), LOOK_SHARE)
    lit = Image.blend(base, Image.new("RGB", base.size, LOOK), 0.25)
    return Image.composite(lit, dim, heat)


def _mask(sheet: Image.Image, mask: np.ndarray, size: tuple[int, int], colour: Colour, pen: int) -> None:
    """Tint what is inside and draw its rim; only the rectangle around the mask is touched."""
    area = Image.fromarray(mask.view(np.uint8) * 255)
    if area.size != size:
        area = area.resize(size, Image.Resampling.BILINEAR).point(lambda v: 255 if v >= 128 else 0)
    bounds = area.getbbox()
    if bounds is None:
        return
    grown = (
        max(0, bounds[0] - 2 * pen),
        max(0, bounds[1] - 2 * pen),
        min(size[0], bounds[2] + 2 * pen),
        min(size[1], bounds[3] + 2 * pen),
    )
    inside = area.crop(grown)
    rim = _grown(inside, pen)
    edge = Image.fromarray(np.asarray(rim) & ~np.asarray(inside))
    tint = inside.point(lambda v: round(v * MASK_SHARE))
    sheet.paste(colour, grown[:2], tint)
    sheet.paste(colour, grown[:2], edge)
    halo = Image.fromarray(np.asarray(_grown(rim, max(1, pen // 2))) & ~np.asarray(rim))
    sheet.paste((255, 255, 255), grown[:2], halo.point(lambda v: round(v * 0.7)))


def _grown(area: Image.Image, by: int) -> Image.Image:
    for _ in range(min(by, 8)):  # one pixel each way at a time: cheaper than one wide filter
        area = area.filter(ImageFilter.MaxFilter(3))
    return area


def _outline(draw: ImageDraw.ImageDraw, region: Region, scale: float, colour: Colour, pen: int) -> None:
    if region.box is not None:
        x0, y0, x1, y1 = (v * scale for v in region.box)
        corners = (x0, y0, max(x0, x1 - 1), max(y0, y1 - 1))
        draw.rectangle((x0 - 1, y0 - 1, corners[2] + 1, corners[3] + 1), outline="white", width=pen + 2)
        draw.rectangle(corners, outline=colour, width=pen)
    if region.point is not None:
        x, y = (v * scale for v in region.point)
        r = 2.5 * pen
        draw.ellipse((x - r - 2, y - r - 2, x + r + 2, y + r + 2), fill="white")
        draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)


def _label(
    draw: ImageDraw.ImageDraw,
    region: Region,
    scale: float,
    colour: Colour,
    font: Any,
    sheet_wh: tuple[int, int],
    taken: list[Rectangle],
) -> None:
    """The name and score beside the region, where it hides no other label if there is such a place."""
    name = (region.label or "").strip()
    if len(name) > 40:
        name = name[:39] + "…"
    score = "" if region.score is None else f"{region.score:.2f}"
    text = " ".join(part for part in (name, score) if part)
    if not text:
        return
    x0, y0, x1, y1 = (v * scale for v in _around(region))
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    width, height = right - left + 8, bottom - top + 6
    inset = 0 if region.box is not None or region.mask is not None else height
    tries = [
        (x0, y0 - height - inset),
        (x0, y1 + inset),
        (x0, y0 + inset),
        (x1 - width, y0 - height),
        (x1, y0),
        (x0, (y0 + y1) / 2),
    ]
    places = []
    for x, y in tries:
        x = min(max(x, 0.0), max(0.0, sheet_wh[0] - width))
        y = min(max(y, 0.0), max(0.0, sheet_wh[1] - height))
        places.append((x, y, x + width, y + height))
    place = min(places, key=lambda p: sum(_shared(p, t) for t in taken))  # the first of equals
    taken.append(place)
    draw.rectangle(place, fill=colour)
    luminance = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
    ink = "black" if luminance > 140 else "white"
    draw.text((place[0] + 4 - left, place[1] + 3 - top), text, fill=ink, font=font)


def _around(region: Region) -> Rectangle:
    if region.box is not None:
        return region.box
    box = mask_to_box(region.mask) if region.mask is not None else None
    if box is not None:
        return box
    x, y = region.point or (0.0, 0.0)
    return x, y, x, y


def _shared(a: Rectangle, b: Rectangle) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def _with_strip(sheet: Image.Image, text: str, font: Any) -> Image.Image:
    lines = _wrapped(text, font, sheet.width - 20)
    if not lines:
        return sheet
    ascent, descent = font.getmetrics()
    step = ascent + descent + 3
    whole = Image.new("RGB", (sheet.width, sheet.height + step * len(lines) + 14), STRIP)
    whole.paste(sheet, (0, 0))
    draw = ImageDraw.Draw(whole)
    for number, line in enumerate(lines):
        draw.text((10, sheet.height + 7 + number * step), line, fill=INK, font=font)
    return whole


def _wrapped(text: str, font: Any, width: float) -> list[str]:
    """Lines no wider than `width` pixels; what is over `MOST_LINES` ends in an ellipsis."""
    lines: list[str] = []
    for paragraph in text.splitlines():
        line = ""
        for word in paragraph.split():
            for piece in _pieces(word, font, width):
                longer = f"{line} {piece}".strip()
                if line and font.getlength(longer) > width:
                    lines.append(line)
                    longer = piece
                line = longer
        if line:
            lines.append(line)
    if len(lines) > MOST_LINES:
        lines = [*lines[: MOST_LINES - 1], lines[MOST_LINES - 1][:-1] + "…"]
    return lines


def _pieces(word: str, font: Any, width: float) -> list[str]:
    """A word cut so that each piece fits; most words are one piece."""
    pieces = [""]
    for letter in word:
        if pieces[-1] and font.getlength(pieces[-1] + letter) > width:
            pieces.append("")
        pieces[-1] += letter
    return pieces
