// Elements, text and numbers. Data become text nodes and attributes, never markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false)
      element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return element;
}

const el = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);
const svg = (name, attributes, ...children) => fill(document.createElementNS(SVG, name), attributes, children);
const byId = (id) => document.getElementById(id);
const show = (element, ...children) => element.replaceChildren(...children.flat(Infinity).filter((child) => child));

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

// Four significant digits, thousands separated, no exponent where there is none needed.
function number(value) {
  if (!isNumber(value)) return "–";
  if (Number.isInteger(value)) return value.toLocaleString("en");
  const size = Math.abs(value);
  if (size >= 1e-3 && size < 1e7) return value.toLocaleString("en", { maximumSignificantDigits: 4 });
  return value.toExponential(2);
}

// Short numbers for axes: 1,000 is 1k.
function short(value) {
  const size = Math.abs(value);
  if (size >= 1e9) return `${trim(value / 1e9)}G`;
  if (size >= 1e6) return `${trim(value / 1e6)}M`;
  if (size >= 1e4) return `${trim(value / 1e3)}k`;
  if (size > 0 && size < 1e-3) return value.toExponential(0);
  return value.toLocaleString("en", { maximumSignificantDigits: 3 });
}

const trim = (value) => String(Number(value.toPrecision(3)));
const percent = (value) => (isNumber(value) ? `${trim(value * 100)} %` : "–");
const plural = (count, one, many) => `${number(count)} ${count === 1 ? one : many || `${one}s`}`;
const setting = (value) => (isNumber(value) ? number(value) : Array.isArray(value) ? value.map(setting).join(", ") : value !== null && typeof value === "object" ? JSON.stringify(value) : String(value));
const title = (name) => name.replaceAll("_", " ").replaceAll("-", " ");

// A table; cells are text or elements, numbers stand to the right.
function table(caption, head, rows, attributes) {
  const cell = (kind) => (content, place) => {
    const value = isNumber(content) ? number(content) : content;
    return el(kind, { class: isNumber(content) ? "number" : null, scope: kind === "th" && place >= 0 ? "col" : null }, value);
  };
  return el(
    "table",
    attributes,
    el("caption", {}, caption),
    el("thead", {}, el("tr", {}, head.map(cell("th")))),
    el("tbody", {}, rows.map((row) => el("tr", {}, row.map(cell("td"))))),
  );
}

// The numbers behind a chart, for those who cannot or do not want to see it.
const behind = (caption, head, rows) =>
  el("details", { class: "behind" }, el("summary", {}, "Show as a table"), el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption }, table(caption, head, rows)));

// The order Auto, Light, Dark; kept where the browser lets a file keep things.
const THEMES = ["auto", "light", "dark"];

function setTheme(theme) {
  if (theme === "auto") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.setAttribute("data-theme", theme);
  byId("theme").textContent = { auto: "◐ Auto", light: "☀ Light", dark: "☾ Dark" }[theme];
  byId("theme").setAttribute("aria-label", `Colours: ${theme}. Change`);
  byId("theme").dataset.theme = theme;
  try {
    localStorage.setItem("ksparse-theme", theme);
  } catch {
    // a private window
  }
}

function startTheme() {
  let theme = null;
  try {
    theme = localStorage.getItem("ksparse-theme");
  } catch {
    // a private window
  }
  setTheme(THEMES.includes(theme) ? theme : "auto");
  byId("theme").addEventListener("click", (event) => {
    const next = THEMES[(THEMES.indexOf(event.currentTarget.dataset.theme) + 1) % THEMES.length];
    setTheme(next);
  });
}
