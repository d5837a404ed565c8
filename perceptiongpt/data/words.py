"""English nouns as far as pointing needs them: articles, plurals, numbers, and which names may mean the same thing.

Knows nothing of pictures or templates.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
RELATIONS = frozenset(  # what comes after one of these tells of something else
    re.findall(r"\w+", "above at behind below beside by from in near of on over to under with")
)

_PLACES = re.findall(  # what is so is so among other things, or in a whole picture
    r"\w+",
    "left right top bottom upper lower middle central center centre corner front back rear background foreground inside"
    " outside inner outer between among amid against beneath underneath opposite away far other last larger smaller"
    " bigger taller shorter closer nearer farther further higher longer wider",
)
_PLACED = re.compile(  # a nest is no superlative
    rf"\b(?:{'|'.join((*RELATIONS, *ORDINALS, *_PLACES))}|\d+(?:st|nd|rd|th)|\w*most"
    r"|(?!(?:chest|crest|forest|guest|harvest|nest|pest|priest|test|vest)\b)\w{2,}est)\b"
)

_IRREGULAR = {
    "child": "children",
    "deer": "deer",
    "fish": "fish",
    "foot": "feet",
    "goose": "geese",
    "man": "men",
    "mouse": "mice",
    "ox": "oxen",
    "people": "people",
    "person": "people",
    "sheep": "sheep",
    "squid": "squid",
    "tooth": "teeth",
    "woman": "women",
    "bison": "bison",
    "shrimp": "shrimp",
}
_TO_VES = {"knife", "leaf", "wolf", "shelf", "loaf", "calf", "half", "scarf", "bookshelf"}
_TO_OES = {"potato", "tomato", "mango", "volcano", "mosquito", "hero", "buffalo"}
_AN_ANYWAY = ("hour", "honest", "heir")
_A_ANYWAY = ("unicorn", "uniform", "united", "university", "unit", "ufo", "euro", "one", "ukulele", "utensil", "used")

# Names that people use for one another: an expression that is to be unique treats each row as one noun, and a thing is
# never called absent while its neighbour in the row is there.
_CONFUSABLE = [
    row.split()
    for row in """
sofa couch settee loveseat
cup mug teacup glass goblet beverage
bicycle bike motorcycle motorbike scooter
television tv monitor screen computer laptop desktop
car automobile taxi truck lorry van pickup vehicle suv bus minibus
plane airplane aeroplane aircraft jet
boat ship ferry sailboat speedboat canoe vessel
dog puppy poodle wolf fox
cat kitten tiger lion leopard lynx
chicken hen rooster chick cock
cow bull ox buffalo cattle calf bison
rabbit bunny hare
mouse rat hamster
horse pony donkey zebra unicorn
sheep ram ewe goat lamb
pig boar hog
whale dolphin shark orca
crocodile alligator lizard
frog toad
turtle tortoise
bug insect beetle ant cricket cockroach ladybug ladybird
bird pigeon dove duck goose swan eagle owl parrot penguin flamingo peacock
camel dromedary
chair armchair stool seat bench rocking highchair
table desk nightstand sideboard console
cupboard cabinet wardrobe closet dresser drawers chest commode bookcase shelf shelves
bed crib cot bunk cradle
lamp light lantern chandelier bulb spotlight
plant flower tree potted bush shrub herb bouquet rose tulip palm leaf cactus
fridge refrigerator freezer
stove cooker oven cooktop hob microwave
sink washbasin basin bathtub bath tub shower
toilet bidet wc
pot pan saucepan casserole kettle teapot
plate dish bowl saucer
clock watch timepiece
phone telephone smartphone mobile
picture painting frame photo poster
carpet rug mat
bag handbag backpack suitcase briefcase luggage purse pouch
shoe boot sandal sneaker slipper
hat cap helmet
shirt blouse t-shirt clothes
book notebook ledger books
box package parcel crate
bin trash dustbin wastebasket basket bucket
spoon ladle
screwdriver wrench tool hammer spanner
drum drums
guitar banjo violin ukulele
cake cupcake shortcake pie pastry
bread baguette loaf toast bagel
sweet candy lollipop
mandarin tangerine orange clementine
pepper chilli chili capsicum bell
moon crescent
person people man woman boy girl child baby human
face head
house home building hut castle office school hotel church
ball football basketball volleyball baseball soccer
window door french
curtain blind drape
""".strip().splitlines()
]
_UNCOUNTED = frozenset(
    re.findall(
        r"\w+",
        "bread butter meat popcorn cheese rice money paper water honey salt sushi bacon tofu broccoli corn lettuce"
        " garlic ginger furniture luggage tea coffee milk wood grass sand toast spaghetti jewellery cutlery fruit soap",
    )
)
_AFTER_A_NOUN = frozenset(
    re.findall(
        r"\w+",
        "on in at to left right of with above below under behind near next closest from between beside that which",
    )
)
_OF_ONE = frozenset(  # plurals of which "the" says one thing
    re.findall(
        r"\w+",
        "binoculars clippers clothes goggles headphones jeans overalls pajamas pants pincers pliers pyjamas scissors"
        " shears shorts spectacles stairs sunglasses tights tongs trousers tweezers",
    )
)
_ROW_OF = {word: i for i, row in enumerate(_CONFUSABLE) for word in row}


def head_of(noun: str) -> str:
    """The noun without what hangs on it: "cup of tea" to "cup", "padlock with a key" to "padlock"."""
    words = noun.split(" ")
    cut = next((i for i, w in enumerate(words) if i and w in _AFTER_A_NOUN), len(words))
    return " ".join(words[:cut])


def says_where(phrase: str) -> bool:
    """Whether a phrase tells of a place, an order or a relation: "the mug on the left", "the second mug", "the larger
    mug". What it means then depends on what else is in the picture."""
    return _PLACED.search(phrase.lower()) is not None


