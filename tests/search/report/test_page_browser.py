"""The page in a real browser: what a reader does with it, by mouse and by keyboard, and what it must not do."""

import json
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
from keras_sparse.search.report import serving, write_report

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

HOSTILE = "</script><img src=x onerror=\"window.hit='yes'\"><b>"


def _executable():
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as library:
        path = _executable() or library.chromium.executable_path
        if not Path(path).exists():
            pytest.skip("no Chromium is installed; CHROMIUM can name one")
        # As root, as in a container, Chromium has no sandbox.
        arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        chromium = library.chromium.launch(executable_path=path, args=arguments)
        yield chromium
        chromium.close()


@contextmanager
def opened(browser, address, *, width=1280, **options):
    """The page; at the end nothing was asked of any network but the page's own server, and no error was logged."""
    context = browser.new_context(viewport={"width": width, "height": 800}, **options)
    page = context.new_page()
    page.set_default_timeout(20_000)
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    own = address if address.startswith("http") else "file://"
    page.on("request", lambda ask: None if ask.url.startswith((own, "data:")) else problems.append(ask.url))
    page.goto(address)
    page.wait_for_selector("#tiles .tile")
    yield page
    context.close()
    assert problems == []


@pytest.fixture(scope="module")
def address(run, tmp_path_factory):
    return write_report(run, tmp_path_factory.mktemp("page") / "report.html").as_uri()


@pytest.fixture(scope="module")
def data(address):
    from urllib.request import urlopen

    text = urlopen(address).read().decode()
    return json.loads(text.split('id="data">')[1].split("</script>")[0])


def chosen(page):
    return page.inner_text("#details-title")


def test_hovering_shows_a_network_and_a_click_its_details(browser, address, data):
    first, last = data["front"][0], data["front"][-1]
    with opened(browser, address) as page:
        assert chosen(page) == f"Details of trial {data['best']}"
        page.hover(f"#point-{last}")
        assert f"Trial {last}" in page.inner_text("#glance")
        assert page.locator(f'#space .trial.lit[data-trial="{last}"]').count() == 1
        assert chosen(page) == f"Details of trial {data['best']}"
        page.click(f"#point-{first}")
        assert chosen(page) == f"Details of trial {first}"
        details = page.inner_text("#network")
        assert all(part in details for part in ("hidden_1", "64 × 16", "Curves", "in-degrees", "Input map"))
        assert page.locator("#network .picture rect").count() == 64
        assert page.locator(f"#point-{first}").get_attribute("aria-selected") == "true"


def test_the_keyboard_alone(browser, address, data):
    with opened(browser, address) as page:
        for _ in range(12):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.getAttribute('role')") == "option":
                break
        focused = "Number(document.activeElement.dataset.trial)"
        assert page.evaluate(focused) == data["best"]
        page.keyboard.press("Home")
        smallest = min(
            (trial for trial in data["trials"] if trial["status"] == "completed"),
            key=lambda trial: trial["measures"]["connections"],
        )
        assert page.evaluate(focused) == smallest["trial"]
        assert f"Trial {smallest['trial']}" in page.inner_text("#glance")
        page.keyboard.press("ArrowRight")
        second = page.evaluate(focused)
        assert second != smallest["trial"]
        page.keyboard.press("Enter")
        assert chosen(page) == f"Details of trial {second}"
        assert page.evaluate(focused) == second  # the focus stays
        assert page.locator('#front [tabindex="0"]').count() == 1
        # The ring is visible, on points as on buttons.
        stroke = page.evaluate("getComputedStyle(document.activeElement.querySelector('.ring')).stroke")
        assert stroke not in ("none", "")
        seen = set()
        for _ in range(60):
            page.keyboard.press("Tab")
            seen.add(page.evaluate("document.activeElement.id || document.activeElement.getAttribute('class')"))
        assert {"space", "sort", "link"} <= seen


def test_everything_to_be_used_has_a_name(browser, address):
    with opened(browser, address) as page:
        nameless = page.evaluate(
            """() => [...document.querySelectorAll(`button, select, input, a, [role=img], [role=option], [role=listbox],
            [role=region], svg:not([aria-hidden=true]):not([role])`)].filter((each) => !(each.getAttribute('aria-label')
            || each.textContent.trim() || each.closest('label'))).map((each) => each.outerHTML.slice(0, 80))"""
        )
        assert nameless == []
        # Every chart's numbers are in a table, too.
        for box in ("front-table", "volume-table"):
            page.click(f"#{box} summary")
            assert page.locator(f"#{box} tbody tr").first.is_visible()


def test_ranges_hold_for_the_whole_page(browser, address, data):
    completed = [trial for trial in data["trials"] if trial["status"] == "completed"]
    with opened(browser, address) as page:
        assert page.locator("#table tbody tr:visible").count() == len(data["trials"])
        page.locator("#space").scroll_into_view_if_needed()
        axis = page.locator("#space .hit").first.bounding_box()  # layers: 1 or 2
        x = axis["x"] + axis["width"] / 2
        page.mouse.move(x, axis["y"] + 8)
        page.mouse.down()
        page.mouse.move(x, axis["y"] + 60, steps=4)
        page.mouse.up()
        two = sum(trial["hyperparameters"]["layers"] == 2 for trial in completed)
        assert f"{two} of {len(completed)} networks" in page.inner_text("#matching")
        assert page.locator("#front [role=option]:not(.out)").count() == two
        page.click("#clear")
        assert page.locator("#front [role=option].out").count() == 0
        page.click("#ranges summary")
        slider = page.locator('#filters input[data-axis="metric"][data-end="0"]')
        slider.focus()
        for _ in range(50):
            page.keyboard.press("ArrowRight")
        metrics = [trial["val_metric"] for trial in completed]
        half = (min(metrics) + max(metrics)) / 2
        assert f"{sum(metric >= half for metric in metrics)} of" in page.inner_text("#matching")


