// The map: a picture with its tiles and cells, on which a value is drawn for each visual token.

import { make } from "./dom.mjs";

export const LARGEST = 460;

/** The colours of up to eight kinds of thing, which colour-blind people tell apart (Okabe and Ito, 2008). */
export const KINDS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#8a8a8a"];

/** Where each tile's cells lie: {atom, x, y, w, h} in the pixels of the picture. */
function cells_of(record, tiles) {
  return tiles.flatMap((tile) => {
    const { left, upper, right, lower } = record.tiles[tile].region,
      w = (right - left) / record.side,
      h = (lower - upper) / record.side;
    return record.atoms(tile).map((atom) => {
      const { row, column } = record.place(atom);
      return { atom, x: left + column * w, y: upper + row * h, w, h };
    });
  });
}

/** Move from an atom to the nearest one in a direction. */
function neighbour(cells, atom, dx, dy) {
  const from = cells.find((cell) => cell.atom === atom) ?? cells[0];
  const ahead = cells.filter((cell) => (cell.x - from.x) * dx + (cell.y - from.y) * dy > 1e-6);
  const distance = (cell) => Math.abs(cell.x - from.x) * (dx ? 1 : 8) + Math.abs(cell.y - from.y) * (dy ? 1 : 8);
  return ahead.reduce((best, cell) => (best && distance(best) <= distance(cell) ? best : cell), null)?.atom ?? from.atom;
}

/**
 * A map of `tiles` over the picture `source` (a canvas or an image). For each atom: `light(atom)`, 0 to 1, how brightly the picture
 * shows there, or null; `kind(atom)`, a colour or null; `mark(atom)`, a short text or null. `select(atom)` and `hover(atom)` are
 * called with the cell that was chosen or is pointed at.
 */
export function picture_map({ record, source, tiles, label, key, light, kind, mark, selected, select, hover, largest = LARGEST }) {
  const cells = cells_of(record, tiles),
    { height, width } = source,
    ratio = Math.min(window.devicePixelRatio || 1, 2);
  const scale = (largest / Math.max(height, width)) * ratio;
  const canvas = make("canvas", { width: Math.round(width * scale), height: Math.round(height * scale) });
  let pointed = null;
  const paint = () => draw_map(canvas, { record, source, cells, tiles, scale, ratio, light, kind, mark, selected, pointed });
  const at = (event) => {
    const box = canvas.getBoundingClientRect(),
      x = ((event.clientX - box.left) / box.width) * width,
      y = ((event.clientY - box.top) / box.height) * height;
    return cells.find((cell) => x >= cell.x && x < cell.x + cell.w && y >= cell.y && y < cell.y + cell.h)?.atom ?? null;
  };
  const point = (atom) => {
    if (atom === pointed) return;
    pointed = atom;
    hover?.(atom);
    paint();
  };
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const on = {
    pointermove: (event) => point(at(event)),
    pointerleave: () => point(null),
    click: (event) => at(event) !== null && select?.(at(event)),
    keydown: (event) => {
      if (!(event.key in steps)) return;
      event.preventDefault();
      select?.(selected === null ? cells[0].atom : neighbour(cells, selected, ...steps[event.key]));
    },
  };
  paint();
  const hint = `${label}. Arrow keys choose a cell.`;
  return make("div", { class: "map", role: "application", tabindex: 0, key, "aria-label": hint, on }, canvas);
}

function draw_map(canvas, { record, source, cells, tiles, scale, ratio, light, kind, mark, selected, pointed }) {
  const context = canvas.getContext("2d"),
    thin = Math.max(1, Math.round(ratio * 0.75));
  context.imageSmoothingEnabled = scale < 1;
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
  for (const { atom, x, y, w, h } of cells) {
    const box = [x * scale, y * scale, w * scale, h * scale],
      shown = light?.(atom) ?? null,
      colour = kind?.(atom) ?? null,
      text = mark?.(atom) ?? null;
    if (shown !== null) fill(context, box, `rgba(13, 17, 25, ${0.78 * (1 - shown)})`);
    if (colour !== null) fill(context, box, colour, 0.72);
    if (w * scale > 14 * ratio) outline(context, box, "rgba(255, 255, 255, 0.28)", thin);
    if (text !== null && w * scale > 20 * ratio) write(context, box, text, ratio);
  }
  for (const tile of tiles) {
    const { left, upper, right, lower } = record.tiles[tile].region;
    const box = [left * scale, upper * scale, (right - left) * scale, (lower - upper) * scale];
    outline(context, box, "rgba(13, 17, 25, 0.75)", 3 * thin);
    outline(context, box, "#fff", thin);
  }
  for (const [atom, colour] of [
    [pointed, "#fff"],
    [selected, "#ffb000"],
  ]) {
    const cell = cells.find((one) => one.atom === atom);
    if (!cell) continue;
    const box = [cell.x * scale, cell.y * scale, cell.w * scale, cell.h * scale];
    outline(context, box, "rgba(13, 17, 25, 0.9)", 5 * thin);
    outline(context, box, colour, 3 * thin);
  }
}

function fill(context, box, colour, alpha = 1) {
  context.globalAlpha = alpha;
  context.fillStyle = colour;
  context.fillRect(...box);
  context.globalAlpha = 1;
}

function outline(context, [x, y, w, h], colour, width) {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.strokeRect(x + width / 2, y + width / 2, w - width, h - width);
}

function write(context, [x, y, w, h], text, ratio) {
  context.font = `600 ${Math.round(Math.min(h * 0.4, 12 * ratio))}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.lineWidth = 3 * ratio;
  context.strokeStyle = "rgba(13, 17, 25, 0.8)";
  context.strokeText(text, x + w / 2, y + h / 2);
  context.fillStyle = "#fff";
  context.fillText(text, x + w / 2, y + h / 2);
}
