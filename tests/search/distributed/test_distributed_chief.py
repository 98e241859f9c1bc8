"""The chief and its workers, talking over real connections in one process. No network is trained here."""

import socket
import threading
import time
from contextlib import contextmanager

import grpc
import keras_tuner
import pytest
from keras_sparse.search.distributed.chief import ATTEMPTS, Chief
from keras_sparse.search.distributed.client import ChiefLostError, Client, await_chief
from keras_sparse.search.distributed.messages import SERVICE, STUBS, Caller, pack, unpack
from keras_sparse.search.distributed.roles import Role, RoleError, WorkersError, role
from keras_sparse.search.errors import LimitsError, RunDirectoryError
from keras_sparse.search.objective import Objective
from keras_sparse.search.oracle import AbandonedError, SparseOracle
from keras_sparse.search.records import Records, TrialRecord
from keras_sparse.search.space import MLPSpace
from keras_sparse.search.tuner import SparseTuner

GOAL = Objective("classification", weight=1.0, reference=1000, n_validation=100)
TIMEOUT = 30.0


@pytest.fixture(autouse=True)
def _no_farewell(monkeypatch):
    """Workers here do not wait for the end."""
    monkeypatch.setattr("keras_sparse.search.distributed.chief._FAREWELL", 0.0)


class Model(keras_tuner.HyperModel):
    def declare_hyperparameters(self, hp):
        MLPSpace().declare(hp)

    def build(self, hp):
        raise AssertionError("nothing is built here")


def oracle_on(folder, *, max_trials=6, seed=0, goal=GOAL, **options):
    hp = keras_tuner.HyperParameters()
    MLPSpace().declare(hp)
    return SparseOracle(Records(folder), goal, max_trials=max_trials, seed=seed, hyperparameters=hp, **options)


class Running:
    """A chief on a folder, at work in a thread."""

    def __init__(self, folder, *, timeout=TIMEOUT, **options):
        self.folder, self.seen, self.error = folder, [], None
        self.tuner = SparseTuner(oracle_on(folder, **options), Model(), on_progress=self.seen.append)
        self.chief = Chief(self.tuner, timeout=timeout)
        self.thread = threading.Thread(target=self.run)

    def run(self):
        try:
            self.chief.run()
        except Exception as error:
            self.error = error

    def worker(self, name, *, timeout=TIMEOUT, **options):
        return Client(oracle_on(self.folder, **options), Role("worker", name, "127.0.0.1", self.chief.port, timeout))

    def end(self):
        self.thread.join(timeout=20)
        assert not self.thread.is_alive(), "the search goes on"

    def notes(self):
        return [progress.note for progress in self.seen if progress.event == "workers"]


@contextmanager
def serving(folder, **options):
    running = Running(folder, **options)
    with running.chief:
        running.thread.start()
        yield running
        running.chief.fail(RuntimeError("the test is over"))
        running.end()


@pytest.fixture
def running(tmp_path):
    with serving(tmp_path) as found:
        yield found


def judge(trial, client=None, **changes):
    index, values = int(trial.trial_id), dict(trial.hyperparameters.values)
    score = -1.0 + abs(values["zeta"] - 0.1) + values["density_1"]
    pending = [] if client is None else client.pending(index)
    fields = {"network": f"trials/{index:04d}.keras", "pending": pending, **changes}
    return TrialRecord(index, "completed", 0, values, "accuracy", score, 0.1, 0.1, 0.9, 0.9, 10, 0.1, 10, 1, **fields)


def hand_in(client, trial, **changes):
    client.network_target(int(trial.trial_id)).write_text(f"network of {trial.trial_id} by {client._me.worker}")
    client.keep(judge(trial, client, **changes))


def finish(running, *clients):
    """Run what is left."""
    while (trial := clients[0].create_trial("")).status == "RUNNING":
        hand_in(clients[0], trial)
        if len(running.tuner.oracle.finished) == running.tuner.oracle.total:
            return


def records_of(folder):
    return Records(folder).read_all()


def wait_for(condition):
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.01)


