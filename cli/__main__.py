"""`python -m keras_sparse_cli` is `ksparse`."""

from .main import main

if __name__ == "__main__":
    main(prog_name="ksparse")
