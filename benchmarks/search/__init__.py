"""The search against others: `python -m benchmarks.search` or `make bench-search`.

`problem` is what is searched on, the same for all; `methods` proposes as this package does, `keras_tuner_methods` and
`optuna_methods` as others do; `compare` lets each search and tells how far the fronts came; `deep_n_cheap` is one
search a data set against published networks. Records, progress and tables are those of `benchmarks.reproduce`.
"""
