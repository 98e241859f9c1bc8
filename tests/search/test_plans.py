import pytest
from keras_sparse.search.plans import Plans


@pytest.mark.parametrize("content", ["[" * 100_000, '{"hyperparameters": {}, "pending": [5]}', "", "\x00"])
def test_a_plan_that_is_damaged_is_as_good_as_none(content, tmp_path):
    (tmp_path / "0002.plan").write_text(content)
    assert Plans(tmp_path).get(2) is None
