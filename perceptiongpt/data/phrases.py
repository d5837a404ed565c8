"""How to ask about a picture and how to answer: templates, the canonical one of each task first.

The canonical question is what `predict` asks; training hears it half of the time. Answers to a request for a region
repeat the phrase and then the places: the words tell the language model what it is about to point at, and each costs
time. Knows nothing of pictures.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from perceptiongpt.data.words import NUMBERS, asks_for_many, bare, is_countable, is_plural, with_article

CANONICAL_SHARE = 0.5
BARE_SHARE = 0.2  # of the phrases lose their article, as users leave it out

# {p} is the phrase, {be} is or are, {n} a bare noun, {N} its plural, {0} the place of a shown region.
QUESTIONS: dict[str, tuple[str, ...]] = {
    "region": (
        "Where {be} {p}?",
        "Find {p}.",
        "Show me {p}.",
        "Can you point at {p}?",
        "Segment {p}.",
        "Locate {p} in the picture.",
        "I am looking for {p}.",
        "Mark {p}.",
    ),
    "list": (
        "Find: {p}.",
        "Find these: {p}.",
        "Where are these: {p}?",
        "Locate each of these: {p}.",
        "Show me: {p}.",
        "Mark these: {p}.",
    ),
    "point": (
        "Point to {p}.",
        "Point at {p}.",
        "Click on {p}.",
        "Touch {p}.",
        "Put your finger on {p}.",
        "Give a point on {p}.",
    ),
    "what": (
        "What is {0}?",
        "What is this {0}?",
        "What do you see at {0}?",
        "Name the object {0}.",
        "Which thing is at {0}?",
        "Tell me what {0} is.",
    ),
    "describe": (
        "Describe {0}.",
        "Describe the object {0}.",
        "Describe this region {0}.",
        "Say more about {0}.",
        "Give a description of {0}.",
        "What can you say about {0}?",
    ),
    "caption": (
        "Describe the picture.",
        "What is in the picture?",
        "What do you see?",
        "Write a caption.",
        "Tell me what the picture shows.",
        "Which things are in this picture?",
    ),
    "grounded": (
        "Describe the picture and show each thing.",
        "What is in the picture? Show where.",
        "Find everything in the picture.",
        "Name and locate each object.",
        "Write a caption with regions.",
        "Which things are there, and where?",
    ),
    "count": (
        "How many {N} are there?",
        "Count the {N}.",
        "How many {N} do you see?",
        "What is the number of {N}?",
        "How many {N} are in the picture?",
        "Tell me the number of {N}.",
    ),
    "colour": (
        "What colour {be} {p}?",
        "What color {be} {p}?",
        "Which colour does {p} have?",
        "Tell me the colour of {p}.",
        "Name the color of {p}.",
        "Which colour {be} {p}?",
    ),
    "presence": (
        "Is there {a}?",
        "Is there {a} in the picture?",
        "Do you see {a}?",
        "Can you see {a}?",
        "Does the picture show {a}?",
        "Is {a} visible?",
    ),
}


def ask_region(phrase: str) -> str:
    """The canonical request for a region: "Where is the red mug?", "Where are all the apples?"."""
    phrase = _checked(phrase)
    return f"Where {_be(phrase)} {phrase}?"


def ask_point(phrase: str) -> str:
    """The canonical request for a point: "Point to the red mug."."""
    return f"Point to {_checked(phrase)}."


def ask_describe() -> str:
    """The canonical request to describe one shown region, whose place is {0}."""
    return QUESTIONS["describe"][0]


def ask_caption() -> str:
    """The canonical request for a caption without regions."""
    return QUESTIONS["caption"][0]


def ask_grounded() -> str:
    """The canonical request for a caption with regions."""
    return QUESTIONS["grounded"][0]


def answer_region(phrase: str, n: int) -> str:
    """The answer with n places: "The red mug{0}.", "All the apples{0}{1}."; n = 0 is `answer_none`."""
    if n == 0:
        return answer_none(phrase)
    return f"{_capital(_checked(phrase))}{_places(n)}."


def answer_none(phrase: str) -> str:
    """What to say of a thing that isn't there: "There is no red mug.", "There are no apples."."""
    noun = bare(_checked(phrase))
    return f"There {_be(phrase)} no {noun}."


def join_list(items: Sequence[str]) -> str:
    """Several phrases to be found at once, as one: "the red mug; the second chair from the left"."""
    return "; ".join(_checked(item) for item in items)


def answer_list(found: Sequence[tuple[str, int]]) -> str:
    """The answer to a list of (phrase, how many were found): "The red mug{0}; all the apples{1}{2}; no cat."."""
    parts, used = [], 0
    for phrase, n in found:
        parts.append(_checked(phrase) + _places(n, used) if n else f"no {bare(_checked(phrase))}")
        used += n
    return f"{_capital('; '.join(parts))}."


def answer_name(name: str) -> str:
    """What a shown region is: "A red chair."."""
    return f"{_capital(with_article(name))}."


def answer_told(text: str) -> str:
    """A description as a sentence: "a man in red" -> "A man in red."."""
    words = _checked(text)
    return _capital(words if words[-1] in ".!?" else f"{words}.")


def answer_count(n: int) -> str:
    """A number as a word: "Two."; "None." for 0."""
    return f"{_capital('none' if n == 0 else NUMBERS[n] if n < len(NUMBERS) else str(n))}."


def answer_shown(n: int, answer: str) -> str:
    """An answer after the n places that it is about, so that it is read off them: "{0}{1} Two."."""
    return f"{_places(n)} {answer}" if n else answer


def answer_yes(yes: bool) -> str:
    return "Yes." if yes else "No."


def say_caption(things: Sequence[tuple[str, int]], places: bool) -> str:
    """A caption of (noun phrase, how many) in order: "A dog{0} and two apples{1}{2}."; or the words alone."""
    parts, used = [], 0
    for words, n in things:
        parts.append(words + (_places(n, used) if places else ""))
        used += n
    if not parts:
        return "Nothing."
    text = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return f"{_capital(text)}."


def ask(task: str, rng: np.random.Generator, *, phrase: str = "", noun: str = "", nouns: str = "") -> str:
    """A question of a task: the canonical template half of the time, else one of the others.

    `phrase` fills "region", "list", "point" and "colour"; `noun` "presence"; `nouns` (a plural) "count".
    """
    templates = QUESTIONS[task]
    other = rng.random() >= CANONICAL_SHARE
    template = templates[int(rng.integers(1, len(templates)))] if other else templates[0]
    return (
        template.replace("{p}", phrase)
        .replace("{be}", _be(phrase))
        .replace("{a}", with_article(noun) if is_countable(noun) else f"any {noun}")
        .replace("{N}", nouns)
        .replace("Is there any", "Are there any" if is_plural(noun) else "Is there any")
    )


def as_users_say(phrase: str, rng: np.random.Generator) -> str:
    """The phrase, one time in five without its article ("red mug" for "the red mug")."""
    drop = rng.random() < BARE_SHARE
    return phrase[4:] if drop and phrase.startswith("the ") else phrase


def _be(phrase: str) -> str:
    return "are" if asks_for_many(phrase) or is_plural(phrase.lower()) else "is"


def _places(n: int, first: int = 0) -> str:
    return "".join(f"{{{i}}}" for i in range(first, first + n))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _checked(phrase: str) -> str:
    """A phrase as one line; curly braces would be read as places of regions, so they become brackets."""
    text = " ".join(str(phrase).replace("{", "(").replace("}", ")").split())
    if not text:
        raise ValueError("an empty phrase came; name what to look for, such as 'the red mug'")
    return text
