from __future__ import annotations

from random import Random

import pytest

from rustray.store.allocator import MIB, PAGE, Allocator, Block


def block(allocator: Allocator, size: int, client: int = 1) -> Block:
    found = allocator.allocate(size, client)
    if found is None:
        found = allocator.grow(size, client)
        assert found is not None
        allocator.ready(found.segment)
    return found


def test_blocks_are_whole_pages_and_begin_on_one() -> None:
    allocator = Allocator(256 * MIB)
    for size in (0, 1, PAGE, PAGE + 1, 3 * MIB):
        found = block(allocator, size)
        assert found.offset % PAGE == 0 and found.size % PAGE == 0 and found.size >= max(size, 1)


def test_the_smallest_gap_that_fits_is_taken() -> None:
    allocator = Allocator(256 * MIB)
    blocks = [block(allocator, pages * PAGE) for pages in (5, 1, 3, 1, 4, 1)]
    for freed in (0, 2, 4):
        allocator.free(blocks[freed])
    assert block(allocator, 3 * PAGE, client=2).offset == blocks[2].offset
    assert block(allocator, 4 * PAGE, client=2).offset == blocks[4].offset


def test_neighbours_become_one_again() -> None:
    allocator = Allocator(256 * MIB)
    blocks = [block(allocator, PAGE) for _ in range(3)]
    for freed in (0, 2, 1):
        allocator.free(blocks[freed])
        allocator.sanity_check()
    [segment] = allocator.segments.values()
    assert segment.gaps == {0: segment.size}


def test_a_big_block_has_a_segment_of_its_own_little_bigger_than_itself() -> None:
    allocator = Allocator(1024 * MIB)
    found = block(allocator, 100 * MIB + 1)
    assert 100 * MIB < found.segment.size <= 107 * MIB and not found.segment.shared


@pytest.mark.parametrize(("size", "again"), [(100, True), (80, True), (70, False), (120, False)])
def test_an_own_segment_serves_again_for_similar_sizes(size: int, again: bool) -> None:
    allocator = Allocator(1024 * MIB)
    first = block(allocator, 100 * MIB)
    allocator.free(first)
    assert (block(allocator, size * MIB).segment is first.segment) == again


def test_no_more_than_the_capacity() -> None:
    allocator = Allocator(10 * MIB)
    assert allocator.grow(10 * MIB + 1, 1) is None
    first = allocator.grow(7 * MIB, 1)
    assert first is not None
    assert allocator.grow(4 * MIB, 1) is None
    rest = allocator.grow(3 * MIB, 1)
    assert rest is not None and allocator.total <= 10 * MIB


def test_a_long_random_life_leaves_no_crumbs() -> None:
    random = Random(1)
    allocator = Allocator(64 * MIB)
    for client in range(3):
        allocator.connect(client)
    blocks: list[Block] = []
    for _ in range(3000):
        if blocks and random.random() < 0.5:
            allocator.free(blocks.pop(random.randrange(len(blocks))))
        else:
            size, client = (
                random.choice([random.randrange(MIB), random.randrange(3 * MIB)]),
                random.randrange(3),
            )
            found = allocator.allocate(size, client) or allocator.grow(size, client)
            if found is not None:
                if not found.segment.ready:
                    allocator.ready(found.segment)
                blocks.append(found)
        allocator.sanity_check()
    for found in blocks:
        allocator.free(found)
    assert allocator.used == 0 and len(allocator.idle) == len(allocator.segments)
    for segment in list(allocator.idle.values()):
        allocator.drop(segment)
    allocator.sanity_check()
    assert allocator.total == 0
