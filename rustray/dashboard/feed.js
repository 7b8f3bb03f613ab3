// Panels in a page or a notebook: draws their figures, and moves them with tables of `rustray.dashboard`.
//
// A message is {panel: {source: columns}}; "values", "legend", "note" and "set" are not for the figure's sources: see
// `tables/__init__.py`. Elements carry data-rustray-panel, data-rustray-value (with data-rustray-number, the plain
// number) and, around them all, data-rustray-state: "connecting", "live", "reconnecting" or "ended".

const STYLE = `
.rustray-panels { display: grid; gap: 20px 28px; padding: 2px 4px; align-items: start; font: 13px/1.4 system-ui, sans-serif;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 520px), 1fr)); }
.rustray-told { grid-column: 1 / -1; min-height: 1.4em; opacity: .75; }
.rustray-told:empty { display: none; }
.rustray-panels[data-rustray-state=reconnecting] section, .rustray-panels[data-rustray-state=ended] section { opacity: .5; }
.rustray-panels section { position: relative; min-width: 0; }
.rustray-panels header { display: flex; flex-wrap: wrap; align-items: baseline; gap: 2px 16px; margin-bottom: 6px; }
.rustray-panels h2 { font: 600 14px/1.4 system-ui, sans-serif; margin: 0; flex: 1 0 100%; }
.rustray-panels header b { font-weight: 600; font-variant-numeric: tabular-nums; }
.rustray-panels header small { font-size: 11px; opacity: .7; }
.rustray-panels header span { white-space: nowrap; }
.rustray-legend { display: flex; flex-wrap: wrap; gap: 2px 12px; font-size: 11px; opacity: .85; margin: 0 0 4px; }
.rustray-legend:empty { display: none; }
.rustray-legend span { white-space: nowrap; }
.rustray-legend i { display: inline-block; width: 9px; height: 9px; border-radius: 2px; margin-right: 4px; }
.rustray-note { margin: 20px 0; text-align: center; opacity: .7; }
.rustray-note:empty { display: none; }
.rustray-panels section[data-rustray-empty] :is(.rustray-figure, .rustray-legend) { height: 0; margin: 0; overflow: hidden; visibility: hidden; }
`;

function make(kind, attributes = {}, ...inside) {
  const element = document.createElement(kind);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...inside);
  return element;
}

const pen = document.createElement("canvas").getContext("2d");
pen.font = "12px system-ui, sans-serif";

function pixels(text) {
  return pen.measureText(text).width;
}

// A name that is so many pixels wide at most: its end says most, of which some is left however little room there is.
function cut(name, width) {
  if (pixels(name) <= width) return name;
  let from = 1;
  while (from < name.length - 4 && pixels(`…${name.slice(from)}`) > width) from++;
  return `…${name.slice(from)}`;
}

// The texts if each of them fits, else empty ones: with gaps one would read them as zeros.
function allOrNone(texts, width) {
  return texts.every((text) => pixels(text) <= width) ? texts : texts.map(() => "");
}

class Panel {
  constructor(item) {
    this.item = item;
    this.values = make("span", { class: "rustray-values", style: "display: contents" });
    this.legend = make("p", { class: "rustray-legend" });
    this.note = make("p", { class: "rustray-note" });
    this.figure = make("div", { class: "rustray-figure" });
    const header = make("header", {}, make("h2", {}, item.title), this.values);
    this.element = make("section", { "data-rustray-panel": item.name }, header, this.legend, this.figure, this.note);
  }

  async draw(Bokeh) {
    this.views = await Bokeh.embed.embed_item(this.item.figure, this.figure);
    this.document = this.views.roots[0].model.document;
    this.plots = [...this.document.all_models].filter((model) => model.tags?.[0]?.tile);
    this.rows = [...this.document.all_models].filter((model) => model.tags?.[0]?.rows);
    this.matrices = [...this.document.all_models].filter((model) => model.tags?.[0]?.fields);
    const again = () => this.last && this.columns(this.last);
    for (const matrix of this.matrices) matrix.properties.inner_width.change.connect(again); // names at its left are new
    this.sizes = new ResizeObserver(again);
    if (this.plots.length || this.rows.length) this.sizes.observe(this.figure);
  }

  // Text in the colours of the page.
  ink(ink, faint) {
    for (const model of this.document.all_models) {
      if (model.tags?.includes("ink")) model.text_color = { value: ink };
      else if (model.type === "Title") model.text_color = faint;
      else if ("major_label_text_color" in model) model.major_label_text_color = faint;
    }
  }

  update(table) {
    const { values, legend, note, set, ...columns } = table;
    this.write(values);
    this.swatches(legend);
    this.note.textContent = note?.text[0] ?? "";
    this.element.toggleAttribute("data-rustray-empty", Boolean(note?.text.length));
    for (const [name, properties] of Object.entries(set ?? {})) this.document.get_model_by_name(name)?.setv(properties);
    this.last = columns;
    this.columns(columns);
  }

