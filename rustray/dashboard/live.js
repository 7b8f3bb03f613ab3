// Shows the figure that live.py describes, and moves it with the columns that live.py sends.
// BokehJS comes with the widget, so that nothing is fetched from elsewhere and nothing need be installed.

async function bokeh(model) {
  const version = model.get("bokeh_version");
  if (!window.Bokeh?.[version]) {
    const packed = new Blob([model.get("bokehjs_gz")]).stream();
    const code = await new Response(packed.pipeThrough(new DecompressionStream("gzip"))).blob();
    const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
    await new Promise((done, failed) => {
      const script = document.createElement("script");
      Object.assign(script, { src: url, onload: done, onerror: failed });
      document.head.append(script);
    });
    URL.revokeObjectURL(url);
  }
  return window.Bokeh[version];
}

let loading;

export default {
  async render({ model, el }) {
    const captions = document.createElement("div");
    const figure = document.createElement("div");
    el.append(captions, figure);
    model.send({ views: 1 });

    const Bokeh = await (loading ??= bokeh(model));
    const views = await Bokeh.embed.embed_item(model.get("figure"), figure);
    const source = views.roots[0].model.document.get_model_by_name("samples");

    const update = () => {
      source.data = model.get("columns");
      captions.innerHTML = model.get("captions");
    };
    model.on("change:columns", update);
    update();

    return () => {
      model.off("change:columns", update);
      views.clear();
      model.send({ views: -1 });
    };
  },
};
