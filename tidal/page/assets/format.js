// Numbers, times and sizes as people read them; elements made of text, never of markup.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact" });
const byMagnitude = [0, 1, 2, 3].map((digits) =>
  new Intl.NumberFormat("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }));

function count(value) {
  return value === null || value === undefined ? "–" : whole.format(value);
}

/** At least three digits: 12,345 and 12.3 and 0.123. */
function number(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  const digits = size === 0 || size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3;
  return byMagnitude[digits].format(value);
}

function bytes(value) {
  if (value === null || value === undefined) return "–";
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit ? number(value) : whole.format(value)} ${units[unit]}`;
}

function span(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 1) return `${whole.format(seconds * 1000)} ms`;
  if (seconds < 120) return `${whole.format(seconds)} s`;
  if (seconds < 7200) return `${whole.format(seconds / 60)} min`;
  if (seconds < 172800) return `${number(seconds / 3600)} h`;
  return `${number(seconds / 86400)} days`;
}

function clock(ms) {
  return new Date(ms).toLocaleTimeString("en-GB");
}

const UNITS = [[1, 1, "s"], [1 / 60, 60, "min"], [0, 3600, "h"]];

/** How to show events a second of this size: by the second, the minute or the hour. */
function perTime(largest) {
  const [, factor, unit] = UNITS.find(([least]) => largest >= least);
  return { factor, unit: `events/${unit}` };
}

function measureName(measure) {
  const [what, of] = measure.split(".");
  if (what === "score") return of ? `Score, half-life ${of}` : "Score";
  if (what === "velocity") return `Velocity, last ${of}`;
  return of === "all" ? "Events of all time" : `Events, last ${of}`;
}

/** Return an element; strings among the children become text. */
function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

function byId(id) {
  return document.getElementById(id);
}

/** Set a text only where it differs, so that nothing is announced or laid out anew. */
function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Have a container hold one element for each item, made once for each key and kept while it is there. */
function keyed(container, items, keyOf, make, fill) {
  const had = new Map([...container.children].map((child) => [child.dataset.key, child]));
  const rows = items.map((item) => {
    const key = String(keyOf(item));
    const row = had.get(key) ?? make(item);
    row.dataset.key = key;
    fill(row, item);
    return row;
  });
  const same = rows.length === container.children.length && rows.every((row, i) => row === container.children[i]);
  if (!same) container.replaceChildren(...rows);
}
