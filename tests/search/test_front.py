"""Pareto front and winner, against their definitions; and their picture."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from keras_sparse.search.front import error, pareto_front, winner
from keras_sparse.search.picture import draw
from keras_sparse.search.records import TrialRecord
from matplotlib import image


def record(trial, metric, connections, objective=0.0, name="accuracy"):
    figures = (objective, 0.1, 0.1, metric, None, connections, 0.1, connections)
    return TrialRecord(trial, "completed", 0, {}, name, *figures)


FAILED = TrialRecord(99, "failed", 0, {}, "accuracy", error="x")
trials = st.lists(
    st.tuples(st.sampled_from([0.5, 0.8, 0.9, 0.95, 1.0]), st.integers(1, 6), st.integers(-2, 2)), max_size=12
).map(lambda rows: [record(i, *row) for i, row in enumerate(rows)])


@given(trials, st.sampled_from(["accuracy", "mse"]))
def test_the_front_is_what_nobody_beats(records, name):
    records = [replace(r, metric=name) for r in records]

    def beats(a, b):
        no_worse = error(a) <= error(b) and a.connections <= b.connections
        return no_worse and (error(a), a.connections) != (error(b), b.connections)

    expected = {(error(r), r.connections) for r in records if not any(beats(other, r) for other in records)}
    front = pareto_front([*records, FAILED])
    assert {(error(r), r.connections) for r in front} == expected
    assert len(front) == len(expected)
    assert front == sorted(front, key=lambda r: r.connections)


@given(trials, st.randoms())
def test_the_winner_does_not_depend_on_order(records, shuffle):
    best = winner([FAILED, *records])
    mixed = list(records)
    shuffle.shuffle(mixed)
    assert winner(mixed) == best
    if best is not None:
        assert all(
            (best.objective, best.connections, best.trial) <= (r.objective, r.connections, r.trial) for r in records
        )


def test_ties_go_to_fewer_connections_then_to_the_earlier_trial():
    assert winner([record(0, 0.9, 5), record(1, 0.9, 4), record(2, 0.9, 4), FAILED]).trial == 1
    assert winner([FAILED]) is None


def test_a_picture_of_any_run(tmp_path):
    rng = np.random.default_rng(0)
    runs = {
        "accuracy": [record(i, 0.5 + rng.random() / 2, int(10 ** rng.uniform(2, 5)), i) for i in range(20)],
        "mse": [record(i, rng.random() * 9, int(10 ** rng.uniform(2, 5)), i, "mse") for i in range(20)],
        "one": [record(0, 0.9, 1)],
        "none": [FAILED],
    }
    for name, records in runs.items():
        draw(records, tmp_path / f"{name}.png", title=name)
        assert image.imread(tmp_path / f"{name}.png").shape[1] == 1080
    draw(runs["mse"], tmp_path / "again.png", title="mse")
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "mse.png").read_bytes()
    assert len(list(tmp_path.iterdir())) == 5
