"""Only what is named is left out of TensorFlow's log, and only for a while."""

import logging

from keras_sparse.muted import muted


def test_only_the_named_messages_are_left_out(caplog):
    caplog.set_level(logging.WARNING, "tensorflow")  # whatever other tests have set
    logger, said = logging.getLogger("tensorflow"), []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())
    logger.addHandler(handler)
    try:
        with muted("means nothing", "neither this"):
            logger.warning("This %s.", "means nothing")
            logger.warning("and neither this")
            logger.warning("100 % serious")
        logger.warning("This means nothing.")
    finally:
        logger.removeHandler(handler)
    assert said == ["100 % serious", "This means nothing."]
    assert not logger.filters
