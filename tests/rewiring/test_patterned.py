"""N:M and block patterns are kept through rewiring."""

import keras
import numpy as np
import pytest

import keras_sparse as ks


def attached(policy, pattern, shape=(12, 8), density=None, **options):
    layer = ks.SparseDense(shape[1], density=density, pattern=pattern, seed=1)
    model = keras.Sequential([keras.Input((shape[0],)), layer])
    rewire = ks.Rewire(policy, seed=0, **options).attach(model, keras.optimizers.SGD(0.1))
    rewire._attached = model
    return rewire, layer.kernel


def groups(kernel, m):
    return kernel.connectivity.to_mask().reshape(-1, m, kernel.shape[1]).sum(1)


def tiles(kernel, high, wide):
    n_in, n_out = kernel.shape
    return kernel.connectivity.to_mask().reshape(n_in // high, high, n_out // wide, wide).sum((1, 3))


@pytest.mark.parametrize("policy", [ks.SET(0.4), ks.RigL(0.4), ks.DeepR(l1=0.5, temperature=0.1)], ids=repr)
def test_groups_stay_complete(policy):
    rewire, kernel = attached(policy, ks.NM(2, 4))
    rng = np.random.default_rng(0)
    moved = 0
    for _ in range(5):
        rewire.show_gradient(kernel, rng.normal(size=(3, 12)), rng.normal(size=(3, 8)))
        [entry] = rewire.update()
        moved += entry["added"]
        assert np.all(groups(kernel, 4) == 2)
    assert moved > 10


def test_groups_are_completed_where_the_gradient_is_largest():
    rewire, kernel = attached(ks.RigL(0.25), ks.NM(1, 4), shape=(4, 4))
    strong = (kernel.connectivity.inputs + 1) % 4  # an empty position in every group
    values = np.array([0.1, 1.0, 1.0, 1.0], np.float32)
    kernel.values.assign(values)
    x = np.zeros((4, 4))
    x[kernel.connectivity.outputs, strong] = 5.0  # sample o speaks for output o
    lost = int(kernel.connectivity.outputs[0])
    rewire.show_gradient(kernel, x, np.eye(4))
    rewire.update()
    assert kernel.connectivity.to_mask()[strong[0], lost]
    assert np.all(groups(kernel, 4) == 1)


@pytest.mark.parametrize(
    "policy", [ks.SET(0.4), ks.RigL(0.4), ks.GMP(0.05), ks.GraNet(0.1), ks.SET(0.3, may_return=False)], ids=repr
)
def test_blocks_stay_whole(policy):
    rewire, kernel = attached(policy, ks.Block((3, 2)), density=0.5)
    rng = np.random.default_rng(0)
    removed = 0
    for number in range(5):
        rewire.show_gradient(kernel, rng.normal(size=(3, 12)), rng.normal(size=(3, 8)))
        [*entries] = rewire.update(progress=number / 10)
        removed += sum(entry["removed"] for entry in entries)
        assert set(tiles(kernel, 3, 2).ravel().tolist()) <= {0, 6}
    assert removed > 0


def test_the_weakest_blocks_go_and_those_with_the_largest_gradient_come():
    rewire, kernel = attached(ks.RigL(0.5), ks.Block((2, 2)), shape=(4, 4), density=0.5)
    connectivity = kernel.connectivity
    there = tiles(kernel, 2, 2) > 0
    weak, strong = np.argwhere(there)
    empty = np.argwhere(~there)
    of_weak = (connectivity.inputs // 2 == weak[0]) & (connectivity.outputs // 2 == weak[1])
    kernel.values.assign(np.where(of_weak, -0.5, 1.0).astype("float32"))
    x, dy = np.zeros((1, 4)), np.zeros((1, 4))
    x[0, 2 * empty[1][0]] = dy[0, 2 * empty[1][1]] = 3.0
    rewire.show_gradient(kernel, x, dy)
    rewire.update()
    now = tiles(kernel, 2, 2) > 0
    assert now[tuple(strong)]
    assert now[tuple(empty[1])]
    assert kernel.host_values().tolist().count(0.0) == 4


@pytest.mark.parametrize(
    ("policy", "pattern", "why"),
    [
        (ks.GMP(0.1), ks.NM(1, 4), "groups must stay complete"),
        (ks.SNFS(), ks.NM(1, 4), "groups must stay complete"),
        (ks.SET(may_return=False), ks.NM(1, 4), "groups must stay complete"),
        (ks.SET(final_removal=True), ks.NM(1, 4), "groups must stay complete"),
        (ks.DeepR(), ks.Block((2, 2)), "whole blocks"),
        (ks.SNFS(), ks.Block((2, 2)), "whole blocks"),
        (ks.SRigL(), ks.Block((2, 2)), "whole blocks"),
    ],
)
def test_policies_that_cannot_keep_the_pattern_are_refused(policy, pattern, why):
    with pytest.raises(ValueError, match=f"{why}.*ks.SET"):
        attached(policy, pattern, density=None if isinstance(pattern, ks.NM) else 0.5)


def test_training_with_blocks_and_a_saved_model(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 12)).astype("float32"), rng.normal(size=(64, 8)).astype("float32")
    model = keras.Sequential([keras.Input((12,)), ks.SparseDense(8, density=0.5, pattern=ks.Block((3, 2)), seed=1)])
    model.compile("adam", "mse")
    model.fit(x, y, epochs=3, verbose=0, callbacks=[ks.Rewire(ks.SET(0.4))])
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    loaded.fit(x, y, epochs=2, verbose=0, callbacks=[ks.Rewire(ks.SET(0.4))])
    assert set(tiles(loaded.layers[0].kernel, 3, 2).ravel().tolist()) == {0, 6}


def test_blocks_are_not_counted_with_connections():
    inputs = keras.Input((12,))
    hidden = ks.SparseDense(8, density=0.5, pattern=ks.Block((3, 2)))(inputs)
    model = keras.Model(inputs, ks.SparseDense(6, density=0.5)(hidden))
    for policy in (ks.GMP(0.1), ks.PruneRegrow(redistribute="magnitude")):
        with pytest.raises(ValueError, match="connections of several kernels together"):
            ks.Rewire(policy).attach(model)