def test_two_workers_share_the_trials(running, tmp_path):
    a, b = running.worker("a"), running.worker("b")
    first, second = a.create_trial(""), b.create_trial("")
    assert (first.trial_id, second.trial_id) == ("0000", "0001")
    assert first.hyperparameters.values != second.hyperparameters.values
    b.at_epoch(1, 1)
    hand_in(b, second)
    assert (tmp_path / "trials/0001.keras").read_text() == "network of 0001 by b"
    third = b.create_trial("")
    assert b.pending(2) == [0]
    assert [record.trial for record in b.known_to(2)] == [1]
    assert sorted(b.finished) == [1]
    hand_in(b, third)
    hand_in(a, first)
    fourth = a.create_trial("")
    assert sorted(a.finished) == [0, 1, 2]  # those of others, too: that is what it counts
    hand_in(a, fourth)
    finish(running, a)
    running.end()
    assert running.error is None
    found = records_of(tmp_path)
    assert list(found) == list(range(6))
    assert {found[i].worker for i in (1, 2)} == {"b"}
    assert found[0].worker == "a"
    assert found[2].pending == [0]
    results = [progress for progress in running.seen if progress.event == "result"]
    assert sorted(progress.record.trial for progress in results) == list(range(6))
    assert [progress.done for progress in results] == list(range(1, 7))
    assert not list((tmp_path / "trials").glob("*.plan"))
    assert {path.name for path in (tmp_path / "tensorboard").iterdir()} == {f"{i:04d}" for i in range(6)}


def test_numbers_arrive_as_they_were_proposed(running, tmp_path):
    trial = running.worker("a").create_trial("")
    alone = oracle_on(tmp_path / "alone").create_trial("tuner0")
    assert trial.hyperparameters.values == alone.hyperparameters.values
    assert [type(v) for v in trial.hyperparameters.values.values()] == [
        type(v) for v in alone.hyperparameters.values.values()
    ]


def test_one_worker_finds_what_a_search_alone_finds(running, tmp_path):
    finish(running, running.worker("a"))
    oracle = oracle_on(tmp_path / "alone")
    while (trial := oracle.create_trial("tuner0")).status == "RUNNING":
        oracle.records.write(judge(trial))
        oracle.end_trial(trial)
    assert [r.hyperparameters for r in records_of(tmp_path).values()] == [
        r.hyperparameters for r in records_of(tmp_path / "alone").values()
    ]


def test_the_trial_of_a_silent_worker_is_run_again_the_same(tmp_path):
    with serving(tmp_path, timeout=3.0) as running:
        a, b = running.worker("a"), running.worker("b")
        first, second = a.create_trial(""), b.create_trial("")
        b.known_to(1)
        hand_in(a, first)  # b's was proposed beside it
        wait_for(lambda: "0001" not in running.tuner.oracle.trials)
        again = a.create_trial("")
        assert (again.trial_id, again.hyperparameters.values) == (second.trial_id, second.hyperparameters.values)
        assert a.pending(1) == [0]
        assert a.known_to(1) == []
        with pytest.raises(AbandonedError, match="no longer"):
            hand_in(b, second)  # it comes back
        hand_in(a, again)
        assert (tmp_path / "trials/0001.keras").read_text() == "network of 0001 by a"
        third = b.create_trial("")
        assert third.trial_id == "0002"
        wait_for(lambda: any("b was not heard of for 3 seconds; trial 1 is run again" in n for n in running.notes()))
        wait_for(lambda: [p.record.trial for p in running.seen if p.event == "result"] == [0, 1])
    assert not list((tmp_path / "trials").glob(".*"))


def test_a_worker_that_trains_is_heard(tmp_path):
    with serving(tmp_path, timeout=2.0) as running:
        a = running.worker("a", timeout=2.0)
        with a.working():
            trial = a.create_trial("")
            time.sleep(4.5)
            hand_in(a, trial)
        wait_for(lambda: any("has left" in note for note in running.notes()))
        assert records_of(tmp_path)[0].completed


def test_a_worker_started_again_under_its_name_runs_its_trial_again(running):
    old, new = running.worker("a"), running.worker("a")
    first = old.create_trial("")
    again = new.create_trial("")
    assert again.hyperparameters.values == first.hyperparameters.values
    with pytest.raises(AbandonedError):
        hand_in(old, first)
    with pytest.raises(ChiefLostError, match="Another worker is called 'a', too"):
        old.create_trial("")
    hand_in(new, again)


def test_a_trial_that_kills_its_workers_is_closed_as_failed(running, tmp_path):
    for attempt in range(ATTEMPTS):
        trial = running.worker(f"w{attempt}").create_trial("")
        assert trial.trial_id == "0000"
        running.chief.lose(f"w{attempt}", "was killed by SIGKILL")
    record = records_of(tmp_path)[0]
    assert record.status == "failed"
    assert (
        record.error
        == f"WorkerDied: {ATTEMPTS} workers that ran it ended before it did; the last one was killed by SIGKILL"
    )
    assert running.worker("b").create_trial("").trial_id == "0001"


