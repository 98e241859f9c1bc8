"""Real data in, arrays and a served model's preprocessing out.

`load` reads, checks, encodes and splits; `fit` learns the preprocessing from the training part; `Preprocessing.attach`
puts it in front of a trained network; `export_with_signatures` writes the result for serving.
"""

from .dataset import DataError, Dataset, Features
from .forms import Form, with_lengths
from .load import load
from .preprocessing import Preprocessing, fit
from .serving import export_with_signatures

__all__ = [
    "DataError",
    "Dataset",
    "Features",
    "Form",
    "Preprocessing",
    "export_with_signatures",
    "fit",
    "load",
    "with_lengths",
]
