// The page: its state, the worker that computes, and what is drawn when the state changes.

import { Tokenizer } from "../model/text.mjs";
import { change_panel, NO_CHANGES } from "./change_panel.mjs";
import { button, draw, make } from "./dom.mjs";
import { canvas_of, from_base64, inflate, read_picture } from "./files.mjs";
import { guide_steps } from "./guide.mjs";
import { answer_panel, attention_says, layers_panel, prompt_panel, shown_weights } from "./language_panels.mjs";
import { answer_part, describe_cell, picture_part, question_part } from "./left.mjs";
import {
  cosine,
  embeddings_panel,
  grid_panel,
  most_certain,
  patches_panel,
  picture_panel,
  tiles_panel,
  word_colours,
  words_panel,
} from "./panels.mjs";
import { port_panel, port_values } from "./port_panel.mjs";
import { live_record } from "./record.mjs";
import { recorded } from "./recorded.mjs";
import { random_scene, render } from "./scene.mjs";
import { EXTRA, STATIONS } from "./stations.mjs";

const PANELS = {
  picture: picture_panel,
  grid: grid_panel,
  tiles: tiles_panel,
  patches: patches_panel,
  words: words_panel,
  embeddings: embeddings_panel,
  prompt: prompt_panel,
  layers: layers_panel,
  answer: answer_panel,
  change: change_panel,
  port: port_panel,
};

/** What is chosen when a page opens. */
function first_state({ port, question, scenes }) {
  const [colour, rgb] = scenes ? Object.entries(scenes.colours)[0] : [];
  return {
    tab: port ? "port" : "picture",
    shown: "first", // of the two runs: unchanged, changed
    atom: null, // the chosen cell
    position: null, // the chosen token
    layer: null,
    head: null, // null: the mean of all
    direction: "from",
    word: null,
    step: 0, // of the answer
    unfolded: null, // the tile whose tokens are shown in the prompt
    changes: NO_CHANGES,
    form: { tile: 0, first: 1, second: 2, word: 0, token: 0, layer: 0, head: 0 },
    question,
    scene: null, // the picture, where it can be edited
    shape: -1,
    brush: scenes && { kind: scenes.kinds[0], colour, rgb },
    streaming: null, // the answer that is being made
    error: null,
    guide: null, // the step of the guided way
    theme: null,
  };
}

const LABELS = {
  strip: "The way of the picture",
  left: "Picture, question and answer",
  panel: "The chosen station",
  guide: "The guided way",
};

