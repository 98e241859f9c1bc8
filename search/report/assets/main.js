// What is shown, and when it is drawn.

const state = { data: null, trials: new Map(), front: new Set(), axes: [], order: [], filters: new Map(), size: null, focus: null, chosen: null, square: false, sort: { name: "objective", direction: 1 } };

function take(data) {
  state.data = data;
  state.trials = new Map(data.trials.map((trial) => [trial.trial, trial]));
  state.front = new Set(data.front);
  state.axes = makeAxes();
  if (!data.measures.some((measure) => measure.name === state.size)) state.size = data.objectives[0];
  if (!state.trials.has(state.chosen)) state.chosen = data.best;
}

// Keeps the keyboard where it was: elements are replaced, not what they stand for.
function keepFocus(draw) {
  const active = document.activeElement;
  const keys = ["data-choose", "data-sort", "id"];
  const key = active && active !== document.body ? keys.find((each) => active.getAttribute(each)) : null;
  const value = key ? active.getAttribute(key) : null;
  const section = active && active.closest("section, header");
  const open = new Set([...document.querySelectorAll("details[open]")].map((each) => each.parentElement.id));
  draw();
  for (const each of document.querySelectorAll("details")) if (each.parentElement.id && open.has(each.parentElement.id)) each.open = true;
  if (!key || active.isConnected) return;
  const again = [...(section && section.isConnected ? section : document).querySelectorAll(`[${key}]`)].find((each) => each.getAttribute(key) === value);
  if (again) again.focus({ preventScroll: true });
}

function drawCharts() {
  drawFront();
  drawSpace();
  drawVolume();
  drawNetwork();
  glance(state.chosen === null ? state.focus : state.chosen);
}

function draw() {
  keepFocus(() => {
    drawHeader();
    drawImportance();
    drawTable();
    drawCharts();
  });
}

// While a search runs, its server is asked for news every few seconds.
const EVERY = 4000;
let lost = 0;
let mark = null;

async function refresh() {
  try {
    const answer = await fetch("data.json", { headers: mark ? { "If-None-Match": mark } : {}, cache: "no-store" });
    if (answer.status === 200) {
      mark = answer.headers.get("ETag");
      take(await answer.json());
      draw();
    } else if (answer.status !== 304) throw new Error(String(answer.status));
    lost = 0;
  } catch {
    lost += 1;
  }
  byId("state").textContent = lost > 1 ? "No answer: the search has ended, or waits" : state.data.finished ? "Finished" : "Live";
  byId("state").classList.toggle("warn", lost > 1);
  setTimeout(refresh, lost ? Math.min(60000, EVERY * lost) : EVERY);
}

function start() {
  startTheme();
  document.body.append(el("p", { id: "announce", class: "hidden", "aria-live": "polite" }));
  take(JSON.parse(byId("data").textContent));
  byId("size").addEventListener("change", (event) => {
    state.size = event.target.value;
    drawFront();
  });
  byId("clear").addEventListener("click", () => {
    state.filters.clear();
    applyFilters();
    byId("ranges").querySelector("summary").focus();
  });
  draw();
  let width = window.innerWidth;
  let timer = 0;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return; // a phone's bars come and go
    width = window.innerWidth;
    clearTimeout(timer);
    timer = setTimeout(() => keepFocus(drawCharts), 120);
  });
  byId("state").textContent = state.data.finished ? "Finished" : "Not finished";
  if (document.documentElement.dataset.live === "true") refresh();
}

start();
