// The operations that everything is made of (ovis2_ref/ops.py). Numbers are doubles: float64.
//
// An array is {shape, data}, its numbers in reading order. A part of the weights is a `Weights`; `tap` shows a value to a listener.

export const array = (shape, data = new Float64Array(shape.reduce((product, size) => product * size, 1))) => ({ shape, data });

export class Weights {
  /** `tensors`: name -> array; `name`: that of this part; `listen(name, array)`: called for each value. */
  constructor(tensors, name = "", listen = () => {}) {
    Object.assign(this, { tensors, name, listen });
  }
  part(name) {
    return new Weights(this.tensors, this.name ? `${this.name}.${name}` : `${name}`, this.listen);
  }
  get(name) {
    return this.tensors.get(`${this.name}.${name}`);
  }
  tap(name, value) {
    this.listen(`${this.name}.${name}`, value);
    return value;
  }
}

/** y[r, o] = sum_i x[r, i] w[o, i] for all rows r and outputs o; x from `xo` on with `xs` numbers to a row, w and y likewise. */
export function product(x, xo, xs, rows, w, wo, ws, outputs, inputs, y, yo, ys) {
  const even = rows - (rows % 2), fours = outputs - (outputs % 4);
  for (let o = 0; o < fours; o += 4) // eight sums at a time: each number that is read is used in four of them, or in two
    for (let r = 0; r < even; r += 2) {
      const first = xo + r * xs, second = first + xs, a = wo + o * ws, b = a + ws, c = b + ws, d = c + ws;
      let a1 = 0, b1 = 0, c1 = 0, d1 = 0, a2 = 0, b2 = 0, c2 = 0, d2 = 0;
      for (let i = 0; i < inputs; i++) {
        const x1 = x[first + i], x2 = x[second + i], wa = w[a + i], wb = w[b + i], wc = w[c + i], wd = w[d + i];
        (a1 += x1 * wa), (b1 += x1 * wb), (c1 += x1 * wc), (d1 += x1 * wd);
        (a2 += x2 * wa), (b2 += x2 * wb), (c2 += x2 * wc), (d2 += x2 * wd);
      }
      const to = yo + r * ys + o, next = to + ys;
      (y[to] = a1), (y[to + 1] = b1), (y[to + 2] = c1), (y[to + 3] = d1);
      (y[next] = a2), (y[next + 1] = b2), (y[next + 2] = c2), (y[next + 3] = d2);
    }
  for (let r = 0; r < rows; r++)
    for (let o = r < even ? fours : 0; o < outputs; o++) {
      let sum = 0;
      for (let i = 0; i < inputs; i++) sum += x[xo + r * xs + i] * w[wo + o * ws + i];
      y[yo + r * ys + o] = sum;
    }
}

/** y[r, o] += sum_i p[r, i] v[i, o]: the weights of attention times the values. */
export function weighted_sum(p, po, ps, rows, v, vo, vs, inputs, outputs, y, yo, ys) {
  const sums = new Float64Array(outputs);
  for (let r = 0; r < rows; r++) {
    sums.fill(0);
    for (let i = 0; i < inputs; i++) {
      const weight = p[po + r * ps + i], from = vo + i * vs;
      if (weight !== 0) for (let o = 0; o < outputs; o++) sums[o] += weight * v[from + o];
    }
    for (let o = 0; o < outputs; o++) y[yo + r * ys + o] += sums[o];
  }
}

/** W x + b over the last axis; b only where there is one. */
export function linear(x, w) {
  const weight = w.get("weight"), bias = w.get("bias"), outputs = weight.shape[0], inputs = weight.data.length / outputs;
  const rows = x.data.length / inputs, y = array([...x.shape.slice(0, -1), outputs]);
  product(x.data, 0, inputs, rows, weight.data, 0, inputs, outputs, inputs, y.data, 0, outputs);
  if (bias) for (let i = 0; i < y.data.length; i++) y.data[i] += bias.data[i % outputs];
  return w.tap("output", y);
}

/** weight * x / sqrt(mean(x^2) + eps) over the last axis. */
export function rms_norm(x, w, eps) {
  const weight = w.get("weight").data, n = weight.length, y = array(x.shape);
  for (let start = 0; start < x.data.length; start += n) {
    let squares = 0;
    for (let i = 0; i < n; i++) squares += x.data[start + i] ** 2;
    const factor = 1 / Math.sqrt(squares / n + eps);
    for (let i = 0; i < n; i++) y.data[start + i] = x.data[start + i] * factor * weight[i];
  }
  return w.tap("output", y);
}

/** weight * (x - mean) / sqrt(var + eps) + bias over the last axis. */
export function layer_norm(x, w, eps = 1e-5) {
  const weight = w.get("weight").data, bias = w.get("bias").data, n = weight.length, y = array(x.shape);
  for (let start = 0; start < x.data.length; start += n) {
    let mean = 0, variance = 0;
    for (let i = 0; i < n; i++) mean += x.data[start + i] / n;
    for (let i = 0; i < n; i++) variance += (x.data[start + i] - mean) ** 2 / n;
    const deviation = Math.sqrt(variance + eps);
    for (let i = 0; i < n; i++) y.data[start + i] = ((x.data[start + i] - mean) / deviation) * weight[i] + bias[i];
  }
  return w.tap("output", y);
}

/** exp(x_i) / sum_j exp(x_j) over the last axis, in place. */
export function softmax(x) {
  const n = x.shape.at(-1), { data } = x;
  for (let start = 0; start < data.length; start += n) {
    let largest = -Infinity, sum = 0;
    for (let i = start; i < start + n; i++) largest = Math.max(largest, data[i]);
    for (let i = start; i < start + n; i++) sum += data[i] = Math.exp(data[i] - largest);
    for (let i = start; i < start + n; i++) data[i] /= sum;
  }
  return x;
}

/** x + y. */
export const add = (x, y) => array(x.shape, x.data.map((value, i) => value + y.data[i]));

/** W_down (silu(W_gate x) * W_up x): SwiGLU. */
export function feed_forward(x, w) {
  const gate = linear(x, w.part("gate_proj")), up = linear(x, w.part("up_proj"));
  const activated = array(gate.shape, gate.data.map((value, i) => (value / (1 + Math.exp(-value))) * up.data[i]));
  return linear(w.tap("activated", activated), w.part("down_proj"));
}

/** The product of all sizes but the last ones. */
export const rows_of = (x) => x.data.length / x.shape.at(-1);