class App {
  constructor(root, data) {
    const part = (tag, name) => make(tag, { class: name, "aria-label": LABELS[name] });
    const parts = { header: part("header", "header"), strip: part("nav", "strip") };
    for (const name of ["left", "inspector", "panel", "guide"]) parts[name] = part("section", name);
    Object.assign(this, { root, data, parts, live: data.live !== null, records: { first: null, second: null }, sources: [], pictures: [] });
    this.state = first_state(data);
    this.map = part("div", "picture");
    this.ask_part = part("div", "ask");
    this.answers = part("div", "given");
    parts.inspector.setAttribute("aria-live", "polite");
    parts.left.append(this.map, parts.inspector, this.ask_part, this.answers);
    root.append(parts.header, parts.strip, make("div", { class: "body" }, parts.left, parts.panel), parts.guide);
    this.point = (atom) => draw(parts.inspector, make("p", {}, describe_cell(this, atom ?? this.atom)));
    document.addEventListener("dragover", (event) => event.preventDefault());
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      const [file] = event.dataTransfer.files;
      if (this.live && file) this.take_file(file, read_picture);
    });
  }

  /** The run that the panels show. */
  get record() {
    return this.records[this.state.shown] ?? this.records.first;
  }

  changed() {
    return Object.values(this.state.changes).some((list) => list.length);
  }

  meaning(word) {
    return this.data.meanings[word] ?? null;
  }

  /** The cell that the panel is about: the chosen one, or, where a panel is about one cell, the one that shows most. */
  get atom() {
    const { atom, tab } = this.state;
    return atom === null && this.record?.words && ["patches", "words", "embeddings"].includes(tab) ? most_certain(this.record) : atom;
  }

  /** The picture of the shown run, to draw maps on. */
  source(number) {
    return this.sources[number];
  }

  /** A tile as the model sees it: a canvas or an image. */
  tile_image(number) {
    const { record } = this;
    return record.levels ? canvas_of(record.levels[number]) : this.recorded_tiles[number].cloneNode();
  }

  /** Call `act` once the image can be drawn. */
  when_ready(image, act) {
    if (image instanceof HTMLImageElement && !image.complete) image.addEventListener("load", act, { once: true });
    else act();
  }

  set(part) {
    Object.assign(this.state, part);
    this.draw();
  }

  // Pictures

  set_scene(scene, shape = this.state.shape) {
    Object.assign(this.state, { scene, shape });
    this.take_pictures([render(scene)]);
  }

  new_scene() {
    const { colours, kinds } = this.data.scenes;
    this.set_scene(random_scene(colours, kinds, [98, 150]), -1);
  }

  take_sample(i) {
    const { scene } = this.data.samples[i];
    Object.assign(this.state, { scene, shape: -1 });
    this.take_pictures([this.samples[i]]);
  }

  async take_file(file, read) {
    try {
      const picture = await read(file);
      Object.assign(this.state, { scene: null, tab: "picture" });
      this.take_pictures([picture]);
    } catch (error) {
      this.set({ error: error.message });
    }
  }

  take_pictures(pictures) {
    this.pictures = pictures;
    this.ask({ changes: NO_CHANGES, atom: null, position: null, word: null, unfolded: null });
  }

  // Runs

  /** Answer the question about the pictures, unchanged and then changed, with `part` of the state set first. */
  ask(part = {}) {
    Object.assign(this.state, { error: null, step: 0, position: null, ...part });
    this.records.second = null;
    this.start("first");
  }

  /** Answer again with these changes. */
  change(changes) {
    Object.assign(this.state, { changes, shown: "first", error: null });
    this.records.second = null;
    if (this.changed()) this.start("second");
    else this.draw();
  }

  hide(positions) {
    this.change({ ...this.state.changes, hidden: [...new Set([...this.state.changes.hidden, ...positions])] });
  }

  swap(a, b) {
    this.change({ ...this.state.changes, swapped: [...this.state.changes.swapped, [a, b]] });
  }

  replace_word(atom, word) {
    this.change({ ...this.state.changes, words: [...this.state.changes.words.filter(([one]) => one !== atom), [atom, word]] });
  }

  toggle_head(layer, head) {
    const { heads } = this.state.changes,
      others = heads.filter(([l, h]) => l !== layer || h !== head);
    this.change({ ...this.state.changes, heads: others.length < heads.length ? others : [...heads, [layer, head]] });
  }

  /** Let the worker answer; one question at a time, and of those that wait only the last. */
  start(which) {
    this.waiting = which;
    if (!this.running) this.next();
    this.draw();
  }

  next() {
    const which = this.waiting;
    this.waiting = null;
    if (!which) return;
    const number = (this.count = (this.count ?? 0) + 1),
      { pictures } = this,
      { question, changes } = this.state;
    this.running = { number, which, pictures, started: performance.now() };
    this.state.streaming = { which, texts: [] };
    this.worker.postMessage({ run: number, pictures, question, changes: which === "second" ? changes : {} });
  }

  hear({ run, start, step, done, error }) {
    const { running } = this;
    if (run !== running?.number) return;
    if (start) running.start = start;
    if (step) {
      running.first ??= performance.now();
      this.state.streaming?.texts.push(this.tokenizer.decode([step.id]));
      draw(this.answers, answer_part(this));
    }
    if (!done && error === undefined) return;
    this.running = null;
    this.state.streaming = null;
    this.times = { first: running.first - running.started, all: performance.now() - running.started, tokens: done?.steps.length ?? 0 };
    if (error !== undefined) Object.assign(this.state, { error });
    else {
      this.records[running.which] = live_record({ start: running.start, done }, running.pictures, {
        tokenizer: this.tokenizer,
        config: this.data.live.config,
      });
      if (running.which === "first") this.sources = running.pictures.map(canvas_of);
      this.state.shown = running.which;
      if (running.which === "first" && this.changed()) this.waiting ??= "second";
    }
    this.next();
    this.draw();
  }

  // Drawing

  draw() {
    const { state, parts } = this;
    if (state.theme) document.documentElement.style.setProperty("color-scheme", state.theme);
    draw(parts.header, this.header());
    draw(parts.strip, this.strip());
    draw(
      this.map,
      this.record || state.scene ? picture_part(this, this.map_values()) : make("p", { class: "note" }, "The model is looking …"),
    );
    this.point(null);
    draw(this.ask_part, question_part(this));
    draw(this.answers, answer_part(this));
    draw(parts.panel, this.panel());
    draw(parts.guide, this.guide());
    if (this.root.dataset.tab !== state.tab) {
      this.root.dataset.tab = state.tab;
      const { offsetLeft, offsetWidth } = parts.strip.querySelector("[aria-current]").parentElement;
      parts.strip.scrollLeft = offsetLeft + offsetWidth / 2 - parts.strip.clientWidth / 2;
    }
    this.root.setAttribute("aria-busy", String(Boolean(this.running)));
  }

  header() {
    const { data, state } = this,
      dark =
        getComputedStyle(document.documentElement).colorScheme === "dark" ||
        (!state.theme && matchMedia("(prefers-color-scheme: dark)").matches);
    return [
      make(
        "div",
        {},
        make("h1", {}, "Look inside Ovis2"),
        make("p", {}, `${data.model.name}: ${data.model.parameters} parameters, ${data.model.kind}`),
      ),
      make(
        "div",
        { class: "row" },
        button("Guided way", () => this.go_guide(state.guide === null ? 0 : null), {
          pressed: state.guide !== null,
          class: "primary",
          key: "guide",
          disabled: !this.record,
        }),
        button(dark ? "Light" : "Dark", () => this.set({ theme: dark ? "light" : "dark" }), {
          key: "theme",
          "aria-label": `Switch to ${dark ? "light" : "dark"} colours`,
        }),
      ),
    ];
  }

  strip() {
    const { record, state, data } = this,
      extra = [...(this.live ? [EXTRA.change] : []), ...(data.port ? [EXTRA.port] : [])];
    const station = (one) => {
      const icon = make("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, make("path", { d: one.icon }));
      const made = button("", () => this.set({ tab: one.id }), {
        class: "station",
        key: `station ${one.id}`,
        "aria-current": state.tab === one.id ? "step" : null,
      });
      made.append(
        icon,
        make("span", { class: "name" }, one.name),
        make(
          "span",
          { class: "shape" },
          one.shape && record
            ? one.shape(record, data.sizes)
            : one.shape
              ? "…"
              : one.id === "change"
                ? this.changed()
                  ? "changed"
                  : "nothing changed"
                : data.port?.passes
                  ? "right"
                  : "wrong",
        ),
      );
      return made;
    };
    return [
      make(
        "ol",
        { class: "stations" },
        STATIONS.map((one) => make("li", {}, station(one))),
      ),
      extra.length > 0 &&
        make(
          "ul",
          { class: "stations extra" },
          extra.map((one) => make("li", {}, station(one))),
        ),
    ];
  }

  panel() {
    const { state } = this,
      station = STATIONS.find(({ id }) => id === state.tab) ?? EXTRA[state.tab];
    return [
      make("h2", { tabindex: -1 }, station.name),
      make("p", { class: "says" }, station.says),
      station.formula && make("p", { class: "formula" }, station.formula, make("span", { class: "source" }, station.source)),
      PANELS[state.tab](this),
    ];
  }

  /** What the map draws for each atom, in the chosen panel: light, kind, mark (see map.mjs), and `says`, a line about it. */
  map_values() {
    const { record, state } = this;
    if (!record) return {};
    const strength = (values) => {
      const most = Math.max(...values, 1e-9);
      return (atom) => Math.sqrt(values[atom] / most);
    };
    if (state.tab === "words" && !record.words) return {};
    if (state.tab === "words" && state.word !== null)
      return {
        light: strength(record.positions.map((_, atom) => record.chance(atom, state.word))),
        says: `Bright: where word ${state.word} is likely.`,
      };
    if (state.tab === "words") {
      const colours = word_colours(record),
        [[ground]] = record.common_words(1);
      const word = (atom) => record.words_of(atom)[0][0];
      return {
        kind: (atom) => colours.get(word(atom)) ?? null,
        mark: (atom) => (word(atom) === ground ? null : String(word(atom))),
        says: "The likeliest word of each cell; the commonest is left out.",
      };
    }
    if (state.tab === "embeddings" && record.visual) {
      const chosen = this.atom,
        likes = record.positions.map((_, atom) => Math.max(cosine(record.visual, chosen, atom, this.data.sizes.hidden), 0) ** 2);
      return { light: (atom) => likes[atom], says: `Bright: cells whose embeddings are like that of ${record.named(chosen)}.` };
    }
    if ((state.tab === "prompt" || state.tab === "layers" || state.tab === "answer") && record.attention) {
      const weights = shown_weights(this),
        values = record.positions.map((position) => weights[position] ?? 0),
        most = Math.max(...values);
      return {
        light: strength(values),
        mark: (atom) => (values[atom] > most / 3 && values[atom] > 0.001 ? (100 * values[atom]).toFixed(values[atom] < 0.1 ? 1 : 0) : null),
        says: attention_says(this),
      };
    }
    if (state.tab === "port") return port_values(this);
    const hidden = new Set(state.shown === "second" ? state.changes.hidden : []);
    return hidden.size ? { light: (atom) => (hidden.has(record.positions[atom]) ? 0.15 : 1), says: "Dark: what no other token sees." } : {};
  }

  // The guided way

  go_guide(number) {
    const steps = guide_steps(this);
    this.state.guide = number === null ? null : Math.min(Math.max(number, 0), steps.length - 1);
    if (number === null) return this.draw();
    const step = steps[this.state.guide];
    this.state.shown = "first";
    const { next, ...part } = step.set?.(this) ?? {};
    Object.assign(this.state, part, { tab: step.tab });
    if (next !== undefined && this.live) this.change({ ...NO_CHANGES, ...next });
    else this.draw();
    if (!this.parts.guide.contains(document.activeElement)) this.parts.guide.querySelector("button")?.focus();
  }

  guide() {
    const { guide: number } = this.state;
    if (number === null || !this.record) return null;
    const steps = guide_steps(this),
      step = steps[number];
    return make(
      "div",
      { class: "guide-box", on: { keydown: (event) => event.key === "Escape" && this.go_guide(null) } },
      make(
        "div",
        { class: "guide-text", "aria-live": "polite" },
        make("p", { class: "label" }, `Step ${number + 1} of ${steps.length}`),
        make("h2", {}, step.title),
        make("p", {}, step.text(this)),
      ),
      make(
        "div",
        { class: "row" },
        button("Back", () => this.go_guide(number - 1), { key: "guide back", disabled: number === 0 }),
        button("Next", () => this.go_guide(number + 1), { key: "guide next", class: "primary", disabled: number === steps.length - 1 }),
        button("Close", () => this.go_guide(null), { key: "guide close" }),
      ),
    );
  }
}

