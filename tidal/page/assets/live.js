// The page kept up to date: one request a second while somebody looks.

const EVERY_MS = 1000;
const RETRY_MS = 3000;
const PATIENCE_MS = 10000;
const TOKEN = "tidal-token";

const chart = new RateChart(byId("chart"));
const chosen = { signal: null, by: [] };
const state = { token: sessionStorage.getItem(TOKEN), timer: 0, asking: null, seen: 0, lost: false };
const rankings = [0, 1].map((place) => new Ranking(place, choose));
byId("tops").append(...rankings.map((ranking) => ranking.node));

function headers() {
  return state.token ? { Authorization: `Bearer ${state.token}` } : {};
}

function address() {
  const query = new URLSearchParams();
  if (chosen.signal !== null) query.append("signal", chosen.signal);
  chosen.by.forEach((measure) => query.append("by", measure));
  const text = query.toString();
  return text ? `live.json?${text}` : "live.json";
}

async function look() {
  clearTimeout(state.timer);
  state.asking?.abort();
  if (document.hidden) return;
  const asking = (state.asking = new AbortController());
  const late = setTimeout(() => asking.abort("late"), PATIENCE_MS);
  try {
    const answer = await fetch(address(), { headers: headers(), cache: "no-store", signal: asking.signal });
    if (answer.status === 401 || answer.status === 403) return askForToken(answer.status);
    if (answer.status === 422) Object.assign(chosen, { signal: null, by: [] }); // no longer in the schema
    if (!answer.ok) throw new Error(await reason(answer));
    show(await answer.json());
    next(EVERY_MS);
  } catch (error) {
    if (state.asking !== asking) return; // another look took its place
    lose(error);
    next(RETRY_MS);
  } finally {
    clearTimeout(late);
  }
}

function next(milliseconds) {
  clearTimeout(state.timer);
  state.timer = setTimeout(look, milliseconds);
}

async function reason(answer) {
  const body = await answer.json().catch(() => ({}));
  return typeof body.detail === "string" ? body.detail : `status ${answer.status}`;
}

// ---------------------------------------------------------------------------- what is shown

function show(now) {
  state.seen = now.at_ms;
  byId("ask").hidden = true;
  byId("main").hidden = false;
  document.body.classList.remove("lost");
  const name = now.store ?? "in memory";
  document.title = `${now.health.ok ? "" : "⚠ "}${name} · tidal`;
  say(byId("store"), name);
  say(byId("build"), `tidal ${now.version} (${now.build}) at ${location.host}${now.read_only ? ", read only" : ""}`);
  setState(now.health.ok ? "good" : "bad", now.health.ok ? "Healthy" : "Not well");
  warn(now.health.ok ? "" : now.health.reasons.map((why) => why.message).join("; "));
  say(byId("rate"), number(now.rate.now));
  say(byId("peak"), `highest ${number(Math.max(chart.show(now.rate.points), now.rate.now ?? 0))}`);
  showFacts(now);
  showTops(now);
  showJobs(now, download);
  showSignals(now);
  showLog(now);
  showCheckpoint(now);
  showDisk(now);
  showLeader(now);
  showFollowers(now);
  showRegions(now);
  showBroker(now);
}

function setState(kind, text) {
  byId("state").dataset.kind = kind;
  say(byId("state"), text);
}

function warn(text) {
  byId("alert").hidden = !text;
  say(byId("alert"), text);
}

function lose(error) {
  const since = state.seen ? ` since ${clock(state.seen)}` : "";
  const said = error instanceof TypeError || error === "late" ? "" : `: ${error.message ?? error}`;
  document.body.classList.add("lost");
  setState("lost", "Not reachable");
  warn(`Not reachable${since}${said}. ${state.seen ? "What is shown is of then. " : ""}Trying again.`);
}

// ---------------------------------------------------------------------------- rankings

function choose(place, measure) {
  chosen.by = rankings.map((ranking) => ranking.picker.value);
  chosen.by[place] = measure;
  look();
}

function showTops(now) {
  if (!now.tops.length) return;
  const shown = now.tops[0].signal;
  const tabs = byId("tabs");
  keyed(tabs, now.signals, (signal) => signal.name, makeTab, (tab, signal) => {
    const selected = signal.name === (chosen.signal ?? shown);
    tab.setAttribute("aria-selected", String(selected));
    tab.tabIndex = selected ? 0 : -1;
    if (selected) byId("tops").setAttribute("aria-labelledby", tab.id);
  });
  if (chosen.signal !== null && chosen.signal !== shown) return; // an answer to an older question
  const measures = now.signals.find((signal) => signal.name === shown).measures;
  rankings.forEach((ranking, place) => {
    ranking.node.hidden = !now.tops[place];
    if (now.tops[place]) ranking.show(now.tops[place], measures);
  });
}

function makeTab(signal) {
  const attributes = { type: "button", role: "tab", id: `tab-${signal.name}`, "aria-controls": "tops" };
  const tab = el("button", attributes, signal.name);
  tab.addEventListener("click", () => pick(tab));
  tab.addEventListener("keydown", (event) => {
    const tabs = [...byId("tabs").children];
    const place = tabs.indexOf(tab);
    const to = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: -1 }[event.key];
    if (to !== undefined) {
      const other = tabs.at(to % tabs.length);
      other.focus();
      pick(other);
      event.preventDefault();
    }
  });
  return tab;
}

function pick(tab) {
  chosen.signal = tab.dataset.key;
  chosen.by = [];
  for (const other of byId("tabs").children) {
    other.setAttribute("aria-selected", String(other === tab));
    other.tabIndex = other === tab ? 0 : -1;
  }
  look();
}

// ---------------------------------------------------------------------------- tokens and files

function askForToken(status) {
  setState("lost", "Token needed");
  warn("");
  byId("main").hidden = true;
  byId("ask").hidden = false;
  const wrong = status === 403 ? "This token may not read." : "This token is not known here.";
  say(byId("refused"), state.token ? wrong : "");
  state.token = null;
  sessionStorage.removeItem(TOKEN);
  byId("token").focus();
}

byId("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  state.token = byId("token").value.trim();
  sessionStorage.setItem(TOKEN, state.token);
  byId("token").value = "";
  look();
});

/** A link cannot send a token, so with one the file is fetched and then saved. */
async function download(event, link) {
  if (!state.token) return;
  event.preventDefault();
  const text = link.textContent;
  say(link, "Loading");
  try {
    const answer = await fetch(link.href, { headers: headers() });
    if (!answer.ok) throw new Error(await reason(answer));
    const name = /filename="([^"]+)"/.exec(answer.headers.get("content-disposition") ?? "")?.[1] ?? "export";
    const file = URL.createObjectURL(await answer.blob());
    el("a", { href: file, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(file), 60000);
    say(link, text);
  } catch (error) {
    say(link, `Failed: ${error.message}`);
  }
}

document.addEventListener("visibilitychange", look);
look();
