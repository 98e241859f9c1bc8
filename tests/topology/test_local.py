import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import keras_sparse as ks
from keras_sparse.topology.lattice import lattice

GRIDS = st.lists(st.integers(1, 6), min_size=1, max_size=3)
LAID = st.fixed_dictionaries(
    {"centres": st.sampled_from(["random", "even"]), "of": st.sampled_from(["places", "units"])}
)


@given(GRIDS, st.integers(1, 3), st.integers(1, 5), LAID, st.data())
def test_exact_counts_even_degrees_and_only_what_is_allowed(grid, channels, n_out, laid, data):
    n_in = math.prod(grid) * channels if laid["of"] == "places" else data.draw(st.integers(1, 60))
    inputs = data.draw(st.none() | st.lists(st.integers(0, n_in - 1), min_size=1, unique=True))
    room = n_in if inputs is None else len(inputs)
    count = data.draw(st.integers(0, room * n_out))
    spread = data.draw(st.none() | st.floats(0.01, 100))
    pattern = ks.Local(tuple(grid), spread, inputs, **laid)
    c = pattern.sample((n_in, n_out), count, seed=data.draw(st.integers(0, 2**40)))
    assert len(np.unique(c.keys)) == len(c) == count
    assert np.array_equal(c.keys, np.sort(c.keys))
    assert np.ptp(c.in_degrees) <= 1
    assert inputs is None or np.isin(c.inputs, inputs).all()
    assert ks.Local.from_config(json.loads(json.dumps(pattern.get_config()))) == pattern


@given(st.integers(1, 3000), st.lists(st.sampled_from([1, 2, 3, 5, 8, 40, 1000]), min_size=1, max_size=3))
def test_a_lattice_has_the_grids_proportions_and_few_places_left_over(n, grid):
    sizes, places = lattice(n, grid)
    assert len(places) == n
    assert (np.diff(places) >= 1).all()
    assert 0 <= places[0] <= places[-1] < math.prod(sizes)
    assert math.prod(sizes) - n < math.prod(sizes) // sizes[int(np.argmax(grid))]
    long = [(size, wanted) for size, wanted in zip(sizes, grid, strict=True) if wanted > 1]
    finer = (n / math.prod(grid)) ** (1 / max(1, len(long)))
    if all(wanted * finer >= 1 for _, wanted in long):
        assert all(0.5 < size / (wanted * finer) < 2 for size, wanted in long)
    axis = np.random.default_rng(n).integers(len(grid) + 1)
    flat, same = lattice(n, [*grid[:axis], 1, *grid[axis:]])
    assert (flat[axis] == 1 and np.delete(flat, axis).tolist() == list(sizes)) or set(grid) == {1}
    assert np.array_equal(places, same)


@pytest.mark.parametrize(
    ("n", "grid", "sizes"),
    [
        (7, (5, 5), (3, 3)),
        (500, (28, 28), (23, 22)),
        (100, (28, 28, 1), (10, 10, 1)),
        (3136, (28, 28, 1), (56, 56, 1)),
        (10, (1000, 2), (10, 1)),
        (600, (2, 1000), (1, 600)),
        (10, (10**6, 1), (10, 1)),
        (5, (1, 1), (5, 1)),
        (3000, (4000, 3, 10), (1000, 1, 3)),
    ],
)
def test_lattices(n, grid, sizes):
    assert lattice(n, grid)[0] == sizes


@pytest.mark.parametrize("laid", [{}, {"centres": "even"}, {"of": "units"}])
def test_an_axis_of_one_place_changes_nothing(laid):
    flat, thick = (ks.Local(grid, **laid).sample((784, 300), 300 * 40, seed=0) for grid in ((28, 28), (28, 1, 28)))
    assert flat == thick


