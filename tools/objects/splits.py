"""Which objects and backgrounds a model never sees in training, by SHA-256 of their ids, so that nothing is random.

Knows the rules: some kinds are held out whole ("novel"), some objects of the other kinds ("test", "val"). Further
drawings of what other sources show are for training alone and have no say in the rest. Knows nothing of pictures.
"""

import hashlib
import re
from collections import defaultdict

from perceptiongpt.data.objects import is_drawing

NOVEL_SHARE, TEST_SHARE, VAL_SHARE = 0.08, 0.12, 0.08
LARGE_NOVEL = 6  # how many novel kinds with more than three objects

# Everyday concrete nouns, of which the novel kinds are drawn.
EVERYDAY = """
apple, banana, pear, peach, lemon, carrot, broccoli, tomato, cactus, umbrella, kettle, toaster, microwave, backpack,
bicycle, guitar, piano, violin, trumpet, saxophone, elephant, giraffe, zebra, lion, tiger, penguin, owl, rabbit, snail,
butterfly, helicopter, rocket, tractor, motorcycle, skateboard, bus, tent, windmill, hammer, candle, crown, hat, scarf,
dress, toothbrush, broom, ladder, teapot, vase, suitcase, camera, microscope, mirror, balloon, kite, snowman, castle,
pyramid, bathtub, wheelbarrow, washing machine, fridge, printer, headphones, hamburger, pizza, doughnut, pretzel,
croissant, cupcake, mushroom, strawberry, watermelon, pineapple, grapes, cherry, avocado, bee, ladybug, turtle, frog,
shark, crab, lobster, octopus, dolphin, whale, kangaroo, koala, camel, fountain, anchor, horse, multimeter, screwdriver,
tape measure, trampoline, stroller, shovel, wrench, drill, towel, sandwich, popcorn, sock, glove, fox, squid, swan
"""


def digest(text: str) -> str:
    """SHA-256 of the text, the one source of chance here."""
    return hashlib.sha256(text.encode()).hexdigest()


def split_objects(objects: list[dict], everyday: str = EVERYDAY) -> dict[str, str]:
    """The split of each object id: train, val, test or novel, from ids, kinds, names and sources.

    A further drawing is in train, whatever else is added; one that shows or names something novel has no split.
    """
    drawings = [thing for thing in objects if is_drawing(thing["id"])]
    split = _split_sources([thing for thing in objects if not is_drawing(thing["id"])], everyday)
    held = [thing for thing in objects if split.get(thing["id"]) == "novel"]
    novel = {words_of(noun) for thing in held for noun in (thing["name"], thing["kind"])}
    fit = (d for d in drawings if not any(said in words_of(d[noun]) for said in novel for noun in ("name", "kind")))
    return split | dict.fromkeys((drawing["id"] for drawing in fit), "train")


def _split_sources(objects: list[dict], everyday: str) -> dict[str, str]:
    by_kind: dict[str, list[dict]] = defaultdict(list)
    for thing in objects:
        by_kind[thing["kind"]].append(thing)
    novel = _novel_kinds(by_kind, [kind.strip() for kind in everyday.replace("\n", " ").split(",")])
    split = {thing["id"]: "novel" if thing["kind"] in novel else "train" for thing in objects}
    for kind, things in by_kind.items():
        if kind in novel:
            continue
        by_source: dict[str, list[str]] = defaultdict(list)
        for thing in things:
            by_source[thing["source"]].append(thing["id"])
        for ids in by_source.values():
            if len(ids) < 3:  # two stay in train
                continue
            ids.sort(key=digest)
            tests = max(1, round(TEST_SHARE * len(ids)))
            vals = max(
                round(VAL_SHARE * len(ids)), int(len(ids) >= 5)
            )  # at five, two stay in train and one is left over
            split |= dict.fromkeys(ids[:tests], "test") | dict.fromkeys(ids[tests : tests + vals], "val")
    return split


def split_backgrounds(ids: list[str]) -> dict[str, str]:
    """The split of each background id: about 70 % train, 12 % val, 18 % test."""
    ordered = sorted(ids, key=digest)
    tests, vals = round(0.18 * len(ids)), round(0.12 * len(ids))
    return {one: "test" if i < tests else "val" if i < tests + vals else "train" for i, one in enumerate(ordered)}


def _novel_kinds(by_kind: dict[str, list[dict]], everyday: list[str]) -> set[str]:
    wanted = round(NOVEL_SHARE * len(by_kind))
    fit = sorted((kind for kind in everyday if kind in by_kind and _unspoken(kind, by_kind)), key=digest)
    large = [kind for kind in fit if len(by_kind[kind]) > 3][: min(LARGE_NOVEL, wanted // 4)]
    return set(large + [kind for kind in fit if len(by_kind[kind]) <= 3][: wanted - len(large)])


def _unspoken(kind: str, by_kind: dict[str, list[dict]]) -> bool:
    """Whether neither the kind nor a name of its objects is said within the name of an object of another kind."""
    own = {words_of(thing["name"]) for thing in by_kind[kind]} | {words_of(kind)}
    others = (words_of(thing["name"]) for other, things in by_kind.items() if other != kind for thing in things)
    return not any(said in name for name in others for said in own)


def words_of(name: str) -> str:
    """The name's words in lower case without a plural's s, between spaces, so that `in` finds whole words."""
    words = re.findall(r"[a-z0-9]+", name.lower())
    return " " + " ".join(word[:-1] if word.endswith("s") and len(word) > 3 else word for word in words) + " "
