"""The `ksparse` command: parse, call, print. Importing it does not import Keras."""
