"""Hand-computed updates of every policy, and the public suite on all of them."""

import keras
import numpy as np
import pytest

import keras_sparse as ks
from keras_sparse.rewiring.deep_r import BORN, signs
from keras_sparse.rewiring.optimizer_state import slots

ALL = [
    ks.Static(),
    ks.ContinuousSET(0.2, 0.5),
    ks.SET(values="zero"),
    ks.SET(may_return=False),
    ks.RigL(),
    ks.SNFS(),
    ks.GMP(0.001),
    ks.GMP(0.001, scope="layer"),
    ks.GraNet(0.001),
    ks.SRigL(),
    ks.SRigL(gamma=0),
    ks.DeepR(),
    ks.DeepR(temperature=1e-3, total="global"),
    ks.DeepR(total=4500),
    ks.SoftDeepR(0.1, temperature=1e-6),
    ks.ImportancePruning(first=0, period=2),
    ks.PruneRegrow(redistribute="magnitude", drop="sign-split"),
    ks.PruneRegrow(ks.Linear(0.5, 0.1), grow="gradient", redistribute="magnitude"),
]


@pytest.mark.parametrize("policy", ALL, ids=repr)
def test_the_public_suite(policy):
    ks.testing.check_policy(policy)


def attached(policy, *kernels, optimizer=None):
    """Return a Rewire on a model with one kernel for each ((n_in, n_out), connections, values, capacity)."""
    layers, inputs = [], []
    for shape, _, _, capacity in kernels:
        layers.append(ks.SparseDense(shape[1], density=1e-9, capacity=capacity, seed=len(layers)))
        inputs.append(keras.Input((shape[0],)))
    model = keras.Model(inputs, [layer(x) for layer, x in zip(layers, inputs, strict=True)])
    for layer, (shape, positions, values, _) in zip(layers, kernels, strict=True):
        rows, columns = np.array(positions).T
        layer.kernel.assign(ks.Connectivity(rows, columns, shape=shape), np.array(values, np.float32))
    rewire = ks.Rewire(policy, seed=0).attach(model, optimizer or keras.optimizers.SGD(0.5))
    rewire._attached = model  # keep it alive
    return rewire, [layer.kernel for layer in layers]


def matrix(kernel):
    dense = np.full(kernel.shape, np.nan)
    dense[kernel.connectivity.inputs, kernel.connectivity.outputs] = kernel.host_values()
    return dense


def connected(kernel):
    return set(zip(kernel.connectivity.inputs.tolist(), kernel.connectivity.outputs.tolist(), strict=True))


ONE = ((3, 2), [(0, 0), (1, 0), (1, 1), (2, 1)], [0.1, -2.0, 3.0, -0.2], 4)


def test_rigl_drops_the_smallest_and_grows_where_the_gradient_is_largest():
    rewire, [kernel] = attached(ks.RigL(alpha=0.5), ONE)
    # |Xᵀ dY| is largest at (2, 0), then at (0, 1).
    rewire.show_gradient(kernel, np.array([[2.0, 0.1, 3.0]]), np.array([[5.0, 4.0]]))
    rewire.update(progress=0.0)  # half of four go: 0.1 and -0.2
    assert connected(kernel) == {(1, 0), (1, 1), (2, 0), (2, 1)}
    # (2, 1) lost its connection, has the second largest gradient, and so gets it back as it was.
    assert matrix(kernel)[2].tolist() == [0.0, pytest.approx(-0.2)]
    assert rewire.history[-1]["removed"] == rewire.history[-1]["added"] == 1


def test_rigl_follows_its_schedule_and_then_rests():
    policy = ks.RigL(alpha=0.4, stop=0.8)
    assert [policy.fraction(p) for p in (0.0, 0.4, 0.8, 1.0)] == pytest.approx([0.4, 0.2, 0.0, 0.0])
    assert policy.acts(0.79)
    assert not policy.acts(0.8)


