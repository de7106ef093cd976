"""One picture, in any format, as the JPEG that is packed."""

import io
import re
from dataclasses import dataclass

from PIL import Image

from vicinal.data.equal_images import digest
from vicinal.data.photos.crops import resized_shape
from vicinal.data.photos.decode import decode
from vicinal.data.pictures import COLOUR, GREY, as_viewed, is_turned, oddities


class BadPhotoError(Exception):
    """A picture that cannot be packed; the message says why."""


@dataclass(frozen=True)
class Encoded:
    """A grey or RGB JPEG."""

    data: bytes  # its bytes
    height: int  # in pixels
    width: int  # in pixels
    kept: bool  # whether these are the bytes of the source
    odd: list[str]  # the ``pictures.oddities`` of the source
    digest: int  # of the bytes, to find equal photos


def encode_photo(data: bytes, shorter_side: int | None, quality: int, viewed: bool = False) -> Encoded:
    """Return a picture as a grey or RGB JPEG.

    The bytes of a grey or RGB JPEG are kept unless it is to be shrunk. Other pictures are decoded by Pillow, converted
    to RGB (without alpha channel and EXIF orientation, as in torchvision's ``ImageFolder``, unless ``viewed``), shrunk
    by Lanczos' filter if they are larger, and encoded with 4:2:0 chroma.

    Args:
        data: the file's bytes.
        shorter_side: pixels to which the shorter side is reduced, but never enlarged; None: its own size.
        quality: of a JPEG that is encoded anew, 1 to 100, as libjpeg counts.
        viewed: take pictures as viewers show them, see ``pictures.as_viewed``; JPEGs that are turned are encoded anew.

    Raises:
        BadPhotoError: it cannot be decoded, or is no 8-bit picture.
    """
    try:
        picture = Image.open(io.BytesIO(data))
        shrink = shorter_side is not None and min(picture.size) > shorter_side
        # MPO: a JPEG with further pictures behind it, from some cameras.
        is_jpeg = picture.format in ("JPEG", "MPO") and picture.mode in ("L", "RGB")
        if is_jpeg and not shrink and not (viewed and is_turned(picture)):
            height, width = decode(bytearray(data)).shape[:2]
            return Encoded(data, height, width, True, oddities(picture), digest(data))
        if picture.mode not in GREY | COLOUR:
            raise BadPhotoError(f"pictures of mode {picture.mode} are not supported, only 8-bit grey and colour ones")
        return _encoded_anew(picture, shorter_side if shrink else None, quality, viewed)
    except (BadPhotoError, MemoryError):
        raise
    except Exception as error:  # decoders of damaged pictures raise almost anything
        raise BadPhotoError(_reason(error)) from error


def _encoded_anew(picture: Image.Image, shorter_side: int | None, quality: int, viewed: bool) -> Encoded:
    width, height = picture.size
    if shorter_side is not None:
        height, width = resized_shape(height, width, shorter_side)
        # JPEGs of more than twice the size are decoded at 1/2, 1/4 or 1/8 of it, which is much faster.
        picture.draft(None, (2 * width, 2 * height))
    picture.load()
    odd, size = oddities(picture), picture.size
    if viewed:
        picture = as_viewed(picture)
    picture = picture.convert("RGB")
    if shorter_side is None:
        width, height = picture.size
    elif picture.size != size:  # turned by a quarter
        width, height = height, width
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality, subsampling="4:2:0")
    return Encoded(file.getvalue(), height, width, False, odd, digest(file.getvalue()))


def _reason(error: Exception) -> str:
    text = str(error)
    if "cannot identify" in text:
        return "not a picture"
    # torchvision's messages begin with the name and place of the function that failed.
    text = re.sub(r"^.*\.cpp:\d+, ", "", text.split("\n")[0])
    return " ".join(text.split()) or type(error).__name__
