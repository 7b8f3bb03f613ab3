// A page of panels: draws the figures it came with, and moves them with what the server sends over a WebSocket.

const facts = JSON.parse(document.getElementById("facts").textContent);
const told = document.getElementById("told");
const PAUSE_MS = [500, 1000, 2000, 5000];
const documents = new Map();

// All panels are drawn before the first message comes.
for (const panel of facts.panels) {
  const section = document.createElement("section");
  section.dataset.panel = panel;
  document.getElementById("panels").append(section);
  const views = await Bokeh.embed.embed_item(facts.figures[panel], section);
  documents.set(panel, views.roots[0].model.document);
}

function update(message) {
  for (const [panel, sources] of Object.entries(message)) {
    for (const [name, columns] of Object.entries(sources)) {
      const source = documents.get(panel)?.get_model_by_name(name);
      if (source) source.data = columns;
    }
  }
}

// The newest cluster, where the page is not of a certain one.
async function cluster() {
  if (facts.cluster) return facts.cluster;
  const answer = await fetch(`${facts.root}/api/clusters`, { headers: { "X-XSRFToken": facts.xsrf } });
  if (!answer.ok) throw new Error(`it answered ${answer.status}`);
  const rows = await answer.json();
  return rows.findLast((row) => row.state !== "starting")?.name;
}

// One connection; when it ends, whether it had brought something.
async function listen() {
  const name = await cluster();
  if (!name) {
    told.textContent = "No cluster runs. Start one: jupyter rustray start";
    return false;
  }
  const url = new URL(`${facts.root}/api/clusters/${encodeURIComponent(name)}/live`, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  url.search = new URLSearchParams({ panels: facts.panels.join(",") });
  const socket = new WebSocket(url);
  let came = false;
  socket.onmessage = (event) => {
    came = true;
    told.textContent = "";
    update(JSON.parse(event.data));
  };
  const end = await new Promise((done) => (socket.onclose = done));
  told.textContent = end.reason || `No connection to the cluster ${name}; trying again …`;
  return came;
}

for (let failed = 0; ; ) {
  const came = await listen().catch((error) => {
    told.textContent = `The Jupyter server cannot be asked (${error.message}); trying again …`;
  });
  failed = came ? 0 : failed + 1;
  await new Promise((done) => setTimeout(done, PAUSE_MS[Math.min(failed, PAUSE_MS.length - 1)]));
}
