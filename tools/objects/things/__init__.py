"""Everyday things built of solids, each unlike any other: a function a kind, by the names that training has for it.

A function draws one thing from its generator, as parts in cm. Knows how things are made, not how they are seen.
"""

from things import (
    appliances,
    baths,
    beds,
    cabinets,
    cloths,
    containers,
    electronics,
    lamps,
    plants,
    seats,
    smalls,
    structures,
    tables,
    vehicles,
    vessels,
)
from things.solids import Maker

MADE: dict[str, Maker] = {
    **seats.MADE,
    **tables.MADE,
    **beds.MADE,
    **cabinets.MADE,
    **lamps.MADE,
    **plants.MADE,
    **structures.MADE,
    **vessels.MADE,
    **containers.MADE,
    **electronics.MADE,
    **appliances.MADE,
    **baths.MADE,
    **vehicles.MADE,
    **smalls.MADE,
    **cloths.MADE,
}
