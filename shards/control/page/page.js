// shards/control/page/page.js - the live page: asks the monitoring port for its documents, keeps five minutes of
// them, and draws. Names come from clients, so they are only ever put in as text.

import * as format from "./format.js";
import { Chart, picture, spark } from "./charts.js";

const BASE = new URL(".", import.meta.url);
const HISTORY_MS = 5 * 60 * 1000;
const PATIENCE_MS = 8000;
const ROWS = 12;
const CROWD = 2000; // with more connections the list of them is asked for less often: the server walks through all
const UTF8 = new TextDecoder();

const $ = (id) => document.getElementById(id);
const state = {
  history: [], // { time, figures } of each answer; figures null where the server gave none
  varz: null,
  previous: { connections: new Map(), shards: new Map(), accounts: new Map(), peers: new Map() },
  unit: "messages",
  paused: false,
  failedSince: null,
  redraw: null, // draws the neighbours again, when the window has changed
  due: {}, // when a document that is not asked for each time is to be asked for again
  timer: 0,
  asking: false,
};

// ---- the server ----

async function ask(target) {
  const control = new AbortController();
  const timer = setTimeout(() => control.abort(), PATIENCE_MS);
  try {
    const answer = await fetch(new URL(target, BASE), { signal: control.signal, cache: "no-store" });
    if (!answer.ok) {
      throw new Error(`${target}: ${answer.status}`);
    }
    return JSON.parse(UTF8.decode(await answer.arrayBuffer()));
  } finally {
    clearTimeout(timer);
  }
}

// ---- making elements ----

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value !== null && value !== undefined) {
      made.setAttribute(key, value);
    }
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// Whether somebody is about to do something with what stands there: a click that is not over, text that is marked.
function inUse(host) {
  const marked = getSelection();
  return host.matches(":active") || (!marked.isCollapsed && host.contains(marked.anchorNode));
}

// The focus stays on what has the same key in the table that takes this one's place.
function replaceKeepingFocus(host, made) {
  if (inUse(host)) {
    return; // the next figures come soon
  }
  const focused = host.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  const scrolled = host.firstElementChild ? host.scrollLeft : 0;
  host.replaceChildren(made);
  host.scrollLeft = scrolled;
  if (focused) {
    const again = [...host.querySelectorAll("[data-key]")].find((one) => one.dataset.key === focused);
    if (again) {
      again.focus({ preventScroll: true });
    }
  }
}

// columns: { title, value(row) -> text or element, number, minor, hint(row) }
function table(host, caption, columns, rows, empty) {
  if (rows.length === 0) {
    host.replaceChildren(element("p", { class: "empty" }, empty));
    return;
  }
  const kind = (column) => [column.number ? "number" : "", column.minor ? "minor" : ""].join(" ").trim() || null;
  const head = element("tr", {}, ...columns.map((column) => element("th", { scope: "col", class: kind(column) }, column.title)));
  const body = rows.map((row) => element("tr", { class: row.alarm ? "alarm" : null }, ...columns.map((column, index) =>
    element(index === 0 ? "th" : "td", { scope: index === 0 ? "row" : null, class: kind(column), title: column.hint ? column.hint(row) : null },
      column.value(row)))));
  replaceKeepingFocus(host, element("table", {}, element("caption", { class: "hidden" }, caption),
    element("thead", {}, head), element("tbody", {}, ...body)));
}

function meter(share, words, alarm) {
  const bar = element("span", { class: "bar" });
  bar.style.width = `${Math.min(100, Math.max(0, share * 100)).toFixed(1)}%`;
  return element("span", { class: alarm ? "meter alarm" : "meter" }, element("span", { class: "track", "aria-hidden": "true" }, bar),
    element("span", { class: "words" }, words));
}

// ---- figures over time ----

const RATES = ["in_msgs", "out_msgs", "in_bytes", "out_bytes"];

