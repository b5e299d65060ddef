// Each part of the page: what a snapshot says, put into its elements.

/** Names with their values; entries are [name, text, whether it is bad]. */
function pairs(list, entries) {
  const make = ([name]) => el("div", {}, el("dt", {}, name), el("dd"));
  keyed(list, entries, ([name]) => name, make, (row, [, text, bad]) => {
    say(row.lastChild, text);
    row.lastChild.classList.toggle("bad", Boolean(bad));
  });
}

const th = (kind, text = "") => el("th", { scope: "col", class: kind }, text);
const td = (kind, ...children) => el("td", { class: kind }, ...children);

/** A table that keeps its rows; columns are [heading, class]. */
function table(host, caption, columns) {
  if (!host.firstElementChild?.matches("table")) {
    const head = el("thead", {}, el("tr", {}, ...columns.map(([heading, kind]) => th(kind, heading))));
    host.replaceChildren(el("table", {}, el("caption", { class: "unseen" }, caption), head, el("tbody")));
  }
  return host.querySelector("tbody");
}

function cells(columns) {
  return () => el("tr", {}, ...columns.map(([, kind]) => td(kind)));
}

function nothing(host, text) {
  if (host.textContent !== text) host.replaceChildren(el("p", { class: "soft" }, text));
}

function showFacts(now) {
  const { log, checkpoint, disk } = now;
  pairs(byId("facts"), [
    ["Events recorded", count(log.last_seq)],
    ["Entities", count(now.signals.reduce((sum, signal) => sum + signal.entities, 0))],
    ["Not synced yet", now.store === null ? "in memory" : count(log.last_seq - log.durable_seq)],
    ["Since the checkpoint", now.store === null ? "in memory" : count(checkpoint.behind)],
    ["Disk used", disk ? bytes(disk.total) : "–"],
  ]);
}

const SIGNAL_COLUMNS = [["Type", "text"], ["Entities", "n"], ["Events", "n"], ["Now", "n"]];

function showSignals(now) {
  const body = table(byId("signals"), "Signal types", SIGNAL_COLUMNS);
  keyed(body, now.signals, (signal) => signal.name, cells(SIGNAL_COLUMNS), (row, signal) => {
    const texts = [signal.name, count(signal.entities), count(signal.events)];
    texts.push(signal.rate === null ? "–" : `${number(signal.rate)}/s`);
    texts.forEach((text, i) => say(row.cells[i], text));
  });
}

function showLog(now) {
  const { log } = now;
  pairs(byId("log"), [
    ["Newest event", count(log.last_seq)],
    ["Safe from a power cut", now.store === null ? "none: in memory" : count(log.durable_seq)],
    ["Not synced", bytes(log.unsynced_bytes)],
    ["Segments", count(now.disk?.segments)],
    ["Size", bytes(now.disk?.log)],
  ]);
}

function showCheckpoint(now) {
  const { checkpoint, archive, disk } = now;
  pairs(byId("checkpoint"), [
    ["Checkpoint at event", checkpoint.seq ? count(checkpoint.seq) : "none yet"],
    ["Events since", count(checkpoint.behind)],
    ["Written", checkpoint.age_seconds === null ? "–" : `${span(checkpoint.age_seconds)} ago`],
    ["Took", span(checkpoint.took_seconds)],
    ["Newest attempt", checkpoint.error ?? "no error", checkpoint.error],
    ["Archive", archive.error ?? bytes(disk?.archive), archive.error],
  ]);
}

const DISK = {
  log: "Log", archive: "Archive", checkpoints: "Checkpoints",
  entities: "Entities", exports: "Exports", quarantine: "Quarantine",
};

function showDisk(now) {
  const host = byId("disk");
  if (!now.disk) return nothing(host, now.store === null ? "In memory: nothing is on a disk." : "Not known.");
  if (!host.querySelector("ul")) host.replaceChildren(el("ul", { class: "meters" }), el("p", { class: "soft" }));
  const largest = Math.max(1, ...Object.keys(DISK).map((kind) => now.disk[kind]));
  const make = () => el("li", {}, el("span"), el("b"), el("i"));
  keyed(host.firstChild, Object.keys(DISK), (kind) => kind, make, (row, kind) => {
    say(row.children[0], DISK[kind]);
    say(row.children[1], bytes(now.disk[kind]));
    row.children[2].style.width = `${(100 * now.disk[kind]) / largest}%`;
  });
  say(host.lastChild, `${bytes(now.disk.free)} are free on this disk.`);
}