def test_the_chief_starts_where_a_killed_one_was(tmp_path):
    """Trials that ran beside others are run again as they were proposed."""
    with serving(tmp_path) as running:
        a, b, c = (running.worker(name) for name in "abc")
        first, second, third = a.create_trial(""), b.create_trial(""), c.create_trial("")
        hand_in(b, second)
        plan = tmp_path / "trials/0002.plan"
        assert plan.is_file()
        assert not (tmp_path / "trials/0001.plan").exists()
    oracle = oracle_on(tmp_path)
    for lost in (first, third):
        found = oracle.create_trial("tuner0")
        assert (found.trial_id, found.hyperparameters.values) == (lost.trial_id, lost.hyperparameters.values)
        assert oracle.pending(int(found.trial_id)) == ([0, 1] if found is not None and lost is third else [])
        oracle.records.write(judge(found, oracle))
        oracle.end_trial(found)
    assert not plan.exists()


def test_a_damaged_plan_is_proposed_anew(tmp_path, caplog):
    oracle = oracle_on(tmp_path)
    first, second = oracle.create_trial("a"), oracle.create_trial("b")
    (tmp_path / "trials/0001.plan").write_text('{"hyperparameters": 3}')
    again = oracle_on(tmp_path)
    assert again.create_trial("a").hyperparameters.values == first.hyperparameters.values
    assert again.create_trial("b").hyperparameters.values == second.hyperparameters.values
    assert "0001.plan is not usable" in caplog.text


def test_a_lost_record_is_not_replaced_by_a_configuration_of_a_later_one(tmp_path):
    oracle = oracle_on(tmp_path, max_trials=12)
    trials = [oracle.create_trial(str(i)) for i in range(12)]
    for trial in trials:
        oracle.records.write(judge(trial, oracle))
        oracle.end_trial(trial)
    for index in range(12):
        path = tmp_path / f"trials/{index:04d}.json"
        content = path.read_bytes()
        path.unlink()
        values = oracle_on(tmp_path, max_trials=12).create_trial("a").hyperparameters.values
        others = [record.hyperparameters for i, record in records_of(tmp_path).items() if i != index]
        assert values not in others
        path.write_bytes(content)


def test_a_forgotten_trial_is_run_again_the_same(tmp_path):
    oracle = oracle_on(tmp_path)
    trials = [oracle.create_trial(name) for name in "abc"]
    for trial in trials:
        oracle.records.write(judge(trial, oracle))
        oracle.end_trial(trial)
    oracle.forget(2, "its network is gone")
    again = oracle.create_trial("a")
    assert again.hyperparameters.values == trials[2].hyperparameters.values
    assert oracle.pending(2) == [0, 1]


def test_who_waits_gets_the_trial_of_who_dies(running, tmp_path):
    a, b = running.worker("a"), running.worker("b")
    for _ in range(5):
        hand_in(a, a.create_trial(""))
    last = b.create_trial("")
    got = []
    waiting = threading.Thread(target=lambda: got.append(a.create_trial("")))
    waiting.start()
    time.sleep(0.5)
    assert not got
    running.chief.lose("b", "was killed by SIGKILL")
    waiting.join(timeout=10)
    assert got[0].trial_id == last.trial_id
    hand_in(a, got[0])
    running.end()
    assert len(records_of(tmp_path)) == 6


def test_a_handed_in_record_is_taken_once(running, tmp_path):
    a = running.worker("a")
    trial = a.create_trial("")
    hand_in(a, trial)
    hand_in(a, trial)  # as if the answer had got lost
    assert [p.event for p in running.seen].count("result") <= 1
    assert a.create_trial("").trial_id == "0001"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda client, record: record | {"objective": None}, "unexpected objective"),
        (lambda client, record: record | {"trial": 3}, "it is that of another trial"),
        (lambda client, record: record | {"hyperparameters": {"zeta": 1}}, "it is that of another trial"),
    ],
)
def test_a_record_that_is_none_is_refused(running, tmp_path, spoil, message):
    a = running.worker("a")
    trial = a.create_trial("")
    a.network_target(0).write_text("")
    content = {"record": spoil(a, judge(trial).to_dict()), "upload": a.network_target(0).name}
    request = SERVICE.EndTrialRequest(trial=pack(content, trial="0000"))
    with pytest.raises(ChiefLostError, match=message):
        a._ask("EndTrial", request, patience=1)
    assert records_of(tmp_path) == {}


