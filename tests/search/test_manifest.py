"""run.json: what may be resumed with what."""

from dataclasses import replace

import pytest
from keras_sparse.search import ConvSpace, MLPSpace, RecurrentSpace
from keras_sparse.search.errors import ResumeMismatchError, RunDirectoryError
from keras_sparse.search.manifest import RunManifest

MANIFEST = RunManifest(
    data={"name": "digits", "fingerprint": "abc", "n_train": 100},
    space={"kind": "mlp", "units": [32, 64]},
    options={"complexity_weight": 0.1, "epochs": 30},
    seed=3,
    max_trials=12,
)


def test_write_and_read_back(tmp_path):
    assert RunManifest.read(tmp_path) is None
    MANIFEST.write(tmp_path)
    assert RunManifest.read(tmp_path) == MANIFEST
    RunManifest.read(tmp_path).check_resumable(MANIFEST)


def test_more_trials_other_versions_and_another_name_are_fine():
    other = replace(MANIFEST, max_trials=30, versions={"keras": "9"}, data={**MANIFEST.data, "name": "moved.csv"})
    other.check_resumable(MANIFEST)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"seed": 4}, "  seed: 3 -> 4"),
        ({"space": {"kind": "mlp", "units": [32]}}, "  space.units: [32, 64] -> [32]"),
        ({"options": {"complexity_weight": 1.0, "epochs": 30}}, "  options.complexity_weight: 0.1 -> 1.0"),
        ({"data": {**MANIFEST.data, "fingerprint": "abd"}}, '  data.fingerprint: "abc" -> "abd"'),
        ({"max_trials": 11}, "  max_trials: 12 -> 11 (may only be raised)"),
    ],
)
def test_anything_else_is_refused_and_shown(changes, line):
    with pytest.raises(ResumeMismatchError) as caught:
        replace(MANIFEST, **changes).check_resumable(MANIFEST)
    assert str(caught.value).splitlines()[1:-1] == [line]
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("space", [MLPSpace(units=(8,)), ConvSpace(), RecurrentSpace()])
def test_a_run_from_before_a_field_was_added_goes_on_with_its_default(space):
    now = replace(MANIFEST, space=space.to_dict(), options={**MANIFEST.options, "objective": "weighted"})
    new = {"policies", "patterns", "normalize", "schedules"}
    before = replace(MANIFEST, space={name: value for name, value in now.space.items() if name not in new})
    now.check_resumable(before)
    other = replace(now, space={**now.space, "policies": ["rigl"]})
    with pytest.raises(ResumeMismatchError, match=r'space.policies: \["set"\] -> \["rigl"\]'):
        other.check_resumable(before)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 1}', '{"schema": "x"}', "\udcff"])
def test_a_damaged_manifest_stops_the_search(tmp_path, text):
    (tmp_path / "run.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(RunDirectoryError, match=r"run.json is damaged"):
        RunManifest.read(tmp_path)


def test_a_newer_manifest_is_not_guessed_at(tmp_path):
    (tmp_path / "run.json").write_text('{"schema": 2}')
    with pytest.raises(RunDirectoryError, match="reads up to 1"):
        RunManifest.read(tmp_path)
