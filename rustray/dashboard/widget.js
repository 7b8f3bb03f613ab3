// The widget of `widget.py`, after `feed.js`. BokehJS comes with it, so that nothing is fetched from elsewhere and
// nothing need be installed.

const LOOK_MS = 8000;
const STALE_MS = 5000;
const LOST_MS = 10000;

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
    const update = () => {
      came = Date.now();
      reached = true;
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
      if (model.get("ended")) panels.tell("ended", model.get("ended"));
      else if (seen && !reached) panels.tell("ended", "Not connected: the kernel has ended or was restarted. Run the cell again.");
      else if (seen && model.get("trouble")) panels.tell("reconnecting", model.get("trouble"));
      else if (seen && silent >= LOST_MS) {
        const seconds = Math.round(silent / 1000);
        panels.tell("ended", `Not connected: nothing new for ${seconds} s. If the kernel was restarted, run the cell again.`);
      } else if (seen && silent >= STALE_MS) panels.tell("reconnecting", "Nothing new comes …");
    }, 1000);

    return () => {
      model.off("change:tables", update);
      stopLooking();
      clearInterval(looks);
      clearInterval(stale);
      panels.remove();
    };
  },
};
