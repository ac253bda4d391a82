// shards/control/page/format.js - numbers, sizes and spans as people read them.

const whole = new Intl.NumberFormat("en");
const UNITS = ["", "k", "M", "G", "T", "P"];

// Three digits that count, and a unit: 999, 1.23 k, 45.6 M.
function scaled(value, base, units) {
  let size = Math.abs(value);
  let unit = 0;
  while (size >= base * 0.9995 && unit < units.length - 1) {
    size /= base;
    unit += 1;
  }
  const digits = unit === 0 && Number.isInteger(value) || size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2;
  return [(value < 0 ? "-" : "") + size.toFixed(digits), units[unit]];
}

export function count(value) {
  if (!Number.isFinite(value)) {
    return "–";
  }
  const [number, unit] = scaled(value, 1000, UNITS);
  return unit ? `${number} ${unit}` : number;
}

// Every digit, for tooltips.
export function exact(value) {
  return Number.isFinite(value) ? whole.format(value) : "–";
}

export function bytes(value) {
  if (!Number.isFinite(value)) {
    return "–";
  }
  const [number, unit] = scaled(value, 1000, UNITS);
  return `${number} ${unit}B`;
}

// Memory comes in powers of two.
export function memory(value) {
  if (!Number.isFinite(value)) {
    return "–";
  }
  const [number, unit] = scaled(value, 1024, ["", "Ki", "Mi", "Gi", "Ti"]);
  return `${number} ${unit}B`;
}

export function perSecond(format, value) {
  return Number.isFinite(value) ? `${format(value)}/s` : "–";
}

export function percent(share) {
  if (!Number.isFinite(share)) {
    return "–";
  }
  const value = share * 100;
  return `${value > 0 && value < 0.1 ? "< 0.1" : value.toFixed(value < 10 ? 1 : 0)} %`;
}

// Seconds, in the two largest units that are not zero.
export function span(seconds) {
  if (!Number.isFinite(seconds)) {
    return "–";
  }
  const parts = [];
  let left = Math.max(0, Math.floor(seconds));
  for (const [name, size] of [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]]) {
    const amount = Math.floor(left / size);
    left -= amount * size;
    if (amount > 0) {
      parts.push(`${amount} ${name}`);
    }
  }
  return parts.slice(0, 2).join(" ") || "0 s";
}

// What the server writes: "1y2d3h4m5s", "532µs", "1.5ms", "1m2.5s". Seconds; NaN for what is none of these.
export function spanRead(text) {
  const sizes = { y: 31536000, d: 86400, h: 3600, m: 60, s: 1, ms: 1e-3, "µs": 1e-6, "μs": 1e-6, us: 1e-6, ns: 1e-9 };
  let seconds = NaN;
  for (const [, number, unit] of String(text || "").matchAll(/([0-9.]+)(ms|µs|μs|us|ns|[ydhms])/g)) {
    seconds = (Number.isNaN(seconds) ? 0 : seconds) + Number(number) * sizes[unit];
  }
  return seconds;
}

// A round trip. Zero is one that nobody has measured yet.
export function roundTrip(text) {
  const seconds = spanRead(text);
  if (!(seconds > 0)) {
    return "–";
  }
  return seconds < 1e-3 ? `${(seconds * 1e6).toFixed(0)} µs` :
    seconds < 1 ? `${(seconds * 1e3).toPrecision(3)} ms` : `${seconds.toPrecision(3)} s`;
}

export function clock(milliseconds) {
  return new Date(milliseconds).toLocaleTimeString([], { hour12: false });
}
