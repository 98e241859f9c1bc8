"""Gates that keep their number of connections: policies see each as a kernel of its own."""

import keras
import numpy as np
import pytest

import keras_sparse as ks


def network(keep, kind=ks.SparseLSTM, units=16, **options):
    layer = kind(units, density=0.3, recurrent_density=0.2, keep_gates=keep, seed=1, name="rnn", **options)
    return keras.Sequential([keras.Input((None, 10)), layer]), layer


def counts(kernel, gates):
    return np.bincount(kernel.connectivity.outputs // (kernel.shape[1] // gates), minlength=gates).tolist()


def updated(policy, keep, *, updates=4, kind=ks.SparseLSTM, **options):
    """Return the kernel, its counts per gate before and after, and the entries, after updates by noise."""
    model, layer = network(keep, kind, **options)
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build(model.trainable_variables)
    rewire = ks.Rewire(policy, seed=0).attach(model, optimizer)
    gates = layer.cell.gates
    before = [counts(k, gates) for k in (layer.kernel, layer.recurrent_kernel)]
    rng = np.random.default_rng(0)
    for step in range(updates):
        for kernel in (layer.kernel, layer.recurrent_kernel):
            # Small weights in the first gate: it would lose most.
            scale = 0.1 + (kernel.connectivity.outputs >= kernel.shape[1] // gates)
            values = np.zeros(kernel.capacity)
            values[: len(kernel)] = scale * rng.normal(size=len(kernel))
            kernel.values.assign(values)
            rewire.show_gradient(kernel, *(rng.normal(size=(5, n)) for n in kernel.shape))
        if policy.watches:
            rewire.observe()
        optimizer.iterations.assign(step + 1)
        rewire.update(progress=step / updates)
    after = [counts(k, gates) for k in (layer.kernel, layer.recurrent_kernel)]
    return layer, before, after, rewire.history


POLICIES = [
    ks.SET(0.4),
    ks.PruneRegrow(0.4),
    ks.RigL(0.4),
    ks.DeepR(l1=0.5, temperature=0.1),
    ks.PruneRegrow(0.4, grow="momentum"),
    ks.SET(0.4, may_return=False, values="zero"),
]


@pytest.mark.parametrize("policy", POLICIES, ids=repr)
@pytest.mark.parametrize("kind", [ks.SparseLSTM, ks.SparseGRU])
def test_every_gate_keeps_its_count(policy, kind):
    layer, before, after, history = updated(policy, True, kind=kind)
    assert after == before
    assert sum(entry["added"] for entry in history) > 20
    assert {entry["layer"] for entry in history} == {"rnn/kernel", "rnn/recurrent_kernel"}
    assert all(entry["added"] == entry["removed"] for entry in history)
    for kernel in (layer.kernel, layer.recurrent_kernel):
        assert len(np.unique(kernel.connectivity.keys)) == len(kernel)


def test_gates_trade_by_default():
    _, before, after, _ = updated(ks.PruneRegrow(0.4), False)
    assert after != before
    assert [sum(found) for found in after] == [sum(found) for found in before]
    assert after[0][0] < before[0][0]  # the smallest weights were there


def test_gradient_growth_is_per_gate():
    model, layer = network(True)
    rewire = ks.Rewire(ks.RigL(0.5), seed=0).attach(model, keras.optimizers.SGD(0.1))
    kernel = layer.kernel
    before = kernel.connectivity
    x, dy = np.zeros((1, 10)), np.zeros((1, 64))
    x[0, :], dy[0, 3::16] = np.arange(10) + 1, 1  # unit 3 of every gate, most for the last inputs
    rewire.show_gradient(kernel, x, dy)
    rewire.show_gradient(layer.recurrent_kernel, np.ones((1, 16)), np.zeros((1, 64)))
    rewire.update()
    after = kernel.connectivity
    for gate in range(4):
        assert np.all(after.to_mask()[:, 3 + 16 * gate])  # all ten inputs, of more that may grow
        assert counts(kernel, 4)[gate] == np.count_nonzero(before.outputs // 16 == gate)


def test_survivors_keep_values_and_slots():
    model, layer = network(True)
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    optimizer.build(model.trainable_variables)
    kernel = layer.recurrent_kernel
    marks = kernel.connectivity.keys.astype("float32") + 1
    slot = optimizer.momentums[optimizer._get_variable_index(kernel.values)]
    slot.assign(marks)
    values = kernel.host_values().copy()
    old = dict(zip(kernel.connectivity.keys.tolist(), values))
    ks.Rewire(ks.SET(0.3), seed=0).attach(model, optimizer).update()
    found = slot.numpy()
    kept = found > 0
    assert 0 < np.count_nonzero(~kept) < 0.35 * len(kernel)
    keys = kernel.connectivity.keys
    np.testing.assert_array_equal(found[kept], keys[kept] + 1)
    np.testing.assert_array_equal(kernel.host_values()[kept], [old[key] for key in keys[kept].tolist()])


def test_room_is_shared_between_the_gates():
    _, before, after, _ = updated(ks.DeepR(total=440, l1=0.0, temperature=0.0), True, capacity=250, units=16)
    assert sum(after[0]) <= 250
    assert sum(map(sum, after)) > sum(map(sum, before))


def test_a_change_outside_a_gate_is_refused():
    class Wrong(ks.Policy):
        def update(self, kernels, **context):
            one = np.array([0])
            return [ks.Change(np.ones(len(k.values), bool), one, k.positions + one) for k in kernels]

    with pytest.raises(ValueError, match="outside the part"):
        updated(Wrong(), True)


def test_momentum_is_kept_per_gate():
    policy = ks.PruneRegrow(0.4, grow="momentum")
    model, _ = network(True)
    rewire = ks.Rewire(policy).attach(model, keras.optimizers.SGD())
    rng = np.random.default_rng(0)
    for junction in rewire._junctions:
        rewire.show_gradient(junction.kernel, *(rng.normal(size=(2, n)) for n in junction.kernel.shape))
    rewire.observe()
    names = {name for name in rewire.get_state()["arrays"] if name.startswith("memory/")}
    assert {f"memory/{k}/part_{gate}/momentum" for k in (0, 1) for gate in range(4)} <= names
    again = ks.Rewire(policy).attach(model, keras.optimizers.SGD())
    again.set_state(rewire.get_state())
    assert np.array_equal(again._memory[1]["part_2/momentum"], rewire._memory[1]["part_2/momentum"])
