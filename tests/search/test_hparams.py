from keras_sparse.search import TrialRecord
from keras_sparse.search.hparams import TrialSummaries
from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorboard.util.tensor_util import make_ndarray

COMPLETED = TrialRecord(
    trial=7, status="completed", seed=1, metric="accuracy", objective=-1.5, prediction_loss=0.1, complexity=0.1,
    val_metric=0.9, test_metric=None, connections=123, density=0.2, parameters=140, best_epoch=2,
    hyperparameters={"units": 32, "rate": 0.01, "act": "relu", "bn": True, "kernel": [3, 3], "none": None},
    curve={"loss": [1.0, None, 0.5], "connections": [123, 123, 123]}, network="trials/0007.keras",
)  # fmt: skip
FAILED = TrialRecord(trial=8, status="failed", seed=1, metric="accuracy", hyperparameters={"units": 64}, error="no")


def read(folder):
    runs = EventMultiplexer().AddRunsFromDirectory(str(folder)).Reload()
    return {name: runs.GetAccumulator(name) for name in runs.Runs()}


def scalars(run):
    found = {}
    for tag in run.Tags()["tensors"]:
        if not tag.startswith("_hparams_"):
            events = run.Tensors(tag)
            found[tag] = [(event.step, round(float(make_ndarray(event.tensor_proto)), 4)) for event in events]
    return found


def hyperparameters(run):
    content = run.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    info = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in info.hparams.items()}


def test_trials_are_runs_with_hyperparameters_metrics_and_curves(tmp_path):
    TrialSummaries(tmp_path).complete({7: COMPLETED, 8: FAILED})
    runs = read(tmp_path / "tensorboard")
    assert set(runs) == {"0007", "0008"}
    assert hyperparameters(runs["0007"]) == {
        "units": 32, "rate": 0.01, "act": "relu", "bn": True, "kernel": "[3, 3]", "none": "null",
    }  # fmt: skip
    assert scalars(runs["0007"]) == {
        "objective": [(2, -1.5)], "val_accuracy": [(2, 0.9)], "connections": [(2, 123.0)], "density": [(2, 0.2)],
        "parameters": [(2, 140.0)], "epochs/loss": [(1, 1.0), (3, 0.5)],
        "epochs/connections": [(1, 123.0), (2, 123.0), (3, 123.0)],
    }  # fmt: skip
    assert hyperparameters(runs["0008"]) == {"units": 64}
    assert scalars(runs["0008"]) == {}


def test_what_is_there_is_left_and_a_new_result_replaces_it(tmp_path):
    summaries = TrialSummaries(tmp_path)
    summaries.complete({7: COMPLETED})
    [before] = (tmp_path / "tensorboard/0007").iterdir()
    summaries.complete({7: COMPLETED})
    assert list((tmp_path / "tensorboard/0007").iterdir()) == [before]
    summaries.write(COMPLETED)
    assert len(list((tmp_path / "tensorboard/0007").iterdir())) == 1
    assert [path.name for path in (tmp_path / "tensorboard").iterdir()] == ["0007"]


def test_a_failure_to_write_stops_nothing(tmp_path, caplog):
    (tmp_path / "tensorboard").write_text("in the way")
    TrialSummaries(tmp_path).complete({7: COMPLETED})
    assert "No TensorBoard summary of trial 7" in caplog.text
    assert (tmp_path / "tensorboard").read_text() == "in the way"
