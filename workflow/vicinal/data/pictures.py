"""What a picture's file says beside its pixels: how it is turned, and where it is transparent."""

from collections.abc import Mapping

from PIL import Image, ImageOps

GREY = {"1", "L", "LA"}
COLOUR = {"RGB", "RGBA", "RGBX", "P", "PA", "CMYK", "YCbCr", "LAB", "HSV"}
_ORIENTATION = 0x0112  # of EXIF; 1: as it is stored


def is_turned(picture: Image.Image) -> bool:
    """Return whether the EXIF orientation says to turn or mirror a picture; what cannot be read says nothing."""
    try:
        return picture.getexif().get(_ORIENTATION, 1) in range(2, 9)
    except Exception:  # damaged EXIF raises almost anything
        return False


def is_transparent(picture: Image.Image) -> bool:
    """Return whether a pixel of a picture is transparent, also in part."""
    return picture.has_transparency_data and picture.convert("RGBA").getchannel("A").getextrema()[0] < 255


def oddities(picture: Image.Image) -> list[str]:
    """Return which of ``turned`` and ``transparent`` a loaded picture is."""
    found = {"turned": is_turned(picture), "transparent": is_transparent(picture)}
    return [name for name, is_so in found.items() if is_so]


def as_viewed(picture: Image.Image) -> Image.Image:
    """Return a picture as viewers show it: turned as its EXIF says, transparency on white; grey stays grey."""
    picture.load()  # some formats apply the orientation here
    if is_turned(picture):
        picture = ImageOps.exif_transpose(picture)
    if picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture.convert("RGBA")).convert("L" if picture.mode in GREY else "RGB")
    return picture


def oddity_notes(counts: Mapping[str, int]) -> list[str]:
    """Return what to say of pictures that are not taken as viewers show them, a line each."""
    says = {
        "turned": "images whose EXIF orientation is not applied: {:,} (data.as_viewed: true applies it)",
        "transparent": "images whose transparency is dropped: {:,} (data.as_viewed: true puts them on white)",
    }
    return [words.format(counts[name]) for name, words in says.items() if counts.get(name)]
