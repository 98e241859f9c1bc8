"""The code in the guides runs as it stands, block after block."""

import re
from pathlib import Path

import pytest

GUIDES = sorted((Path(__file__).parents[1] / "docs").glob("*.md"))


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_blocks_run(guide):
    blocks = re.findall(r"```python\n(.*?)```", guide.read_text(), re.DOTALL)
    assert blocks
    names = {"__name__": guide.stem}
    for block in blocks:
        exec(compile(block, str(guide), "exec"), names)


def test_the_guide_to_policies_is_there():
    assert "own_policy" in {guide.stem for guide in GUIDES}
