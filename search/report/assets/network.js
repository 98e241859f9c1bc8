// The details of one network: junctions, curves, degrees, input map.

function choose(index, go) {
  state.chosen = index;
  for (const point of document.querySelectorAll("#front [role=option]")) point.setAttribute("aria-selected", String(Number(point.dataset.trial) === index));
  for (const row of document.querySelectorAll("#table tbody tr")) row.classList.toggle("chosen", Number(row.dataset.trial) === index);
  glance(index);
  drawNetwork();
  byId("announce").textContent = `Details of trial ${index} are shown below.`;
  if (go) {
    byId("details").focus({ preventScroll: true });
    byId("details").scrollIntoView({ block: "start" });
  }
}

function drawNetwork() {
  const box = byId("network");
  const trial = state.trials.get(state.chosen);
  byId("details-title").textContent = trial ? `Details of trial ${trial.trial}` : "Details";
  if (!trial) return show(box, el("p", { class: "empty" }, "Choose a network: click a point of the front, or press Enter on it."));
  if (trial.status !== "completed") return show(box, el("p", { class: "note" }, `The trial failed: ${trial.error}`));
  const network = state.data.networks[trial.trial];
  const curve = state.data.curves[trial.trial];
  show(box);
  if (!network && !curve) box.append(el("p", { class: "note" }, "The page keeps junctions and curves of the front and of the best networks only; this is another one."));
  if (network && network.problem) box.append(el("p", { class: "note" }, `The network is not shown. ${network.problem}`));
  if (network && network.junctions) drawJunctions(box, network.junctions);
  if (curve) drawCurves(box, curve, trial);
  if (network && network.junctions) drawDegrees(box, network.junctions);
  if (network && network.input_map) drawInputs(box, network.input_map);
  return undefined;
}

function drawJunctions(box, junctions) {
  const total = (key) => junctions.reduce((sum, junction) => sum + junction[key], 0);
  const positions = junctions.reduce((sum, junction) => sum + junction.shape[0] * junction.shape[1], 0);
  const rows = junctions.map((junction) => [junction.name, `${number(junction.shape[0])} × ${number(junction.shape[1])}`, junction.connections, el("span", { class: "number" }, percent(junction.density)), junction.bytes, junction.sparse ? "sparse" : "dense"]);
  rows.push(["total", "", total("connections"), el("span", { class: "number" }, percent(total("connections") / positions)), total("bytes"), ""]);
  box.append(el("h3", {}, "Junctions"), el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table of junctions" },
    table("Junctions, from the inputs to the output", ["junction", "inputs × outputs", "connections", "density", "bytes", "kind"], rows, { class: "junctions" })));
}

function drawCurves(box, curve, trial) {
  const epochs = Math.max(0, ...Object.values(curve).map((values) => values.length));
  if (!epochs) return;
  const metric = el("div", { class: "chart" });
  const loss = el("div", { class: "chart" });
  const size = el("div", { class: "chart" });
  const key = (style, text) => el("span", { class: "key" }, svg("svg", { width: 26, height: 10, "aria-hidden": "true" }, svg("line", { class: `line ${style}`, x1: 0, x2: 26, y1: 5, y2: 5 })), text);
  box.append(el("h3", {}, "Curves"), el("div", { class: "small-charts" },
    el("figure", {}, el("figcaption", {}, `validation ${names().metric}`), metric),
    el("figure", {}, el("figcaption", {}, key("first", "training loss"), key("second", "validation loss")), loss),
    el("figure", {}, el("figcaption", {}, "connections"), size)));
  const common = { first: 1, xLabel: "epoch", mark: trial.best_epoch };
  lines(metric, { ...common, label: `Validation ${names().metric} by epoch`, series: [{ values: curve.val_metric || [], style: "first" }] });
  lines(loss, { ...common, label: "Loss by epoch", log: true, series: [{ values: curve.loss || [], style: "first" }, { values: curve.val_loss || [], style: "second" }] });
  lines(size, { ...common, label: "Connections by epoch", series: [{ values: curve.connections || [], style: "first" }] });
  box.append(el("p", { class: "muted" }, `The upright line marks epoch ${trial.best_epoch}, whose network is kept.`));
  const rows = Array.from({ length: epochs }, (_, epoch) => [epoch + 1, ...["val_metric", "loss", "val_loss", "connections"].map((name) => number((curve[name] || [])[epoch]))]);
  box.append(behind("Curves by epoch", ["epoch", `validation ${names().metric}`, "loss", "validation loss", "connections"], rows));
}