  columns(columns) {
    const place = this.plots.length ? this.tiles(columns) : (found) => found;
    for (const [name, found] of Object.entries(columns)) {
      const source = this.document.get_model_by_name(name);
      if (source) source.data = this.written(name, this.fit(name, place(found)));
    }
  }

  // Names as long as there is room for beside what is told at the right.
  fit(source, found) {
    const room = this.rows.find((plot) => plot.tags[0].rows === source)?.inner_width;
    if (!room) return found;
    return { ...found, name: found.name.map((name, row) => cut(name, room - pixels(found.told[row]) - 12)) };
  }

  // On the fields of a matrix what fits.
  written(source, found) {
    const matrix = this.matrices.find((plot) => plot.tags[0].fields === source);
    if (!matrix) return found;
    const field = matrix.inner_width / Math.max(1, matrix.x_range.factors.length);
    return { ...found, text: allOrNone(found.text, field - 4) };
  }

  // As many tiles beside each other as there is room for.
  tiles(columns) {
    const [plot] = this.plots;
    const [least, height] = plot.tags[0].tile;
    const across = Math.max(1, Math.floor(this.figure.clientWidth / least));
    const count = 1 + Math.max(-1, ...Object.values(columns).flatMap((found) => found.tile ?? []));
    const down = Math.max(1, Math.ceil(count / across));
    plot.x_range.end = across;
    plot.y_range.start = down;
    plot.height = down * height;
    const move = (found, names, by) =>
      names.filter((name) => found[name]).map((name) => [name, found[name].map((at, row) => at + by(found.tile[row]))]);
    return (found) =>
      found.tile === undefined
        ? found
        : {
            ...found,
            ...Object.fromEntries(move(found, ["x", "left", "right"], (tile) => tile % across)),
            ...Object.fromEntries(move(found, ["y", "top", "bottom"], (tile) => Math.floor(tile / across))),
          };
  }

  write(values) {
    const known = this.values.childNodes;
    values.key.forEach((key, row) => {
      if (known[row]?.dataset.key !== key) {
        const written = make("b", { "data-rustray-value": key });
        const one = make("span", { "data-key": key }, `${values.label[row]} `, written, " ", make("small"));
        known[row] ? known[row].replaceWith(one) : this.values.append(one);
      }
      const [, written, , more] = known[row].childNodes;
      written.textContent = values.text[row];
      written.dataset.rustrayNumber = values.number[row] ?? "";
      more.textContent = values.more[row];
    });
    while (known.length > values.key.length) known[known.length - 1].remove();
  }

  swatches(legend) {
    const wanted = JSON.stringify(legend ?? {});
    if (wanted === this.legend.dataset.shown) return;
    this.legend.dataset.shown = wanted;
    this.legend.replaceChildren(
      ...(legend?.label ?? []).map((label, row) => {
        const swatch = make("i");
        swatch.style.background = legend.color[row];
        return make("span", {}, swatch, label);
      }),
    );
  }
}

class Panels {
  // `items`: [{name, title, figure}], as `rustray.dashboard.figures.items` gives them.
  static async show(Bokeh, items, root) {
    if (!document.getElementById("rustray-style")) document.head.append(make("style", { id: "rustray-style" }, STYLE));
    const panels = new Panels();
    panels.told = make("div", { class: "rustray-told", role: "status" });
    panels.all = new Map(items.map((item) => [item.name, new Panel(item)]));
    const sections = [...panels.all.values()].map((panel) => panel.element);
    panels.element = make("div", { class: "rustray-panels" }, panels.told, ...sections);
    root.append(panels.element);
    panels.tell("connecting", "Connecting …");
    for (const panel of panels.all.values()) await panel.draw(Bokeh);
    panels.ink();
    return panels;
  }

  update(message) {
    this.ink();
    for (const [name, table] of Object.entries(message)) this.all.get(name)?.update(table);
    this.tell("live", "");
  }

  tell(state, text) {
    this.element.dataset.rustrayState = state;
    this.told.textContent = text;
  }

  // The page's colour of text, which follows its theme.
  ink() {
    const ink = getComputedStyle(this.element).color;
    if (!ink || ink === this.inked) return; // it has none while it is not in the page
    this.inked = ink;
    const [red, green, blue] = ink.match(/[\d.]+/g);
    for (const panel of this.all.values()) panel.ink(ink, `rgba(${red}, ${green}, ${blue}, 0.7)`);
  }

  remove() {
    for (const panel of this.all.values()) {
      panel.sizes.disconnect();
      panel.views.clear();
    }
    this.element.remove();
  }
}

// Calls back whenever it turns out that somebody can, or cannot, see the element; gives what ends that.
function whenSeen(element, call) {
  let near = false;
  let seen = null;
  const look = () => {
    const now = near && document.visibilityState === "visible";
    if (now !== seen) call((seen = now));
  };
  const observer = new IntersectionObserver((entries) => {
    near = entries.at(-1).isIntersecting;
    look();
  });
  observer.observe(element);
  document.addEventListener("visibilitychange", look);
  return () => {
    observer.disconnect();
    document.removeEventListener("visibilitychange", look);
  };
}
