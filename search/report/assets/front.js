// The front: every completed trial by its size and its metric; one of them has the focus, one is chosen.

function names() {
  return { metric: state.data.metric === "mse" ? "mean squared error" : title(state.data.metric) };
}

const sizeOf = (trial, name) => (trial.measures || {})[name];
const sizeUnit = (name) => (state.data.measures.find((measure) => measure.name === name) || {}).unit || "";
const sizeLabel = (name) => title(name) + (sizeUnit(name) && sizeUnit(name) !== name ? ` in ${sizeUnit(name)}` : "");
const rank = (trial) => (trial.trial === state.data.best ? "best" : state.front.has(trial.trial) ? "front" : "");
const remark = (trial) => rank(trial) || (trial.infeasible ? "over limit" : trial.stopped_early ? "given up" : "");
const completed = () => state.data.trials.filter((trial) => trial.status === "completed");

function describeTrial(trial) {
  if (trial.status !== "completed") return `Trial ${trial.trial}: failed`;
  const place = { best: ", lowest objective", front: ", on the front", "over limit": ", over a limit", "given up": ", given up", "": "" }[remark(trial)];
  const sizes = Object.entries(trial.measures).map(([name, value]) => `${number(value)} ${title(name)}${sizeUnit(name) && sizeUnit(name) !== name ? ` (${sizeUnit(name)})` : ""}`);
  return `Trial ${trial.trial}: ${names().metric} ${number(trial.val_metric)}, ${sizes.join(", ")}${place}`;
}

function drawFront() {
  const box = byId("front");
  const name = state.size;
  const shown = completed().filter((trial) => isNumber(sizeOf(trial, name)) && sizeOf(trial, name) > 0 && isNumber(trial.val_metric));
  if (!shown.length) {
    show(box, el("p", { class: "empty" }, "No trial has completed yet."));
    show(byId("front-table"));
    return;
  }
  const sizes = shown.map((trial) => sizeOf(trial, name));
  const chart = frame(box, {
    height: box.clientWidth < 480 ? 300 : 400,
    role: "listbox",
    label: `Trials by ${sizeLabel(name)} and validation ${names().metric}. Arrow keys move, Enter shows the details.`,
    edge: { left: 60, bottom: 44 },
    x: { range: padded(sizes, true), log: true, label: sizeLabel(name) },
    y: { range: padded(shown.map((trial) => trial.val_metric)), label: `validation ${names().metric}` },
  });
  const place = (trial) => [chart.x(sizeOf(trial, name)), chart.y(trial.val_metric)];
  // From small to large, as the arrow keys go; the front is drawn last, above the others.
  state.order = shown.sort((a, b) => sizeOf(a, name) - sizeOf(b, name) || a.trial - b.trial).map((trial) => trial.trial);
  const onFront = shown.filter((trial) => state.front.has(trial.trial));
  if (state.data.objectives.length === 1 && state.data.objectives[0] === name)
    chart.root.append(svg("path", { class: "line front", d: path(onFront.map(place)), "aria-hidden": "true" }));
  if (!state.order.includes(state.focus)) state.focus = state.order.includes(state.chosen) ? state.chosen : onFront.length ? onFront[0].trial : state.order[0];
  const points = [...shown].sort((a, b) => state.front.has(a.trial) - state.front.has(b.trial)).map((trial) => {
    const [x, y] = place(trial);
    const kind = rank(trial);
    const mark = kind === "best" ? star(9) : kind === "front" ? "M0,-6.5L6.5,0L0,6.5L-6.5,0Z" : "M-4,0A4,4 0 1 0 4,0A4,4 0 1 0 -4,0Z";
    return svg("g", {
      class: `point ${kind}${matches(trial) ? "" : " out"}`, transform: `translate(${x.toFixed(1)},${y.toFixed(1)})`, role: "option",
      id: `point-${trial.trial}`, "data-trial": trial.trial, tabindex: trial.trial === state.focus ? 0 : -1,
      "aria-selected": trial.trial === state.chosen ? "true" : "false", "aria-label": describeTrial(trial),
    }, svg("circle", { class: "reach", r: 12 }), svg("circle", { class: "ring", r: 11 }), svg("path", { class: "shape", d: mark }));
  });
  chart.root.append(...points);
  chart.root.addEventListener("pointerover", (event) => {
    const point = event.target.closest(".point");
    if (point) glance(Number(point.dataset.trial));
  });
  chart.root.addEventListener("pointerleave", () => glance(state.chosen === null ? state.focus : state.chosen));
  chart.root.addEventListener("focusin", (event) => {
    const point = event.target.closest(".point");
    if (point) moveFocus(Number(point.dataset.trial), false);
  });
  chart.root.addEventListener("click", (event) => {
    const point = event.target.closest(".point");
    if (point) choose(Number(point.dataset.trial));
  });
  chart.root.addEventListener("keydown", frontKey);
  show(box, chart.root, legend());
  show(byId("front-table"), behind(
    `The front: ${plural(onFront.length, "network")}`,
    ["trial", `validation ${names().metric}`, ...state.data.measures.map((measure) => sizeLabel(measure.name)), "density"],
    state.data.front.map((index) => state.trials.get(index)).map((trial) => [
      chooser(trial), trial.val_metric, ...state.data.measures.map((measure) => sizeOf(trial, measure.name)), percent(trial.density)]),
  ));
}

