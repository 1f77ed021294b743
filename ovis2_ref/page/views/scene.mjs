// Scenes of coloured shapes, drawn as ovis2_ref/tiny/training/scenes.py draws them: anti-aliased by 4 x 4 points in a pixel.
//
// A scene is {height, width, background: [top, bottom], shapes: [{kind, colour, x, y, radius, rgb}]}.

const POINTS = 4;

/** For each kind of shape: whether it covers the point (u, v), in units of its radius from its centre. */
export const COVERS = {
  circle: (u, v) => u * u + v * v <= 1,
  square: (u, v) => Math.abs(u) <= 0.9 && Math.abs(v) <= 0.9,
  triangle: (u, v) => Math.abs(u) <= (v + 1) / 1.9 && v <= 0.9,
  cross: (u, v) => (Math.abs(u) <= 0.3 && Math.abs(v) <= 1) || (Math.abs(v) <= 0.3 && Math.abs(u) <= 1),
};

/** The picture of a scene: {height, width, data}. */
export function render({ height, width, background: [top, bottom], shapes }) {
  const canvas = new Float64Array(height * width * 3);
  for (let y = 0; y < height; y++) {
    const slope = y === height - 1 && y > 0 ? 1 : y * (1 / Math.max(height - 1, 1));
    for (let i = 0; i < width * 3; i++) canvas[y * width * 3 + i] = top[i % 3] + slope * (bottom[i % 3] - top[i % 3]);
  }
  for (const shape of shapes) paint(canvas, height, width, shape);
  return { height, width, data: Uint8Array.from(canvas, half_to_even) };
}

function half_to_even(value) {
  const floor = Math.floor(value),
    rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2) ? floor + 1 : floor;
}

/** Blend one shape into the canvas by the part of each pixel that it covers. */
function paint(canvas, height, width, { kind, x, y, radius, rgb }) {
  const covers = COVERS[kind],
    offset = (i) => (i + 0.5) / POINTS;
  for (let row = Math.max(0, Math.trunc(y - radius) - 1); row < Math.min(height, Math.trunc(y + radius) + 2); row++)
    for (let column = Math.max(0, Math.trunc(x - radius) - 1); column < Math.min(width, Math.trunc(x + radius) + 2); column++) {
      let inside = 0;
      for (let i = 0; i < POINTS * POINTS; i++) {
        const u = (column + offset(i % POINTS) - x) / radius,
          v = (row + offset(Math.floor(i / POINTS)) - y) / radius;
        if (covers(u, v)) inside++;
      }
      const alpha = inside / POINTS ** 2,
        place = (row * width + column) * 3;
      for (let c = 0; c < 3; c++) canvas[place + c] += alpha * (rgb[c] - canvas[place + c]);
    }
}

/** A scene with `count` shapes that are drawn by chance, apart from each other. */
export function random_scene(colours, kinds, [height, width], count = 1 + Math.floor(Math.random() * 3)) {
  const level = Math.random() < 0.6 ? 200 + Math.floor(50 * Math.random()) : 15 + Math.floor(55 * Math.random());
  const scene = {
    height,
    width,
    background: [
      [level, level, level],
      [level, level, level],
    ],
    shapes: [],
  };
  const longer = Math.max(height, width),
    least = Math.max(5.5, 0.1 * longer),
    most = Math.max(least, 0.22 * Math.min(height, width));
  for (let attempt = 0; scene.shapes.length < count && attempt < 2000; attempt++) {
    const radius = least + Math.random() * (most - least),
      kind = pick(kinds),
      colour = pick(Object.keys(colours));
    const x = radius + 1 + Math.random() * (width - 2 * radius - 2),
      y = radius + 1 + Math.random() * (height - 2 * radius - 2);
    const apart = scene.shapes.every(
      (other) => Math.hypot(x - other.x, y - other.y) > 1.3 * (radius + other.radius) && Math.abs(x - other.x) > 0.27 * width,
    );
    const fresh = scene.shapes.every((other) => other.kind !== kind || other.colour !== colour);
    if (apart && fresh) scene.shapes.push({ kind, colour, x, y, radius, rgb: colours[colour] });
  }
  scene.shapes.sort((a, b) => a.x - b.x);
  return scene;
}

const pick = (list) => list[Math.floor(Math.random() * list.length)];

/** The topmost shape at the point (x, y), or -1. */
export function shape_at({ shapes }, x, y) {
  return shapes.findLastIndex(({ kind, radius, ...shape }) => {
    const u = (x - shape.x) / radius,
      v = (y - shape.y) / radius;
    return COVERS[kind](u, v) || Math.hypot(u, v) < 0.5;
  });
}