const FOLLOWER_COLUMNS = [["Name", "text"], ["State", "text"], ["At event", "n"], ["Behind", "n"]];

function showFollowers(now) {
  const host = byId("followers");
  if (!now.followers?.length) return nothing(host, now.followers ? "No followers, and no marks." : "Not known.");
  const body = table(host, "Followers", FOLLOWER_COLUMNS);
  keyed(body, now.followers, (it) => `${it.state === null} ${it.name}`, cells(FOLLOWER_COLUMNS), (row, it) => {
    const silent = it.state === "silent" && it.heard_seconds !== null ? ` for ${span(it.heard_seconds)}` : "";
    const state = it.state === null ? "a mark" : it.state + silent;
    [it.name, state, count(it.seq), count(it.lag)].forEach((text, i) => say(row.cells[i], text));
    row.cells[1].classList.toggle("bad", ["silent", "dropped", "foreign"].includes(it.state));
  });
}

function showLeader(now) {
  const it = now.following;
  byId("leader").hidden = it === null;
  if (it === null) return;
  pairs(byId("following"), [
    ["Follows as", it.name],
    ["State", it.trouble ?? "following", it.trouble],
    ["Behind", `${count(it.lag)} events`],
    ["Up to date", it.lag_seconds === null ? "nothing heard yet" : `${span(it.lag_seconds)} ago`],
    ["Epoch", count(it.epoch)],
    ["Messages refused", count(it.refused), it.refused],
  ]);
}

const REGION_COLUMNS = [["Region", "text"], ["At event", "n"], ["Behind", "n"], ["Heard", "n"]];

function showRegions(now) {
  const it = now.regions;
  byId("others").hidden = it === null;
  if (it === null) return;
  pairs(byId("region"), [
    ["This region", String(it.region)],
    ["State", it.trouble ?? "exchanging", it.trouble],
    ["Messages refused", count(it.refused), it.refused],
  ]);
  const body = table(byId("regions"), "Other regions", REGION_COLUMNS);
  keyed(body, it.members, (other) => other.region, cells(REGION_COLUMNS), (row, other) => {
    const heard = other.heard_seconds === null ? "never" : `${span(other.heard_seconds)} ago`;
    const seq = other.seq === null ? "–" : count(other.seq);
    [String(other.region), seq, count(other.lag), heard].forEach((text, i) => say(row.cells[i], text));
  });
}

const STREAM_COLUMNS = [["Stream", "text"], ["At message", "n"], ["Wait", "n"], ["Put aside", "n"], ["Missing", "n"]];

function showBroker(now) {
  byId("broker").hidden = !now.streams.length;
  if (!now.streams.length) return;
  const body = table(byId("streams"), "Streams of the broker", STREAM_COLUMNS);
  keyed(body, now.streams, (it) => it.stream, cells(STREAM_COLUMNS), (row, it) => {
    const texts = [it.trouble ? `${it.stream}: ${it.trouble}` : it.stream, count(it.position)];
    texts.push(count(it.pending), count(it.dead_letters), count(it.missing));
    texts.forEach((text, i) => say(row.cells[i], text));
    row.cells[0].classList.toggle("bad", Boolean(it.trouble));
  });
}

const JOB_COLUMNS = [["#", "n"], ["Dataset", "text"], ["Status", "text"], ["Rows", "n"], ["File", "n"]];