const star = (radius) => Array.from({ length: 10 }, (_, corner) => {
  const size = corner % 2 ? radius * 0.45 : radius;
  const angle = (corner * Math.PI) / 5;
  return `${corner ? "L" : "M"}${(size * Math.sin(angle)).toFixed(2)},${(-size * Math.cos(angle)).toFixed(2)}`;
}).join("") + "Z";

function legend() {
  const item = (kind, shape, text) => el("li", {}, svg("svg", { width: 20, height: 20, viewBox: "-10 -10 20 20", "aria-hidden": "true" }, svg("g", { class: `point ${kind}` }, svg("path", { class: "shape", d: shape }))), text);
  return el("ul", { class: "legend" },
    item("best", star(9), "lowest objective"), item("front", "M0,-6.5L6.5,0L0,6.5L-6.5,0Z", "front"),
    item("", "M-4,0A4,4 0 1 0 4,0A4,4 0 1 0 -4,0Z", "other trials"));
}

// A button with a trial's number that shows its details.
const chooser = (trial) => el("button", { type: "button", class: "link", "data-choose": trial.trial, "aria-label": `Details of trial ${trial.trial}`, onclick: () => choose(trial.trial, true) }, String(trial.trial));

function frontKey(event) {
  const at = state.order.indexOf(state.focus);
  const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageDown: -10, PageUp: 10, Home: -Infinity, End: Infinity };
  if (event.key in steps) {
    const next = Math.min(state.order.length - 1, Math.max(0, at + steps[event.key]));
    moveFocus(state.order[next], true);
  } else if (event.key === "Enter" || event.key === " ") choose(state.focus);
  else return;
  event.preventDefault();
}

function moveFocus(index, take) {
  const before = byId(`point-${state.focus}`);
  if (before) before.setAttribute("tabindex", -1);
  state.focus = index;
  const point = byId(`point-${index}`);
  if (point) {
    point.setAttribute("tabindex", 0);
    if (take) point.focus();
  }
  glance(index);
}

// What one sees of a network in passing.
function glance(index) {
  const trial = state.trials.get(index);
  const box = byId("glance");
  if (!trial) return show(box, el("p", { class: "empty" }, "Nothing to show yet."));
  highlight(index);
  const facts = trial.status === "completed"
    ? [[`validation ${names().metric}`, number(trial.val_metric)], [`test ${names().metric}`, number(trial.test_metric)], ["objective", number(trial.objective)],
       ...Object.entries(trial.measures).map(([name, value]) => [sizeLabel(name), number(value)]), ["density", percent(trial.density)], ["parameters", number(trial.parameters)], ["best epoch", number(trial.best_epoch)],
       ...(trial.infeasible ? [["over limit", trial.infeasible]] : []), ...(trial.stopped_early ? [["given up after epoch", number(trial.stopped_early)]] : [])]
    : [["failed", trial.error]];
  const kind = { best: "lowest objective", front: "on the front" }[remark(trial)] || remark(trial);
  return show(box,
    el("p", { class: "big" }, `Trial ${index}`, kind ? el("span", { class: "badge" }, kind) : null),
    el("dl", { class: "facts" }, facts.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])),
    el("h3", {}, "Hyperparameters"),
    el("dl", { class: "facts" }, Object.entries(trial.hyperparameters).map(([name, value]) => [el("dt", {}, title(name)), el("dd", {}, setting(value))])),
    el("p", {}, el("button", { type: "button", onclick: () => choose(index, true) }, "Show its details")),
  );
}