function remember(varz) {
  const now = Date.now();
  const last = state.history.at(-1);
  const figures = { in_msgs: varz.in_msgs, out_msgs: varz.out_msgs, in_bytes: varz.in_bytes, out_bytes: varz.out_bytes,
    connections: varz.connections, slow_consumers: varz.slow_consumers, mem: varz.mem,
    cpu: varz.cpu, server: Date.parse(varz.now), rates: {} };
  if (last && last.figures) {
    const seconds = (figures.server - last.figures.server) / 1000;
    for (const name of RATES) {
      figures.rates[name] = seconds > 0 ? Math.max(0, (figures[name] - last.figures[name]) / seconds) : NaN;
    }
  }
  state.history.push({ time: now, figures });
  while (state.history[0].time < now - HISTORY_MS) {
    state.history.shift();
  }
}

function rates(name) {
  return state.history.map((one) => (one.figures && one.figures.rates[name] !== undefined ? one.figures.rates[name] : NaN));
}

function figures(name) {
  return state.history.map((one) => (one.figures ? one.figures[name] : NaN));
}

// What a count gained per second since it was seen last under that key.
function rateOf(store, key, seconds, values) {
  const before = store.get(key);
  store.set(key, { at: seconds, values });
  if (!before || seconds <= before.at) {
    return before && before.rates ? (store.get(key).rates = before.rates) : values.map(() => NaN);
  }
  const gained = values.map((value, index) => Math.max(0, (value - before.values[index]) / (seconds - before.at)));
  store.get(key).rates = gained;
  return gained;
}

// Forgets what was not seen this time.
function keepOnly(store, keys) {
  for (const key of store.keys()) {
    if (!keys.has(key)) {
      store.delete(key);
    }
  }
}

// ---- tiles ----

function tile(title, value, below, line, kind, alarm) {
  return element("li", { class: alarm ? "tile alarm" : "tile" }, element("h3", {}, title), element("p", { class: "value" }, value),
    element("p", { class: "quiet" }, below), line ? spark(line, kind) : null);
}

function drawTiles() {
  const varz = state.varz;
  const now = (name) => rates(name).at(-1);
  const slow = figures("slow_consumers");
  const slowNow = varz.slow_consumers - (slow.find(Number.isFinite) || 0);
  $("tiles").replaceChildren(
    tile("Messages in", format.perSecond(format.count, now("in_msgs")), `${format.count(varz.in_msgs)} since the start`, rates("in_msgs"), "in"),
    tile("Messages out", format.perSecond(format.count, now("out_msgs")), `${format.count(varz.out_msgs)} since the start`, rates("out_msgs"), "out"),
    tile("Data in", format.perSecond(format.bytes, now("in_bytes")), `${format.bytes(varz.in_bytes)} since the start`, rates("in_bytes"), "in"),
    tile("Data out", format.perSecond(format.bytes, now("out_bytes")), `${format.bytes(varz.out_bytes)} since the start`, rates("out_bytes"), "out"),
    tile("Connections", format.exact(varz.connections), `${format.exact(varz.subscriptions)} subscriptions`, figures("connections"), "plain",
      varz.connections >= varz.max_connections),
    tile("Slow consumers", format.exact(varz.slow_consumers), slowNow > 0 ? `${format.exact(slowNow)} in these minutes` : "closed since the start",
      slow, "plain", slowNow > 0),
    tile("Processor", `${varz.cpu.toFixed(varz.cpu < 10 ? 1 : 0)} %`, `of one core; ${varz.cores} cores`, figures("cpu"), "plain"),
    tile("Memory", format.memory(varz.mem), "resident", figures("mem"), "plain"));
}

// ---- throughput ----

let chart = null;

function readingPart(one, value, formatted) {
  return element("span", { class: `key ${one.kind}` }, `${one.name} `, element("b", {}, format.perSecond(formatted, value)));
}

