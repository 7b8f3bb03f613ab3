// The widget of `widget.py`, after `feed.js`. BokehJS comes with it, so that nothing is fetched from elsewhere and
// nothing need be installed.

const LOOK_MS = 8000;
const STALE_MS = 5000;
const LOST_MS = 10000;
const TRY_MS = 4000;

async function bokeh(model) {
  const version = model.get("bokeh_version");
  if (!window.Bokeh?.[version]) {
    const packed = new Blob([model.get("bokehjs_gz")]).stream();
    const code = await new Response(packed.pipeThrough(new DecompressionStream("gzip"))).blob();
    const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
    await new Promise((done, failed) => {
      const script = document.createElement("script");
      Object.assign(script, { src: url, onload: done, onerror: () => failed(new Error("the page does not let BokehJS in")) });
      document.head.append(script);
    });
    URL.revokeObjectURL(url);
  }
  return window.Bokeh[version];
}

let loading;

// Once for all widgets of the page; what has failed is tried again by the next.
function loaded(model) {
  loading ??= bokeh(model).catch((error) => {
    loading = undefined;
    throw error;
  });
  return loading;
}

// The Jupyter server that this page comes from: with RustRay's extension it knows the cluster too, whatever becomes of
// the kernel.
class Server {
  constructor(cluster, names, take) {
    const config = document.getElementById("jupyter-config-data")?.textContent;
    const { baseUrl, token } = config ? JSON.parse(config) : {};
    this.cluster = baseUrl && cluster;
    this.root = `${baseUrl}rustray/api/clusters`;
    this.token = token;
    this.names = names;
    this.take = take;
    this.tried = 0;
    this.told = ""; // what has become of the last try
  }

  // Whether it is there to be asked; asks it.
  standsIn() {
    if (!this.cluster) return false;
    if (!this.socket && Date.now() - this.tried >= TRY_MS) {
      this.tried = Date.now();
      this.connect().catch((error) => (this.told = `The Jupyter server cannot be asked (${error.message}); trying again …`));
    }
    return true;
  }

  async connect() {
    const headers = this.token ? { Authorization: `token ${this.token}` } : {};
    const answer = await fetch(this.root, { headers, signal: AbortSignal.timeout(TRY_MS) });
    if (answer.status === 404) this.cluster = ""; // it has no extension
    if (!answer.ok) throw new Error(`it answered ${answer.status}`);
    if (!(await answer.json()).some((row) => row.name === this.cluster)) {
      this.told = `The cluster ${this.cluster} does not run any more.`;
      return;
    }
    if (!this.wanted) return;
    const url = new URL(`${this.root}/${encodeURIComponent(this.cluster)}/live`, document.baseURI);
    url.protocol = url.protocol.replace("http", "ws");
    url.search = new URLSearchParams({ panels: this.names.join(","), ...(this.token ? { token: this.token } : {}) });
    const socket = (this.socket = new WebSocket(url));
    socket.onmessage = (event) => {
      if (this.socket !== socket) return;
      this.told = "";
      this.live = true;
      this.take(JSON.parse(event.data));
    };
    socket.onclose = (end) => {
      if (this.socket !== socket) return;
      this.socket = null;
      this.live = false;
      this.told = end.reason || "No connection to the Jupyter server; trying again …";
    };
  }

  // Nobody looks, or the kernel is there again.
  leave() {
    this.wanted = this.live = false;
    this.socket?.close();
    this.socket = null;
  }
}

export default {
  async render({ model, el }) {
    let panels;
    try {
      panels = await Panels.show(await loaded(model), model.get("items"), el);
    } catch (error) {
      el.textContent = `The dashboard could not be drawn: ${error.message}. Run the cell again.`;
      throw error;
    }
    let came = Date.now();
    let seen = false;
    let reached = true; // whether the kernel is there to hear us
    const items = model.get("items");
    const server = new Server(model.get("cluster"), items.map((item) => item.name), (tables) => {
      panels.update(tables);
      panels.tell("live", "From the Jupyter server: the kernel of this cell has ended or was restarted.");
    });
    const update = () => {
      came = Date.now();
      reached = true;
      server.leave();
      if (seen) panels.update(model.get("tables"));
    };
    model.on("change:tables", update);
    panels.update(model.get("tables"));

    // The kernel asks the cluster only while it hears from somebody who looks.
    const look = () => {
      if (!seen) return;
      try {
        model.send({ look: true });
        reached = true;
      } catch {
        reached = false; // the kernel is gone, or another has taken its place: told below
      }
    };
    const stopLooking = whenSeen(el, (now) => {
      seen = now;
      came = Date.now();
      look();
      if (seen && reached) panels.update(model.get("tables"));
    });
    const looks = setInterval(look, LOOK_MS);
    const stale = setInterval(() => {
      const silent = Date.now() - came;
      const gone = !reached || silent >= LOST_MS;
      server.wanted = seen && gone && !model.get("ended");
      if (!server.wanted) server.leave();
      if (model.get("ended")) panels.tell("ended", model.get("ended"));
      else if (!seen) return;
      else if (gone && server.standsIn()) {
        if (!server.live) panels.tell("reconnecting", server.told || "Not connected to the kernel; asking the Jupyter server …");
      } else if (!reached) panels.tell("ended", "Not connected: the kernel has ended or was restarted. Run the cell again.");
      else if (gone) {
        const seconds = Math.round(silent / 1000);
        panels.tell("ended", `Not connected: nothing new for ${seconds} s. If the kernel was restarted, run the cell again.`);
      } else if (model.get("trouble")) panels.tell("reconnecting", model.get("trouble"));
      else if (silent >= STALE_MS) panels.tell("reconnecting", "Nothing new comes …");
    }, 1000);

    return () => {
      model.off("change:tables", update);
      stopLooking();
      clearInterval(looks);
      clearInterval(stale);
      server.leave();
      panels.remove();
    };
  },
};
