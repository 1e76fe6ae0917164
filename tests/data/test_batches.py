"""Order and slices: every pair once an epoch, in one process only, in the same place."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clip_mamba.data.batches import Plan, Steps
from clip_mamba.data.order import Order


@settings(deadline=None, max_examples=40)
@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=12),
    block=st.integers(1, 5),
    epoch=st.integers(0, 3),
    cut=st.floats(0, 1),
)
def test_an_epoch_is_a_permutation_that_can_be_read_in_parts(sizes, block, epoch, cut):
    order, again = Order(sizes, seed=1, block=block), Order(sizes, seed=1, block=block)
    whole = order.take(epoch, 0, len(order))
    assert sorted(whole) == list(range(sum(sizes)))
    middle = int(cut * len(order))
    parts = [again.take(epoch, 0, middle)] if middle else []
    parts += [again.take(epoch, middle, len(order))] if middle < len(order) else []
    assert np.array_equal(np.concatenate(parts), whole)


def test_shards_are_shuffled_in_blocks_of_neighbours():
    order = Order([10] * 20, seed=0, block=4)
    for start in range(0, 200, 40):
        assert len(set(order.take(0, start, start + 40) // 10)) == 4
    assert list(order.take(0, 0, 200)) != list(order.take(1, 0, 200))
    assert list(order.take(0, 0, 200)) != list(Order([10] * 20, seed=1, block=4).take(0, 0, 200))


@pytest.mark.parametrize("world", [1, 2, 4, 8])
def test_processes_divide_the_batch_without_overlap(world):
    plan = Plan(Order([30, 50, 21], seed=3), batch_size=16, epochs=2, seed=3)
    assert (plan.steps_per_epoch, plan.steps) == (6, 12)
    for step in range(plan.steps):
        parts = [plan.numbers(step, rank, world) for rank in range(world)]
        assert {len(part) for part in parts} == {16 // world}
        assert np.array_equal(np.concatenate(parts), plan.numbers(step))
    epoch = np.concatenate([plan.numbers(step) for step in range(6)])
    assert len(set(epoch)) == 96


def test_a_corpus_smaller_than_a_batch_is_refused():
    with pytest.raises(ValueError, match="lower the recipe's batch_size"):
        Plan(Order([30], seed=0), batch_size=31, epochs=1, seed=0)


def test_a_batch_that_cannot_be_shared_evenly_is_refused():
    plan = Plan(Order([30], seed=0), batch_size=16, epochs=1, seed=0)
    with pytest.raises(ValueError, match="16 pairs cannot be shared evenly by 3 processes"):
        plan.slice(0, 3)


def test_the_steps_that_are_left():
    assert list(Steps(4, 7)) == [4, 5, 6]
    assert len(Steps(4, 7)) == 7