function chartMake() {
  const formatted = () => (state.unit === "messages" ? format.count : format.bytes);
  chart = new Chart($("throughput"), {
    spanMs: HISTORY_MS,
    format: (value) => formatted()(value),
    label: (series) => `Throughput of the last minutes. ${series.map((one) =>
      `${one.name}: now ${format.perSecond(formatted(), one.values.at(-1))}, at most ${format.perSecond(formatted(), Math.max(...one.values.filter(Number.isFinite), 0))}`).join(". ")}`,
    onRead: (series, at, time) => $("throughput-reading").replaceChildren(
      ...series.map((one) => readingPart(one, one.values[at], formatted())),
      element("span", { class: "quiet" }, time === null ? "now" : `at ${format.clock(time)}`)),
  });
  $("throughput-reading").setAttribute("aria-live", "off"); // every second would be too much; arrow keys turn it on
  $("throughput").addEventListener("keydown", () => $("throughput-reading").setAttribute("aria-live", "polite"));
  $("throughput").addEventListener("focusout", () => $("throughput-reading").setAttribute("aria-live", "off"));
}

function drawChart() {
  const names = state.unit === "messages" ? ["in_msgs", "out_msgs"] : ["in_bytes", "out_bytes"];
  const seen = state.history.length > 0 ? state.history.at(-1).time - state.history[0].time : 0;
  chart.spanMs = Math.min(HISTORY_MS, Math.max(60000, Math.ceil(seen / 60000) * 60000)); // no wide empty space at the beginning
  chart.show(state.history.map((one) => one.time), [
    { name: "in", kind: "in", values: rates(names[0]) }, { name: "out", kind: "out", values: rates(names[1]) }]);
}

// ---- shards ----

function drawShards(shardz) {
  const now = Date.parse(shardz.now) / 1000;
  const rows = shardz.shards.map((shard) => {
    const [cpu, written, hits, misses] = rateOf(state.previous.shards, shard.shard, now,
      [shard.cpu_seconds_total, shard.written_bytes_total, shard.match_cache_hits_total, shard.match_cache_misses_total]);
    return { ...shard, cpu, written, hit: hits + misses > 0 ? hits / (hits + misses) : NaN, alarm: false };
  });
  table($("shards"), "Load of each shard", [
    { title: "Shard", value: (row) => String(row.shard) },
    { title: "Processor", value: (row) => meter(row.cpu || 0, format.percent(row.cpu), row.cpu > 0.9), hint: () => "of one core, looking for work included" },
    { title: "Connections", number: true, value: (row) => format.exact(row.connections) },
    { title: "Out", number: true, value: (row) => format.perSecond(format.bytes, row.written), hint: () => "written to clients, control lines included" },
    { title: "Mail", number: true, minor: true, value: (row) => format.bytes(row.mailbox_bytes), hint: () => "bytes from other threads that wait for it" },
    { title: "Cache", number: true, minor: true, value: (row) => format.percent(row.hit), hint: () => "subjects found in its cache of matches" },
    { title: "Stalls", number: true, minor: true, value: (row) => format.count(row.stalls_total), hint: () => "publishers held back for a slow receiver" },
  ], rows, "No shard answers.");
}

// ---- subjects ----

function drawSubjects(topz) {
  const total = topz.msgs_per_second;
  const several = new Set(topz.subjects.map((one) => one.account)).size > 1;
  $("subjects-note").textContent = topz.window_seconds > 0 ? `published by clients here, last ${topz.window_seconds.toFixed(1)} s, by samples` : "";
  table($("subjects"), "Subjects that are published most", [
    { title: "Subject", value: (row) => element("span", { class: "subject" }, row.subject + (row.cut ? "…" : "")), hint: (row) => row.subject },
    ...(several ? [{ title: "Account", minor: true, value: (row) => row.account }] : []),
    { title: "Share", value: (row) => meter(row.msgs_per_second / total, format.percent(row.msgs_per_second / total)) },
    { title: "Messages", number: true, value: (row) => format.perSecond(format.count, row.msgs_per_second) },
    ...(several ? [] : [{ title: "Data", number: true, minor: true, value: (row) => format.perSecond(format.bytes, row.bytes_per_second) }]),
  ], topz.subjects.slice(0, ROWS), topz.window_seconds > 0 ? "Nothing is published now." : "Watching what is published …");
}

// ---- connections ----

