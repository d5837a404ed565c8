"""A box as a Wavefront model, and entries of a catalogue of furniture that names it."""

BOX = """mtllib box.mtl
v -1 0 -1\nv 1 0 -1\nv 1 0 1\nv -1 0 1\nv -1 2 -1\nv 1 2 -1\nv 1 2 1\nv -1 2 1
usemtl top
f 5 6 7 8
usemtl side
f 1 2 6 5\nf 2 3 7 6\nf 3 4 8 7\nf 4 1 5 8
"""
PAINT = "newmtl top\nKd 0.9 0.9 0.9\nnewmtl side\nKd 0.2 0.2 0.7\n"


def entry(number: int, name: str, tags: str, side: int) -> str:
    told = {
        "id": f"us#{name.replace(' ', '')}",
        "name": name,
        "tags": tags,
        "creator": "Someone",
        "category": "Kitchen",
        "model": "/box.obj",
        "width": side,
        "depth": 50,
        "height": 60,
    }
    return "".join(f"{key}#{number}={value}\n" for key, value in told.items())