def is_countable(noun: str) -> bool:
    """Whether one may say "two" of it: not of "popcorn", nor of what is a plural already."""
    return not is_plural(noun) and head_of(noun).rpartition(" ")[2] not in _UNCOUNTED


def with_article(noun: str) -> str:
    """The noun after its article: "an apple", "a unicorn"; "scissors" and "popcorn" stay bare."""
    if not is_countable(noun):
        return noun
    low = noun.lower()
    if low.startswith(_AN_ANYWAY):
        return f"an {noun}"
    an = low[:1] in "aeiou" and not low.startswith(_A_ANYWAY)
    return f"{'an' if an else 'a'} {noun}"


def plural(noun: str) -> str:
    """The plural: "apple" to "apples", "cup of tea" to "cups of tea"; a plural stays as it is."""
    head = head_of(noun)
    before, _, last = head.rpartition(" ")
    return f"{before} {_plural_word(last)}".strip() + noun[len(head) :]


@lru_cache(maxsize=8192)
def _plural_word(word: str) -> str:
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    for one, many in (("man", "men"), ("fish", "fish")):
        if word.endswith(one) and word != "human":
            return word[: -len(one)] + many
    if is_plural(word):
        return word
    if word in _TO_VES:
        return re.sub(r"fe?$", "ves", word)
    if word in _TO_OES or word.endswith(("s", "x", "z", "ch", "sh")):
        return word + "es"
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return word[:-1] + "ies"
    return word + "s"


@lru_cache(maxsize=8192)
def is_plural(noun: str) -> bool:
    """Whether a noun looks like a plural: "scissors", "office chairs"; not "bus", "glass", "cactus", "tennis"."""
    word = head_of(noun).rpartition(" ")[2].lower()
    if word in _IRREGULAR:
        return word == "people"
    if word in ("men", "women", "children", "feet", "geese", "mice", "oxen", "teeth"):
        return True
    return len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is", "as", "os"))


def bare(phrase: str) -> str:
    """A phrase without article or "all the": "the red mug" to "red mug", "all the apples" to "apples"."""
    text = " ".join(phrase.split())
    pattern = r"(?:(?:all|both|each|every)(?: of)?(?: the)?|the|an?|my|this|that|these|those|some|any)\s+"
    return re.sub(rf"^{pattern}", "", text, flags=re.IGNORECASE) or text


def asks_for_many(phrase: str) -> bool:
    """Whether a phrase names several things: "all the apples", "both dogs", "the chairs on the left"; "all the pliers",
    but not "the pliers"."""
    words = phrase.lower().split()
    if not words:
        return False
    if words[0] in ("all", "both", "these", "those") or any(w in NUMBERS[2:] for w in words[:2]):
        return True
    noun = " ".join(words)
    return is_plural(noun) and head_of(noun).rpartition(" ")[2] not in _OF_ONE


@lru_cache(maxsize=8192)
def stems(text: str) -> frozenset[str]:
    """The words of a name, plurals folded into one form, and for each the row of names people confuse it with."""
    found: set[str] = set()
    for word in re.findall(r"[\w'-]+", text.lower()):
        forms = {word}
        if is_plural(word):
            forms |= {word[:-1]} | ({word[:-2]} if word.endswith("es") else set())
        found |= {_plural_word(f) if not is_plural(f) else f for f in forms} | {word}
        found |= {f"#{_ROW_OF[f]}" for f in forms if f in _ROW_OF}
    return frozenset(found)


def may_mean(noun: str, names: Iterable[str]) -> bool:
    """Whether somebody might call one of these things `noun`: generous, for checking that an expression is unique."""
    head = stems(head_of(noun).rpartition(" ")[2])
    return any(head & stems(name) for name in names)


@lru_cache(maxsize=65536)
def is_called(noun: str, name: str) -> bool:
    """Whether `noun` names a thing called `name`: the whole name or its last words ("chair" for "office chair")."""
    return noun == name or f" {head_of(name)}".endswith(f" {noun}")
