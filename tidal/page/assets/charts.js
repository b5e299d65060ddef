// Charts: inline SVG that scales, with text beside it that does not.

const SVG = "http://www.w3.org/2000/svg";
// The chart spans the shortest of these that holds what is known: seconds, its beginning, its middle.
const CHART_SPANS = [
  [60, "1 min ago", "30 s ago"],
  [120, "2 min ago", "1 min ago"],
  [300, "5 min ago", "2.5 min ago"],
  [600, "10 min ago", "5 min ago"],
];

function svg(width, height, ...paths) {
  const node = document.createElementNS(SVG, "svg");
  node.setAttribute("viewBox", `0 0 ${width} ${height}`);
  node.setAttribute("preserveAspectRatio", "none");
  node.setAttribute("aria-hidden", "true");
  for (const name of paths) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("class", name);
    node.append(path);
  }
  return node;
}

function draw(node, name, path) {
  const found = node.querySelector(`.${name}`);
  if (found.getAttribute("d") !== path) found.setAttribute("d", path);
}

/** Bars of one scale from 0; the last one is still running, and drawn apart. */
function drawBars(node, values) {
  const top = Math.max(...values, 1);
  const bar = (value, i) => {
    const height = value ? Math.max(1.5, (22 * value) / top) : 0.6;
    return `M${i + 0.12} 24V${(24 - height).toFixed(2)}H${i + 0.88}V24Z`;
  };
  const last = values.length - 1;
  node.setAttribute("viewBox", `0 0 ${Math.max(values.length, 1)} 24`);
  draw(node, "bars", values.slice(0, last).map(bar).join(""));
  draw(node, "running", last >= 0 ? bar(values[last], last) : "");
}

/** The top of a scale from 0, and the round steps on it. */
function scale(largest) {
  let step = 10 ** Math.floor(Math.log10(Math.max(largest, 1) / 4));
  while (largest / step > 5) step *= step.toExponential().startsWith("2") ? 2.5 : 2;
  const top = Math.max(step, Math.ceil(largest / step) * step);
  return { top, ticks: Array.from({ length: Math.round(top / step) + 1 }, (_, i) => i * step) };
}

/** The chart of the rate over time: a line, an area, and a reading at any place of it. */
class RateChart {
  constructor(host) {
    this.host = host;
    this.points = [];
    this.svg = svg(1, 1000, "area", "line");
    this.ticks = el("div");
    this.cursor = el("i", { class: "cursor", hidden: true });
    this.tip = el("div", { class: "tip", hidden: true });
    const ticks = el("div", { class: "ticks", "aria-hidden": "true" }, this.ticks);
    this.plot = el("div", { class: "plot" }, ticks, this.svg, this.cursor, this.tip);
    this.times = el("div", { class: "times", "aria-hidden": "true" }, el("span"), el("span"), el("span", {}, "now"));
    host.append(this.plot, this.times);
    this.listen();
  }

  show(points) {
    const oldest = points[0]?.[0] ?? 0;
    const [seconds, start, middle] = CHART_SPANS.find(([least]) => oldest <= least) ?? CHART_SPANS.at(-1);
    this.seconds = seconds;
    this.points = points.filter(([age]) => age <= seconds);
    const largest = Math.max(0, ...this.points.map(([, rate]) => rate));
    const { top, ticks } = scale(largest);
    keyed(this.ticks, ticks, (tick) => tick, (tick) => el("span", {}, compact.format(tick)), (node, tick) => {
      node.style.bottom = `${(100 * tick) / top}%`;
    });
    [start, middle].forEach((text, i) => say(this.times.children[i], text));
    this.svg.setAttribute("viewBox", `0 0 ${seconds} 1000`);
    const at = ([age, rate]) => `${(seconds - age).toFixed(1)} ${Math.round(1000 * (1 - rate / top))}`;
    const line = this.points.map(at).join("L");
    draw(this.svg, "line", line && `M${line}`);
    const [first, last] = [this.points[0], this.points.at(-1)];
    draw(this.svg, "area", line && `M${seconds - first[0]} 1000L${line}L${seconds - last[0]} 1000Z`);
    const label = `Events a second over the last ten minutes: now ${number(last?.[1])}, at most ${number(largest)}`;
    if (this.host !== document.activeElement) this.host.setAttribute("aria-label", label);
    if (!this.tip.hidden) this.read(Math.min(this.place, this.points.length - 1));
    return largest;
  }

  read(place) {
    if (!this.points.length) return;
    this.place = Math.max(0, Math.min(this.points.length - 1, place));
    const [age, rate] = this.points[this.place];
    say(this.tip, `${number(rate)}/s, ${span(age)} ago`);
    this.cursor.hidden = this.tip.hidden = false;
    const share = 1 - age / this.seconds;
    this.cursor.style.left = `${100 * share}%`;
    this.tip.style.left = `${Math.max(0, share * this.plot.clientWidth - this.tip.offsetWidth - 6)}px`;
  }

  hide() {
    this.cursor.hidden = this.tip.hidden = true;
  }

  listen() {
    const follow = (event) => {
      const box = this.plot.getBoundingClientRect();
      const age = this.seconds * (1 - (event.clientX - box.left) / box.width);
      const distances = this.points.map(([at]) => Math.abs(at - age));
      this.read(distances.indexOf(Math.min(...distances)));
    };
    this.plot.addEventListener("pointermove", follow);
    this.plot.addEventListener("pointerdown", follow);
    this.plot.addEventListener("pointerleave", () => this.hide());
    this.host.addEventListener("blur", () => this.hide());
    this.host.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -30, PageDown: 30, Home: -1e9, End: 1e9 }[event.key];
      if (step) {
        this.read(this.tip.hidden ? this.points.length - 1 : this.place + step);
        event.preventDefault();
      } else if (event.key === "Escape") {
        this.hide();
      }
    });
  }
}
