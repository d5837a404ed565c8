"""The one colour word of an object, or none: its alpha pixels named in CIE Lab, over all its views.

Knows colour words and the borders between them, as tried on the pictures of this library.
"""

import numpy as np
from PIL import Image

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "grey")
TONES = (*COLOURS[:8], "neutral")  # white, grey and black are told apart for the whole object
SHARE = 0.55


def lab(rgb: np.ndarray) -> np.ndarray:
    """sRGB bytes [n, 3] as CIE L*a*b* [n, 3] (IEC 61966-2-1, D65)."""
    unit = rgb.astype(np.float64) / 255
    linear = np.where(unit <= 0.04045, unit / 12.92, ((unit + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    ratio = linear @ to_xyz.T / np.array([0.95047, 1.0, 1.08883])
    f = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


def tones(rgb: np.ndarray) -> np.ndarray:
    """The index into TONES of each sRGB pixel [n, 3], -1 where no word fits (beige, olive)."""
    light, a, b = lab(rgb).T
    chroma, hue = np.hypot(a, b), np.degrees(np.arctan2(b, a)) % 360
    bluish = (hue > 250) & (hue < 325)  # the emoji's greys lean to violet
    neutral = (chroma < 10) | (bluish & (chroma < np.where(light > 50, 24, 18))) | (light < 12)
    # Lab has no straight line of blues: a saturated blue and a dull violet share its hue, HSV's tells them apart.
    red, green, blue = rgb.T.astype(np.int64)
    bluest = (blue >= red) & (blue > green) & (60 * (red - green) < 7 * (blue - np.minimum(red, green)))  # below 247°
    reddish = (hue >= 345) | (hue < 50)
    warm, sunny = (hue >= 50) & (hue < 80), (hue >= 80) & (hue < 112)
    rules = [
        ("neutral", neutral),
        ("brown", reddish & (light < 58) & (chroma < 34)),
        ("red", (hue < 22) & (light < 62) & (chroma > 58)),
        ("pink", ((hue >= 345) | (hue < 22)) & (light > 52)),
        ("pink", reddish & (light > 68) & (chroma < 55)),
        ("red", reddish),
        ("orange", warm & (light > 54) & (chroma > 48)),
        ("brown", warm & (light < 66)),
        ("yellow", sunny & (light > 64) & (chroma > 38)),
        ("brown", sunny & (light < 52)),
        ("green", (hue >= 112) & (hue < 192)),
        ("blue", (hue >= 192) & ((hue < 280) | ((hue < 315) & bluest))),
        ("pink", (hue >= 328) & (hue < 345) & (light > 52)),
        ("purple", (hue >= 280) & (hue < 345)),
    ]
    named = np.full(len(rgb), -1)
    for word, fits in reversed(rules):  # the first rule that fits is written last
        named[fits] = TONES.index(word)
    return named


def colour(views: list[Image.Image]) -> str | None:
    """The word that covers at least SHARE of the alpha of all RGBA views, each counting the same, or None."""
    votes, lights = np.zeros(len(TONES)), []
    for view in views:
        small = view.convert("RGBA")
        small.thumbnail((72, 72))
        pixels = np.asarray(small).reshape(-1, 4)
        rgb = pixels[pixels[:, 3] > 127][:, :3]
        named = tones(rgb)
        votes += np.bincount(named[named >= 0], minlength=len(TONES)) / max(1, len(rgb)) / len(views)
        lights.append(lab(rgb)[:, 0][named == TONES.index("neutral")])
    best = int(votes.argmax())
    if votes[best] < SHARE:
        return None
    return _neutral(float(np.percentile(np.concatenate(lights), 75))) if TONES[best] == "neutral" else TONES[best]


def flat_colour(view: Image.Image) -> str | None:
    """The word that covers SHARE of a drawing's alpha, or None: drawn colours are few, so only sure ones count.

    What lies between two words (amber, lime, blue-grey, pale blue) has none, dark terracotta is brown, and black, grey
    and white are told apart for each pixel, so that half black and half white is neither.
    """
    pixels = np.asarray(view.convert("RGBA")).reshape(-1, 4)
    rgb = pixels[pixels[:, 3] > 127][:, :3]
    light, a, b = lab(rgb).T
    chroma, hue = np.hypot(a, b), np.degrees(np.arctan2(b, a)) % 360
    words = np.array([*TONES, ""])[tones(rgb)]
    terracotta = (words == "red") & (hue >= 30) & (hue < 60) & (chroma < 60)
    rules = [
        ("brown", terracotta & (light < 56)),
        ("", terracotta),
        ("", (words == "yellow") & (hue >= 105)),
        ("", np.isin(words, ("orange", "yellow", "brown")) & (hue >= 68) & (hue < 80) & (chroma > 45)),
        ("", (words == "blue") & (chroma < 30)),
        ("", (words == "green") & (chroma < 20)),
        ("", (words == "brown") & (chroma < 15)),
        ("white", (words == "neutral") & (light >= 84)),
        ("grey", (words == "neutral") & (light >= 45) & (light < 72)),
        ("black", (words == "neutral") & (light < 34)),
        ("", words == "neutral"),
    ]
    named = words.copy()
    for word, fits in reversed(rules):  # the first rule that fits is written last
        named[fits] = word
    shares = {word: float((named == word).mean()) for word in COLOURS}
    best = max(shares, key=lambda word: shares[word])
    return best if shares[best] >= SHARE else None


def _neutral(lightness: float) -> str | None:
    """White, grey or black by the upper quartile of L*: a white cupboard's shaded sides are grey; None in between."""
    if lightness >= 80:
        return "white"
    if lightness < 36:
        return "black"
    return "grey" if 42 <= lightness < 68 else None
