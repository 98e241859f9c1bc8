// Parallel coordinates of the hyperparameters and what came of them; ranges on them hold for the whole page.

function makeAxes() {
  const axes = state.data.axes.map((axis) => ({ ...axis, key: `h:${axis.name}`, label: title(axis.name), get: (trial) => trial.hyperparameters[axis.name] }));
  const outcome = (key, label, get) => {
    const values = completed().map(get).filter(isNumber);
    if (!values.length) return;
    const low = values.reduce((a, b) => Math.min(a, b));
    const high = values.reduce((a, b) => Math.max(a, b));
    axes.push({ key, label, get, kind: "number", low, high, log: low > 0 && high >= 20 * low, partial: false, outcome: true });
  };
  for (const measure of state.data.measures) outcome(`m:${measure.name}`, sizeLabel(measure.name), (trial) => sizeOf(trial, measure.name));
  outcome("metric", names().metric === "mean squared error" ? "val error" : `val ${names().metric}`, (trial) => trial.val_metric);
  for (const axis of axes) {
    if (axis.kind === "number") {
      const turn = axis.log ? Math.log : (value) => value;
      const span = turn(axis.high) - turn(axis.low);
      axis.at = (value) => (isNumber(value) ? (span ? (turn(value) - turn(axis.low)) / span : 0.5) : null);
      const back = (share) => (axis.log ? Math.exp(turn(axis.low) + share * span) : axis.low + share * span);
      axis.text = (share) => number(Number(back(share).toPrecision(3)));
      const whole = completed().every((trial) => !isNumber(axis.get(trial)) || Number.isInteger(axis.get(trial)));
      const ticks = span ? (axis.log ? logarithmic : linear)(axis.low, axis.high, 0, 1).ticks(4) : [axis.low];
      axis.ticks = whole ? ticks.filter((tick) => Number.isInteger(tick)) : ticks;
    } else {
      axis.at = (value) => {
        const place = value === undefined ? -1 : axis.options.indexOf(String(value));
        return place < 0 ? null : (place + 0.5) / axis.options.length;
      };
      axis.text = (share) => axis.options[Math.min(axis.options.length - 1, Math.floor(share * axis.options.length))];
    }
  }
  return axes;
}

function matches(trial) {
  for (const [key, [low, high]] of state.filters) {
    const axis = state.axes.find((each) => each.key === key);
    const at = axis ? axis.at(axis.get(trial)) : 0;
    if (at === null || at < low - 1e-9 || at > high + 1e-9) return false;
  }
  return true;
}

function drawSpace() {
  const box = byId("space");
  const trials = completed();
  const constants = Object.entries(state.data.constants);
  show(byId("constants"), constants.length ? `The same in every trial: ${constants.map(([name, value]) => `${title(name)} ${setting(value)}`).join(", ")}.` : "");
  if (!trials.length || !state.data.axes.length) {
    show(box, el("p", { class: "empty" }, trials.length ? "No hyperparameter differs between the trials." : "No trial has completed yet."));
    return drawFilters();
  }
  const longest = state.axes.reduce((most, axis) => Math.max(most, Math.min(18, axis.label.length)), 0);
  // Names that stand too close take turns in two rows.
  const gap = Math.max(60, longest * 3.4 + 8, Math.floor((box.clientWidth - 60) / state.axes.length));
  const width = gap * (state.axes.length - 1) + 120;
  const top = 58;
  const rows = longest * 6.6 + 10 > gap ? 2 : 1;
  const bottom = 290;
  const x = (place) => 60 + place * gap;
  const y = (share) => (share === null ? bottom + 24 : bottom - share * (bottom - top));
  const root = svg("svg", { width, height: 330, viewBox: `0 0 ${width} 330`, role: "img", "aria-label": `Hyperparameters and outcomes of ${plural(trials.length, "trial")}; the table of all trials has the numbers` });
  const byObjective = [...trials].sort((a, b) => (b.objective ?? 0) - (a.objective ?? 0));
  const crowd = Math.min(1, Math.sqrt(150 / trials.length));
  const step = 1 / Math.max(1, byObjective.length - 1);
  byObjective.forEach((trial, place) => {
    const points = state.axes.map((axis, at) => [x(at), y(axis.at(axis.get(trial)))]);
    root.append(svg("path", { class: `trial ${rank(trial)}`, d: path(points), "data-trial": trial.trial, "stroke-opacity": rank(trial) ? null : ((0.18 + 0.6 * place * step) * crowd).toFixed(2) }, svg("title", {}, describeTrial(trial))));
  });
  for (const front of root.querySelectorAll(".trial.front, .trial.best")) root.append(front);
  state.axes.forEach((axis, place) => root.append(axisOf(axis, x(place), y, top, bottom, place % rows)));
  root.addEventListener("pointerover", (event) => {
    const line = event.target.closest(".trial");
    if (line) glance(Number(line.dataset.trial));
  });
  root.addEventListener("click", (event) => {
    const line = event.target.closest(".trial");
    if (line) choose(Number(line.dataset.trial), true);
  });
  show(box, root);
  drawFilters();
  applyFilters();
  return undefined;
}