function drawConnections(connz) {
  const now = Date.parse(connz.now) / 1000;
  const rows = (connz.connections || []).map((one) => {
    const [inMessages, outMessages, inBytes, outBytes] = rateOf(state.previous.connections, one.cid, now,
      [one.in_msgs, one.out_msgs, one.in_bytes, one.out_bytes]);
    return { ...one, inMessages, outMessages, inBytes, outBytes, alarm: one.pending_bytes > 0.5 * state.varz.max_pending };
  });
  keepOnly(state.previous.connections, new Set(rows.map((row) => row.cid)));
  table($("connections"), "Connections, the first by the chosen figure", [
    { title: "Client", value: (row) => {
      const button = element("button", { type: "button", class: "plain", "data-key": `cid-${row.cid}` },
        row.name || `${row.ip}:${row.port}`);
      button.addEventListener("click", () => showConnection(row.cid));
      return button;
    } },
    { title: "Id", number: true, minor: true, value: (row) => String(row.cid) },
    { title: "Address", minor: true, value: (row) => `${row.ip}:${row.port}` },
    { title: "User", minor: true, value: (row) => row.authorized_user || "–" },
    { title: "From it", number: true, value: (row) => format.perSecond(format.count, row.inMessages),
      hint: (row) => `${format.exact(row.in_msgs)} messages, ${format.bytes(row.in_bytes)}; ${format.perSecond(format.bytes, row.inBytes)}` },
    { title: "To it", number: true, value: (row) => format.perSecond(format.count, row.outMessages),
      hint: (row) => `${format.exact(row.out_msgs)} messages, ${format.bytes(row.out_bytes)}; ${format.perSecond(format.bytes, row.outBytes)}` },
    { title: "Data", number: true, minor: true, value: (row) => format.perSecond(format.bytes, row.inBytes + row.outBytes) },
    { title: "Pending", number: true, value: (row) => format.bytes(row.pending_bytes) },
    { title: "Subs", number: true, minor: true, value: (row) => format.exact(row.subscriptions) },
    { title: "Round trip", number: true, minor: true, value: (row) => format.roundTrip(row.rtt) },
    { title: "Age", number: true, minor: true, value: (row) => format.span(format.spanRead(row.uptime)) },
  ], rows, "No client is connected.");
  $("connections-note").textContent = connz.total > rows.length ? `${format.exact(rows.length)} of ${format.exact(connz.total)} connections` +
    (connz.total > CROWD ? "; so many are asked for only every 30 seconds" : "") : "";
}

function pairs(rows) {
  return element("dl", {}, ...rows.filter(([, value]) => value !== undefined && value !== "").flatMap(([name, value]) =>
    [element("dt", {}, name), element("dd", {}, String(value))]));
}

async function showConnection(cid) {
  const body = $("detail-body");
  $("detail-title").textContent = `Connection ${cid}`;
  body.replaceChildren(element("p", { class: "empty" }, "Asking …"));
  $("detail").showModal();
  try {
    const connz = await ask(`connz?cid=${cid}&subs=detail&auth=1`);
    const one = (connz.connections || [])[0];
    if (!one) {
      body.replaceChildren(element("p", { class: "empty" }, "This connection has ended."));
      return;
    }
    body.replaceChildren(pairs([["Name", one.name], ["Address", `${one.ip}:${one.port}`], ["Account", one.account], ["User", one.authorized_user],
      ["Client", [one.lang, one.version].filter(Boolean).join(" ")], ["TLS", [one.tls_version, one.tls_cipher_suite].filter(Boolean).join(", ")],
      ["Connected", `${new Date(one.start).toLocaleString()} (${format.span(format.spanRead(one.uptime))})`],
      ["Idle for", format.span(format.spanRead(one.idle))], ["Round trip", format.roundTrip(one.rtt)],
      ["From it", `${format.exact(one.in_msgs)} messages, ${format.bytes(one.in_bytes)}`],
      ["To it", `${format.exact(one.out_msgs)} messages, ${format.bytes(one.out_bytes)}`], ["Pending", format.bytes(one.pending_bytes)]]));
    const list = element("div", { class: "table" });
    const subscriptions = one.subscriptions_list_detail || [];
    table(list, "Its subscriptions", [
      { title: "Subject", value: (row) => element("span", { class: "subject" }, row.subject) },
      { title: "Queue group", value: (row) => row.qgroup || "–" },
      { title: "Delivered", number: true, value: (row) => format.exact(row.msgs) },
    ], subscriptions.slice(0, 200), "It has no subscription.");
    body.append(element("h3", {}, `${format.exact(one.subscriptions)} subscriptions${subscriptions.length > 200 ? ", the first 200" : ""}`), list);
  } catch {
    body.replaceChildren(element("p", { class: "empty" }, "The server does not answer."));
  }
}