@pytest.mark.parametrize(
    "name", ["../../run.json", "0000.keras", ".0000.12.tmp.keras/../../x", None, ".0000.99.tmp.keras"]
)
def test_a_network_that_is_not_there_is_refused(running, tmp_path, name):
    """Also one that would be taken from elsewhere."""
    (tmp_path / "run.json").write_text("mine")
    a = running.worker("a")
    trial = a.create_trial("")
    request = SERVICE.EndTrialRequest(trial=pack({"record": judge(trial).to_dict(), "upload": name}, trial="0000"))
    with pytest.raises(ChiefLostError, match=r"not handed in as|one folder that all machines share"):
        a._ask("EndTrial", request, patience=1)
    assert records_of(tmp_path) == {}
    assert (tmp_path / "run.json").read_text() == "mine"


def test_strangers_are_refused(running):
    with grpc.insecure_channel(f"127.0.0.1:{running.chief.port}") as channel:
        stub = STUBS.OracleStub(channel)
        with pytest.raises(grpc.RpcError, match="no worker of keras_sparse"):
            stub.CreateTrial(SERVICE.CreateTrialRequest(tuner_id="x"), timeout=5)
        with pytest.raises(grpc.RpcError, match="no worker of keras_sparse"):
            stub.CreateTrial(SERVICE.CreateTrialRequest(), timeout=5, metadata=(("keras-sparse-bin", b"[1]"),))
        metadata = Caller("x", "").metadata()
        with pytest.raises(grpc.RpcError, match="not x's"):
            stub.UpdateTrial(SERVICE.UpdateTrialRequest(trial_id="0000"), timeout=5, metadata=metadata)
    assert running.worker("a").create_trial("").trial_id == "0000"


def test_a_worker_that_searches_for_something_else_is_refused(running):
    with pytest.raises(ChiefLostError, match="not the chief's"):
        running.worker("a", seed=9).create_trial("")


def test_what_goes_wrong_in_the_chief_ends_the_search(tmp_path, monkeypatch):
    with serving(tmp_path) as running:
        a, b = running.worker("a"), running.worker("b")
        trial = a.create_trial("")

        def full(_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(running.tuner.oracle.records, "write", full)
        with pytest.raises(ChiefLostError, match="has to stop"):
            hand_in(a, trial)
        running.end()
        assert isinstance(running.error, RunDirectoryError)
        assert "No space left on device" in str(running.error)
        with pytest.raises(ChiefLostError, match=r"has ended the search.*No space left"):
            b.create_trial("")
    assert records_of(tmp_path) == {}


def test_limits_that_nothing_keeps_end_the_search(tmp_path):
    known = {"limits": {"connections": 1.0}}
    goal = Objective("classification", weight=1.0, reference=1000, n_validation=100, **known)
    with serving(tmp_path, goal=goal, known=lambda values: {"connections": 50.0}) as running:
        with pytest.raises(ChiefLostError):
            running.worker("a", goal=goal).create_trial("")
        running.end()
        assert isinstance(running.error, LimitsError)


def test_an_error_of_a_worker_ends_the_search(running):
    a = running.worker("a")

    def work():
        a.create_trial("")
        raise ValueError("build is broken")

    with pytest.raises(ValueError, match="build is broken"), a.working():
        work()
    running.end()
    assert "Worker a: build is broken" in str(running.error)


def test_who_leaves_gives_its_trial_back_at_once(running):
    a, b = running.worker("a"), running.worker("b")
    trials = []

    def work():
        trials.append(a.create_trial(""))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), a.working():
        work()
    assert b.create_trial("").hyperparameters.values == trials[0].hyperparameters.values
    wait_for(lambda: any("Worker a has left; trial 0 is run again" in note for note in running.notes()))


def test_a_chief_that_is_gone_ends_its_workers(tmp_path):
    running = Running(tmp_path)
    running.chief._server.start()
    a = running.worker("a", timeout=1.0)

    def work():
        a.create_trial("")
        running.chief._server.stop(grace=0).wait()
        for _ in range(400):  # trains; the beat interrupts it
            time.sleep(0.05)
        raise AssertionError("nobody interrupted")

    with pytest.raises(ChiefLostError, match=r"No chief has answered .* --resume"), a.working():
        work()


def test_another_chief_at_the_same_place_is_not_worked_for(tmp_path):
    with serving(tmp_path) as running:
        a = running.worker("a")
        trial = a.create_trial("")
        port = running.chief.port
    running = Running(tmp_path)
    running.chief._server.stop(grace=0).wait()
    with Chief(running.tuner, port=port, timeout=TIMEOUT):
        with pytest.raises(AbandonedError):
            hand_in(a, trial)
        with pytest.raises(ChiefLostError, match="Another chief has taken over"):
            a.create_trial("")


