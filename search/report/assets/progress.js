// How the search came on, and what decided.

function drawVolume() {
  const box = byId("volume");
  const steps = state.data.hypervolume;
  if (!steps.length) {
    show(byId("volume-table"));
    return show(box, el("p", { class: "empty" }, "No trial has completed yet."));
  }
  const last = steps[steps.length - 1].trial;
  const chart = frame(box, {
    height: 240, edge: { left: 46 }, label: `Hypervolume after each trial, at last ${percent(steps[steps.length - 1].value)}`,
    x: { range: [0, Math.max(1, last)], label: "trial", format: (tick) => (Number.isInteger(tick) ? short(tick) : "") },
    y: { range: [0, 1], format: (tick) => `${Math.round(tick * 100)} %` },
  });
  const points = [];
  steps.forEach((step, place) => {
    if (place) points.push([chart.x(step.trial), chart.y(steps[place - 1].value)]);
    points.push([chart.x(step.trial), chart.y(step.value)]);
  });
  const area = [[points[0][0], chart.y(0)], ...points, [points[points.length - 1][0], chart.y(0)]];
  chart.root.append(svg("path", { class: "area", d: `${path(area)}Z` }), svg("path", { class: "line first", d: path(points) }));
  if (points.length === 1) chart.root.append(svg("circle", { class: "dot first", cx: points[0][0], cy: points[0][1], r: 3 }));
  show(box, chart.root);
  const rises = steps.filter((step, place) => !place || step.value > steps[place - 1].value);
  show(byId("volume-table"), behind("Trials that moved the front", ["trial", "hypervolume"], rises.map((step) => [chooser(state.trials.get(step.trial)), percent(step.value)])));
  return undefined;
}

function drawImportance() {
  const found = state.data.importance;
  const box = byId("importance");
  if (found.reason) {
    byId("importance-hint").textContent = "";
    return show(box, el("p", { class: "empty" }, found.reason));
  }
  const trust = found.explained < 0.2 ? "That is too little to go by." : found.trials < 50 ? "With so few trials take it as a hint." : "";
  byId("importance-hint").textContent = `How much worse a random forest predicts the objective of trials it has not seen when one hyperparameter is shuffled (permutation importance, in shares of the variance). The forest explains ${percent(Math.max(0, found.explained))} of the variance of ${plural(found.trials, "trial")}. ${trust}`;
  const most = Math.max(1e-9, ...found.values.map((entry) => entry.value + entry.deviation));
  const rows = found.values.map((entry) => {
    const length = (value) => `${(Math.max(0, Math.min(1, value / most)) * 100).toFixed(2)}%`;
    const bar = svg("svg", { class: "bar", width: "100%", height: 16, "aria-hidden": "true" },
      svg("rect", { class: "bar-out", height: 12, y: 2, width: length(entry.value) }),
      svg("line", { class: "whisker", x1: length(entry.value - entry.deviation), x2: length(entry.value + entry.deviation), y1: 8, y2: 8 }));
    return el("tr", {}, el("th", { scope: "row" }, title(entry.name)), el("td", { class: "bars" }, bar), el("td", { class: "number" }, `${entry.value.toFixed(3)} ± ${entry.deviation.toFixed(3)}`));
  });
  return show(box, el("table", { class: "importance" }, el("caption", { class: "hidden" }, "Importance of each hyperparameter"),
    el("tbody", {}, rows)));
}

function drawHeader() {
  const { data } = state;
  const done = completed();
  const failed = data.trials.length - done.length;
  const best = state.trials.get(data.best);
  byId("title").textContent = data.title;
  const task = data.data.task ? `${data.data.task}, ` : "";
  const rows = isNumber(data.data.n_train) ? `${number(data.data.n_train)} examples to train on, ${number(data.data.n_val)} to validate, ${number(data.data.n_test)} to test` : "";
  byId("subtitle").textContent = task + rows;
  const tile = (name, value, note) => el("div", { class: "tile" }, el("span", { class: "muted" }, name), el("strong", {}, value), el("span", { class: "muted" }, note || ""));
  const total = isNumber(data.max_trials) ? ` of ${number(data.max_trials)}` : "";
  show(byId("tiles"),
    tile(`validation ${names().metric}`, best ? number(best.val_metric) : "–", best ? `trial ${best.trial}, lowest objective` : ""),
    tile("connections", best ? number(best.measures.connections) : "–", best ? `density ${percent(best.density)}` : ""),
    tile(`test ${names().metric}`, best ? number(best.test_metric) : "–", "no choice rests on it"),
    tile("trials", `${number(data.trials.length)}${total}`, failed ? `${number(failed)} failed` : "none failed"),
    tile("on the front", number(data.front.length), ["error", ...data.objectives.map(title)].join(" × ")));
  show(byId("notes"), data.notes.map((note) => el("p", { class: "note" }, note)));
  byId("front-hint").textContent = data.objectives.length > 1
    ? `No other network is better in one of error, ${data.objectives.map(title).join(", ")} without being worse in another.`
    : `On the front no other network has a lower error without more ${title(data.objectives[0])}. Hover or move with the arrow keys; click or press Enter for the details.`;
  const choices = data.measures.map((measure) => el("option", { value: measure.name, selected: measure.name === state.size }, sizeLabel(measure.name)));
  show(byId("size"), choices);
  byId("size").closest("label").hidden = choices.length < 2;
  const facts = [["seed", data.seed], ...Object.entries(data.options).map(([name, value]) => [title(name), setting(value)]), ...Object.entries(data.versions)];
  show(byId("run"), el("dl", { class: "facts" }, facts.filter(([, value]) => value !== null && value !== undefined).map(([name, value]) => [el("dt", {}, name), el("dd", {}, String(value))])));
}
