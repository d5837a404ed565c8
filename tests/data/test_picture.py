"""Pictures from anywhere: modes, turns, depths; what cannot be used is refused in one sentence."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from perceptiongpt.data.picture import PictureError, open_picture

RED, BLUE = (255, 0, 0), (0, 0, 255)


def saved(image, form="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def two_colours(size_wh=(40, 20)):
    image = Image.new("RGB", size_wh, RED)
    image.paste(BLUE, (size_wh[0] // 2, 0, *size_wh))
    return image


def png_claiming(width, height):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def test_a_path_bytes_an_image_and_an_array_are_the_same_picture(tmp_path):
    image = two_colours()
    path = tmp_path / "a picture.png"
    image.save(path)
    for source in (
        path,
        str(path),
        path.read_bytes(),
        image,
        np.asarray(image),
        np.asarray(image) / np.float32(255),
        image.copy,
    ):
        got = open_picture(source)
        assert got.mode == "RGB"
        assert np.array_equal(got, image)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_exif_turns_the_picture(form, turn):
    upright = Image.new("RGB", (32, 16), RED)
    upright.paste(BLUE, (0, 0, 8, 8))  # blue marks the upper left corner
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[turn]) if turn in undo else upright
    exif = Image.Exif()
    exif[0x0112] = turn
    got = open_picture(saved(stored, form, exif=exif))
    assert got.size == (32, 16)
    assert got.getpixel((2, 2))[2] > 200 and got.getpixel((28, 12))[0] > 200
    assert open_picture(got).size == (32, 16)  # turned once, not twice


def test_sixteen_bits_are_scaled_not_cut():
    deep = Image.fromarray(np.array([[0, 257 * 100], [257 * 200, 65535]], np.uint16))
    for source in (saved(deep), saved(deep, "TIFF"), deep, deep.convert("I")):
        assert np.asarray(open_picture(source))[..., 0].tolist() == [[0, 100], [200, 255]]
    fraction = Image.fromarray(np.array([[0.0, 0.5, 1.0]], np.float32))
    assert np.asarray(open_picture(saved(fraction, "TIFF")))[..., 0].tolist() == [[0, 128, 255]]


def test_what_is_transparent_lies_over_white():
    clear = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    clear.putpixel((0, 0), (255, 0, 0, 255))
    grey = Image.merge("LA", [Image.new("L", (4, 4), 0), Image.new("L", (4, 4), 128)])
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([10, 20, 30, 0, 0, 0])
    palette.putpixel((0, 0), 0)
    for source in (saved(clear), clear, np.asarray(clear)):
        got = open_picture(source)
        assert (got.getpixel((0, 0)), got.getpixel((3, 3))) == (RED, (255, 255, 255))
    assert open_picture(saved(grey)).getpixel((1, 1)) == (127, 127, 127)
    got = open_picture(saved(palette, transparency=1))
    assert (got.getpixel((0, 0)), got.getpixel((3, 3))) == ((10, 20, 30), (255, 255, 255))


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "HSV", "RGBX", "LAB"])
def test_every_mode_becomes_rgb(mode):
    got = open_picture(Image.new("RGB", (6, 5), "white").convert(mode) if mode != "LAB" else Image.new("LAB", (6, 5)))
    assert (got.mode, got.size) == ("RGB", (6, 5))
    if mode not in ("LAB",):
        assert min(got.getpixel((2, 2))) > 250


def test_cmyk_keeps_its_colours():
    got = open_picture(saved(two_colours().convert("CMYK"), "JPEG", quality=95))
    assert got.getpixel((5, 10))[0] > 200 > 60 > got.getpixel((5, 10))[2]


def test_an_animation_is_its_first_frame():
    frames = [Image.new("RGB", (8, 8), c) for c in (RED, BLUE)]
    for form in ("GIF", "WEBP", "PNG"):
        options = {"lossless": True} if form == "WEBP" else {}
        got = open_picture(saved(frames[0], form, save_all=True, append_images=frames[1:], **options))
        assert got.getpixel((4, 4)) == RED


def test_tiny_and_very_wide_pictures_pass():
    assert open_picture(saved(Image.new("RGB", (1, 1), RED))).getpixel((0, 0)) == RED
    assert open_picture(saved(Image.new("L", (20000, 3)))).size == (20000, 3)


def test_the_picture_is_the_callers_own():
    image = two_colours()
    array = np.asarray(image).copy()
    for source in (image, array):
        open_picture(source).paste(0, (0, 0, 40, 20))
    assert image.getpixel((0, 0)) == RED
    assert tuple(array[0, 0]) == RED
    got = open_picture(array)
    array[:] = 7
    assert got.getpixel((0, 0)) == RED


def test_a_bomb_is_refused_by_its_header_and_the_limit_is_named():
    with pytest.raises(PictureError, match="limit of 64000000"):
        open_picture(png_claiming(12_000, 6_000))
    with pytest.raises(PictureError, match="limit of 64000000"):
        open_picture(png_claiming(60_000, 60_000))
    with pytest.raises(PictureError, match="limit of 799"):
        open_picture(saved(two_colours()), limit_pixels=799)
    assert open_picture(saved(two_colours()), limit_pixels=800).size == (40, 20)
    with pytest.raises(PictureError, match="limit of 10"):
        open_picture(np.zeros((4, 4), np.uint8), limit_pixels=10)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"])
def test_a_truncated_file_is_refused_wherever_it_is_cut(form):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    whole = saved(noise, form)
    for share in (0.02, 0.1, 0.5, 0.8):
        with pytest.raises(PictureError) as caught:
            open_picture(whole[: int(len(whole) * share)])
        assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of the damage
def test_damaged_bytes_are_a_picture_or_a_picture_error():
    rng = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    for form in ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "JPEG2000", "PPM", "ICO", "AVIF"):
        if form not in Image.SAVE:
            continue  # AVIF is optional in Pillow
        whole = np.frombuffer(saved(two_colours((48, 48)), form, exif=exif), np.uint8)
        for _ in range(60):
            damaged = whole.copy()
            damaged[rng.integers(0, min(200, len(whole)), 3)] = rng.integers(0, 256, 3)
            try:
                assert open_picture(damaged.tobytes()).mode == "RGB"
            except PictureError as error:
                assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("no/such/picture.jpg", "does not exist"),
        ("https://example.org/a.jpg", "does not exist"),
        ("nul\0byte", "give the path"),
        (".", "directory"),
        (b"", "not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "not a picture"),
        (b"hello", "not a picture"),
        (None, "NoneType"),
        (7, "int"),
        (Image.new("RGB", (0, 5)), "no pixels"),
        (np.zeros((0, 4, 3), np.uint8), "no pixels"),
        (np.zeros((4, 4, 2), np.uint8), "wanted"),
        (np.zeros(16, np.uint8), "wanted"),
        (np.zeros((1, 4, 4, 3), np.uint8), "wanted"),
        (np.zeros((4, 4), np.int64), "uint8"),
        (np.zeros((4, 4), bool), "uint8"),
        (np.full((4, 4), 255.0), "0..1"),
        (np.full((4, 4), np.nan), "0..1"),
        (np.array([["a"]]), "uint8"),
    ],
)
def test_what_is_no_picture_is_refused_in_one_sentence(source, said):
    with pytest.raises(PictureError, match=said) as caught:
        open_picture(source)
    assert "\n" not in str(caught.value)


def test_the_message_names_the_file(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("not a picture")
    with pytest.raises(PictureError, match=r"notes\.txt is not a picture"):
        open_picture(path)
