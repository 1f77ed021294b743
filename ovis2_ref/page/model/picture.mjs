// A picture becomes tiles and pixel values, with the bits of ovis2_ref/image (Pillow's bicubic, the covering grid).
//
// A picture is {height, width, data}: data holds red, green and blue of each pixel in reading order, in bytes.

/** Keys' cubic with a = -1/2. */
function bicubic(x) {
  const a = -0.5;
  x = Math.abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

/** For each output pixel of an axis: the first input pixel under its window, and the weights in fixed point, integers times 2^-22. */
export function windows(size_in, size_out) {
  const scale = size_in / size_out, stretch = Math.max(scale, 1), support = 2 * stretch;
  return Array.from({ length: size_out }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - support + 0.5), 0);
    const last = Math.min(Math.trunc(centre + support + 0.5), size_in);
    const weights = Float64Array.from({ length: last - first }, (_, j) => bicubic((first + j - centre + 0.5) * (1 / stretch)));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return { first, weights: weights.map((weight) => round_away(total === 0 ? weight : weight / total)) };
  });
}

/** weight * 2^22, rounded, halves away from zero. */
function round_away(weight) {
  const scaled = weight * 2 ** 22;
  return Math.trunc(scaled + Math.sign(scaled) * 0.5);
}

/** clip(floor(W x + 1/2), 0, 255) along one axis. Products of weights below 2^23 and bytes are exact in a double, and so are their sums. */
function resample_axis(picture, size, vertical) {
  const { height, width, data } = picture;
  const [rows, columns] = vertical ? [size, width] : [height, size];
  const out = new Uint8Array(rows * columns * 3), band = windows(vertical ? height : width, size);
  const step = vertical ? width * 3 : 3;
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const { first, weights } = band[vertical ? row : column];
      const start = vertical ? (first * width + column) * 3 : (row * width + first) * 3;
      for (let channel = 0; channel < 3; channel++) {
        let sum = 2 ** 21;
        for (let j = 0, place = start + channel; j < weights.length; j++, place += step) sum += weights[j] * data[place];
        out[(row * columns + column) * 3 + channel] = Math.min(Math.max(Math.floor(sum / 2 ** 22), 0), 255);
      }
    }
  return { height: rows, width: columns, data: out };
}

/** Resize as Pillow 13 does: columns first where H < h and h - H > 2 (w - W), else rows first; an axis that keeps its size is left out. */
export function pillow_resize(picture, [H, W]) {
  const { height: h, width: w } = picture;
  const vertical_first = h > H && h - H > 2 * (w - W);
  const pass = (p, vertical) => ((vertical ? h === H : w === W) ? p : resample_axis(p, vertical ? H : W, vertical));
  return pass(pass(picture, vertical_first), !vertical_first);
}

/** The picture's pixels split among the cells of a grid: {left, upper, right, lower}; the last row and column take the remainder. */
export function split_regions(height, width, [rows, columns]) {
  const h = Math.floor(height / rows), w = Math.floor(width / columns);
  return Array.from({ length: rows * columns }, (_, i) => {
    const row = Math.floor(i / columns), column = i % columns;
    const right = column === columns - 1 ? width : (column + 1) * w, lower = row === rows - 1 ? height : (row + 1) * h;
    return { left: column * w, upper: row * h, right, lower };
  });
}

/** The pixels that a region keeps when it is shrunk, with its aspect ratio, until its longer edge fits `side`. */
export function covering_area({ left, upper, right, lower }, side) {
  const longer = Math.max(right - left, lower - upper), shorter = Math.min(right - left, lower - upper);
  return longer > side ? side * ((shorter / longer) * side) : longer * shorter;
}

/** Every grid (a, b) of at most `max_tiles` tiles with the share of the picture's pixels that it keeps; fewest tiles first. */
export function candidate_grids(height, width, side, max_tiles) {
  const found = [];
  for (let a = 1; a <= max_tiles; a++)
    for (let b = 1; a * b <= max_tiles; b++) {
      const areas = split_regions(height, width, [a, b]).map((region) => covering_area(region, side));
      found.push({ grid: [a, b], kept: areas.reduce((sum, area) => sum + area, 0) / (height * width) });
    }
  return found.sort((one, other) => one.grid[0] * one.grid[1] - other.grid[0] * other.grid[1]); // a stable sort
}

/** The grid with the fewest tiles that keep more than `threshold` of the pixels; else the one that keeps most. */
export function covering_grid(height, width, { side, max_tiles, threshold }) {
  const tiles = ({ grid: [a, b] }) => a * b;
  const candidates = candidate_grids(height, width, side, max_tiles);
  const enough = candidates.filter(({ kept }) => kept > threshold);
  const best = enough.length
    ? enough.reduce((best, one) => (tiles(one) === tiles(best) && one.kept > best.kept ? one : best))
    : candidates.reduce((best, one) => (one.kept > best.kept ? one : best));
  return best.grid;
}

/** Resize to a canvas of tiles and cut it, the thumbnail first. transformers takes the search's (rows, columns) as (columns, rows). */
export function cut_canvas(picture, options) {
  const { side } = options, [columns, rows] = covering_grid(picture.height, picture.width, options);
  const canvas = pillow_resize(picture, [rows * side, columns * side]);
  const tiles = Array.from({ length: rows * columns }, (_, i) => crop(canvas, Math.floor(i / columns) * side, (i % columns) * side, side));
  if (tiles.length > 1) tiles.unshift(pillow_resize(picture, [side, side]));
  return { grid: [rows, columns], canvas, tiles };
}

function crop({ width, data }, top, left, side) {
  const out = new Uint8Array(side * side * 3);
  for (let y = 0; y < side; y++) {
    const start = ((top + y) * width + left) * 3;
    out.set(data.subarray(start, start + side * 3), y * side * 3);
  }
  return { height: side, width: side, data: out };
}

/** (float32(level * factor) - mean) / std, each step rounded to float32; channel by channel. */
export function pillow_values(tiles, { rescale_factor, mean, std }) {
  const pixels = tiles[0].height * tiles[0].width, out = new Float32Array(tiles.length * 3 * pixels);
  const f = Math.fround;
  for (let channel = 0; channel < 3; channel++) {
    const value = (level) => f(f(f(level * rescale_factor) - f(mean[channel])) / f(std[channel]));
    const table = Float32Array.from({ length: 256 }, (_, level) => value(level));
    tiles.forEach(({ data }, tile) => {
      const start = (tile * 3 + channel) * pixels;
      for (let i = 0; i < pixels; i++) out[start + i] = table[data[i * 3 + channel]];
    });
  }
  return out;
}
