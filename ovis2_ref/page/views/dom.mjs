// Build the page's elements. Text goes in as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "path", "rect", "line", "circle", "polyline", "g", "text", "title"]);

/**
 * Make an element. `options`: attributes by name; `on`: {event: listener}; `key`: a name by which the focus finds it again after the
 * panel was drawn anew. `children`: elements, texts, or null.
 */
export function make(tag, options = {}, ...children) {
  const element = SVG_TAGS.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(options)) {
    if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (name === "key") element.dataset.key = value;
    else if (name === "style") for (const [property, one] of Object.entries(value)) element.style.setProperty(property, one);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A button that does `act`; `pressed` true or false makes it a switch. */
export function button(text, act, { pressed, ...options } = {}) {
  return make(
    "button",
    { type: "button", "aria-pressed": pressed === undefined ? null : String(pressed), ...options, on: { click: act } },
    text,
  );
}

/** A labelled choice among [value, text] pairs. */
export function choice(label, pairs, value, act, key) {
  const select = make("select", { key, on: { change: () => act(select.value) } });
  for (const [one, text] of pairs) select.append(make("option", { value: one, selected: String(one) === String(value) }, text));
  return make("label", { class: "choice" }, make("span", {}, label), select);
}

/** Replace the children of `parent`, and give the focus back to the element of the same key. */
export function draw(parent, ...children) {
  const key = parent.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  parent.replaceChildren(...children.flat(Infinity).filter(Boolean));
  if (key) parent.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
}

/** A share of 1 in per cent, with as many digits as it has to tell. */
export function percent(share) {
  const hundred = share * 100;
  if (hundred >= 99.95 || hundred === 0) return `${Math.round(hundred)} %`;
  if (hundred < 0.01) return "< 0.01 %";
  return `${hundred.toFixed(hundred < 1 ? 2 : 1)} %`;
}

/** A bar of a share of `most`, with its number. */
export function bar(share, most = 1) {
  const width = `${(100 * Math.min(share / most, 1)).toFixed(1)}%`;
  return make(
    "span",
    { class: "bar" },
    make("span", { class: "fill", style: { width } }),
    make("span", { class: "number" }, percent(share)),
  );
}

/** Sizes as (a, b, c). */
export const shape = (...sizes) => `(${sizes.map((size) => size.toLocaleString("en")).join(", ")})`;
