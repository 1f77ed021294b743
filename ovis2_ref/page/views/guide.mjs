// The guided way: some twenty steps from the picture to the answer, and into the model. Each step opens a panel and says what to look at.

import { most_certain } from "./panels.mjs";

/** The first cell of the word that most cells of the picture share. */
const ground = (record) => record.positions.findIndex((_, atom) => record.words_of(atom)[0][0] === record.common_words(1)[0][0]);

/** Steps {tab, title, text(app), set(app)}; `live` alone where the page is the model. */
const STEPS = [
  {
    tab: "picture",
    title: "A picture and a question",
    text: ({ data, record }) =>
      `You see the picture that ${data.model.name} gets, the question, and its answer: ${record.pictures.length === 1 ? "one picture" : `${record.pictures.length} pictures`}, and words. The strip above shows the way between them. We follow it from left to right.`,
  },
  {
    tab: "picture",
    title: "The model is in this page",
    live: true,
    text: () => "Drag a shape, or draw one: the model looks again, and answers. Nothing is sent anywhere; its weights are in this file.",
  },
  {
    tab: "grid",
    title: "How many tiles?",
    text: ({ record }) =>
      `The model only sees squares of one size. So the picture is cut into tiles: ${record.pictures[0].grid[0]} rows of ${record.pictures[0].grid[1]} here. More tiles keep more pixels, and cost more tokens.`,
  },
  {
    tab: "tiles",
    title: "The thumbnail",
    text: ({ record }) =>
      record.tiles.length > 1
        ? "Tile 0 is the whole picture in one tile. It shows what belongs together, even where the grid cuts a thing in two."
        : "A picture of one tile needs no thumbnail: the tile is the whole picture.",
    set: () => ({ atom: 0 }),
  },
  {
    tab: "tiles",
    title: "Resized exactly",
    text: () =>
      "Each new pixel is a weighted mean of old ones (bicubic). The weights are whole numbers times 2⁻²², so every program can get the same bits. Most ports of the model go wrong here first.",
  },
  {
    tab: "patches",
    title: "Patches",
    text: ({ data }) =>
      `A tile is cut into ${data.sizes.patches} patches. The vision transformer gives each patch ${data.sizes.vision_hidden} numbers, and in each of its layers every patch may look at every other patch of its tile.`,
    set: ({ record }) => ({ atom: most_certain(record) }),
  },
  {
    tab: "patches",
    title: "Cells",
    text: ({ data }) =>
      `${data.sizes.stride ** 2} neighbouring patches are laid side by side. A cell is what one token of the prompt will show.`,
  },
  {
    tab: "words",
    title: "A token is a distribution",
    text: () =>
      "This is the heart of Ovis. A cell does not become a vector at once. It becomes chances for the words of a visual vocabulary, as a language model gives chances for the next word.",
    set: ({ record }) => ({ atom: most_certain(record), word: null }),
  },
  {
    tab: "words",
    title: "The ground",
    text: () => "Where nothing is to be seen, cells share one word. On the map it fills the empty parts of the picture.",
    set: ({ record }) => ({ atom: Math.max(ground(record), 0), word: record.common_words(1)[0][0] }),
  },
  {
    tab: "words",
    title: "Where is this word?",
    text: ({ data }) =>
      `Choose a word, and the map shows the cells that use it. ${data.meanings.length ? "This model's first words were taught what they mean, so we can read them." : "Nobody taught this model what its words mean; look where they are used."}`,
    set: ({ record }) => ({ atom: most_certain(record), word: record.words_of(most_certain(record))[0][0] }),
  },
  {
    tab: "embeddings",
    title: "From chances to an embedding",
    text: () =>
      "Each word has a row in a table, as each word of a text has. A visual token's embedding is the mean of these rows, weighted by the chances. So pictures and text enter the language model in the same way.",
    set: () => ({ word: null }),
  },
  {
    tab: "prompt",
    title: "Into the prompt",
    text: ({ record }) =>
      `The ${record.positions.length} visual tokens take their places in the prompt. Marks between them say where a row of tiles ends, so that the model knows what is left and right.`,
    set: () => ({ position: null, layer: null, head: null, direction: "from", step: 0 }),
  },
  {
    tab: "prompt",
    title: "Where does it look?",
    text: () =>
      "The last token before the answer decides the answer's first word. The colours show where it looks, as a mean over all heads. The picture is bright where it looks.",
  },
  {
    tab: "prompt",
    title: "And who looks at a cell?",
    text: () => "The other direction: every token that looks at this cell of the picture.",
    set: ({ record }) => ({ atom: most_certain(record), position: record.positions[most_certain(record)], direction: "to" }),
  },
  {
    tab: "layers",
    title: "Layers and heads",
    text: ({ record }) =>
      `A layer has ${record.attention.heads} heads, and each may look somewhere else. Choose squares, and watch the map.`,
    set: ({ record }) => ({ position: null, step: 0, direction: "from", ...best_head(record, record.prompt_length - 1) }),
  },
  {
    tab: "answer",
    title: "Ten chances",
    text: () =>
      "The head gives every token of the vocabulary a chance. The likeliest one is chosen, and joins the prompt. Then the next token is computed.",
    set: () => ({ step: 0 }),
  },
  {
    tab: "answer",
    title: "How the answer rose",
    text: () =>
      "The logit lens asks each layer what it would answer. Often the answer is decided in the last layers. The lens has limits: they are written below the chart.",
  },
  {
    tab: "answer",
    title: "A word of the picture",
    text: () => "A later token. See which alternatives it had: the model's doubts are often about things that look alike.",
    set: ({ record }) => ({ step: doubtful(record), position: null }),
  },
  {
    tab: "change",
    title: "Take it apart",
    live: true,
    text: () =>
      "Looking is not proving. Remove what the model looks at, and see whether the answer changes: here the tile that it looks at most is removed.",
    set: ({ record }) => ({ next: { hidden: looked_at(record) } }),
  },
  {
    tab: "change",
    title: "Put in another word",
    live: true,
    text: () => "And here one cell gets the word of the empty ground. One token of many: does the answer hold?",
    set: ({ record }) => ({ atom: most_certain(record), next: { words: [[most_certain(record), record.common_words(1)[0][0]]] } }),
  },
  {
    tab: "picture",
    title: "Now you",
    text: ({ live }) =>
      live
        ? "Ask your own questions, and draw your own pictures. Where does the model fail, and at which station of the way does it go wrong?"
        : "Go where you like: every station, cell, token and head can be chosen.",
    set: () => ({ next: {} }),
  },
];