@pytest.mark.parametrize(
    ("pattern", "inputs"),
    [
        (ks.Local((6, 4), 1e-3, centres="even"), range(24)),
        (ks.Local((6, 4), 1e-3, centres="even"), range(0, 72, 3)),  # any of three channels
        (ks.Local((3, 2), 1e-3, centres="even", of="units"), range(24)),
        (
            ks.Local((20, 20), 1e-3, [20 * row + column for row in range(5, 11) for column in range(9, 15)], "even"),
            None,
        ),
        (ks.Local((9,), 1e-3, centres="even"), range(9)),
        (ks.Local((2, 2, 2), 1e-3, centres="even", of="units"), range(27)),
    ],
)
def test_even_centres_of_as_many_units_are_the_inputs_themselves(pattern, inputs):
    wanted = np.array(inputs if pattern.inputs is None else pattern.inputs)
    channels = 1 if len(wanted) < 2 or pattern.inputs else int(wanted[1] - wanted[0])
    n_in = 400 if pattern.inputs else len(wanted) * channels
    c = pattern.sample((n_in, len(wanted)), len(wanted), seed=0)
    by_unit = c.inputs[np.argsort(c.outputs)]
    assert (by_unit // channels * channels).tolist() == wanted.tolist()


def test_stacked_fields_stay_local():
    first = ks.Local((28, 28), centres="even").sample((784, 500), 500 * 9, seed=0)
    even, odd = (
        ks.Local((28, 28), centres=c, of="units").sample((500, 300), 300 * 9, seed=1) for c in ("even", "random")
    )
    whole = ks.Random().sample((500, 300), 300 * 9, seed=1)

    def reached(second):
        """The spread of the pixels that a unit of the second layer reaches through the first."""
        spreads = []
        for unit in range(300):
            pixels = first.inputs[np.isin(first.outputs, second.inputs[second.outputs == unit])]
            spreads.append(np.std(np.divmod(pixels, 28), axis=1).mean())
        return np.mean(spreads)

    assert reached(even) < 0.4 * reached(whole)
    assert reached(odd) < 0.4 * reached(whole)


def test_units_neighbours_are_neighbours_in_the_next_layer():
    c = ks.Local((28, 28), centres="even", of="units").sample((400, 196), 196 * 12, seed=2)
    rows, columns = np.divmod(c.inputs, 20)
    centres = [np.bincount(c.outputs, axis) / 12 for axis in (rows, columns)]
    for mean, unit in zip(centres, np.divmod(np.arange(196), 14), strict=True):
        assert np.corrcoef(mean, unit)[0, 1] > 0.97


def offsets(c, grid, channels=1):
    """Distances of all inputs of a unit from their mean, [K, axes]."""
    places = np.stack(np.unravel_index(c.inputs // channels, grid), axis=1).astype(float)
    means = np.stack([np.bincount(c.outputs, axis) / c.in_degrees for axis in places.T], axis=1)
    return places - means[c.outputs]


def test_fields_have_the_spread_that_was_asked_for():
    # In the middle of a large grid with few inputs a unit, drawing without replacement hardly matters.
    grid, middle = (101, 101), [50 * 101 + 50]
    c = ks.Local(grid, 6.0).sample((101 * 101, 400), 400 * 20, seed=3)
    places = np.stack(np.divmod(c.inputs, 101))
    inner = [np.abs(np.bincount(c.outputs, axis) / 20 - 50) < 25 for axis in places]
    inside = np.logical_and(*inner)[c.outputs]
    spread = np.sqrt((offsets(c, grid)[inside] ** 2).mean(axis=0) * 20 / 19)
    np.testing.assert_allclose(spread, 6.0, rtol=0.05)
    assert ks.Local(grid, 6.0, middle).sample((101 * 101, 3), 3, seed=0).inputs.tolist() == middle * 3


def test_the_spread_follows_the_number_of_inputs():
    sides = []
    for degree in (9, 36, 144):
        c = ks.Local((64, 64)).sample((4096, 300), 300 * degree, seed=1)
        sides.append(np.sqrt((offsets(c, (64, 64)) ** 2).mean() * degree / (degree - 1)))
    # Twice the side with four times the inputs.
    np.testing.assert_allclose([sides[1] / sides[0], sides[2] / sides[1]], 2, rtol=0.15)
    whole = ks.Random().sample((4096, 300), 300 * 36, seed=1)
    assert sides[1] < 0.25 * np.sqrt((offsets(whole, (64, 64)) ** 2).mean())


def test_channels_of_a_place_are_as_near_as_each_other():
    c = ks.Local((16, 16), 1.0).sample((768, 200), 200 * 12, seed=0)
    assert np.bincount(c.inputs % 3, minlength=3).min() > 0.3 * len(c)
    assert np.abs(offsets(c, (16, 16), 3)).mean() < 1.5


def test_a_field_grows_until_it_holds_enough():
    # All that may be connected is far from most of it, and all of it is needed.
    corners = [0, 99, 9900, 9999]
    c = ks.Local((100, 100), 0.5, corners).sample((10_000, 2), 8, seed=0)
    assert sorted(c.inputs.tolist()) == sorted(corners * 2)


@pytest.mark.parametrize("spread", [1e-300, 1e300])
def test_extreme_spreads(spread):
    c = ks.Local((5, 5), spread).sample((25, 300), 300, seed=0)
    assert len(c) == 300
    assert len(np.unique(c.inputs)) == 25


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"grid": 28}, "one positive integer per axis"),
        ({"grid": ()}, "one positive integer per axis"),
        ({"grid": (28, 0)}, "one positive integer per axis"),
        ({"grid": (28, 28.0)}, "one positive integer per axis"),
        ({"grid": (28, True)}, "one positive integer per axis"),
        ({"grid": "28"}, "one positive integer per axis"),
        ({"grid": (4,), "spread": "a"}, "`spread` must be a positive number of places"),
        ({"grid": (4,), "spread": True}, "`spread` must be a positive number of places"),
        ({"grid": (4,), "inputs": 5}, "`inputs` must be numbers of inputs"),
        ({"grid": (4,), "inputs": [1.7, 2.2]}, "`inputs` must be numbers of inputs"),
        ({"grid": (4,), "inputs": np.array([False, True])}, r"of a mask, `np.flatnonzero\(mask\)`"),
        ({"grid": (4,), "spread": 0}, "`spread` must be a positive number of places"),
        ({"grid": (4,), "spread": math.nan}, "`spread` must be a positive number of places"),
        ({"grid": (4,), "inputs": []}, "`inputs` must be numbers of inputs"),
        ({"grid": (4,), "inputs": [1, 1]}, "`inputs` must be numbers of inputs"),
        ({"grid": (4,), "inputs": [-1]}, "`inputs` must be numbers of inputs"),
        ({"grid": (4,), "centres": "odd"}, "`centres` must be one of random, even"),
        ({"grid": (4,), "of": "pixels"}, "`of` one of places, units"),
    ],
)
def test_what_is_no_field_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ks.Local(**arguments)


def test_arguments_may_be_arrays():
    pattern = ks.Local(np.array([3, 4]), np.float32(2), np.arange(5))
    assert pattern == ks.Local((3, 4), 2.0, range(5))
    assert json.loads(json.dumps(pattern.get_config()))["grid"] == [3, 4]


@pytest.mark.parametrize(
    ("pattern", "shape", "count", "message"),
    [
        (ks.Local((28, 28)), (783, 10), 5, "28 x 28 = 784 places does not divide 783 inputs"),
        (ks.Local((28, 28), of="units"), (5, 3), 16, "has room for 15 in 5 x 3"),
        (ks.Local((2, 2)), (4, 3), 13, "13 connections asked for"),
        (ks.Local((2, 2)), (4, 3), -1, "-1 connections asked for"),
        (ks.Local((2, 2), inputs=[0, 3]), (4, 3), 7, "has room for 6 in 4 x 3"),
        (ks.Local((2, 2), inputs=[0, 4]), (4, 3), 2, "names input 4, but the junction has 4"),
    ],
)
def test_what_does_not_fit_a_junction_is_refused(pattern, shape, count, message):
    with pytest.raises(ValueError, match=message):
        pattern.sample(shape, count, seed=0)