def test_a_connection_that_returns_keeps_its_slots():
    optimizer = keras.optimizers.SGD(0.5, momentum=0.9)
    rewire, [kernel] = attached(ks.RigL(alpha=0.5), ONE, optimizer=optimizer)
    optimizer.build([kernel.values])
    [slot] = slots(optimizer, kernel.values)
    slot.variable.assign([1.0, 2.0, 3.0, 4.0])
    rewire.show_gradient(kernel, np.array([[2.0, 0.1, 3.0]]), np.array([[5.0, 4.0]]))
    rewire.update(progress=0.0)
    momentum = dict(zip(connected_in_order(kernel), np.asarray(slot.variable), strict=True))
    assert momentum == {(1, 0): 2.0, (1, 1): 3.0, (2, 1): 4.0, (2, 0): 0.0}


def connected_in_order(kernel):
    return list(zip(kernel.connectivity.inputs.tolist(), kernel.connectivity.outputs.tolist(), strict=True))


def test_set_without_return_leaves_removed_positions_empty():
    for seed in range(5):
        rewire, [kernel] = attached(ks.SET(0.5, may_return=False), ONE)
        rewire.seed = seed
        rewire.update()
        assert connected(kernel) & {(0, 0), (2, 1)} == set()
        assert len(kernel) == 4


def test_set_without_return_keeps_what_it_cannot_replace():
    full = ((2, 2), [(0, 0), (0, 1), (1, 0), (1, 1)], [0.1, 1.0, 2.0, -1.0], 4)
    rewire, [kernel] = attached(ks.SET(0.5, may_return=False), full)
    rewire.update()
    assert len(kernel) == 4


def test_set_can_start_newcomers_at_zero():
    rewire, [kernel] = attached(ks.SET(0.5, values="zero"), ONE)
    rewire.update()
    assert sorted(kernel.host_values().tolist()) == [-2.0, 0.0, 0.0, 3.0]


def test_continuous_set_evolves_as_often_as_it_says():
    rewire, [kernel] = attached(
        ks.ContinuousSET(0.5, probability=0.3), ((30, 30), [(i, i) for i in range(30)], [1.0] * 30, 30)
    )
    for _ in range(200):
        rewire.update()
    assert 35 < len(rewire.history) < 90
    assert len(kernel) == 30


def test_snfs_shares_by_momentum_and_grows_by_momentum():
    first = ((2, 3), [(0, 0), (1, 1)], [1.0, 0.5], 6)
    second = ((2, 3), [(0, 0), (0, 1), (1, 0), (1, 1)], [1.0, 0.1, 3.0, 0.2], 6)
    rewire, [a, b] = attached(ks.SNFS(0.5, smoothing=0.5), first, second)
    for scale in (4.0, 1.0):  # the momentum is 0.5 · 4 + 1 = 3 times the gradient
        rewire.show_gradient(a, scale * np.array([[1.0, 0.0]]), np.array([[2.0, 0.0, 1.0]]))
        rewire.show_gradient(b, scale * np.array([[0.1, 0.0]]), np.array([[0.0, 0.0, 1.0]]))
        rewire.observe()
    assert rewire._memory[0]["momentum"].tolist() == [6.0, 0.0, 3.0, 0.0, 0.0, 0.0]
    rewire.update(progress=0.0)  # 1 of 2 and 2 of 4 go; all momentum of connections is in the first
    assert len(a) == 4
    assert len(b) == 2
    assert connected(a) == {(0, 0), (0, 2), (0, 1), (1, 0)}  # of those without momentum the first
    assert sorted(a.host_values()) == [0.0, 0.0, 0.0, 1.0]
    assert connected(b) == {(0, 0), (1, 0)}


def test_snfs_stops_at_the_capacity_and_keeps_the_total():
    first = ((2, 3), [(0, 0), (1, 1)], [1.0, 0.5], 2)
    second = ((2, 3), [(0, 0), (0, 1), (1, 0), (1, 1)], [1.0, 0.1, 3.0, 0.2], 4)
    rewire, [a, b] = attached(ks.SNFS(0.5), first, second)
    for kernel in (a, b):
        rewire.show_gradient(kernel, np.ones((1, 2)), np.ones((1, 3)) * (kernel is a))
    rewire.observe()
    rewire.update(progress=0.0)
    assert (len(a), len(b)) == (2, 4)