// ---- accounts ----

function drawAccounts(accstatz) {
  const now = Date.parse(accstatz.now) / 1000;
  const rows = (accstatz.account_statz || []).map((one) => {
    const [received, sent] = rateOf(state.previous.accounts, one.acc, now, [one.received.msgs, one.sent.msgs]);
    return { ...one, received, sent, alarm: false };
  }).sort((a, b) => (b.received + b.sent || 0) - (a.received + a.sent || 0) || b.conns - a.conns);
  table($("accounts"), "Accounts with clients", [
    { title: "Account", value: (row) => element("span", { class: "subject" }, row.acc) },
    { title: "Connections", number: true, value: (row) => format.exact(row.conns) },
    { title: "Subs", number: true, minor: true, value: (row) => format.exact(row.num_subscriptions) },
    { title: "In", number: true, value: (row) => format.perSecond(format.count, row.received) },
    { title: "Out", number: true, value: (row) => format.perSecond(format.count, row.sent) },
    { title: "Slow", number: true, minor: true, value: (row) => format.exact(row.slow_consumers) },
  ], rows.slice(0, ROWS), "No account has clients.");
}

// ---- closed ----

function drawClosed(connz) {
  const rows = (connz.connections || []).map((one) => ({ ...one, alarm: /slow consumer/i.test(one.reason) }));
  $("closed-note").textContent = connz.total > 0 ? `${format.exact(connz.total)} remembered` : "";
  table($("closed"), "Connections that closed last", [
    { title: "Client", value: (row) => element("span", { class: "subject" }, row.name || `${row.ip}:${row.port}`), hint: (row) => `${row.ip}:${row.port}` },
    { title: "Why", value: (row) => row.reason },
    { title: "Address", minor: true, value: (row) => `${row.ip}:${row.port}` },
    { title: "User", minor: true, value: (row) => row.authorized_user || "–" },
    { title: "From it", number: true, minor: true, value: (row) => format.count(row.in_msgs), hint: () => "messages" },
    { title: "To it", number: true, minor: true, value: (row) => format.count(row.out_msgs), hint: () => "messages" },
    { title: "At", number: true, value: (row) => format.clock(Date.parse(row.stop)), hint: (row) => new Date(row.stop).toLocaleString() },
    { title: "Lived", number: true, minor: true, value: (row) => format.span(format.spanRead(row.uptime)) },
  ], rows, "None has closed since the start.");
}

// ---- neighbours ----

function sum(list, name) {
  return list.reduce((all, one) => all + (one[name] || 0), 0);
}

// All connections to one server are one neighbour.
function neighbour(kind, key, name, connections, now) {
  const messages = sum(connections, "in_msgs") + sum(connections, "out_msgs");
  const [rate] = rateOf(state.previous.peers, `${kind} ${key}`, now, [messages]);
  const rtts = connections.map((one) => format.spanRead(one.rtt)).filter((one) => one > 0);
  const rtt = rtts.length > 0 ? format.roundTrip(`${Math.min(...rtts)}s`) : "–";
  const pending = sum(connections, "pending_size") + sum(connections, "pending_bytes");
  return { kind, key, name, rate, rtt, pending, connections: connections.length, busy: rate > 0, alarm: pending > 1e6,
    subscriptions: sum(connections, "subscriptions"),
    caption: [Number.isFinite(rate) ? `${format.count(rate)} msg/s` : "", rtt === "–" ? "" : rtt].filter(Boolean).join(" · ") || "connected" };
}

