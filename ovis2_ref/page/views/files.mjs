// Pictures into the page, and out of it: a file that the reader gives, decoded by the browser; bytes of the page's own data.

const MOST_BYTES = 30e6,
  MOST_PIXELS = 16e6;

/** The bytes in a base64 text. */
export const from_base64 = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));

/** The bytes of a deflated base64 text (zlib's format). */
export async function inflate(text) {
  const stream = new Blob([from_base64(text)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** A picture that the reader gives, as {height, width, data}; transparent parts lie on white. Throws for one that is too large or none. */
export async function read_picture(file) {
  if (file.size > MOST_BYTES)
    throw new Error(`${file.name} has ${(file.size / 1e6).toFixed(0)} MB; the page takes at most ${MOST_BYTES / 1e6}.`);
  const address = URL.createObjectURL(file),
    image = new Image();
  try {
    image.src = address;
    await new Promise((resolve, reject) => ((image.onload = resolve), (image.onerror = reject)));
  } catch {
    throw new Error(`${file.name} can't be read as a picture by this browser.`);
  } finally {
    URL.revokeObjectURL(address);
  }
  const { naturalWidth: width, naturalHeight: height } = image;
  if (!width || !height || width * height > MOST_PIXELS)
    throw new Error(`${file.name} has ${width} x ${height} pixels; the page takes at most ${MOST_PIXELS / 1e6} million.`);
  const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff";
  context.fillRect(0, 0, bitmap.width, bitmap.height);
  context.drawImage(bitmap, 0, 0);
  const rgba = context.getImageData(0, 0, bitmap.width, bitmap.height).data;
  return { height: bitmap.height, width: bitmap.width, data: rgba.filter((_, i) => i % 4 !== 3) };
}

/** A canvas that shows a picture pixel by pixel. */
export function canvas_of({ height, width, data }) {
  const canvas = document.createElement("canvas"),
    image = new ImageData(width, height);
  for (let i = 0; i < height * width; i++) image.data.set([data[3 * i], data[3 * i + 1], data[3 * i + 2], 255], 4 * i);
  Object.assign(canvas, { height, width }).getContext("2d").putImageData(image, 0, 0);
  return canvas;
}