def test_magnitude_redistribution():
    first = ((3, 4), [(0, 0), (1, 1)], [9.0, 0.5], 12)
    second = ((3, 4), [(0, 0), (0, 1), (1, 0), (1, 1)], [1.0, 0.1, 1.0, 0.2], 12)
    rewire, [a, b] = attached(ks.PruneRegrow(0.5, redistribute="magnitude"), first, second)
    rewire.update()  # three go; mean magnitudes of the rest are 9 and 1: 2.7 and 0.3
    assert (len(a), len(b)) == (4, 2)


def test_gmp_prunes_the_smallest_of_all_kernels_to_the_cubic_pace():
    first = ((2, 4), [(0, j) for j in range(4)], [1.0, 2.0, 3.0, 4.0], 4)
    second = ((2, 4), [(0, j) for j in range(4)], [0.1, 0.2, 0.3, 0.4], 4)
    rewire, [a, b] = attached(ks.GMP(2 / 16, end=1.0), first, second)
    rewire.update(progress=0.0)
    assert (len(a), len(b)) == (4, 4)
    rewire.update(progress=0.5)  # 2 + 6 / 8 = 2.75, so 3 are left; each kernel keeps one
    assert sorted(a.host_values()) == [3.0, 4.0]
    assert b.host_values().tolist() == [pytest.approx(0.4)]
    rewire.update(progress=1.0)
    assert (len(a), len(b)) == (1, 1)
    assert int(np.asarray(b._storage.rows)[-1]) == 1  # nothing else is multiplied


def test_gmp_by_layer():
    first = ((2, 4), [(0, j) for j in range(4)], [1.0, 2.0, 3.0, 4.0], 4)
    second = ((2, 4), [(0, j) for j in range(4)], [0.1, 0.2, 0.3, 0.4], 4)
    rewire, [a, b] = attached(ks.GMP(0.25, scope="layer"), first, second)
    rewire.update(progress=1.0)
    assert a.host_values().tolist() == [3.0, 4.0]
    assert b.host_values().tolist() == pytest.approx([0.3, 0.4])


def test_granet_prunes_and_regrows_by_gradient():
    rewire, [kernel] = attached(
        ks.GraNet(0.5, regrow=0.5, end=0.5),
        ((2, 4), [(0, j) for j in range(4)] + [(1, 0), (1, 1)], [1.0, 2, 3, 4, 5, 6], 6),
    )
    rewire.show_gradient(kernel, np.array([[0.0, 1.0]]), np.array([[0.0, 0.0, 5.0, 4.0]]))
    rewire.update(progress=1.0)  # to 4: 3, 4, 5, 6; then two of them go and two come
    assert connected(kernel) == {(1, 0), (1, 1), (1, 2), (1, 3)}
    assert kernel.host_values().tolist() == [5.0, 6.0, 0.0, 0.0]


def test_srigl_keeps_the_fan_in_equal_and_ablates():
    rng = np.random.default_rng(0)
    positions = [(i, o) for o in range(6) for i in rng.choice(10, 4, replace=False)]
    values = [0.001 if o == 2 else 1.0 + o for _, o in positions]
    rewire, [kernel] = attached(ks.SRigL(alpha=0.2, gamma=0.5), ((10, 6), positions, values, 24))
    dy = np.ones((1, 6))
    dy[0, 2] = 0.0  # unit 2 is small and has no gradient: nothing of it is salient
    rewire.show_gradient(kernel, np.arange(1.0, 11.0)[None], dy)
    rewire.update(progress=0.0)
    assert kernel.connectivity.in_degrees.tolist() == [4, 4, 0, 4, 4, 4]  # 24 // 5
    rewire.show_gradient(kernel, np.ones((1, 10)), np.ones((1, 6)))
    rewire.update(progress=0.5)
    assert kernel.connectivity.in_degrees[2] == 0  # for good


def test_srigl_without_ablation():
    rewire, [kernel] = attached(
        ks.SRigL(gamma=0), ((5, 3), [(0, 0), (1, 0), (2, 0), (3, 0), (0, 1), (0, 2)], [1.0] * 6, 6)
    )
    rewire.show_gradient(kernel, np.ones((1, 5)), np.ones((1, 3)))
    rewire.update(progress=0.0)
    assert kernel.connectivity.in_degrees.tolist() == [2, 2, 2]


