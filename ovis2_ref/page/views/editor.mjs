// The editor: coloured shapes that are drawn, dragged, resized and removed, by pointer or by keyboard.

import { button, choice, make } from "./dom.mjs";
import { canvas_of } from "./files.mjs";
import { LARGEST } from "./map.mjs";
import { COVERS, random_scene, render, shape_at } from "./scene.mjs";

const SIZES = {
  "150 x 98 (wide)": [98, 150],
  "98 x 150 (tall)": [150, 98],
  "60 x 60 (one tile)": [60, 60],
  "120 x 60": [60, 120],
  "190 x 180 (nine tiles)": [180, 190],
};

/** The scene on a canvas. `change(scene, done)`: called while a shape moves, and with done = true when it rests. */
export function scene_canvas({ scene, brush, selected, select, change }) {
  const { height, width } = scene,
    ratio = Math.min(window.devicePixelRatio || 1, 2),
    scale = (LARGEST / Math.max(height, width)) * ratio;
  const canvas = make("canvas", { width: Math.round(width * scale), height: Math.round(height * scale) });
  let current = scene,
    chosen = selected,
    drag = null;
  const paint = () => {
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(canvas_of(render(current)), 0, 0, canvas.width, canvas.height);
    const shape = current.shapes[chosen];
    if (!shape) return;
    for (const [colour, line] of [
      ["rgba(13, 17, 25, .9)", 4],
      ["#ffb000", 2],
    ]) {
      context.strokeStyle = colour;
      context.lineWidth = line * ratio;
      context.setLineDash(colour === "#ffb000" ? [6 * ratio, 4 * ratio] : []);
      context.strokeRect(...[shape.x - shape.radius, shape.y - shape.radius, 2 * shape.radius, 2 * shape.radius].map((n) => n * scale));
    }
    context.setLineDash([]);
  };
  const update = (shapes, done) => {
    current = { ...current, shapes };
    paint();
    change(current, done);
  };
  const moved = (changes) =>
    current.shapes.map((shape, i) => (i === chosen ? kept_inside({ ...shape, ...changes(shape) }, current) : shape));
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height];
  };
  const on = {
    pointerdown: (event) => {
      const [x, y] = at(event),
        found = shape_at(current, x, y);
      canvas.parentElement.setPointerCapture(event.pointerId);
      drag = { x, y, shape: current.shapes[found] ?? null, drawn: false };
      chosen = found;
      paint();
    },
    pointermove: (event) => {
      if (!drag) return;
      const [x, y] = at(event);
      if (drag.shape)
        update(
          moved(() => ({ x: drag.shape.x + x - drag.x, y: drag.shape.y + y - drag.y })),
          false,
        );
      else if (Math.hypot(x - drag.x, y - drag.y) > 3) {
        const radius = Math.max(Math.abs(x - drag.x), Math.abs(y - drag.y)) / 2;
        const shape = { ...brush, x: (x + drag.x) / 2, y: (y + drag.y) / 2, radius };
        const shapes = drag.drawn ? current.shapes.slice(0, -1) : current.shapes;
        drag.drawn = true;
        chosen = shapes.length;
        update([...shapes, shape], false);
      }
    },
    pointerup: () => {
      if (!drag) return;
      drag = null;
      select(chosen);
      change(current, true);
    },
    keydown: (event) => {
      const step = event.shiftKey ? 8 : 2,
        { key } = event,
        shape = current.shapes[chosen];
      const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
      if (key === "PageDown" || key === "PageUp") {
        const count = current.shapes.length;
        chosen = count ? (chosen + (key === "PageDown" ? 1 : count - 1) + count) % count : -1;
        select(chosen);
      } else if (shape && key in moves)
        update(
          moved(({ x, y }) => ({ x: x + moves[key][0], y: y + moves[key][1] })),
          true,
        );
      else if (shape && (key === "+" || key === "-"))
        update(
          moved(({ radius }) => ({ radius: Math.max(3, radius + (key === "+" ? 1 : -1)) })),
          true,
        );
      else if (shape && (key === "Delete" || key === "Backspace")) {
        update(
          current.shapes.filter((_, i) => i !== chosen),
          true,
        );
        select((chosen = -1));
      } else return;
      event.preventDefault();
    },
  };
  paint();
  const label = `A scene of ${scene.shapes.map(({ colour, kind }) => `${colour} ${kind}`).join(", ") || "no shapes"}. Drag a shape, or draw one on empty ground. Keys: Page Down chooses a shape, arrows move it, plus and minus resize it, Delete removes it.`;
  return make("div", { class: "map editor", role: "application", tabindex: 0, key: "editor", "aria-label": label, on }, canvas);
}

