"""Multiply two large matrices block by block.

The product of a photograph and the matrix of the discrete cosine transform (DCT-II, orthonormal) is the
spectrum of every row of the photograph. The left factor is cut into bands of rows, the right one into bands
of columns, and each band goes into the cluster's memory once. A task multiplies one band by another, which
it reads there without a copy, and returns one block of the product. Blocks are large, so that nearly all
the time is spent inside the BLAS routine, which keeps one core busy per task.

    python examples/matrix_multiply.py --size 7168 --tasks 16
"""

from __future__ import annotations

import os

# One BLAS thread, here and in the workers, so that one process is compared with many of the same kind. It has
# to be set before NumPy is loaded.
os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

import argparse
import math
import time

import numpy as np
import numpy.typing as npt
import skimage.data
from arguments import add_cluster_options, at_least, compare, square
from tqdm import tqdm

import rustray

Matrix = npt.NDArray[np.float32]


def photograph(size: int) -> Matrix:
    """A grey photograph as a size x size matrix with values in 0..1, mirrored at its edges to fill it."""
    photo = skimage.data.camera().astype(np.float32) / 255
    rows, columns = (max(0, size - length) for length in photo.shape)
    return np.pad(photo, ((0, rows), (0, columns)), "symmetric")[:size, :size].copy()


def cosines(size: int) -> Matrix:
    """The size x size matrix whose column k is the k-th basis function of the orthonormal DCT-II."""
    sample, frequency = np.ogrid[:size, :size]
    basis = np.cos(np.pi * (2 * sample + 1) * frequency / (2 * size)) * math.sqrt(2 / size)
    basis[:, 0] /= math.sqrt(2)
    return basis.astype(np.float32)


@rustray.remote
def multiply_bands(rows: Matrix, columns: Matrix) -> Matrix:
    return rows @ columns


def multiply(left: Matrix, right: Matrix, tasks: int) -> Matrix:
    """left @ right on the cluster, in about `tasks` square blocks."""
    size = len(left)
    side = math.ceil(size / max(1, math.isqrt(tasks)))
    bands = [slice(start, min(start + side, size)) for start in range(0, size, side)]
    column_refs: list[rustray.ObjectRef] = []
    where = {}
    for rows in bands:
        row_ref = rustray.put(left[rows])
        for number, columns in enumerate(bands):
            if number == len(column_refs):  # only now, so that the first tasks run while the rest is put
                column_refs.append(rustray.put(np.ascontiguousarray(right[:, columns])))
            where[multiply_bands.remote(row_ref, column_refs[number])] = rows, columns
    product = np.empty_like(left)
    pending = list(where)
    with tqdm(total=len(pending), unit="block") as bar:
        while pending:
            (done,), pending = rustray.wait(pending)
            product[where.pop(done)] = rustray.get(done)
            bar.update()
    return product


def main() -> None:
    parser = argparse.ArgumentParser(description="Multiply two large matrices block by block.")
    parser.add_argument(
        "--size", type=at_least(1), default=7168, help="rows and columns of a matrix (default 7168)"
    )
    parser.add_argument(
        "--tasks", type=at_least(1), default=16, help="blocks of the product, a square (default 16)"
    )
    add_cluster_options(parser)
    args = parser.parse_args()
    tasks = square(args.tasks, args.size)

    left, right = photograph(args.size), cosines(args.size)
    started = time.perf_counter()
    expected = left @ right
    alone = time.perf_counter() - started

    rustray.init(address=args.address, num_cpus=args.num_cpus)
    started = time.perf_counter()
    product = multiply(left, right, tasks)
    together = time.perf_counter() - started
    rustray.shutdown()

    np.testing.assert_allclose(product, expected, atol=1e-3)
    print(f"{args.size} x {args.size} matrices, one BLAS thread a process, the product is NumPy's")
    print(compare(alone, together))


if __name__ == "__main__":
    main()