class TestDeepR:
    def kernel_of(self, policy, count=40, capacity=40):
        positions = [(i, o) for i in range(10) for o in range(10)][:count]
        return attached(policy, ((10, 10), positions, np.linspace(-1, 1, count), capacity))

    def signs(self, rewire, kernel):
        from keras_sparse.rewiring.policy import KernelView

        view = KernelView(kernel, "k", index=kernel.index(), slots=dict, key=(0, 0, 0, 0))
        return signs(view, *view.units())

    def test_weights_get_the_signs_of_their_positions_at_the_beginning(self):
        rewire, [kernel] = self.kernel_of(ks.DeepR())
        rewire.attach(rewire._attached, keras.optimizers.SGD(0.5))
        assert np.array_equal(np.sign(kernel.host_values()), self.signs(rewire, kernel))
        assert np.allclose(np.sort(np.abs(kernel.host_values())), np.sort(np.abs(np.linspace(-1, 1, 40))), atol=1e-6)

    def test_half_of_the_signs_are_negative_and_they_are_those_of_the_seed(self):
        rewire, [kernel] = attached(
            ks.DeepR(), ((100, 100), [(i, o) for i in range(100) for o in range(100)], np.ones(10_000), 10_000)
        )
        ours = self.signs(rewire, kernel)
        assert abs(ours.mean()) < 0.04
        # Neither rows nor columns share them.
        assert np.abs(ours.reshape(100, 100).mean(0)).max() < 0.45
        assert np.abs(ours.reshape(100, 100).mean(1)).max() < 0.45

    def test_the_walk(self):
        rewire, [kernel] = self.kernel_of(ks.DeepR(l1=0.1, temperature=0.0))
        rewire.attach(rewire._attached, keras.optimizers.SGD(0.5))
        before = np.abs(matrix(kernel))
        rewire.update()
        after = np.abs(matrix(kernel))
        stay = before > 0.05  # θ - η α
        assert np.allclose(after[stay], before[stay] - 0.05, atol=1e-6)
        assert len(kernel) == 40
        new = ~np.isnan(after) & ~stay
        assert np.allclose(after[new], BORN)

    def test_the_noise_has_the_temperature_it_says(self):
        positions = [(i, o) for i in range(100) for o in range(100)]
        rewire, [kernel] = attached(
            ks.DeepR(l1=0.0, temperature=1e-4), ((100, 100), positions, np.full(10_000, 5.0), 10_000)
        )
        rewire.attach(rewire._attached, keras.optimizers.SGD(0.5))
        rewire.update()
        assert np.std(np.abs(kernel.host_values())) == pytest.approx(np.sqrt(2 * 0.5 * 1e-4), rel=0.05)

    def test_a_weight_that_changes_its_sign_becomes_dormant(self):
        rewire, [kernel] = self.kernel_of(ks.DeepR(l1=0.0, temperature=0.0))
        rewire.attach(rewire._attached, keras.optimizers.SGD(0.5))
        values = kernel.host_values().copy()
        values[3] = -values[3]
        kernel.values.assign(values)
        [entry] = rewire.update()
        assert (entry["removed"], entry["added"]) == (1, 1)

    def test_the_global_count_is_kept_while_kernels_trade(self):
        one = ((20, 20), [(i, o) for i in range(20) for o in range(10)], np.ones(200), 300)
        two = ((20, 20), [(i, o) for i in range(20) for o in range(5)], np.ones(100), 300)
        rewire, kernels = attached(ks.DeepR(l1=0.5, temperature=0.5, total="global"), one, two)
        sizes = set()
        for _ in range(10):
            rewire.update()
            sizes.add(len(kernels[0]))
            assert sum(map(len, kernels)) == 300
        assert len(sizes) > 1
        assert 150 < np.mean(list(sizes)) < 250  # two thirds

    def test_it_grows_to_a_total_given_as_a_number(self):
        rewire, [kernel] = self.kernel_of(ks.DeepR(total=50), capacity=60)
        rewire.update()
        assert len(kernel) == 50

    def test_a_total_that_does_not_fit_is_refused(self):
        rewire, [kernel] = self.kernel_of(ks.DeepR(total=50))
        with pytest.raises(ValueError, match="room for 40 connections"):
            rewire.update()
        assert len(kernel) == 40

    @pytest.mark.parametrize("arguments", [{"l1": -1.0}, {"temperature": float("nan")}, {"total": 0}, {"total": "all"}])
    def test_wrong_arguments(self, arguments):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            ks.DeepR(**arguments)


