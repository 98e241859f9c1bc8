// Scales, axes and the small charts. A chart is drawn anew in the width of its box, so that text keeps its size.

function linear(low, high, from, to) {
  const span = high - low || 1;
  const scale = (value) => from + ((value - low) / span) * (to - from);
  scale.ticks = (count) => {
    const rough = span / Math.max(1, count);
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999) * power;
    const ticks = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) ticks.push(Number((i * step).toPrecision(12)));
    return ticks;
  };
  return scale;
}

function logarithmic(low, high, from, to) {
  const inner = linear(Math.log10(low), Math.log10(high), from, to);
  const scale = (value) => inner(Math.log10(value));
  scale.ticks = (count) => {
    for (const factors of [[1], [1, 3], [1, 2, 5], [1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9]]) {
      const ticks = [];
      for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++)
        for (const factor of factors) {
          const tick = Number((factor * 10 ** power).toPrecision(3));
          if (tick >= low * 0.999 && tick <= high * 1.001) ticks.push(tick);
        }
      if (ticks.length >= Math.min(3, count) || factors.length > 4) {
        const every = Math.ceil(ticks.length / (count + 1));
        return ticks.filter((_, place) => place % every === 0);
      }
    }
    return [];
  };
  return scale;
}

// A range with some air around it; of one value, a range around that.
function padded(values, log) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (!(low <= high)) return [log ? 1 : 0, log ? 10 : 1];
  if (log) {
    const margin = low === high ? 2 : (high / low) ** 0.05;
    return [low / margin, high * margin];
  }
  const margin = (high - low) * 0.06 || Math.abs(low) * 0.1 || 1;
  return [low - margin, high + margin];
}

// An empty chart with axes. Returns the svg, the scales and the sizes.
function frame(box, options) {
  const width = Math.max(220, Math.floor(box.clientWidth || 600));
  const height = options.height || 260;
  const edge = { left: 52, right: 12, top: 10, bottom: 40, ...options.edge };
  const right = width - edge.right;
  const bottom = height - edge.bottom;
  const x = (options.x.log ? logarithmic : linear)(...options.x.range, edge.left, right);
  const y = (options.y.log ? logarithmic : linear)(...options.y.range, bottom, edge.top);
  const xTicks = (options.x.ticks || x.ticks(Math.max(2, Math.floor(width / 90)))).map((tick) =>
    svg("g", { transform: `translate(${x(tick)},0)` },
      svg("line", { class: "grid", y1: edge.top, y2: bottom }),
      svg("text", { class: "tick", y: bottom + 16, "text-anchor": "middle" }, (options.x.format || short)(tick))),
  );
  const yTicks = y.ticks(Math.max(2, Math.floor(height / 55))).map((tick) =>
    svg("g", { transform: `translate(0,${y(tick)})` },
      svg("line", { class: "grid", x1: edge.left, x2: right }),
      svg("text", { class: "tick", x: edge.left - 8, y: 4, "text-anchor": "end" }, (options.y.format || short)(tick))),
  );
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: options.role || "img", "aria-label": options.label, "aria-multiselectable": options.role === "listbox" ? "false" : null },
    svg("g", { "aria-hidden": "true" }, xTicks, yTicks,
      svg("text", { class: "axis", x: (edge.left + right) / 2, y: height - 4, "text-anchor": "middle" }, options.x.label),
      options.y.label ? svg("text", { class: "axis", transform: `translate(12,${(edge.top + bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, options.y.label) : null),
  );
  return { root, x, y, width, height, left: edge.left, right, top: edge.top, bottom };
}

const path = (points) => points.map(([x, y], place) => `${place ? "L" : "M"}${x.toFixed(1)},${y.toFixed(1)}`).join("");

// Lines over whole numbers (epochs, trials). series: [{name, values, style}], values may have gaps.
function lines(box, options) {
  const count = Math.max(1, ...options.series.map((series) => series.values.length));
  const all = options.series.flatMap((series) => series.values).filter(isNumber);
  const log = options.log && all.length > 0 && Math.min(...all) > 0;
  const chart = frame(box, {
    height: options.height || 190,
    label: options.label,
    x: { range: [options.first, options.first + Math.max(1, count - 1)], label: options.xLabel, format: (tick) => (Number.isInteger(tick) ? short(tick) : "") },
    y: { range: options.yRange || padded(all, log), log, format: options.format },
  });
  for (const series of options.series) {
    let run = [];
    const runs = [run];
    series.values.forEach((value, place) => {
      if (isNumber(value)) run.push([chart.x(options.first + place), chart.y(value)]);
      else if (run.length) runs.push((run = []));
    });
    for (const points of runs) {
      if (points.length === 1) chart.root.append(svg("circle", { class: `dot ${series.style}`, cx: points[0][0], cy: points[0][1], r: 3 }));
      if (points.length > 1) chart.root.append(svg("path", { class: `line ${series.style}`, d: path(points) }));
    }
  }
  if (options.mark !== undefined && options.mark !== null)
    chart.root.append(svg("line", { class: "mark", x1: chart.x(options.mark), x2: chart.x(options.mark), y1: chart.top, y2: chart.bottom }));
  box.replaceChildren(chart.root);
}

// A degree distribution: bars [[lowest degree, units], …] of equal width.
function histogram(box, bars, width, options) {
  const most = Math.max(1, ...bars.map((bar) => bar[1]));
  const first = bars[0][0];
  const last = bars[bars.length - 1][0] + width;
  const chart = frame(box, {
    height: 150,
    label: options.label,
    edge: { left: 44 },
    x: { range: [first - 0.5, last - 0.5], label: options.xLabel, format: (tick) => (Number.isInteger(tick) ? short(tick) : "") },
    y: { range: [0, most * 1.05], format: (tick) => (Number.isInteger(tick) ? short(tick) : "") },
  });
  for (const [low, units] of bars) {
    if (!units) continue;
    const left = chart.x(low - 0.5);
    const size = Math.min(60, chart.x(low + width - 0.5) - left - 1);
    const middle = (chart.x(low - 0.5) + chart.x(low + width - 0.5)) / 2;
    const range = width === 1 ? `degree ${number(low)}` : `degrees ${number(low)} to ${number(low + width - 1)}`;
    chart.root.append(
      svg("rect", { class: options.style, x: middle - Math.max(1, size) / 2, width: Math.max(1, size), y: chart.y(units), height: chart.bottom - chart.y(units) },
        svg("title", {}, `${range}: ${plural(units, "unit")}`)),
    );
  }
  box.replaceChildren(chart.root);
}
