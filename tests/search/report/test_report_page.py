import json
import re

import pytest
from keras_sparse.search.report import collect, page, write_report
from keras_sparse.search.report.page import embedded

HOSTILE = "</script><script>alert(1)</script><!-- \u2028\u2029 & \ud800 <b>"


def data_of(text):
    [block] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    return json.loads(block)


def test_the_page_holds_everything_and_asks_for_nothing(run):
    value = collect(run)
    text = page(value)
    assert data_of(text) == value
    assert not re.findall(r"(?:src|href)\s*=\s*[\"'](?!data:|#)", text)
    assert not re.findall(r"@import|url\(|//[a-z]+\.[a-z]+/(?!2000/svg)", text)
    assert "innerHTML" not in text
    assert "connect-src &#x27;none&#x27;" in text
    assert "connect-src &#x27;self&#x27;" in page(value, live=True)
    assert len(text) < 400_000


def test_whatever_the_data_hold_they_stay_data(make, tmp_path):
    make.manifest(tmp_path, name=HOSTILE)
    make.record(tmp_path, 0, hyperparameters={HOSTILE: HOSTILE, "{{script}}": "{{policy}}"})
    value = collect(tmp_path)
    text = page(value)
    assert data_of(text) == value
    assert value["title"] == HOSTILE
    assert text.count("<script") == text.count("</script") == 2
    assert text.encode()


@pytest.mark.parametrize("character", list("<>&\u2028\u2029"))
def test_no_character_that_html_or_a_script_could_read(character):
    assert character not in embedded({character: [f"a{character}b"]})
    assert json.loads(embedded({character: 1})) == {character: 1}


def test_the_file_is_written_in_one_step(run, tmp_path):
    path = write_report(run, tmp_path / "deep" / "page.html")
    assert path.read_text("utf-8") == page(collect(run))
    assert [each.name for each in path.parent.iterdir()] == ["page.html"]
    assert not (run / "report.html").exists()


def test_a_thousand_trials_stay_small(make, tmp_path):
    for trial in range(1000):
        make.record(tmp_path, trial, connections=1000 - trial // 2, val_metric=0.5 + trial / 4000)
    assert len(page(collect(tmp_path))) < 1_000_000