def test_the_table_sorts(browser, address, data):
    with opened(browser, address) as page:
        order = "[...document.querySelectorAll('#table tbody tr')].map((row) => Number(row.dataset.trial))"
        page.click('[data-sort="m:connections"]')
        completed = [trial for trial in data["trials"] if trial["status"] == "completed"]
        ascending = [t["trial"] for t in sorted(completed, key=lambda t: (t["measures"]["connections"], t["trial"]))]
        assert page.evaluate(order)[: len(ascending)] == ascending
        page.click('[data-sort="m:connections"]')
        assert page.evaluate(order)[0] == ascending[-1]
        assert page.locator('th[aria-sort="descending"]').count() == 1
        assert page.evaluate("document.activeElement.dataset.sort") == "m:connections"
        page.click(f'#table [data-choose="{ascending[0]}"]')
        assert chosen(page) == f"Details of trial {ascending[0]}"


def test_light_and_dark(browser, address):
    back = "getComputedStyle(document.body).backgroundColor"
    with opened(browser, address, color_scheme="light") as page:
        light = page.evaluate(back)
        page.click("#theme")
        assert page.evaluate(back) == light
        page.click("#theme")
        dark = page.evaluate(back)
        assert dark != light
    with opened(browser, address, color_scheme="dark") as page:
        assert page.evaluate(back) == dark
        page.click("#theme")
        assert page.evaluate(back) == light


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_is_cut_off(browser, address, width):
    with opened(browser, address, width=width) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == width
        outside = page.evaluate(
            """(width) => [...document.querySelectorAll('main *')].filter((each) =>
              !each.closest('.scroll, .hidden, svg') && each.getClientRects().length
              && each.getBoundingClientRect().right > width + 1).map((each) => each.id || each.className)""",
            width,
        )
        assert outside == []
        small = page.evaluate(
            "[...document.querySelectorAll('svg text')].filter((each) =>"
            " parseFloat(getComputedStyle(each).fontSize) < 11).length"
        )
        assert small == 0


def test_long_names_on_a_phone(browser, make, tmp_path):
    for trial in range(20):
        values = {"a_hyperparameter_with_quite_a_long_name": trial, "x" * 60: "y" * 60 + str(trial % 3)}
        make.record(tmp_path, trial, hyperparameters=values, connections=100 + trial, val_metric=0.5 + trial / 50)
    with opened(browser, write_report(tmp_path).as_uri(), width=360) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        right = page.evaluate("document.querySelector('#importance table').getBoundingClientRect().right")
        assert right <= page.evaluate("document.querySelector('#importance').getBoundingClientRect().right") + 1


def test_data_are_shown_and_never_run(browser, make, tmp_path):
    folder = tmp_path / "run"
    make.manifest(folder, name=HOSTILE, options={HOSTILE: HOSTILE})
    for trial in range(3):
        make.record(
            folder, trial, val_metric=0.5 + trial / 10, connections=100 + trial,
            hyperparameters={HOSTILE: f"{HOSTILE}{trial}", "__proto__": trial, "constructor": "x"},
            measures={HOSTILE: 1.0 + trial},
        )  # fmt: skip
    make.network(folder / "trials/0000.keras")
    with opened(browser, write_report(folder).as_uri()) as page:
        assert page.inner_text("h1") == HOSTILE
        assert HOSTILE in page.inner_text("#glance")
        page.select_option("#size", HOSTILE)
        page.click("#point-0")
        assert page.evaluate("window.hit") is None
        assert page.locator("main img").count() == 0


@pytest.mark.parametrize("trials", [0, 1, 2])
def test_few_trials(browser, make, tmp_path, trials):
    make.manifest(tmp_path)
    for trial in range(trials):
        make.record(tmp_path, trial, val_metric=0.9)
    with opened(browser, write_report(tmp_path).as_uri()) as page:
        assert page.locator("#front [role=option]").count() == trials
        assert f"{trials} of 40" in page.inner_text("#tiles")


def test_a_live_page_sees_news_and_keeps_the_readers_place(browser, make, tmp_path):
    folder = make.run(tmp_path / "run", 5, networks=False)
    with serving(folder, port=0) as address, opened(browser, address) as page:
        assert page.inner_text("#state") in ("Live", "Not finished")
        page.click("#point-1")
        page.keyboard.press("ArrowRight")
        focused = page.evaluate("document.activeElement.id")
        page.click('[data-sort="density"]')
        page.focus(f"#{focused}")
        make.record(folder, 5, hyperparameters={"layers": 1, "units_1": 20, "rate": 0.1}, connections=700)
        page.wait_for_selector("#point-5")
        assert page.inner_text("#state") == "Live"
        assert chosen(page) == "Details of trial 1"
        assert page.evaluate("document.activeElement.id") == focused
        assert page.locator('th[aria-sort="ascending"]').inner_text().startswith("density")
