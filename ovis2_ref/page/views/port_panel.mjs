// The port view: a candidate's values beside the golden ones, as `ovis2-ref golden compare` judges them.

import { button, make } from "./dom.mjs";

const COLOURS = {
  equal: "#009e73",
  rounding: "#56b4e9",
  "lower type": "#0072b2",
  equivalent: "#0072b2",
  unchecked: "#8a8a8a",
  inherited: "#e69f00",
  wrong: "#d55e00",
};
const number = (value) => (value === null ? "" : value === 0 ? "0" : value.toExponential(1));

export function port_panel(app) {
  const { port } = app.data,
    { state } = app,
    wrong = port.values.findIndex(({ verdict }) => verdict === "wrong");
  const chosen = port.values[state.value ?? Math.max(wrong, 0)];
  const shown = state.all_values ? port.values : port.values.filter(({ verdict }) => verdict !== "equal" && verdict !== "rounding");
  return [
    make("p", { class: `verdict ${port.passes ? "right" : "wrong"}`, role: "status" }, port.verdict),
    wrong >= 0 &&
      make(
        "p",
        {},
        "First wrong stage: ",
        button(port.values[wrong].tap, () => app.set({ value: wrong }), { class: "word", key: "first wrong" }),
        port.values[wrong].why && ` ${port.values[wrong].why}`,
      ),
    make("h3", {}, "The error of each value, in execution order"),
    error_chart(app, port.values),
    port.pixels.length > 0 &&
      make(
        "p",
        { class: "note" },
        `The map is bright in the cells whose pixel values differ. Largest difference: ${number(Math.max(...port.pixels))}, in the values' own unit.`,
      ),
    chosen &&
      make(
        "p",
        { "aria-live": "polite" },
        make("b", {}, chosen.tap),
        `: ${chosen.verdict}`,
        chosen.error !== null && `, error ${number(chosen.error)}, rounding explains ${number(chosen.band)}`,
        chosen.difference !== null && `, ${number(chosen.difference)} from golden`,
        chosen.why && `. ${chosen.why}`,
      ),
    make(
      "div",
      { class: "row" },
      button(
        state.all_values ? "Only what differs beyond rounding" : `All ${port.values.length} values`,
        () => app.set({ all_values: !state.all_values }),
        { key: "all values" },
      ),
    ),
    make(
      "div",
      { class: "scroll tall" },
      make(
        "table",
        { class: "values" },
        make(
          "thead",
          {},
          make(
            "tr",
            {},
            ["value", "verdict", "error", "band", "from golden"].map((one) => make("th", { scope: "col" }, one)),
          ),
        ),
        make(
          "tbody",
          {},
          shown.map((one) =>
            make(
              "tr",
              {},
              make(
                "th",
                { scope: "row" },
                button(one.tap, () => app.set({ value: port.values.indexOf(one) }), { class: "word", key: `value ${one.tap}` }),
              ),
              make("td", {}, make("span", { class: "dot", style: { "--colour": COLOURS[one.verdict] } }), one.verdict),
              [one.error, one.band, one.difference].map((value) => make("td", { class: "digits" }, number(value))),
            ),
          ),
        ),
      ),
    ),
    make(
      "p",
      { class: "note" },
      "error: of the value against its formula, computed in float64 from the candidate's own inputs. band: the largest error that rounding explains. from golden: the difference from the golden file's value. All are relative.",
    ),
  ];
}

/** A bar for each value: its difference from the golden one on a logarithmic scale, in the colour of its verdict. */
function error_chart(app, values) {
  const width = 900,
    height = 180,
    low = -18,
    y = (value) => height - 20 - ((Math.max(Math.log10(value || 1e-300), low) - low) / -low) * (height - 30);
  const step = (width - 44) / values.length,
    act = (i) => app.set({ value: i });
  const bars = values.map((one, i) => {
    const top = y(Math.min(one.difference ?? one.error ?? 0, 1)),
      bar = make(
        "rect",
        {
          x: 40 + i * step,
          y: top,
          width: Math.max(step - (step > 4 ? 1 : 0), 0.6),
          height: height - 19 - top,
          fill: COLOURS[one.verdict],
          on: { click: () => act(i) },
        },
        make("title", {}, `${one.tap}: ${one.verdict}`),
      );
    return bar;
  });
  const rules = [0, -6, -12, -18].flatMap((power) => [
    make("line", { x1: 40, x2: width, y1: y(10 ** power), y2: y(10 ** power), class: "rule" }),
    make("text", { x: 34, y: y(10 ** power) + 4, "text-anchor": "end" }, power ? `1e${power}` : "1"),
  ]);
  const counts = Object.keys(COLOURS)
    .map((verdict) => [verdict, values.filter((one) => one.verdict === verdict).length])
    .filter(([, count]) => count);
  return make(
    "figure",
    { class: "chart" },
    make(
      "svg",
      { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "Differences from the golden values; the table has the numbers" },
      rules,
      bars,
    ),
    make(
      "figcaption",
      {},
      make(
        "ul",
        { class: "legends inline" },
        counts.map(([verdict, count]) =>
          make("li", {}, make("span", { class: "dot", style: { "--colour": COLOURS[verdict] } }), `${count} ${verdict}`),
        ),
      ),
    ),
  );
}

/** The map of wrong pixels: for each atom the largest difference of its pixel values. */
export function port_values(app) {
  const { pixels } = app.data.port,
    most = Math.max(...pixels, 1e-30);
  return pixels.length
    ? {
        light: (atom) => (pixels[atom] ? 0.25 + 0.75 * Math.sqrt(pixels[atom] / most) : 0),
        mark: (atom) => (pixels[atom] ? "≠" : null),
        says: "Bright: where pixel values differ.",
      }
    : {};
}
