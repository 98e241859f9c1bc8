// The table of all trials, sorted by the column that was asked for.

function columns() {
  const column = (name, get, label) => ({ name, get, label: label || title(name) });
  return [
    column("trial", (trial) => trial.trial),
    column("rank", (trial) => (trial.status === "completed" ? remark(trial) : "failed"), ""),
    column("objective", (trial) => trial.objective),
    column("val_metric", (trial) => trial.val_metric, `val ${names().metric}`),
    column("test_metric", (trial) => trial.test_metric, `test ${names().metric}`),
    ...state.data.measures.map((measure) => column(`m:${measure.name}`, (trial) => sizeOf(trial, measure.name), sizeLabel(measure.name))),
    column("density", (trial) => trial.density),
    column("parameters", (trial) => trial.parameters),
    column("best_epoch", (trial) => trial.best_epoch),
    ...state.data.axes.map((axis) => column(`h:${axis.name}`, (trial) => trial.hyperparameters[axis.name], title(axis.name))),
    column("error", (trial) => trial.error, "what went wrong"),
  ].filter((each) => each.name !== "error" || state.data.trials.some((trial) => trial.error));
}

// Numbers before text before nothing, whichever the direction of the numbers.
function compare(a, b, direction) {
  const kind = (value) => (isNumber(value) ? 0 : value === undefined || value === null || value === "" ? 2 : 1);
  if (kind(a) !== kind(b)) return kind(a) - kind(b);
  if (kind(a) === 0) return direction * (a - b);
  return kind(a) === 1 ? direction * String(a).localeCompare(String(b)) : 0;
}

function drawTable() {
  if (!state.data.trials.length) return show(byId("table"), el("p", { class: "empty" }, "No trial has ended yet."));
  const all = columns();
  const sorted = all.find((column) => column.name === state.sort.name) || all[0];
  const rows = [...state.data.trials].sort((a, b) => compare(sorted.get(a), sorted.get(b), state.sort.direction) || a.trial - b.trial);
  const head = all.map((column) => {
    const here = column === sorted;
    return el("th", { scope: "col", "aria-sort": here ? (state.sort.direction > 0 ? "ascending" : "descending") : null },
      el("button", { type: "button", class: "sort", "data-sort": column.name, onclick: () => sortBy(column.name) }, column.label || "rank", el("span", { "aria-hidden": "true" }, here ? (state.sort.direction > 0 ? " ▲" : " ▼") : "")));
  });
  const body = rows.map((trial) => el("tr", { "data-trial": trial.trial, class: `${rank(trial)}${trial.trial === state.chosen ? " chosen" : ""}` },
    all.map((column) => {
      const value = column.get(trial);
      if (column.name === "trial") return el("th", { scope: "row" }, chooser(trial));
      if (column.name === "density") return el("td", { class: "number" }, isNumber(value) ? percent(value) : "");
      if (column.name === "rank") return el("td", {}, value ? el("span", { class: `badge ${value}` }, value) : "");
      return isNumber(value) ? el("td", { class: "number" }, number(value)) : el("td", { class: column.name === "error" ? "error" : null }, value === undefined || value === null ? "" : setting(value));
    })));
  show(byId("table"), el("table", { class: "trials" }, el("caption", { class: "hidden" }, `All ${number(rows.length)} trials; the buttons of the head sort`), el("thead", {}, el("tr", {}, head)), el("tbody", {}, body)));
  return undefined;
}

function sortBy(name) {
  state.sort = { name, direction: state.sort.name === name ? -state.sort.direction : 1 };
  drawTable();
  applyFilters();
  const button = [...document.querySelectorAll("#table .sort")].find((each) => each.dataset.sort === name);
  if (button) button.focus();
}
