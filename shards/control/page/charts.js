// shards/control/page/charts.js - drawing: small lines in tiles, the chart of throughput, the picture of neighbours.
// Everything is SVG made of elements; no text of the server is ever taken for markup.

const NAMESPACE = "http://www.w3.org/2000/svg";

export function svg(name, attributes, ...children) {
  const element = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes || {})) {
    element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

// Through all points that are there; a gap where one is missing.
function linePath(points) {
  let path = "";
  let open = false;
  for (const point of points) {
    if (point === null) {
      open = false;
      continue;
    }
    path += `${open ? "L" : "M"}${point[0].toFixed(1)} ${point[1].toFixed(1)}`;
    open = true;
  }
  return path;
}

// Below the runs of points that hang together.
function areaPath(points, bottom) {
  let path = "";
  let run = [];
  const close = () => {
    if (run.length > 1) {
      path += `${linePath(run)}L${run[run.length - 1][0].toFixed(1)} ${bottom}L${run[0][0].toFixed(1)} ${bottom}Z`;
    }
    run = [];
  };
  for (const point of points) {
    if (point === null) {
      close();
    } else {
      run.push(point);
    }
  }
  close();
  return path;
}

// A line without axes, for a tile.
export function spark(values, kind) {
  const width = 120;
  const height = 28;
  const known = values.filter(Number.isFinite);
  const most = Math.max(1e-9, ...known);
  const step = width / Math.max(1, values.length - 1);
  const points = values.map((value, index) =>
    Number.isFinite(value) ? [index * step, height - 2 - (value / most) * (height - 4)] : null);
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, class: `spark ${kind}`, "aria-hidden": "true", preserveAspectRatio: "none" },
    svg("path", { class: "area", d: areaPath(points, height) }), svg("path", { class: "line", d: linePath(points) }));
}

// The least round number that is not below the value.
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].find((digit) => digit * power >= value * 0.9999) * power;
}

// Lines over time, with axes and a reading at the pointer or, by arrow keys, at any moment.
export class Chart {
  constructor(host, { spanMs, format, label, onRead }) {
    Object.assign(this, { host, spanMs, format, label, onRead });
    this.series = [];
    this.times = [];
    this.at = null; // the moment that is read; null: the last one
    this.root = svg("svg", { class: "plot", role: "img", tabindex: "0" });
    host.append(this.root);
    this.root.addEventListener("pointermove", (event) => this.point(event.clientX));
    this.root.addEventListener("pointerleave", () => this.read(null));
    this.root.addEventListener("blur", () => this.read(null));
    this.root.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(host);
  }

  show(times, series) {
    const moment = this.at === null ? null : this.times[this.at];
    this.times = times;
    this.series = series;
    const kept = moment === null ? -1 : times.indexOf(moment);
    this.at = kept < 0 ? null : kept;
    this.draw();
  }

  key(event) {
    const moves = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity };
    if (!(event.key in moves) || this.times.length === 0) {
      return;
    }
    event.preventDefault();
    const from = this.at === null ? this.times.length - 1 : this.at;
    this.read(Math.min(this.times.length - 1, Math.max(0, from + moves[event.key])));
  }

  point(clientX) {
    if (this.times.length === 0) {
      return;
    }
    const box = this.root.getBoundingClientRect();
    const x = clientX - box.left;
    let best = 0;
    for (let index = 1; index < this.times.length; index += 1) {
      if (Math.abs(this.x(this.times[index]) - x) < Math.abs(this.x(this.times[best]) - x)) {
        best = index;
      }
    }
    this.read(best);
  }

  read(at) {
    this.at = at;
    this.draw();
  }

  x(time) {
    return this.left + ((time - this.begin) / this.spanMs) * (this.width - this.left - 8);
  }

  // Round numbers need no zeros behind the point.
  tick(value) {
    return this.format(value).replace(/(\.\d*?)0+(?=\D|$)/, "$1").replace(/\.(?=\D|$)/, "");
  }

  draw() {
    this.width = Math.max(240, this.host.clientWidth);
    this.height = this.width < 500 ? 190 : 240;
    this.left = 58;
    const bottom = this.height - 24;
    this.begin = (this.times.length > 0 ? this.times[this.times.length - 1] : 0) - this.spanMs;
    const values = this.series.flatMap((one) => one.values).filter(Number.isFinite);
    const step = roundUp(Math.max(values.length > 0 ? Math.max(...values) : 0, 4) / 4);
    const top = step * 4;
    const y = (value) => bottom - (value / top) * (bottom - 12);
    this.root.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
    this.root.setAttribute("height", this.height);
    this.root.replaceChildren();
    for (let line = 0; line <= 4; line += 1) {
      const at = y(step * line);
      this.root.append(svg("line", { class: "grid", x1: this.left, x2: this.width - 8, y1: at, y2: at }),
        svg("text", { class: "tick", x: this.left - 8, y: at + 4, "text-anchor": "end" }, this.tick(step * line)));
    }
    const marks = this.spanMs > 60000 ? this.spanMs / 60000 : 4;
    for (let mark = 0; mark <= marks; mark += 1) {
      const anchor = mark === marks ? "end" : mark === 0 ? "start" : "middle";
      const seconds = ((marks - mark) * this.spanMs) / marks / 1000;
      const words = mark === marks ? "now" : seconds % 60 === 0 ? `${seconds / 60} min` : `${seconds} s`;
      this.root.append(svg("text", { class: "tick", x: this.x(this.begin + mark * this.spanMs / marks), y: this.height - 6, "text-anchor": anchor }, words));
    }
    for (const one of this.series) {
      const points = one.values.map((value, index) =>
        Number.isFinite(value) && this.times[index] >= this.begin ? [this.x(this.times[index]), y(value)] : null);
      this.root.append(svg("path", { class: `area ${one.kind}`, d: areaPath(points, bottom) }),
        svg("path", { class: `line ${one.kind}`, d: linePath(points) }));
    }
    this.drawReading(y, bottom);
  }

  drawReading(y, bottom) {
    const at = this.at === null ? this.times.length - 1 : this.at;
    if (this.at !== null) {
      const x = this.x(this.times[at]);
      this.root.append(svg("line", { class: "cross", x1: x, x2: x, y1: 8, y2: bottom }));
      for (const one of this.series) {
        if (Number.isFinite(one.values[at])) {
          this.root.append(svg("circle", { class: `dot ${one.kind}`, cx: x, cy: y(one.values[at]), r: 4 }));
        }
      }
    }
    this.root.setAttribute("aria-label", this.label(this.series));
    this.onRead(this.series, at, this.at === null ? null : this.times[at]);
  }
}