/** Start the worker from the text in the page, and give it the model. */
function start_worker(app) {
  const text = (id) => document.getElementById(id).textContent;
  const address = URL.createObjectURL(new Blob([text("worker")], { type: "text/javascript" }));
  app.worker = new Worker(address);
  app.worker.onmessage = ({ data }) => app.hear(data);
  app.worker.onerror = (event) => app.set({ error: `The model can't run in this browser: ${event.message}` });
  app.tokenizer = new Tokenizer(app.data.live.tokenizer);
  const bytes = from_base64(text("weights")),
    bits = new Uint16Array(bytes.buffer);
  app.worker.postMessage({ load: app.data.live, bits }, [bits.buffer]);
}

async function open_page() {
  const app = new App(document.getElementById("page"), JSON.parse(document.getElementById("data").textContent));
  window.ovis2 = app; // for tests, and for whoever opens the console
  const picture = async ({ height, width, rgb }) => ({ height, width, data: await inflate(rgb) });
  if (app.live) {
    start_worker(app);
    app.samples = await Promise.all(app.data.samples.map(picture));
    const pictures = await Promise.all(app.data.pictures.map(picture));
    app.state.scene = app.data.scene;
    app.take_pictures(pictures);
  } else {
    const { record, sources, tiles } = await recorded(app.data);
    Object.assign(app, { sources, recorded_tiles: tiles });
    app.records.first = record;
    app.draw();
  }
}

open_page();