function grouped(list, keyOf) {
  const groups = new Map();
  for (const one of list) {
    const key = keyOf(one);
    groups.set(key, [...(groups.get(key) || []), one]);
  }
  return groups;
}

function neighboursOf(routez, gatewayz, leafz) {
  const now = Date.parse(routez.now) / 1000;
  const routes = [...grouped(routez.routes || [], (one) => one.remote_id || `${one.ip}:${one.port}`)].map(([key, list]) =>
    neighbour("route", key, list[0].remote_name || `${list[0].ip}:${list[0].port}`, list, now));
  const gateways = new Map();
  for (const [name, one] of Object.entries(gatewayz.outbound_gateways || {})) {
    gateways.set(name, [one.connection || {}]);
  }
  for (const [name, list] of Object.entries(gatewayz.inbound_gateways || {})) {
    gateways.set(name, [...(gateways.get(name) || []), ...(list || []).map((one) => one.connection || {})]);
  }
  const leafs = (leafz.leafs || []).map((one, index) =>
    neighbour("leaf", `${one.ip}:${one.port} ${index}`, one.name || `${one.ip}:${one.port}`, [one], now));
  return { routes, gateways: [...gateways].map(([name, list]) => neighbour("gateway", name, name, list, now)), leafs };
}

function drawNeighbours(routez, gatewayz, leafz) {
  const all = neighboursOf(routez, gatewayz, leafz);
  const list = [...all.routes, ...all.gateways, ...all.leafs];
  keepOnly(state.previous.peers, new Set(list.map((one) => `${one.kind} ${one.key}`)));
  const cluster = state.varz.cluster && state.varz.cluster.name;
  $("cluster-details").hidden = list.length === 0;
  if (list.length === 0) {
    state.redraw = null;
    $("cluster-note").textContent = cluster ? `cluster ${cluster}` : "";
    $("cluster").replaceChildren(element("p", { class: "empty" }, cluster ? `No other server of the cluster ${cluster} is connected now.` :
      "This server stands alone: it has no routes, gateways or leaf nodes."));
    return;
  }
  const self = { name: state.varz.server_name, caption: cluster ? `this server, in ${cluster}` : "this server" };
  state.redraw = () => picture($("cluster"), self, all);
  const more = state.redraw();
  const counted = (number, one, several) => `${format.exact(number)} ${number === 1 ? one : several}`;
  $("cluster-note").textContent = [`${format.exact(all.routes.length)} in the cluster`, counted(all.gateways.length, "gateway", "gateways"),
    counted(all.leafs.length, "leaf node", "leaf nodes")].join(", ") +
    (more > 0 ? `; ${more} more in the table` : "");
  table($("peers"), "Neighbours", [
    { title: "Server", value: (row) => element("span", { class: "subject" }, row.name) },
    { title: "Kind", value: (row) => row.kind },
    { title: "Connections", number: true, value: (row) => format.exact(row.connections) },
    { title: "Messages", number: true, value: (row) => format.perSecond(format.count, row.rate) },
    { title: "Pending", number: true, value: (row) => format.bytes(row.pending) },
    { title: "Round trip", number: true, value: (row) => row.rtt },
    { title: "Subs", number: true, minor: true, value: (row) => format.exact(row.subscriptions) },
  ], list, "");
}

// ---- how it goes ----

function drawStatus() {
  const failed = state.failedSince !== null;
  const words = failed ? "No answer" : state.paused ? "Paused" : state.varz ? "Live" : "Connecting";
  if ($("status").textContent !== words) {
    $("status").textContent = words;
  }
  $("status").dataset.state = failed ? "failed" : state.paused ? "paused" : state.varz ? "live" : "waiting";
  document.body.classList.toggle("stale", failed);
  const said = failed ? `The server has not answered since ${format.clock(state.failedSince)}. What is shown is from before; this page keeps trying.` : "";
  if ($("banner").textContent !== said) {
    $("banner").textContent = said;
  }
  $("banner").hidden = !failed;
}

