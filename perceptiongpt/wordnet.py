"""Wu and Palmer's similarity of English nouns, out of WordNet's own files (`index.noun`, `data.noun`).

Knows WordNet's database format (wndb(5WN)). The files are not shipped: a folder of WordNet 3.0 or 3.1 is named by the
user. Libraries fetch theirs from a site of their own, which a machine without one cannot reach.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

_HYPERNYMS = ("@", "@i")


class WordNet:
    """The nouns of a WordNet folder. Raises ValueError or FileNotFoundError for a folder that is none."""

    def __init__(self, folder: str | Path) -> None:
        root = Path(folder).expanduser()
        for name in ("index.noun", "data.noun"):
            if not (root / name).is_file():
                raise FileNotFoundError(f"{root} has no {name}; give WordNet's dict folder")
        self.senses: dict[str, list[int]] = {}
        self.above: dict[int, tuple[int, ...]] = {}
        try:
            for line in _lines(root / "index.noun"):
                fields = line.split()
                self.senses[fields[0]] = [int(o) for o in fields[-int(fields[2]) :]]
            for line in _lines(root / "data.noun"):
                fields = line.split("|")[0].split()
                at = 4 + 2 * int(fields[3], 16)  # after the words come the pointers, four fields each
                pointers = [fields[i : i + 4] for i in range(at + 1, at + 1 + 4 * int(fields[at]), 4)]
                self.above[int(fields[0])] = tuple(int(p[1]) for p in pointers if p[0] in _HYPERNYMS)
        except (ValueError, IndexError) as error:
            raise ValueError(f"{root} is not in WordNet's format ({error}); give its dict folder") from error
        self._kept = lru_cache(maxsize=65536)(self._similarity)

    def similarity(self, a: str, b: str) -> float:
        """2 depth(c) / (depth(a) + depth(b)) by way of the nearest common ancestor c, best over all senses: 0..1.

        Equal words score 1; words that are no nouns of WordNet only match themselves.
        """
        return 1.0 if a == b else self._kept(*sorted((a, b)))

    def _similarity(self, a: str, b: str) -> float:
        return max((self._pair(x, y) for x in self._senses(a) for y in self._senses(b)), default=0.0)

    def _senses(self, word: str) -> list[int]:
        """The senses of a noun, or of its singular (`chairs`, `boxes`, `berries`)."""
        name = word.replace(" ", "_")
        tries = [name, name.removesuffix("s"), name.removesuffix("es"), name.removesuffix("ies") + "y"]
        return next((self.senses[t] for t in tries if t in self.senses), [])

    def _pair(self, a: int, b: int) -> float:
        if a == b:
            return 1.0
        ours, theirs = self._ancestors(a), self._ancestors(b)
        shared = set(ours) & set(theirs)
        if not shared:
            return 0.0
        best = max(shared, key=self._depth)
        depth = self._depth(best)
        return 2 * depth / (ours[best] + theirs[best] + 2 * depth)

    def _ancestors(self, sense: int) -> dict[int, int]:
        """Every sense above, itself included, with the fewest steps to it."""
        found, rim, steps = {sense: 0}, [sense], 0
        while rim:
            steps += 1
            rim = [n for s in rim for n in self.above.get(s, ()) if n not in found]
            found.update(dict.fromkeys(rim, steps))
        return found

    def _depth(self, sense: int) -> int:
        """The nodes on the longest way to the root, counting both ends."""
        if sense not in self._depths:
            self._depths[sense] = 1 + max((self._depth(s) for s in self.above.get(sense, ())), default=0)
        return self._depths[sense]

    @property
    def _depths(self) -> dict[int, int]:
        return self.__dict__.setdefault("_depth_of", {})


def _lines(path: Path) -> list[str]:
    """The lines of a database file; its licence stands before them, indented."""
    text = path.read_text(encoding="utf-8", errors="replace")
    return [line for line in text.splitlines() if line and not line.startswith("  ")]
