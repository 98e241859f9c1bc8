"""The library's helpers for rewiring against the NumPy functions they stand for: the same, bit for bit."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import keras_sparse as ks
from keras_sparse.compute.native import library
from keras_sparse.rewiring import drop, explored, move
from keras_sparse.topology import accelerated, counter_rng, growing, hashing, layout, places

pytestmark = pytest.mark.skipif(library.load() is None, reason="the library was not built")

SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 1.0, -1.0]


@pytest.fixture(autouse=True)
def _no_silent_fallback(monkeypatch):
    """An answer of None would compare NumPy with itself."""

    def strict(function):
        def run(*args):
            result = function(*args)
            assert result is not None, function.__name__
            return result

        return run

    monkeypatch.setattr(accelerated, "_faster", {n: strict(f) for n, f in accelerated._faster.items()})


def check(function, *args):
    """Compare both versions, each with its own copy of the arrays."""
    results = [
        f(*(a.copy() if isinstance(a, np.ndarray) else a for a in args)) for f in (function, function.__wrapped__)
    ]
    for ours, theirs in zip(*(r if isinstance(r, tuple) else (r,) for r in results), strict=True):
        if isinstance(theirs, np.ndarray):
            assert ours.dtype == theirs.dtype
            assert ours.tobytes() == theirs.tobytes()
        else:
            assert ours == theirs
    return results[0]


@st.composite
def topologies(draw):
    """Return (layout, ids, rows, keep, rng) of a random junction."""
    n_in, n_out = draw(st.sampled_from([(7, 900), (40, 30), (1, 1), (200, 513), (3, 70_000), (70_000, 70_000)]))
    most = min(n_in * n_out, 3000)
    count = draw(st.integers(1, most))
    shape = layout.Layout.of((n_in, n_out), draw(st.integers(count, most)))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    c = ks.Random().sample((n_in, n_out), count, seed=int(rng.integers(999)))
    order = shape.order(c)
    if order is not None:
        c = ks.Connectivity(c.inputs[order], c.outputs[order], shape=(n_in, n_out))
    return shape, *shape.encode(c), rng.random(count) < draw(st.sampled_from([0.0, 0.3, 0.7, 1.0])), rng


@given(topologies())
def test_a_whole_update(topology):
    shape, ids, rows, keep, rng = topology
    taken = check(places.kept, shape, ids, rows, keep)
    n_in, n_out = shape.shape
    new = int((~keep).sum())
    drawn = rng.integers(n_in * n_out, size=2 * new + 3).astype(taken.dtype)
    free = check(growing.sift, taken, drawn)
    grown = growing.grow(counter_rng.generator(1), n_in * n_out, new, taken)
    check(places.pointers, shape, taken, free.positions)
    after = places.pointers(shape, grown.taken, grown.fresh)
    inputs, outputs = check(places.to_units, shape, grown.fresh)
    inside = grown.new[grown.new < grown.new.size + keep.sum()]
    sources = check(move.sources, keep, inside)
    for array in (ids, rng.random(len(keep), np.float32), rng.random(len(keep))):
        check(move.gather, array, sources, np.empty(len(sources), array.dtype), 3)
    carried = move.Move(keep, grown.new).carry(ids, len(keep))
    carried = check(move.scatter, carried, grown.new, shape.local_ids(outputs))
    check(layout.Layout.in_degrees, shape, carried, after)
    check(places.compact, taken, rng.random(len(taken)) < 0.5)
    if n_in * n_out < 10**6:
        bits = rng.integers(0, 256, -(-n_in * n_out // 8), np.uint8)
        check(explored.mark, bits, inputs, outputs, shape.shape)


@given(st.lists(st.one_of(st.sampled_from(SPECIAL), st.floats(-2, 2, width=16)), max_size=60), st.floats(0, 1))
def test_survivors(values, zeta):
    values = np.array(values, np.float32)
    below, above = (int(zeta * count) for count in check(drop.count_signs, values))
    check(drop.all_but_closest, values, below, above)


def test_survivors_of_many():
    values = np.random.default_rng(0).normal(size=50_000).astype(np.float32)
    for part in (values, np.round(values, 1), np.abs(values), values * 1e-40):
        check(drop.all_but_closest, part.astype(np.float32), 3000 if part.min() < 0 else 0, 5000)


@given(st.integers(0, 3), st.integers(0, 99))
def test_line_sums(lines, seed):
    data = np.random.default_rng(seed).integers(0, 256, 8 * 16 * lines, np.uint8)
    check(hashing.line_sums, data, hashing._WEIGHTS[:16])


def test_a_move_across_parts(monkeypatch):
    rng = np.random.default_rng(0)
    keep = rng.random(1000) < 0.5
    new = np.sort(rng.choice(1000, 1000 - int(keep.sum()), replace=False))
    whole = move.Move(keep, new).carry(np.arange(1000.0), 1010, -1.0)
    monkeypatch.setattr(places, "CHUNK", 64)
    monkeypatch.setattr(move, "CHUNK", 64)
    assert np.array_equal(move.Move(keep, new).carry(np.arange(1000.0), 1010, -1.0), whole)


def test_what_does_not_fit_is_refused():
    ours = accelerated._faster
    shape = layout.Layout.of((3, 5), 4)
    ids, keep = np.array([0, 4, 1, 2], np.uint16), np.ones(4, bool)
    for rows in ([0, 9, 3, 4], [0, -1, 3, 4], [1, 2, 3, 4], [0, 2, 3, 5], [0, 2, 4], [0, 2, 3, 2**62]):
        rows = np.array(rows)
        with pytest.raises(AssertionError, match="kept_places"):
            ours["kept_places"](shape, ids, rows, keep)
        with pytest.raises(AssertionError, match="in_degrees"):
            ours["in_degrees"](shape, ids, rows)
    bad = SimpleNamespace(
        outside=np.array([0, 6]),
        twice=np.array([1, 1]),
        sources=np.array([0, -2], np.int32),
        bits=np.zeros(2, np.uint8),
    )
    for name, *args in (
        ("in_degrees", shape, np.full(4, 9, np.uint16), np.array([0, 2, 3, 4])),
        ("all_but_closest", np.ones(3, np.float32), 1, 0),
        ("all_but_closest", np.full(3, np.nan, np.float32), 0, 1),
        ("all_but_closest", np.ones(3, np.float32), 0, -1),
        ("sources", keep, bad.outside),
        ("sources", keep, bad.outside - 5),
        ("sources", keep, bad.twice),
        ("gather", np.ones(2), bad.sources, np.ones(2), 0.0),
        ("gather", np.ones(2), bad.sources + 2, np.ones(2), 0.0),
        ("scatter", np.ones(5), bad.outside, np.ones(2)),
        ("scatter", np.ones(5), bad.outside - 1, np.ones(2)),
        ("mark", bad.bits, bad.outside, bad.twice, (3, 5)),
        ("mark", bad.bits, bad.twice, -bad.twice, (3, 5)),
        ("mark", bad.bits, bad.twice, bad.twice, (30, 5)),
        ("count_signs", np.ones(3)),
        ("compact", np.ones(6), np.ones(3, bool)),
        ("compact", np.ones(6)[::2], np.ones(3, bool)),
    ):
        with pytest.raises(AssertionError, match=name):
            ours[name](*args)


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=5))
def test_keys_seed_as_a_list_of_numbers_does(key):
    expected = np.random.SeedSequence([len(key), *key]).generate_state(4)
    assert np.array_equal(np.random.SeedSequence(counter_rng._halves([len(key), *key])).generate_state(4), expected)