/** The layer and head in which a token whose attention is there looks at the picture most. */
function best_head(record, position) {
  let best = { layer: 0, head: 0 },
    most = -1;
  for (let layer = 0; layer < record.attention.layers; layer++)
    for (let head = 0; head < record.attention.heads; head++) {
      const sum = record.on_picture(layer, head, position);
      if (sum > most) [best, most] = [{ layer, head }, sum];
    }
  return best;
}

/** The positions of the tile that the answer's first token looks at most. */
function looked_at(record) {
  const sum = (tile) =>
    record.atoms(tile).reduce((sum, atom) => sum + record.weight(null, null, record.prompt_length - 1, record.positions[atom]), 0);
  const tile = record.tiles.reduce((best, _, tile) => (sum(tile) > sum(best) ? tile : best), 0);
  return record.atoms(tile).map((atom) => record.positions[atom]);
}

/** The step of the answer that was chosen with the least chance. */
const doubtful = ({ steps }) =>
  steps.reduce((best, step, i) => (step.layers.at(-1).chosen < steps[best].layers.at(-1).chosen ? i : best), 0);

/** The steps for a page: those that it can show. */
export function guide_steps({ live, record }) {
  const needs = {
    patches: record?.words,
    words: record?.words,
    embeddings: record?.words,
    prompt: record?.words && record.attention,
    layers: record?.attention,
    answer: record?.steps.length,
  };
  return STEPS.filter((step) => (live || !step.live) && (!(step.tab in needs) || needs[step.tab]));
}
