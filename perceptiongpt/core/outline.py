"""The outline of a mask as closed walks along pixel edges.

Knows pixels only; formats of polygons are core.masks' matter.
K corners of the whole mask, each with one level and one upright edge.
"""

from __future__ import annotations

import numpy as np


def trace(mask: np.ndarray) -> list[np.ndarray]:
    """A mask bool [H, W] as one closed walk int64 [K, 2] (x, y) for each 4-connected piece, upper left corner first.

    Under the even-odd rule a walk covers exactly its piece: a hole is reached from the outline above it by an upright
    slit that is walked down and up again.
    """
    corners, across, along, is_hole_above = _corners(mask)
    loops = _loops(across, along)
    visits: dict[int, list[tuple[int, int]]] = {}  # level edge (its left corner) -> (x, loop) of the holes hung on it
    level = np.flatnonzero(corners[:, 2] == 1)  # left ends, already sorted by y, then x
    key = corners[level, 1] * (mask.shape[1] + 2) + corners[level, 0]
    outer = []
    for number, loop in enumerate(loops):
        x, y = corners[loop[0], :2]
        if not is_hole_above[loop[0]]:
            outer.append(number)
            continue
        above = np.flatnonzero(~mask[:y, x])  # the last background pixel over the hole, in its column
        edge_y = int(above[-1]) + 1 if len(above) else 0
        at = level[np.searchsorted(key, edge_y * (mask.shape[1] + 2) + x, side="right") - 1]
        visits.setdefault(int(at), []).append((int(x), number))
    return [_walk(corners, across, loops, visits, number) for number in outer]


def _corners(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Corners [K, 4] (x, y, goes right, goes down), the other ends of their level and upright edges, hole flags [K].

    Where two pixels touch at a corner only, there are two corners, one for each pixel: pieces are 4-connected.
    """
    padded = np.pad(mask, 1)
    quadrants = {
        (0, 0): padded[:-1, :-1],
        (1, 0): padded[:-1, 1:],
        (0, 1): padded[1:, :-1],
        (1, 1): padded[1:, 1:],
    }
    found = []
    for (right, down), here in quadrants.items():
        beside, over, opposite = (
            quadrants[1 - right, down],
            quadrants[right, 1 - down],
            quadrants[1 - right, 1 - down],
        )
        # A pixel alone among the four, one gap among the four, or one of two that touch at this corner only.
        turns = (here != beside) & (here != over) & (here | opposite)
        y, x = np.nonzero(turns)
        found.append(np.stack([x, y, np.full_like(x, right), np.full_like(x, down), here[y, x]], 1))
    rows = np.concatenate(found).astype(np.int64)
    rows = rows[np.lexsort((rows[:, 2], rows[:, 0], rows[:, 1]))]  # by y, then x, the left-going first
    count = len(rows)
    across = np.arange(count).reshape(-1, 2)[:, ::-1].ravel()  # neighbours on a grid line are the ends of an edge
    order = np.lexsort((rows[:, 3], rows[:, 1], rows[:, 0]))
    along = np.empty(count, np.int64)
    along[order] = order.reshape(-1, 2)[:, ::-1].ravel()
    return rows[:, :4], across, along, rows[:, 4] == 0


def _loops(across: np.ndarray, along: np.ndarray) -> list[list[int]]:
    """The closed loops as lists of corners; each begins at its uppermost left corner."""
    level, upright = across.tolist(), along.tolist()
    seen = [False] * len(level)
    loops = []
    for start in range(len(level)):
        if seen[start]:
            continue
        loop, at = [], start
        while not seen[at]:
            other = level[at]
            seen[at] = seen[other] = True
            loop += [at, other]
            at = upright[other]
        loops.append(loop)
    return loops


def _walk(
    corners: np.ndarray,
    across: np.ndarray,
    loops: list[list[int]],
    visits: dict[int, list[tuple[int, int]]],
    number: int,
) -> np.ndarray:
    """One loop with all that hangs on it, int64 [K, 2]."""
    walk: list[tuple[int, int]] = []
    stack: list[tuple[int, int] | int] = [number]  # points to emit and loops to expand, last first
    while stack:
        item = stack.pop()
        if isinstance(item, tuple):
            walk.append(item)
            continue
        todo: list[tuple[int, int] | int] = []
        loop = loops[item]
        for i in range(0, len(loop), 2):  # loops alternate: a level edge, then an upright one
            a, b = loop[i], loop[i + 1]
            x, y = int(corners[a, 0]), int(corners[a, 1])
            todo.append((x, y))
            leftward = x > corners[b, 0]
            for hole_x, hole in sorted(visits.get(min(a, b), []), reverse=bool(leftward)):
                todo += [(hole_x, y), hole, (hole_x, y)]
            todo.append((int(corners[b, 0]), y))
        if item != number:
            todo.append(todo[0])  # a hole is left where it was entered
        stack += reversed(todo)
    return np.asarray(walk, np.int64)
