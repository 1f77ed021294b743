// The way of the picture: its stations, each with its shape, its formula and the function that computes it.

import { shape } from "./dom.mjs";

/** The stations in order: {id, name, icon (paths in a square of 24), formula, source, says, shape(record, sizes)}. */
export const STATIONS = [
  {
    id: "picture",
    name: "Picture",
    icon: "M3 5h18v14H3z M3 16l5-5 4 4 3-3 6 6 M16 9h.01",
    says: "A picture is a table of numbers: red, green and blue of each pixel, from 0 to 255.",
    formula: "picture[y, x] = (red, green, blue)",
    source: "image/pictures.py: as_picture",
    shape: ({ pictures }) => pictures.map(({ height, width }) => shape(height, width, 3)).join(" "),
  },
  {
    id: "grid",
    name: "Grid",
    icon: "M3 5h18v14H3z M9 5v14 M15 5v14 M3 12h18",
    says: "The picture is cut into a grid of tiles. The grid with the fewest tiles wins that keeps more than a set share of the pixels.",
    formula: "kept = Σ min(area of the part, area after shrinking it to one tile) / (h · w)",
    source: "image/tiling.py: covering_grid",
    shape: ({ pictures }) => pictures.map(({ grid }) => `${grid[0]} × ${grid[1]}`).join(", "),
  },
  {
    id: "tiles",
    name: "Tiles",
    icon: "M3 5h7v6H3z M14 5h7v6h-7z M3 14h7v6H3z M14 14h7v6h-7z",
    says: "The picture is stretched to the grid and cut. Tile 0 is the thumbnail: the whole picture in one tile.",
    formula: "out = clip(⌊W x + ½⌋, 0, 255), then (out / 255 − mean) / std",
    source: "image/resize.py: resample_axis",
    shape: ({ tiles }, { side }) => shape(tiles.length, 3, side, side),
  },
  {
    id: "patches",
    name: "Patches",
    icon: "M4 4h16v16H4z M8 4v16 M12 4v16 M16 4v16 M4 8h16 M4 12h16 M4 16h16",
    says: "Each tile is cut into patches. A vision transformer turns each patch into features, and lets it look at all others of its tile.",
    formula: "x + attention(norm(x)), then x + W_down(silu(W_gate x) · W_up x)",
    source: "vision/encoder.py: block",
    shape: ({ tiles }, { patches, vision_hidden }) => shape(tiles.length, patches, vision_hidden),
  },
  {
    id: "words",
    name: "Visual tokens",
    icon: "M5 20V10 M10 20V4 M15 20v-7 M20 20v-3 M3 20h18",
    says: "Neighbouring patches are joined into one cell. Each cell becomes a visual token: a distribution over the words of a visual vocabulary.",
    formula: "token = softmax(LayerNorm(W · merged))",
    source: "vision/visual_tokenizer.py: visual_tokens",
    shape: ({ tiles, per_tile }, { words }) => shape(tiles.length, per_tile, words),
  },
  {
    id: "embeddings",
    name: "Embeddings",
    icon: "M4 5v14 M8 5v14 M12 5v14 M16 5v14 M20 5v14",
    says: "A visual token becomes an embedding: the mean of the words' rows in a table, each weighted by its chance.",
    formula: "embedding = Σ token[w] · table[w]",
    source: "vision/visual_tokenizer.py: embed_visual_tokens",
    shape: ({ tiles, per_tile }, { hidden }) => shape(tiles.length, per_tile, hidden),
  },
  {
    id: "prompt",
    name: "Prompt",
    icon: "M4 6h16 M4 10h10 M4 14h16 M4 18h7",
    says: "The visual tokens take their places between the words of the question. Choose a token to see what it looks at.",
    formula: "<IMG_START> tile 0 <IMG_GRID> tile 1 <IMG_COL> tile 2 … <IMG_END> question",
    source: "text/layout.py: picture_layout",
    shape: ({ prompt_length }) => shape(1, prompt_length),
  },
  {
    id: "layers",
    name: "Layers",
    icon: "M12 3l9 5-9 5-9-5z M3 12l9 5 9-5 M3 16l9 5 9-5",
    says: "In each layer every token looks at the tokens before it, in several heads at once. Here is where the heads look.",
    formula: "softmax(q kᵀ / √head_dim + mask) v",
    source: "language/attention.py: attention",
    shape: ({ prompt_length }, { hidden, layers }) => `${layers} × ${shape(1, prompt_length, hidden)}`,
  },
  {
    id: "answer",
    name: "Answer",
    icon: "M4 4h16v12H10l-5 4v-4H4z M8 8h8 M8 12h5",
    says: "The last hidden state gives every token of the vocabulary a score. The highest wins, joins the prompt, and the next one is computed.",
    formula: "next = argmax W_head norm(h)",
    source: "generation/greedy.py: greedy",
    shape: ({ steps }) => `${steps.length} ${steps.length === 1 ? "token" : "tokens"}`,
  },
];

export const EXTRA = {
  change: {
    id: "change",
    name: "Intervene",
    icon: "M4 7h10 M18 7h2 M14 4v6 M4 17h2 M10 17h10 M8 14v6",
    says: "Take the model apart: change something, and it answers again beside the first answer.",
  },
  port: {
    id: "port",
    name: "Port",
    icon: "M7 4v16 M17 4v16 M3 8l4-4 4 4 M13 16l4 4 4-4",
    says: "Two golden files side by side: the values of a trusted run, and those of another program.",
  },
};
