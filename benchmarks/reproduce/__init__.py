"""Reproductions of published results: `python -m benchmarks.reproduce NAME` or `make reproduce-NAME`.

An `Experiment` lists its settings and trains one of them with one seed; `records` keeps what is finished, `runner` does
what is missing, `report` prints a table beside the published figures. One file per experiment.
"""
