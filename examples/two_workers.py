"""Train one sparse network on several workers (MultiWorkerMirroredStrategy), rewired alike on all of them.

Started as it is, it starts two workers on this machine. Started on every machine of a cluster with TF_CONFIG set, as
TensorFlow's guide tells, it is the worker that TF_CONFIG says. Keras' `fit` does not work under this strategy; the loop
in `train` does.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

POLICIES = ("set", "rigl", "deep-r")
BATCH = 64  # of all workers together


def main():
    options = parse()
    if "TF_CONFIG" not in os.environ:
        sys.exit(run_here([sys.executable, __file__, *sys.argv[1:], "--leave-with-parent"], 2, options.timeout))
    if options.leave_with_parent:
        threading.Thread(target=leave_at_end_of_input, daemon=True).start()
    import tensorflow as tf  # before anything else: the strategy must be TensorFlow's first act

    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    for policy in options.policy:
        train(strategy, policy, options)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", nargs="+", choices=POLICIES, default=["set"], help="one after the other")
    parser.add_argument("--steps", type=int, default=400, help="of the optimizer (default: 400)")
    parser.add_argument("--every", type=int, default=80, help="steps between updates (default: 80)")
    parser.add_argument("--output", type=Path, help="folder for each worker's final weights, POLICY-WORKER.npz")
    parser.add_argument("--timeout", type=float, default=600, help="seconds after which workers here are stopped")
    parser.add_argument("--leave-with-parent", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def train(strategy, name, options):
    """Train and rewire on this worker; the others do the same at the same time."""
    import keras
    import numpy as np
    import tensorflow as tf
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    import keras_sparse as ks

    policy = {"set": ks.SET(0.2), "rigl": ks.RigL(), "deep-r": ks.DeepR(l1=1e-4)}[name]
    x, y = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x / 16.0, y, test_size=0.25, random_state=0, stratify=y)

    def batches(context):  # each worker reads its own part
        worker, workers = context.input_pipeline_id, context.num_input_pipelines
        mine = slice(worker, None, workers)
        data = tf.data.Dataset.from_tensor_slices((x_train[mine].astype("float32"), y_train[mine]))
        data = data.shuffle(len(x_train), seed=worker).repeat()
        return data.batch(context.get_per_replica_batch_size(BATCH))

    data = iter(strategy.distribute_datasets_from_function(batches))
    with strategy.scope():  # variables made here start as those of the first worker and stay equal
        model = keras.Sequential(
            [
                keras.Input((64,)),
                ks.SparseDense(256, density=0.1, activation="relu", kernel_initializer="he_normal"),
                ks.SparseDense(10, density=0.3),
            ]
        )
        # DEEP R is a walk without momentum.
        optimizer = keras.optimizers.SGD(0.2) if name == "deep-r" else keras.optimizers.SGD(0.05, momentum=0.9)
        optimizer.build(model.trainable_variables)
    losses = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")
    rewire = ks.Rewire(policy).attach(model, optimizer)

    def gradients(x, y):
        with tf.GradientTape() as tape:
            loss = losses(y, model(x, training=True)) / BATCH  # gradients are summed over the replicas
        return loss, tape.gradient(loss, [variable.value for variable in model.trainable_variables])

    def replica_step(x, y):
        loss, found = gradients(x, y)
        optimizer.apply(found, model.trainable_variables)
        return loss

    @tf.function
    def step(batch):
        return strategy.reduce("sum", strategy.run(replica_step, args=batch), axis=None)

    @tf.function  # only ever called inside `rewire.recording()`
    def look(batch):
        strategy.run(gradients, args=batch)

    @tf.function
    def gather(marks):
        return strategy.gather(strategy.run(tf.identity, args=(marks,)), axis=0)

    def topologies():
        """Return the fingerprints of the kernels, one row per worker."""
        marks = [layer.kernel.fingerprint() for layer in model.layers]
        rows = gather(tf.constant([marks], tf.int64)).numpy()
        if not (rows == rows[0]).all():
            raise SystemExit(f"The workers' topologies differ: {rows.tolist()}. Are they machines of different kinds?")
        return rows

    def say(text):
        print(f"{name}: {text}", flush=True)

    moved, seen, total = 0, [], 0.0
    for number in range(1, options.steps + 1):
        total += float(step(next(data)))
        due = number % options.every == 0
        if (due and number < options.steps) or policy.when == "after_step":
            if policy.needs_gradient:
                with rewire.recording():
                    look(next(data))
            moved += sum(entry["added"] for entry in rewire.update(progress=number / options.steps))
        if due:
            rows = topologies()
            seen.append(rows[0])
            each = ", ".join(f"worker {i} " + "-".join(f"{mark:x}" for mark in row) for i, row in enumerate(rows))
            say(f"step {number}, loss {total / options.every:.3f}, {moved} connections moved; topology: {each}")
            moved, total = 0, 0.0
    accuracy = np.mean(np.argmax(model(x_test.astype("float32")), axis=1) == y_test)
    say(f"test accuracy {accuracy:.3f} with {sum(len(layer.kernel) for layer in model.layers)} connections")
    if options.output is not None:
        options.output.mkdir(parents=True, exist_ok=True)
        variables = [*model.variables, *optimizer.variables]
        arrays = {f"variable_{i}": np.asarray(variable) for i, variable in enumerate(variables)}
        worker = strategy.cluster_resolver.task_id
        np.savez(options.output / f"{name}-{worker}.npz", topologies=np.array(seen), **arrays)


def run_here(command, count, timeout):
    """Run `command` as `count` workers of one cluster on this machine; return the exit code of the whole.

    When one of them fails, or time is up, all are stopped.
    """
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    workers = []
    try:
        for index in range(count):
            cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
            # One CPU device each: workers of one machine would share its GPUs.
            environment = {**os.environ, "TF_CONFIG": json.dumps(cluster), "CUDA_VISIBLE_DEVICES": ""}
            environment.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
            quiet = subprocess.DEVNULL if index else None  # all print the same
            workers.append(subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=quiet))
        return wait(workers, timeout)
    finally:
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.wait()


def wait(workers, timeout):
    """Wait until all workers are done or one has failed."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        codes = [worker.poll() for worker in workers]
        failed = [(index, code) for index, code in enumerate(codes) if code]
        if failed:
            index, code = failed[0]
            print(f"Worker {index} ended with exit code {code}; the others are stopped.", file=sys.stderr)
            return 1
        if None not in codes:
            return 0
        time.sleep(0.1)
    print(f"The workers did not finish in {timeout:g} seconds and are stopped; see --timeout.", file=sys.stderr)
    return 1


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def leave_at_end_of_input():
    """End this worker when whoever started it is gone, however that ended."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


if __name__ == "__main__":
    main()
