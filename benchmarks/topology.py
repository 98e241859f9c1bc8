"""Time drawing and rewiring a hypersparse junction: 1,000,000 x 1,000,000 with ten million connections.

python benchmarks/topology.py [--units 1000000] [--connections 10000000]
"""

import argparse
import os
import resource
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

import keras_sparse as ks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, default=10**6)
    parser.add_argument("--connections", type=int, default=10**7)
    arguments = parser.parse_args()
    n, k = arguments.units, arguments.connections

    begin = time.perf_counter()
    ks.Random().sample((n, n), k, seed=1)
    print(f"draw the pattern     {time.perf_counter() - begin:6.2f} s")
    begin = time.perf_counter()
    model = keras.Sequential([keras.Input((n,)), ks.SparseDense(n, density=k / n**2, seed=1, use_bias=False)])
    print(f"build the layer      {time.perf_counter() - begin:6.2f} s")
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    optimizer.build(model.trainable_variables)
    begin = time.perf_counter()
    rewire = ks.Rewire(ks.SET(0.3)).attach(model, optimizer)
    print(f"attach Rewire        {time.perf_counter() - begin:6.2f} s")
    for number in range(3):
        begin = time.perf_counter()
        rewire.update()
        print(f"SET update {number}         {time.perf_counter() - begin:6.2f} s")
    print(f"layer                {ks.inspect(model).bytes / 1e6:6.0f} MB")
    print(f"peak of the process  {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:6.0f} MB")


if __name__ == "__main__":
    main()