const BOX_WIDTH = 148;
const BOX_HEIGHT = 48;
const NEIGHBOURS_MOST = 24; // drawn; the table has all

function shorten(words, most) {
  return words.length > most ? `${words.slice(0, most - 1)}…` : words;
}

function box(node, x, y, kind) {
  return svg("g", { class: `node ${kind}`, transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})` },
    svg("title", {}, `${node.name}: ${node.caption}`),
    svg("rect", { x: -BOX_WIDTH / 2, y: -BOX_HEIGHT / 2, width: BOX_WIDTH, height: BOX_HEIGHT, rx: 10 }),
    svg("text", { class: "name", y: -3, "text-anchor": "middle" }, shorten(node.name, 19)),
    svg("text", { class: "caption", y: 14, "text-anchor": "middle" }, shorten(node.caption, 24)));
}

// Rows of boxes: as many as fit side by side.
function rowsOf(nodes, width) {
  const perRow = Math.max(1, Math.floor(width / (BOX_WIDTH + 16)));
  const rows = [];
  for (let at = 0; at < nodes.length; at += perRow) {
    rows.push(nodes.slice(at, at + perRow));
  }
  return rows;
}

// This server in the middle; gateways above, leaf nodes below, the servers of its cluster on both sides or, where
// there is no room for sides, below it.
export function picture(host, self, { routes, gateways, leafs }) {
  const width = Math.max(280, host.clientWidth);
  const gap = 92;
  const drawn = [];
  let y = BOX_HEIGHT / 2 + 6;
  const place = (nodes, kind) => {
    for (const row of rowsOf(nodes, width)) {
      row.forEach((node, index) =>
        drawn.push({ node, kind, x: (width * (index + 0.5)) / row.length, y }));
      y += gap;
    }
  };
  const all = [...routes, ...gateways, ...leafs];
  const cut = (nodes) => nodes.slice(0, Math.ceil((nodes.length * NEIGHBOURS_MOST) / Math.max(NEIGHBOURS_MOST, all.length)));
  const sides = width >= 3 * BOX_WIDTH + 120 && routes.length > 1;
  place(cut(gateways), "gateway");
  const shown = cut(routes);
  let middle = y;
  if (sides) {
    const perSide = Math.ceil(shown.length / 2);
    const height = perSide * (BOX_HEIGHT + 16) - 16;
    const top = y - BOX_HEIGHT / 2;
    middle = top + height / 2;
    shown.forEach((node, index) => {
      const left = index % 2 === 0;
      const inSide = left ? Math.ceil(shown.length / 2) : Math.floor(shown.length / 2);
      const line = Math.floor(index / 2) + (perSide - inSide) / 2;
      drawn.push({ node, kind: "route", x: left ? BOX_WIDTH / 2 + 4 : width - BOX_WIDTH / 2 - 4,
        y: top + BOX_HEIGHT / 2 + line * (BOX_HEIGHT + 16) });
    });
    y = top + height + gap - BOX_HEIGHT / 2;
  } else {
    y += gap;
    place(shown, "route");
  }
  place(cut(leafs), "leaf");
  const height = y - gap + BOX_HEIGHT / 2 + 6;
  const root = svg("svg", { class: "neighbours", viewBox: `0 0 ${width} ${height.toFixed(0)}`, height: height.toFixed(0), role: "img",
    "aria-label": `${self.name} with ${routes.length} servers of its cluster, ${gateways.length} gateways and ${leafs.length} leaf nodes` });
  for (const { node, kind, x, y: at } of drawn) {
    root.append(svg("line", { class: `link ${kind} ${node.busy ? "busy" : ""}`, x1: width / 2, y1: middle, x2: x, y2: at }));
  }
  drawn.forEach(({ node, kind, x, y: at }) => root.append(box(node, x, at, kind)));
  root.append(box(self, width / 2, middle, "self"));
  host.replaceChildren(root);
  return drawn.length < all.length ? all.length - drawn.length : 0;
}