const kept_inside = (shape, { height, width }) => ({
  ...shape,
  x: Math.min(Math.max(shape.x, 2), width - 2),
  y: Math.min(Math.max(shape.y, 2), height - 2),
});

/** A small picture of a kind of shape. */
function icon(kind, rgb) {
  const scene = {
    height: 26,
    width: 26,
    background: [
      [255, 255, 255],
      [255, 255, 255],
    ],
    shapes: [{ kind, x: 13, y: 13, radius: 11, rgb }],
  };
  const canvas = canvas_of(render(scene));
  const context = canvas.getContext("2d"),
    image = context.getImageData(0, 0, 26, 26),
    full = 255 * 3 - rgb[0] - rgb[1] - rgb[2];
  for (let i = 0; i < image.data.length; i += 4) {
    const away = 255 * 3 - image.data[i] - image.data[i + 1] - image.data[i + 2];
    image.data.set([...rgb, Math.min(255, Math.round((255 * away) / full))], i);
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/** The tools beside the canvas: kind and colour of the next shape, a new scene, its size, its ground. */
export function scene_tools({ scene, scenes, brush, selected, set_brush, set_scene }) {
  const kinds = scenes.kinds.filter((kind) => kind in COVERS),
    { colours } = scenes;
  const restyle = (style) => {
    const rgb = colours[style.colour ?? brush.colour];
    set_brush({ ...brush, ...style, rgb });
    const shape = scene.shapes[selected];
    if (shape)
      set_scene({
        ...scene,
        shapes: scene.shapes.map((one) => (one === shape ? { ...one, ...style, rgb: style.colour ? rgb : one.rgb } : one)),
      });
  };
  const swatch = (colour) => {
    const options = {
      pressed: brush.colour === colour,
      class: "swatch",
      "aria-label": colour,
      title: colour,
      key: `colour ${colour}`,
      style: { "--colour": `rgb(${colours[colour]})` },
    };
    return button("", () => restyle({ colour }), options);
  };
  const kind_button = (kind) => {
    const made = button("", () => restyle({ kind }), {
      pressed: brush.kind === kind,
      class: "kind",
      "aria-label": kind,
      title: kind,
      key: `kind ${kind}`,
    });
    made.append(icon(kind, colours[brush.colour]));
    return made;
  };
  const add = () => {
    const radius = 0.14 * Math.min(scene.height, scene.width) + 2;
    const shape = { ...brush, x: scene.width * (0.2 + 0.6 * Math.random()), y: scene.height * (0.2 + 0.6 * Math.random()), radius };
    set_scene({ ...scene, shapes: [...scene.shapes, shape] }, scene.shapes.length);
  };
  const remove = () => set_scene({ ...scene, shapes: scene.shapes.filter((_, i) => i !== selected) }, -1);
  const dark = scene.background[0][0] < 128,
    ground = dark ? [238, 238, 238] : [40, 40, 40];
  const here = [scene.height, scene.width],
    size = Object.entries(SIZES).find(([, [h, w]]) => h === here[0] && w === here[1])?.[0] ?? "";
  const resize = (name) => set_scene(random_scene(colours, kinds, SIZES[name]), -1);
  const sizes = [...(size ? [] : [["", `${scene.width} x ${scene.height}`]]), ...Object.keys(SIZES).map((name) => [name, name])];
  return make(
    "div",
    { class: "tools" },
    make("div", { class: "row", role: "group", "aria-label": "Kind of shape" }, kinds.map(kind_button)),
    make("div", { class: "row", role: "group", "aria-label": "Colour" }, Object.keys(colours).map(swatch)),
    make(
      "div",
      { class: "row" },
      button("Add this shape", add, { key: "add" }),
      button("Remove", remove, { disabled: selected < 0, key: "remove" }),
      button("New scene", () => set_scene(random_scene(colours, kinds, here), -1), { key: "new" }),
      button(dark ? "Light ground" : "Dark ground", () => set_scene({ ...scene, background: [ground, ground] }), { key: "ground" }),
    ),
    make("div", { class: "row" }, choice("Size", sizes, size, resize, "size")),
  );
}