class TestSoftDeepR:
    def test_the_share_of_active_positions_settles_at_p(self):
        positions = [(i, o) for i in range(50) for o in range(50)][:250]
        policy = ks.SoftDeepR(0.2, l1=0.1, temperature=1e-3)
        rewire, [kernel] = attached(policy, ((50, 50), positions, np.full(250, 0.01), 2500))
        for _ in range(300):
            rewire.update()
        counts = []
        for _ in range(200):
            rewire.update()
            counts.append(len(kernel))
        assert np.mean(counts) / 2500 == pytest.approx(0.2, rel=0.15)

    def test_more_than_fits_stay_dormant(self):
        positions = [(i, i) for i in range(20)]
        rewire, [kernel] = attached(ks.SoftDeepR(0.5, l1=0.1, temperature=1.0), ((20, 20), positions, np.ones(20), 25))
        for _ in range(5):
            rewire.update()
            assert len(kernel) == 25

    def test_large_kernels_are_refused_unless_allowed(self):
        layer = ks.SparseDense(10_000, density=1e-7)
        model = keras.Sequential([keras.Input((10_000,)), layer])
        with pytest.raises(ValueError, match="allow_dense=True"):
            ks.Rewire(ks.SoftDeepR(0.1)).attach(model)
        ks.Rewire(ks.SoftDeepR(0.1, allow_dense=True)).attach(model)


def test_importance_pruning_cuts_the_units_below_the_percentile():
    positions = [(i, o) for o in range(5) for i in range(3)]
    values = [[5.0, 1.0, 4.0, -3.0, 2.0][o] for _, o in positions]
    rewire, [kernel] = attached(ks.ImportancePruning(first=1, period=2, percentile=20), ((9, 5), positions, values, 15))
    [entry] = rewire.update()
    assert entry["added"] == entry["removed"] > 0  # SET
    kernel.assign(ks.Connectivity(*np.array(positions).T, shape=(9, 5)), np.array(values, np.float32))
    rewire.update()
    assert kernel.connectivity.in_degrees.tolist() == [3, 0, 3, 3, 3]


def test_equal_units_are_all_important():
    rewire, [kernel] = attached(ks.ImportancePruning(first=0), ((3, 2), [(0, 0), (1, 1)], [1.0, -1.0], 2))
    rewire.update()
    assert len(kernel) == 2


def test_a_drop_rule_of_ones_own():
    shown = []

    def most_negative(values, fraction):
        shown.append(fraction)
        return values > values.min()

    positions, values = [(0, 0), (1, 1), (2, 0)], [0.1, -3.0, -0.2]
    rewire, [kernel] = attached(ks.PruneRegrow(0.4, drop=most_negative), ((3, 2), positions, values, 3))
    [entry] = rewire.update()
    assert shown == [0.4]
    assert entry["removed"] == entry["added"] == 1
    found = matrix(kernel)
    assert found[0, 0] == np.float32(0.1)
    assert found[2, 0] == np.float32(-0.2)
    assert np.float32(-3.0) not in kernel.host_values()


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: ks.PruneRegrow(drop="biggest"), "`drop`"),
        (lambda: ks.PruneRegrow(grow="all"), "`grow`"),
        (lambda: ks.PruneRegrow(values="ones"), "`values`"),
        (lambda: ks.PruneRegrow(redistribute="momentum"), '`grow="momentum"`'),
        (lambda: ks.GMP(0), "`density`"),
        (lambda: ks.GMP(0.1, scope="all"), "`scope`"),
        (lambda: ks.SRigL(gamma=2), "`gamma`"),
        (lambda: ks.SoftDeepR(0), "`density`"),
        (lambda: ks.SoftDeepR(0.1, l1=0), "positive"),
        (lambda: ks.ContinuousSET(probability=2), "`probability`"),
        (lambda: ks.ImportancePruning(ks.DeepR()), "`policy`"),
        (lambda: ks.ImportancePruning(percentile=100), "`percentile`"),
    ],
)
def test_wrong_arguments_are_named(make, name):
    with pytest.raises(ValueError, match=name):
        make()
