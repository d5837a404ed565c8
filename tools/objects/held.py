"""What a model never sees in training: the names of novel kinds, and what is held out, by its looks.

Knows a packaged library; nothing of where new pictures come from.
"""

import numpy as np
from PIL import Image
from splits import words_of

from perceptiongpt.data.objects import ObjectLibrary

ALIKE = 6  # of 64 bits of two pictures' differences: closer are the same picture


class HeldOut:
    """What `library` holds out in val, test and novel."""

    def __init__(self, library: ObjectLibrary) -> None:
        held = [o for split in ("val", "test", "novel") for o in library.objects(split)]
        self.novel = {words_of(noun) for o in held if o.split == "novel" for noun in (o.name, o.kind)}
        self.looks = np.stack([look(library.view(o, i)) for o in held for i in range(len(o.views))])

    def says(self, *names: str) -> bool:
        """Whether a name or a kind says a novel one."""
        return any(noun in words_of(said) for noun in self.novel for said in names)

    def shows(self, picture: Image.Image) -> bool:
        """Whether an RGBA picture looks like something held out."""
        return bool((self.looks != look(picture)).sum(1).min() < ALIKE)


def look(picture: Image.Image) -> np.ndarray:
    """64 bits of how a picture's grey rises from left to right, over grey; a picture made smaller keeps them."""
    ground = Image.new("RGBA", picture.size, (128, 128, 128, 255))
    ground.alpha_composite(picture)
    small = np.asarray(ground.convert("L").resize((9, 8), Image.Resampling.LANCZOS), int)
    return (small[:, 1:] > small[:, :-1]).ravel()