function showJobs(now, download) {
  const host = byId("jobs");
  if (now.jobs === null) return nothing(host, "Not shown: that takes a token that may export.");
  if (!now.jobs.length) return nothing(host, "No export jobs.");
  const make = () => {
    const row = cells(JOB_COLUMNS)();
    row.cells[2].append(el("span"), el("progress", { max: 1, hidden: true }));
    row.cells[4].append(el("a", { hidden: true }), el("span"));
    return row;
  };
  keyed(table(host, "Export jobs, the newest first", JOB_COLUMNS), now.jobs, (job) => job.id, make, (row, job) => {
    say(row.cells[0], count(job.number));
    say(row.cells[1], `${job.dataset} · ${job.format}`);
    const [status, bar] = row.cells[2].children;
    const done = job.share === null || job.status === "done" ? "" : ` ${Math.floor(100 * job.share)}%`;
    say(status, job.reason ? `${job.status}: ${job.reason}` : job.status + done);
    bar.hidden = job.status !== "running";
    bar.setAttribute("aria-label", `Progress of job ${job.number}`);
    if (job.share === null) bar.removeAttribute("value");
    else bar.value = job.share;
    say(row.cells[3], count(job.rows));
    const [link, size] = row.cells[4].children;
    say(size, job.bytes && !job.download ? bytes(job.bytes) : "");
    link.hidden = !job.download;
    if (job.download && !link.href) {
      say(link, bytes(job.bytes));
      link.href = job.download;
      link.setAttribute("aria-label", `Download job ${job.number}, ${bytes(job.bytes)}`);
      link.addEventListener("click", (event) => download(event, link));
    }
  });
}

function trendText(trend, bars) {
  if (trend === null) return bars.some(Boolean) ? "new" : "";
  const percent = Math.round(100 * trend);
  if (percent >= 1000) return `▲ ×${whole.format(trend + 1)}`;
  return percent > 0 ? `▲ ${whole.format(percent)}%` : percent < 0 ? `▼ ${whole.format(-percent)}%` : "= 0%";
}

const ROWS = 10;
const CHART_OF = { "1h": "last hour", "24h": "last day", "7d": "last week" };

/** One ranking: a picker of its measure, and ten rows that keep their height. */
class Ranking {
  constructor(place, changed) {
    this.picker = el("select", { id: `by-${place}` });
    this.picker.addEventListener("change", () => changed(place, this.picker.value));
    this.chart = th("spark");
    this.unit = th("n");
    this.body = el("tbody");
    const head = el("tr", {}, th("rank", "#"), th("text", "Entity"), this.chart, th("n trend", "Trend"), this.unit);
    const label = el("label", { for: this.picker.id }, "Ranked by ");
    const rows = el("table", { class: "ranking" }, el("thead", {}, head), this.body);
    this.node = el("div", { class: "card" }, el("p", { class: "picker" }, label, this.picker), rows);
  }

  show(top, measures) {
    keyed(this.picker, measures, (name) => name, (name) => el("option", { value: name }, measureName(name)), () => {});
    if (this.picker !== document.activeElement) this.picker.value = top.by;
    const moving = top.by.startsWith("velocity");
    const { factor, unit } = perTime(Math.max(0, ...top.rows.map((row) => row.value ?? 0)));
    say(this.unit, moving ? unit : top.by.startsWith("count") ? "events" : "score");
    say(this.chart, top.window ? CHART_OF[top.window] : "");
    const shown = (value) => number(moving && value !== null ? value * factor : value);
    const rows = Array.from({ length: ROWS }, (_, place) => ({ place, row: top.rows[place] }));
    keyed(this.body, rows, (it) => it.place, () => this.row(), (node, { place, row }) => {
      this.fill(node, place, row, shown);
    });
  }

  row() {
    const name = td("text", el("span"), el("small"));
    const chart = td("spark", svg(1, 24, "bars", "running"));
    return el("tr", {}, td("rank"), name, chart, td("n trend"), td("n", el("span"), el("small")));
  }

  fill(node, place, row, shown) {
    const [rank, name, chart, trend, value] = node.cells;
    node.classList.toggle("none", !row);
    say(rank, String(place + 1));
    const text = row ? row.key ?? row.id : "";
    say(name.firstChild, text);
    say(name.lastChild, row?.title ?? "");
    name.title = row?.title ? `${text}: ${row.title}` : text;
    drawBars(chart.firstChild, row?.bars ?? []);
    const change = row && row.bars.length ? trendText(row.trend, row.bars) : "";
    for (const place of [trend, value.lastChild]) { // beside the value, or on a phone below it
      say(place, change);
      place.dataset.way = /^[▲n]/.test(change) ? "up" : change.startsWith("▼") ? "down" : "";
    }
    say(value.firstChild, row ? shown(row.value) : "");
  }
}
