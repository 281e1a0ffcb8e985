// Small drawings for the sprite: hatches that repeat without a seam, and a PNG writer for them.
import { deflateSync } from 'node:zlib';

/** A square of diagonal lines as RGBA, `size` device pixels wide, a little under one logical pixel thick. */
export function hatch(size, ratio, { colour, slope }) {
  const rgba = new Uint8Array(size * size * 4);
  const period = size / 2;
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const along = (((x + slope * y) % period) + period) % period;
      // Distance to the nearest line across its direction, so that the edge fades over one pixel.
      const distance = Math.min(along, period - along) / Math.SQRT2;
      const cover = Math.max(0, Math.min(1, 0.38 * ratio + 0.5 - distance));
      rgba.set([...colour, Math.round(cover * 255)], (y * size + x) * 4);
    }
  }
  return rgba;
}

const crcTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? 0xedb88320 ^ (crc >>> 1) : crc >>> 1;
  return crc >>> 0;
});

function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = crcTable[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

function chunk(type, data) {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const head = Buffer.alloc(4);
  head.writeUInt32BE(data.length);
  const tail = Buffer.alloc(4);
  tail.writeUInt32BE(crc32(body));
  return Buffer.concat([head, body, tail]);
}

/** PNG, eight bits a channel with alpha, no filter (W3C PNG specification, section 4). */
export function encodePng({ width, height, rgba }) {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 6, 0, 0, 0], 8);
  const rows = Buffer.alloc(height * (width * 4 + 1));
  for (let y = 0; y < height; y++) {
    rows.set(rgba.subarray(y * width * 4, (y + 1) * width * 4), y * (width * 4 + 1) + 1);
  }
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(rows, { level: 9 })),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}