def test_no_chief_at_all():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ChiefLostError, match=f"No chief has answered at 127.0.0.1:{port} for 0.5 seconds"):
        await_chief(Role("worker", "a", "127.0.0.1", port, timeout=0.1))


def test_the_chief_listens_on_this_machine_only_and_refuses_a_taken_port(running):
    assert running.chief.host == "127.0.0.1"
    with pytest.raises(WorkersError, match="the port is taken"):
        Chief(running.tuner, port=running.chief.port, timeout=1.0)
    addresses = socket.getaddrinfo(socket.gethostname(), running.chief.port, socket.AF_INET, socket.SOCK_STREAM)
    for *_, (host, port) in addresses:
        if not host.startswith("127."):
            with pytest.raises(OSError):
                socket.create_connection((host, port), timeout=2).close()


def test_a_finished_run_needs_no_worker(tmp_path):
    with serving(tmp_path) as running:
        finish(running, running.worker("a"))
        running.end()
    with serving(tmp_path) as again:
        again.end()
        assert again.error is None


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, Role()),
        ({"TUNER_ID": "a"}, Role()),
        ({"TUNER_ID": "a", "ORACLE_IP": "::1", "ORACLE_PORT": "80"}, Role("worker", "a", "::1", 80)),
        ({"TUNER_ID": "my-chief", "ORACLE_IP": "h", "ORACLE_PORT": "80"}, Role("chief", "my-chief", "h", 80)),
    ],
)
def test_roles(monkeypatch, variables, expected):
    for name, value in variables.items():
        monkeypatch.setenv(f"KERASTUNER_{name}", value)
    assert role() == expected
    for name, value in expected.environment().items() if expected.kind != "alone" else ():
        monkeypatch.setenv(name, value)
    assert role() == expected


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("KERASTUNER_TUNER_ID", "", "KERASTUNER_TUNER_ID is not"),
        ("KERASTUNER_ORACLE_PORT", "", "KERASTUNER_ORACLE_PORT is not"),
        ("KERASTUNER_ORACLE_PORT", "0", "must be a port"),
        ("KERASTUNER_ORACLE_PORT", "99999", "must be a port"),
        ("KERASTUNER_ORACLE_PORT", "²", "must be a port"),
        ("KERAS_SPARSE_WORKER_TIMEOUT", "soon", "number of seconds > 0, got 'soon'"),
        ("KERAS_SPARSE_WORKER_TIMEOUT", "-1", "number of seconds > 0"),
        ("KERAS_SPARSE_WORKER_TIMEOUT", "inf", "number of seconds > 0"),
    ],
)
def test_variables_that_say_nothing(monkeypatch, name, value, message):
    for known, good in Role("worker", "a", "h", 80).environment().items():
        monkeypatch.setenv(known, value if known == name else good)
    with pytest.raises(RoleError, match=message) as caught:
        role()
    assert caught.value.exit_code == 2


def test_nothing_is_printed(running, capsys):
    """Results go to stdout; KerasTuner prints when it packs a space with conditions."""
    await_chief(Role("worker", "a", "127.0.0.1", running.chief.port, timeout=5.0))
    finish(running, running.worker("a"))
    assert capsys.readouterr().out == ""


def test_messages_are_ours_only():
    assert unpack(pack({"a": [1.25, None, "x"]}, trial="0007", status="IDLE")) == (
        {"a": [1.25, None, "x"]},
        "0007",
        "IDLE",
    )
    with pytest.raises(ValueError, match="no message"):
        unpack(keras_tuner.engine.trial.Trial(keras_tuner.HyperParameters(), trial_id="1").to_proto())


def test_keras_tuners_loop_over_a_worker(running, tmp_path, monkeypatch, capfd):
    """What KerasTuner asks of an oracle around a trial, the worker's answers."""
    for name, value in Role("worker", "a", "127.0.0.1", running.chief.port, TIMEOUT).environment().items():
        monkeypatch.setenv(name, value)
    tuner = SparseTuner(oracle_on(tmp_path), Model())

    def run_trial(trial, **_):
        hand_in(tuner.oracle, trial)
        return {"objective": 0.5}

    tuner.run_trial = run_trial
    ending = threading.Timer(0.0, lambda: (running.thread.join(), setattr(running.chief, "_end", {})))
    ending.start()
    tuner.search()
    assert "Traceback" not in capfd.readouterr().err
    assert sorted(tuner.oracle.finished) == list(records_of(tmp_path)) == list(range(6))
    assert (
        tuner.get_best_hyperparameters()[0].values
        == min(records_of(tmp_path).values(), key=lambda record: record.objective).hyperparameters
    )
