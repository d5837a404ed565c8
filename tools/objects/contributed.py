"""A library with more to train on: 3-D furniture by further authors, and variants of it.

    python tools/objects/contributed.py NONFREE_DEB PROGRAM_DEB LIBRARY OUT

Debian's `sweethome3d-furniture-nonfree` 1.6.2-3 and `sweethome3d` 7.0.2+dfsg-3 (or folders that they unpack to) hold
665 models under the Free Art License 1.3 and the GPL-2, so this library is for training on one's own machine and is
never shipped. They are `train` alone; one whose name says a novel kind, or that looks like what is held out from one of
the sides, is left out. LIBRARY is a folder with a library.
"""

import argparse
import sys
from pathlib import Path

from colours import COLOURS
from colours import colour as colour_of
from contributed_names import SHADES, material, plain
from furniture import Archive, Piece, pieces, unpacked, views, why_not, write
from held import HeldOut
from larger import in_parts, larger, reported
from PIL import Image
from stamps import PACKAGED
from variants import drawn

from perceptiongpt.data.objects import ObjectLibrary

FREE_ART, GPL = "Free-Art-1.3", "GPL-2.0-or-later"
NONFREE, PROGRAM = "sweethome3d-furniture-nonfree 1.6.2-3", "sweethome3d 7.0.2+dfsg-3"
DEFAULT = "com/eteks/sweethome3d/io/DefaultFurnitureCatalog.properties"

PALETTE = "palette.mtl"  # no archive holds a file of that name


class Contributed(Archive):
    """An archive whose entries go by what a person would say, and whose models know the program's own materials."""

    def named(self, entry: dict[str, str]) -> str:
        """As `entries` has it."""
        return entry["name"]

    def read(self, name: str) -> bytes | None:
        """As the archive's; a model that names no file of materials is given the program's."""
        if name == PALETTE or name.endswith("/" + PALETTE):
            return "".join(map(material, SHADES)).encode()
        data = super().read(name)
        bare = name.endswith(".obj") and data is not None and b"mtllib" not in data
        return f"mtllib {PALETTE}\n".encode() + (data or b"") if bare else data

    def entries(self) -> list[dict[str, str]]:
        """As the archive's, without those that nobody would point at."""
        found = []
        for entry in super().entries():
            name = plain(entry["name"])
            if name:
                found.append(entry | {"name": name, "creator": entry.get("creator") or self.author})
        return found


def found(nonfree: Path, program: Path) -> list[tuple[str, Piece]]:
    """Every model that is worth pointing at, and its source; ValueError where either package isn't the one."""
    own, jar = sorted(nonfree.rglob("*.sh3f")), sorted(program.rglob("sweethome3d.jar"))
    if len(own) != 3 or len(jar) != 1:
        raise ValueError(f"{nonfree} and {program} hold {len(own)} catalogues and {len(jar)} programs; wanted 3 and 1")
    archives = [(NONFREE, Contributed(path, (FREE_ART, ""))) for path in own]
    archives.append((PROGRAM, Contributed(jar[0], (GPL, "Emmanuel Puybaret / eTeks"), DEFAULT)))
    return [(source, piece) for source, archive in archives for piece in pieces(archive)]


def part(told: tuple[Path, Path, Path, int, int]) -> list[dict]:
    """The rows of every `parts`-th model and of its variants, by their number; none of one that is held out."""
    nonfree, program, out, first, parts = told
    held, rows = HeldOut(ObjectLibrary.open(PACKAGED)), list[dict]()
    for number, (source, piece) in list(enumerate(found(nonfree, program)))[first::parts]:
        if held.says(piece.name, piece.kind):
            continue
        try:
            drawings = views(piece)
        except ValueError as error:
            print(f"left out: {piece.name} ({piece.model}): {error}", file=sys.stderr)
            continue
        pictures = [Image.fromarray(view.rgba) for view in drawings]
        if why_not(drawings) or any(map(held.shows, pictures)):
            print(f"left out: {piece.name} ({piece.model}): {why_not(drawings) or 'held out'}", file=sys.stderr)
            continue
        said = [word for word in piece.name.split() if word in COLOURS]
        more = {"source": source, "split": "train"}
        own = write(piece, f"more-{number:03}", drawings, out)
        own |= more | {"colour": said[0] if said else colour_of(pictures)}
        rows += [own, *(row | more for row in drawn(piece, f"more-{number:03}", out))]
    return rows


def build(nonfree: Path, program: Path, library: Path, out: Path, processes: int) -> int:
    """Write the larger library into `out` and return how many models it has, not counting variants."""
    found(nonfree, program)
    with larger(library, out) as (work, rows):
        rows += in_parts(part, (nonfree, program, work), processes)
    return sum(row["id"].startswith("furniture/") for row in rows)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nonfree", type=Path, help="the .deb of sweethome3d-furniture-nonfree, or its folder")
    parser.add_argument("program", type=Path, help="the .deb of sweethome3d, or its folder")
    parser.add_argument("library", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()

    def added() -> int:
        with unpacked(options.nonfree) as nonfree, unpacked(options.program) as program:
            return build(nonfree, program, options.library, options.out, options.processes)

    return reported(added, "models of furniture, each with variants,")


if __name__ == "__main__":
    sys.exit(main())