function drawDegrees(box, junctions) {
  box.append(el("h3", {}, "Degrees"), el("p", { class: "muted" }, "How many units have how many connections: into the outputs of a junction, and out of its inputs."));
  const grid = el("div", { class: "small-charts" });
  box.append(grid);
  const rows = [];
  for (const junction of junctions) {
    for (const [side, what, style] of [["in", "into a unit", "bar-in"], ["out", "out of a unit", "bar-out"]]) {
      const { bars, width, mean } = junction[side];
      const chart = el("div", { class: "chart" });
      grid.append(el("figure", {}, el("figcaption", {}, `${junction.name}: ${side}-degrees, mean ${number(mean)}`), chart));
      histogram(chart, bars, width, { label: `${side}-degrees of ${junction.name}, mean ${number(mean)}`, xLabel: `connections ${what}`, style });
      for (const [low, units] of bars) if (units) rows.push([junction.name, side, width === 1 ? number(low) : `${number(low)}–${number(low + width - 1)}`, units]);
    }
  }
  box.append(behind("Degree distributions", ["junction", "side", "degree", "units"], rows));
}

function drawInputs(box, map) {
  const most = Math.max(1, ...map.values);
  const square = Math.round(Math.sqrt(map.values.length));
  const canSquare = map.kind === "vector" && map.each === 1 && square >= 5 && square * square === map.values.length;
  const picture = map.kind === "picture" ? map.shape : canSquare && state.square ? [square, square] : null;
  const each = map.each > 1 ? ` Every ${map.kind === "picture" ? `cell is the mean of ${map.each} × ${map.each} pixels` : `bar is the mean of ${map.each} neighbours`}.` : "";
  box.append(el("h3", {}, "Input map"), el("p", { class: "muted" }, `Connections of each of the ${number(map.inputs)} inputs of ${map.junction}, at most ${number(most)}.${each}`));
  if (canSquare) box.append(el("p", {}, el("button", { type: "button", "aria-pressed": String(state.square), onclick: () => { state.square = !state.square; drawNetwork(); } }, `As a picture of ${square} × ${square}`)));
  const chart = el("div", { class: "chart" });
  box.append(chart);
  if (picture) drawPicture(chart, map, picture, most);
  else drawInputBars(chart, map, most);
  const ranked = map.values.map((value, place) => [place, value]).sort((a, b) => b[1] - a[1] || a[0] - b[0]);
  const label = (place) => picture ? `row ${Math.floor(place / picture[1]) * map.each + 1}, column ${(place % picture[1]) * map.each + 1}` : map.each > 1 ? `${place * map.each}–${Math.min(map.inputs, (place + 1) * map.each) - 1}` : String(place);
  const unseen = map.values.filter((value) => value === 0).length;
  box.append(behind(`The inputs with the most connections; ${number(unseen)} have none`, ["input", "connections"], ranked.slice(0, 50).map(([place, value]) => [label(place), value])));
}

function drawPicture(box, map, [rows, columns], most) {
  const cell = Math.max(1, Math.min(28, Math.floor(Math.min(box.clientWidth || 300, 448) / columns)));
  const root = svg("svg", { width: cell * columns, height: cell * rows, viewBox: `0 0 ${columns} ${rows}`, class: "picture", role: "img", "aria-label": `Connections of each pixel, ${rows} rows and ${columns} columns; the darker a cell, the more` });
  map.values.forEach((value, place) => {
    root.append(svg("rect", { x: place % columns, y: Math.floor(place / columns), width: 1, height: 1, "fill-opacity": (value / most).toFixed(3) },
      svg("title", {}, `row ${Math.floor(place / columns) * map.each + 1}, column ${(place % columns) * map.each + 1}: ${number(value)}`)));
  });
  box.replaceChildren(root, el("p", { class: "muted ramp" }, "0 ", el("span", { "aria-hidden": "true" }), ` ${number(most)}`));
}

function drawInputBars(box, map, most) {
  const count = map.values.length;
  const chart = frame(box, {
    height: 170, label: `Connections of each input, at most ${number(most)}`, edge: { left: 44 },
    x: { range: [-0.5, count - 0.5], label: "input", format: (tick) => (Number.isInteger(tick) ? short(tick * map.each) : "") },
    y: { range: [0, most * 1.05] },
  });
  const width = Math.max(0.6, Math.min(40, (chart.right - chart.left) / count - (count < 200 ? 1 : 0)));
  map.values.forEach((value, place) => {
    if (value) chart.root.append(svg("rect", { class: "bar-out", x: chart.x(place) - width / 2, width, y: chart.y(value), height: chart.bottom - chart.y(value) }, svg("title", {}, `input ${number(place * map.each)}: ${number(value)}`)));
  });
  box.replaceChildren(chart.root);
}
