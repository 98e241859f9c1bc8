"""What the tests of the native kernels share."""

import pytest

from keras_sparse.compute.native.library import load

library = load()
SETS = library.instruction_sets if library else []


@pytest.fixture(params=SETS)
def instruction_set(request):
    """Run a test with every instruction set that this processor has."""
    before = library.instruction_set
    library.use(request.param)
    yield request.param
    library.use(before)


@pytest.fixture(params=[1, 3])
def threads(request):
    """Run a test with one thread, and with more than there may be processors."""
    before = library.threads
    library.set_threads(request.param)
    yield request.param
    library.set_threads(before)
