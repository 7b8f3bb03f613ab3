"""Remove the grain from a photograph, tile by tile.

The filter is non-local means (Buades, Coll and Morel, 2005): every pixel becomes an average over the pixels
around it whose neighbourhoods look alike. Its reach is limited, so a tile that is cut with a margin of that
reach gives what the whole picture gives. The photograph goes into the cluster's memory once; tasks cut
their tiles from it there, and return them without the margin.

    python examples/image_filter.py --size 2048 --tasks 16 --output filtered.png
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import skimage.data
import skimage.io
from arguments import add_cluster_options, at_least, compare, square
from skimage.restoration import denoise_nl_means
from tqdm import tqdm

import rustray

Image = npt.NDArray[np.float32]

PATCH = 5  # side of the neighbourhoods that are compared, in pixels
REACH = 5  # how far away a neighbourhood may be, in pixels
PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
MARGIN = REACH + PATCH  # no pixel further away than this counts


def photograph(size: int) -> Image:
    """A colour photograph of size x size pixels with values in 0..1, mirrored at its edges to fill it."""
    photo = skimage.data.astronaut().astype(np.float32) / 255
    rows, columns = (max(0, size - length) for length in photo.shape[:2])
    return np.pad(photo, ((0, rows), (0, columns), (0, 0)), "symmetric")[:size, :size].copy()


def remove_grain(image: Image) -> Image:
    filtered = denoise_nl_means(
        image, patch_size=PATCH, patch_distance=REACH, h=0.05, fast_mode=True, channel_axis=-1
    )
    return np.asarray(filtered, dtype=np.float32)


@rustray.remote
def filter_tile(image: Image, top: int, left: int, side: int) -> Image:
    """The filtered square of `side` pixels whose upper left corner is at (top, left)."""
    above, before = min(top, MARGIN), min(left, MARGIN)
    tile = image[top - above : top + side + MARGIN, left - before : left + side + MARGIN]
    return remove_grain(tile)[above : above + side, before : before + side]


def filter_image(image: Image, tasks: int) -> Image:
    """The filtered image, computed on the cluster in about `tasks` square tiles."""
    size = len(image)
    side = math.ceil(size / max(1, math.isqrt(tasks)))
    image_ref = rustray.put(image)
    corners = [(top, left) for top in range(0, size, side) for left in range(0, size, side)]
    refs = [filter_tile.remote(image_ref, top, left, side) for top, left in corners]
    filtered = np.empty_like(image)
    for (top, left), ref in zip(corners, tqdm(refs, unit="tile"), strict=True):
        filtered[top : top + side, left : left + side] = rustray.get(ref)
    return filtered


def check_output(parser: argparse.ArgumentParser, output: Path) -> None:
    """End with a message if a picture could not be written there: that should not be found out at the end."""
    if not output.absolute().parent.is_dir():
        parser.error(f"--output {output}: there is no folder {output.parent}")
    if output.is_dir():
        parser.error(f"--output {output} is a folder")
    if output.suffix.lower() not in PICTURES:
        parser.error(f"--output {output}: its name must end with one of {', '.join(PICTURES)}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Remove the grain from a photograph, tile by tile.")
    parser.add_argument(
        "--size", type=at_least(PATCH), default=2048, help="side of the picture in pixels (default 2048)"
    )
    parser.add_argument("--tasks", type=at_least(1), default=16, help="tiles, a square number (default 16)")
    add_cluster_options(parser)
    parser.add_argument("--output", type=Path, help="write the photograph, before and after, to this file")
    args = parser.parse_args()
    if args.output:
        check_output(parser, args.output)
    tasks = square(args.tasks, args.size)

    image = photograph(args.size)
    started = time.perf_counter()
    expected = remove_grain(image)
    alone = time.perf_counter() - started

    rustray.init(address=args.address, num_cpus=args.num_cpus)
    started = time.perf_counter()
    filtered = filter_image(image, tasks)
    together = time.perf_counter() - started
    rustray.shutdown()

    np.testing.assert_allclose(filtered, expected, atol=1e-4)
    if args.output:
        skimage.io.imsave(args.output, (np.hstack([image, filtered]).clip(0, 1) * 255).astype(np.uint8))
    print(f"{args.size} x {args.size} pixels, the result is scikit-image's")
    print(compare(alone, together))


if __name__ == "__main__":
    main()