function axisOf(axis, x, y, top, bottom, row) {
  const marks = axis.kind === "number"
    ? axis.ticks.map((tick) => [axis.at(tick), short(tick)])
    : axis.options.slice(0, 12).map((option) => [axis.at(option), option.length > 12 ? `${option.slice(0, 11)}…` : option]);
  if (completed().some((trial) => axis.at(axis.get(trial)) === null)) marks.push([null, "none"]);
  const text = axis.label.length > 18 ? `${axis.label.slice(0, 17)}…` : axis.label;
  const range = svg("rect", { class: "range", x: x - 7, width: 14, "data-axis": axis.key });
  const hit = svg("rect", { class: "hit", x: x - 14, width: 28, y: top - 6, height: bottom - top + 12 }, svg("title", {}, axis.label));
  let from = null;
  const share = (event) => {
    const box = hit.getBoundingClientRect();
    const at = (box.bottom - 6 - event.clientY) / (box.height - 12);
    return at < 0.03 ? 0 : at > 0.97 ? 1 : at; // the ends are easy to take hold of
  };
  hit.addEventListener("pointerdown", (event) => {
    from = share(event);
    hit.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  hit.addEventListener("pointermove", (event) => {
    if (from === null) return;
    const to = share(event);
    if (Math.abs(to - from) < 0.02) state.filters.delete(axis.key);
    else state.filters.set(axis.key, [Math.min(from, to), Math.max(from, to)]);
    applyFilters();
  });
  for (const end of ["pointerup", "pointercancel"])
    hit.addEventListener(end, (event) => {
      if (from !== null && event.type === "pointerup" && Math.abs(share(event) - from) < 0.02) state.filters.delete(axis.key);
      from = null;
      applyFilters();
    });
  return svg("g", { class: axis.outcome ? "coordinate outcome" : "coordinate" },
    svg("line", { class: "rule", x1: x, x2: x, y1: top, y2: bottom }), range,
    marks.map(([at, name]) => svg("text", { class: "tick halo", x: x + 5, y: y(at) + 4 }, name)),
    svg("text", { class: "axis", x, y: top - 16 - 17 * row, "text-anchor": "middle" }, text, svg("title", {}, axis.label)), hit);
}

function drawFilters() {
  show(byId("filters"), state.axes.map((axis) => {
    const slider = (end) => {
      const input = el("input", { type: "range", min: 0, max: 100, step: 1, "aria-label": `${axis.label}: ${end ? "at most" : "at least"}`, "data-axis": axis.key, "data-end": end });
      input.addEventListener("input", () => {
        const [low, high] = state.filters.get(axis.key) || [0, 1];
        const value = Number(input.value) / 100;
        const next = end ? [Math.min(low, value), value] : [value, Math.max(high, value)];
        if (next[0] <= 0 && next[1] >= 1) state.filters.delete(axis.key);
        else state.filters.set(axis.key, next);
        applyFilters();
      });
      return input;
    };
    return el("fieldset", {}, el("legend", {}, axis.label), slider(0), slider(1), el("output", { "data-axis": axis.key }));
  }));
}

// Shows the ranges everywhere, without drawing anything anew.
function applyFilters() {
  const trials = completed();
  const inside = new Set(state.data.trials.filter((trial) => matches(trial)).map((trial) => trial.trial));
  for (const mark of document.querySelectorAll("#space .trial, #front .point")) mark.classList.toggle("out", mark.dataset.trial !== undefined && !inside.has(Number(mark.dataset.trial)));
  for (const row of document.querySelectorAll("#table tbody tr")) row.hidden = !inside.has(Number(row.dataset.trial));
  for (const axis of state.axes) {
    const [low, high] = state.filters.get(axis.key) || [0, 1];
    const range = [...document.querySelectorAll("#space .range")].find((each) => each.dataset.axis === axis.key);
    if (range) {
      range.setAttribute("y", 290 - high * 232);
      range.setAttribute("height", state.filters.has(axis.key) ? Math.max(2, (high - low) * 232) : 0);
    }
    for (const input of document.querySelectorAll("#filters input"))
      if (input.dataset.axis === axis.key) {
        const end = Number(input.dataset.end);
        input.value = Math.round((end ? high : low) * 100);
        input.setAttribute("aria-valuetext", axis.text(end ? high : low));
      }
    for (const output of document.querySelectorAll("#filters output")) if (output.dataset.axis === axis.key) output.textContent = `${axis.text(low)} – ${axis.text(high)}`;
  }
  byId("matching").textContent = state.filters.size ? `${number(trials.filter((trial) => inside.has(trial.trial)).length)} of ${plural(trials.length, "network")} in range` : "";
  byId("clear").hidden = !state.filters.size;
}

// The trial that is looked at, in the parallel coordinates.
function highlight(index) {
  for (const line of document.querySelectorAll("#space .trial.lit")) line.classList.remove("lit");
  const line = document.querySelector(`#space .trial[data-trial="${Number(index)}"]`);
  if (line) line.classList.add("lit");
}