function drawServer() {
  const varz = state.varz;
  document.title = `${varz.server_name} – Myelin`;
  $("server-name").textContent = varz.server_name;
  $("server-name").title = varz.server_id;
  $("server-line").textContent = [`Myelin ${varz.go.replace("myelin", "")}, NATS ${varz.version}`,
    `up ${format.span(format.spanRead(varz.uptime))}`, `${varz.host}:${varz.port}`].join(" · ");
}

// Another process, or the same one begun anew: nothing that was seen before goes on.
function forget() {
  state.history = [];
  state.due = {};
  Object.values(state.previous).forEach((store) => store.clear());
}

function interval() {
  return Number($("interval").value);
}

// Whether a document that is asked for every `every` milliseconds is to be asked for now.
function due(name, every) {
  const now = Date.now();
  if ((state.due[name] || 0) > now) {
    return false;
  }
  state.due[name] = now + every - 100; // timers are not exact
  return true;
}

async function askAll() {
  const varz = await ask("varz");
  if (state.varz && state.varz.server_id !== varz.server_id) {
    forget();
  }
  state.varz = varz;
  remember(varz);
  drawServer();
  drawTiles();
  drawChart();
  drawShards(await ask("shardz"));
  drawSubjects(await ask("topz"));
  if (due("connections", varz.connections > CROWD ? 30000 : interval())) {
    drawConnections(await ask(`connz?sort=${$("sort").value}&limit=${ROWS}&auth=1`));
  }
  if (due("others", Math.max(4000, interval()))) {
    drawNeighbours(await ask("routez"), await ask("gatewayz"), await ask("leafz"));
    drawAccounts(await ask("accstatz"));
    drawClosed(await ask("connz?state=closed&sort=stop&limit=8&auth=1"));
  }
}

async function round() {
  clearTimeout(state.timer);
  if (state.asking) {
    return; // the one under way sets the timer
  }
  state.asking = true;
  try {
    await askAll();
    state.failedSince = null;
  } catch (problem) {
    state.failedSince = state.failedSince === null ? Date.now() : state.failedSince;
    if (state.history.length > 0 && state.history.at(-1).figures !== null) {
      state.history.push({ time: Date.now(), figures: null });
    }
    state.due = {};
    state.problem = problem;
  }
  state.asking = false;
  drawStatus();
  if (!state.paused && !document.hidden) {
    state.timer = setTimeout(round, interval());
  }
}

// ---- what people do ----

function themeSet(theme) {
  document.documentElement.dataset.theme = theme;
  $("theme").textContent = `Theme: ${theme}`;
  try {
    localStorage.setItem("myelin-theme", theme);
  } catch { /* a browser that keeps nothing: the choice lasts as long as the page */ }
}

function listen() {
  $("pause").addEventListener("click", () => {
    state.paused = !state.paused;
    $("pause").setAttribute("aria-pressed", String(state.paused));
    $("pause").textContent = state.paused ? "Go on" : "Pause";
    drawStatus();
    if (!state.paused) {
      round();
    } else {
      clearTimeout(state.timer);
    }
  });
  $("interval").addEventListener("change", () => !state.paused && round());
  $("sort").addEventListener("change", () => {
    state.due.connections = 0;
    round();
  });
  for (const unit of ["messages", "bytes"]) {
    $(`unit-${unit}`).addEventListener("click", () => {
      state.unit = unit;
      $("unit-messages").setAttribute("aria-pressed", String(unit === "messages"));
      $("unit-bytes").setAttribute("aria-pressed", String(unit === "bytes"));
      drawChart();
    });
  }
  $("theme").addEventListener("click", () => {
    const themes = ["system", "light", "dark"];
    themeSet(themes[(themes.indexOf(document.documentElement.dataset.theme) + 1) % themes.length]);
  });
  $("detail-close").addEventListener("click", () => $("detail").close());
  window.addEventListener("resize", () => state.redraw && state.redraw());
  document.addEventListener("visibilitychange", () => !document.hidden && !state.paused && round());
}

let theme = "system";
try {
  theme = localStorage.getItem("myelin-theme") || "system";
} catch { /* as above */ }
themeSet(["system", "light", "dark"].includes(theme) ? theme : "system");
chartMake();
listen();
round();
