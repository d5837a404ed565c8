"""Samples as the model will see them, on one sheet: picture on canvas, regions, rendered text, what is taught.

Knows a renderer and how a host sees pictures (`collate.Eye`). Knows nothing of files nor of weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from perceptiongpt.core.answer import Answer, Region
from perceptiongpt.core.canvas import Canvas
from perceptiongpt.data.collate import MASK_SIDE, Eye, region_in
from perceptiongpt.data.picture import open_picture
from perceptiongpt.data.render import IGNORED, Rendered, Renderer
from perceptiongpt.data.sample import Sample
from perceptiongpt.draw import COLOURS, paint

TILE = 420  # pixels
PAPER, INK, QUIET, TAUGHT = (255, 255, 255), (20, 22, 26), (120, 124, 130), (196, 236, 200)
LEGEND = "as the model sees it: green is taught (a loss is on it), grey is not; numbers are regions, one token each"
MOST_TEXT = 1600  # characters of a sample

Piece = tuple[str, bool, int | None]  # words, taught, number of a region


def sheet(samples: Sequence[Sample], renderer: Renderer, eye: Eye, columns: int = 4) -> Image.Image:
    """The samples in rows of `columns`, RGB; ValueError for none."""
    if not samples:
        raise ValueError("there are no samples to show; give data of which something can be asked")
    tiles = [_tile(sample, renderer, eye) for sample in samples]
    rows = [tiles[i : i + columns] for i in range(0, len(tiles), columns)]
    heights = [max(t.height for t in row) + 10 for row in rows]
    out = Image.new("RGB", (min(columns, len(tiles)) * (TILE + 10) + 10, sum(heights) + 40), PAPER)
    ImageDraw.Draw(out).text((10, 10), LEGEND, fill=INK, font=ImageFont.load_default(16))
    top = 40
    for row, height in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            out.paste(tile, (10 + column * (TILE + 10), top))
        top += height
    return out


def _tile(sample: Sample, renderer: Renderer, eye: Eye) -> Image.Image:
    """One sample: the canvas with its regions above, the rendered text below."""
    view = Image.new("RGB", (TILE, 24), QUIET)
    canvas, places = None, []
    if sample.image is not None:
        picture = open_picture(sample.image)
        canvas = eye.canvas(picture.size)
        places = [eye.spelled(c) for c in (canvas, *(eye.canvas(open_picture(p).size) for p in sample.more))]
        view = canvas.view(picture)
    rendered = renderer.training(sample, places)
    if canvas is not None:
        regions = tuple(
            _on_canvas(r, canvas, view.size, str(k)) for k, r in enumerate(rendered.regions, 1) if not r.picture
        )
        view = paint(view, Answer("", regions, view.size))
    view = view.resize((TILE, max(1, round(view.height * TILE / view.width))), Image.Resampling.LANCZOS)
    text = _text(pieces(rendered, renderer), len(sample.id) and sample.id)
    whole = Image.new("RGB", (TILE, view.height + text.height), PAPER)
    whole.paste(view, (0, 0))
    whole.paste(text, (0, view.height))
    return whole


def _on_canvas(region: Region, canvas: Canvas, size_wh: tuple[int, int], name: str) -> Region:
    """A region as the batch holds it (box in shares of the canvas, mask of 64 x 64), in pixels of the view."""
    held = region_in(region, canvas, asked=False, rng=None)
    width, height = size_wh
    box = mask = None
    if held["has_box"]:
        cx, cy, w, h = held["box"].tolist()
        box = ((cx - w / 2) * width, (cy - h / 2) * height, (cx + w / 2) * width, (cy + h / 2) * height)
    if held["has_mask"]:
        small = Image.fromarray((held["mask"].numpy() * 255).astype(np.uint8))
        assert small.size == (MASK_SIDE, MASK_SIDE)
        mask = np.asarray(small.resize(size_wh, Image.Resampling.BILINEAR)) >= 128
    x, y = held["point"].tolist()
    return Region(box=box, mask=mask, point=(x * width, y * height) if held["has_point"] else None, label=name)


def pieces(rendered: Rendered, renderer: Renderer) -> list[Piece]:
    """The rendered ids as words with their supervision; the picture's places are one piece, a region is its number."""
    out: list[Piece] = []
    run: list[int] = []
    taught = False
    seen = 0
    for i, label in [*zip(rendered.ids, rendered.labels, strict=True), (-1, IGNORED)]:
        special = i in (-1, renderer.vis_id, renderer.image_token_id)
        if run and (special or (label != IGNORED) != taught):
            out.append((renderer.tokenizer.decode(run), taught, None))
            run = []
        taught = label != IGNORED
        if i == renderer.vis_id:
            seen += 1
            out.append(("", taught, (seen - 1) // renderer.vis_tokens + 1))
        elif i == renderer.image_token_id and not (out and out[-1][0].startswith("(picture")):
            out.append((f"(picture, {rendered.ids.count(i)} tokens)", taught, None))
        elif not special:
            run.append(i)
    return out


def _text(parts: Sequence[Piece], name: str | int) -> Image.Image:
    """The pieces as wrapped lines; what is taught stands on green."""
    font = ImageFont.load_default(13)
    paper = Image.new("RGB", (TILE, 4096), PAPER)
    draw = ImageDraw.Draw(paper)
    x, y, step, used = 4, 6, 18, 0
    if name:
        draw.text((x, y), str(name)[-60:], fill=QUIET, font=font)
        y += step
    for text, taught, number in parts:
        for word in [f"{number}"] if number else _words(text):
            used += len(word)
            if used > MOST_TEXT:
                break
            if word == "\n":
                x, y = 4, y + step
                continue
            width = round(font.getlength(word)) + (8 if number else 0)
            if x + width > TILE - 4:
                x, y = 4, y + step
            if taught:
                draw.rectangle((x, y - 1, x + width, y + step - 4), fill=TAUGHT)
            if number:
                draw.rectangle((x + 1, y, x + width - 1, y + step - 5), fill=COLOURS[(number - 1) % len(COLOURS)])
            ink = PAPER if number else INK if taught else QUIET
            draw.text((x + (4 if number else 0), y), word, fill=ink, font=font)
            x += width
    return paper.crop((0, 0, TILE, y + step + 4))


def _words(text: str) -> list[str]:
    """Words with the space before them, and line breaks, as pieces to be set; long ones are cut."""
    out: list[str] = []
    for number, line in enumerate(text.split("\n")):
        out += ["\n"] if number else []
        for k, word in enumerate(line.split(" ")):
            spaced = f" {word}" if k else word
            out += [spaced[i : i + 40] for i in range(0, len(spaced), 40)]
    return out
