// A page of panels, after `feed.js`: shows the figures it came with, and moves them with what the server sends over a
// WebSocket while the page can be seen. In a tab of Lab it has no address of its own, but that of Lab as its base.

const facts = JSON.parse(document.getElementById("facts").textContent);
const PAUSES_MS = [500, 1000, 2000, 5000];
const ASK_MS = 10000;
const STALE_MS = 5000;
const GONE = 4404;

const panels = await Panels.show(Bokeh, facts.items, document.querySelector("main"));
let seen = false;
let wake = () => {};
let socket = null;
let shown = false; // ever
whenSeen(panels.element, (now) => {
  seen = now;
  if (seen) wake();
  else socket?.close();
});

// The cluster of this page; of one for whichever there is the server's usual one, else the newest. Nothing where none runs.
async function cluster() {
  const answer = await fetch(`${facts.root}/api/clusters`, {
    headers: { "X-XSRFToken": facts.xsrf },
    signal: AbortSignal.timeout(ASK_MS),
  });
  if (answer.status === 403) throw new Error("it asks for a login: reload this page to log in again");
  if (!answer.ok) throw new Error(`it answered ${answer.status}`);
  const rows = await answer.json();
  const names = rows.filter((row) => facts.cluster || row.state !== "starting").map((row) => row.name);
  const meant = facts.cluster || facts.usual;
  return names.includes(meant) ? meant : facts.cluster ? undefined : names.at(-1);
}

function absent() {
  if (!facts.cluster) return "No cluster runs. Start one: jupyter rustray start";
  const how = shown ? "was stopped" : "does not run";
  return `The cluster ${facts.cluster} ${how}. This page goes on once one of this name is started.`;
}

// One connection; when it ends, whether it had brought something, or nobody looked any more before it was made.
async function listen() {
  const name = await cluster();
  if (!seen) return true;
  if (!name) {
    panels.tell("ended", absent());
    return false;
  }
  const url = new URL(`${facts.root}/api/clusters/${encodeURIComponent(name)}/live`, document.baseURI);
  url.protocol = url.protocol.replace("http", "ws");
  url.search = new URLSearchParams({ panels: facts.panels.join(",") });
  socket = new WebSocket(url);
  let came = false;
  let last = Date.now();
  socket.onmessage = (event) => {
    came = shown = true;
    last = Date.now();
    panels.update(JSON.parse(event.data));
  };
  const stale = setInterval(() => {
    if (Date.now() - last >= STALE_MS) panels.tell("reconnecting", `Nothing new comes from the cluster ${name} …`);
  }, 1000);
  const end = await new Promise((done) => (socket.onclose = done));
  clearInterval(stale);
  if (end.code === GONE) panels.tell("ended", end.reason);
  else if (seen) panels.tell("reconnecting", `No connection to the cluster ${name}; trying again …`);
  return came;
}

for (let failed = 0; ; ) {
  if (!seen) await new Promise((done) => (wake = done));
  const came = await listen().catch((error) => {
    panels.tell("reconnecting", `The Jupyter server cannot be asked (${error.message}); trying again …`);
  });
  failed = came ? 0 : failed + 1;
  if (seen) await new Promise((done) => setTimeout(done, PAUSES_MS[Math.min(failed, PAUSES_MS.length - 1)]));
}
