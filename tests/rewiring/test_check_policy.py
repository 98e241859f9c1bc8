"""A check that a wrong policy passes is no check: every hostile policy here must be caught, by name."""

import numpy as np
import pytest

import keras_sparse as ks

NOTHING = np.empty(0, np.int64)


class Grow(ks.Policy):
    """Removes every fourth connection and grows as many: a correct base for the wrong ones."""

    def update(self, kernels, *, step, progress, learning_rate, rng):
        return [self.one(kernel, rng) for kernel in kernels]

    def one(self, kernel, rng):
        keep = np.arange(len(kernel.connectivity)) % 4 != 3
        inputs, outputs, _ = kernel.candidates(int((~keep).sum()), keep=keep)
        return ks.Change(keep, inputs, outputs, values=kernel.initial(len(inputs)))


def test_the_base_is_correct():
    ks.testing.check_policy(Grow())


def variant(one, **attributes):
    return type("Wrong", (Grow,), {"one": one, **attributes})()


def mutate(self, kernel, rng):
    kernel.values[:] = 0
    return Grow.one(self, kernel, rng)


def unseeded(self, kernel, rng):
    keep = np.random.random(len(kernel.connectivity)) > 0.5
    return ks.Change(keep, *kernel.candidates(int((~keep).sum()), keep=keep)[:2])


def loses(self, kernel, rng):
    return ks.Change(np.arange(len(kernel.connectivity)) > 0, NOTHING, NOTHING)


def duplicates(self, kernel, rng):
    keep = np.ones(len(kernel.connectivity), bool)
    keep[0] = False
    c = kernel.connectivity
    return ks.Change(keep, c.inputs[-1:], c.outputs[-1:])


def out_of_range(self, kernel, rng):
    keep = np.ones(len(kernel.connectivity), bool)
    keep[0] = False
    return ks.Change(keep, np.array([kernel.connectivity.shape[0]]), np.array([0]))


def too_many(self, kernel, rng):
    keep = np.ones(len(kernel.connectivity), bool)
    free = kernel.connectivity.shape[0] * kernel.connectivity.shape[1] - len(keep)
    return ks.Change(keep, *kernel.candidates(min(1, free))[:2])


def rewrites(self, kernel, rng):
    keep = np.ones(len(kernel.connectivity), bool)
    return ks.Change(keep, NOTHING, NOTHING, kept_values=kernel.values * 2)


def not_finite(self, kernel, rng):
    change = Grow.one(self, kernel, rng)
    return ks.Change(change.keep, change.inputs, change.outputs, values=np.full(len(change.inputs), np.nan))


def wrong_keep(self, kernel, rng):
    return ks.Change(np.ones(3, int), NOTHING, NOTHING)


def wrong_values(self, kernel, rng):
    change = Grow.one(self, kernel, rng)
    return ks.Change(change.keep, change.inputs, change.outputs, values=np.zeros(len(change.inputs) + 1))


def late(self, kernel, rng):
    self.calls = getattr(self, "calls", 0) + 1
    return Grow.one(self, kernel, rng) if self.calls < 20 else loses(self, kernel, rng)


def takes_the_spare_room(self, kernel, rng):
    keep = np.ones(len(kernel.connectivity), bool)
    grown = min(1, kernel.capacity - len(keep))
    return ks.Change(keep, *kernel.candidates(grown)[:2])


def two_calls(self, kernel, rng):
    keep = np.arange(len(kernel.connectivity)) % 4 != 3
    count = int((~keep).sum())
    first = kernel.candidates(count, keep=keep)[:2]
    second = kernel.candidates(count, keep=keep)[:2]
    assert count < 10 or kernel.connectivity.density == 1 or not np.array_equal(first, second)
    return ks.Change(keep, *second)


def test_two_draws_of_one_update_are_independent():
    ks.testing.check_policy(variant(two_calls))


def test_the_end_of_training_is_checked_too():
    def finish(self, kernels, **context):
        return [out_of_range(self, kernel, None) for kernel in kernels]

    with pytest.raises(AssertionError, match="The end of training raised"):
        ks.testing.check_policy(variant(Grow.one, finish=finish))


@pytest.mark.parametrize(
    ("one", "message"),
    [
        (mutate, "read-only"),
        (unseeded, "Not reproducible"),
        (loses, "count is not kept"),
        (late, "count is not kept"),
        (takes_the_spare_room, "count is not kept"),
        (duplicates, "already is"),
        (out_of_range, "must lie in"),
        (too_many, "count is not kept|exceed the capacity"),
        (rewrites, "changed their values"),
        (not_finite, "must be finite"),
        (wrong_keep, "`keep` must be bool"),
        (wrong_values, "one per connection"),
    ],
)
def test_wrong_policies_are_caught(one, message):
    with pytest.raises(AssertionError, match=message):
        ks.testing.check_policy(variant(one))


def test_declared_exceptions_are_allowed():
    ks.testing.check_policy(variant(loses, keeps_count=False))
    ks.testing.check_policy(variant(rewrites, changes_kept_values=True))


def test_a_policy_must_answer_for_every_kernel():
    class Silent(ks.Policy):
        def update(self, kernels, **context):
            return []

    with pytest.raises(AssertionError, match="expected 7 changes"):
        ks.testing.check_policy(Silent())
    with pytest.raises(AssertionError, match="does not say what an update does"):
        ks.testing.check_policy(ks.Policy())


def test_memory_for_every_position_is_noticed():
    class Dense(ks.SET):
        def update(self, kernels, **context):
            for kernel in kernels:
                np.zeros(kernel.layout.shape, bool)
            return super().update(kernels, **context)

    with pytest.raises(AssertionError, match="memory for every position"):
        ks.testing.check_policy(Dense())
    honest = Dense()
    honest.memory = "dense"
    ks.testing.check_policy(honest)


def test_a_total_that_is_not_kept_is_noticed():
    class Leaking(ks.PruneRegrow):
        def update(self, kernels, **context):
            *changes, last = super().update(kernels, **context)
            return [*changes, ks.Change(last.keep, last.inputs[:0], last.outputs[:0])]

    policy = Leaking(0.3, redistribute="magnitude")
    with pytest.raises(AssertionError, match="The total is not kept"):
        ks.testing.check_policy(policy)


def test_a_returning_connection_must_not_get_old_slots_by_accident():
    class Forgetful(ks.SET):
        """Answers with the places of connections it has just removed, as kept ones."""

        def update(self, kernels, **context):
            return [ks.Change(np.ones(len(k.values), bool), *k.units(), None) for k in kernels]

    with pytest.raises(AssertionError, match=r"a new connection lies where a kept one already is|exceed the capacity"):
        ks.testing.check_policy(Forgetful())
