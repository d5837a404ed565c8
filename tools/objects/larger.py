"""A larger library to train on: what another one holds, and more. Knows folders of libraries, not what is added."""

import multiprocessing
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from perceptiongpt.data.objects import read_index, write_index


@contextmanager
def larger(source: Path, out: Path) -> Iterator[tuple[Path, list[dict]]]:
    """A folder for pictures and a list for their rows; afterwards `out` holds the library `source` and these.

    Raises FileExistsError where `out` is not empty, ValueError for no rows and for those of objects that `source` has.
    The index is written last: what was broken off is no library.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out} is not an empty folder; name another or empty it first")
    index, work, rows = read_index(source), out / "work", list[dict]()
    work.mkdir(parents=True)
    try:
        yield work, rows
        if not rows:
            raise ValueError(f"nothing to add to {source} was found; see that the folder given first holds it")
        again = {row["id"] for row in index["objects"]} & {row["id"] for row in rows}
        if again:
            raise ValueError(
                f"{source} holds {min(again)} and {len(again) - 1} more already; begin with another library"
            )
        shutil.copyfile(source / "objects.zip", out / "objects.zip")
        with zipfile.ZipFile(out / "objects.zip", "a", zipfile.ZIP_STORED) as archive:
            for view in (view for row in rows for view in row["views"]):
                archive.write(work / view["file"], view["file"])
        write_index(index | {"objects": index["objects"] + rows}, out)
    except BaseException:
        (out / "objects.zip").unlink(missing_ok=True)
        raise
    finally:
        shutil.rmtree(work)


def in_parts(part: Callable[[Any], list[dict]], told: tuple[Any, ...], processes: int) -> list[dict]:
    """The rows, by their ids, that `part` makes of `(*told, i, n)` for each of n shares of the work, in processes."""
    shares = [(*told, i, 8 * processes) for i in range(8 * processes)]
    with multiprocessing.Pool(processes) if processes > 1 else nullcontext() as pool:
        made = [row for some in (pool.imap if pool else map)(part, shares) for row in some]
    return sorted(made, key=lambda row: row["id"])


def reported(build: Callable[[], int], what: str) -> int:
    """Build a library and say how many things it gained, or in one sentence why it was refused; an exit code."""
    try:
        print(build(), f"{what} beside the library's own objects")
    except (ValueError, OSError) as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        return 2
    return 0
