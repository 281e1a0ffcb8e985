// A zipped shapefile as a boundary. Only what is needed is unpacked, and never more than a limit, whatever the archive
// says of itself.

/** Bytes that any one file of the archive may unpack to. */
export const MAX_UNPACKED_BYTES = 32 << 20;
const MAX_ENTRIES = 256;
/** Vertices of boundaries in one request, as the server has it. */
const MAX_VERTICES = 200_000;
const MAX_PRJ_CHARS = 4096;

/** Why an archive is no boundary: a word of the page's texts. */
export class ArchiveError extends Error {
  constructor(readonly reason: 'fileTooLarge' | 'archiveUnreadable' | 'archiveNoShapefile') {
    super(reason);
  }
}

export interface ArchivedBoundary {
  boundary: GeoJSON.FeatureCollection<GeoJSON.MultiPolygon>;
  /** WKT of the reference system, empty when the archive has none. */
  crs: string;
}

interface Entry {
  name: string;
  method: number;
  packed: number;
  start: number;
}

export const isZip = (bytes: Uint8Array): boolean => bytes[0] === 0x50 && bytes[1] === 0x4b && bytes[2] === 3 && bytes[3] === 4;

export async function readZippedShapefile(bytes: Uint8Array<ArrayBuffer>): Promise<ArchivedBoundary> {
  try {
    const entries = listed(bytes);
    const shapes = entries.filter(({ name }) => /\.shp$/iu.test(name));
    const [shape] = shapes;
    if (!shape || shapes.length > 1) throw new ArchiveError('archiveNoShapefile');
    const stem = shape.name.slice(0, -4).toLowerCase();
    const prj = entries.find(({ name }) => name.toLowerCase() === `${stem}.prj`);
    const boundary = polygons(await unpacked(bytes, shape));
    const text = prj ? new TextDecoder().decode(await unpacked(bytes, prj)).trim() : '';
    if (text.length > MAX_PRJ_CHARS) throw new ArchiveError('archiveUnreadable');
    return { boundary, crs: text };
  } catch (error) {
    // Reading beyond the end of the data is a RangeError, broken packing a TypeError.
    if (error instanceof ArchiveError) throw error;
    throw new ArchiveError('archiveUnreadable');
  }
}

/** The central directory at the archive's end (APPNOTE 4.3.12). */
function listed(bytes: Uint8Array<ArrayBuffer>): Entry[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let end = bytes.length - 22;
  const first = Math.max(0, end - 0xffff);
  while (end >= first && view.getUint32(end, true) !== 0x06054b50) end -= 1;
  if (end < first) throw new ArchiveError('archiveUnreadable');
  const count = view.getUint16(end + 10, true);
  if (count > MAX_ENTRIES) throw new ArchiveError('fileTooLarge');
  const entries: Entry[] = [];
  let at = view.getUint32(end + 16, true);
  for (let i = 0; i < count; i += 1) {
    if (view.getUint32(at, true) !== 0x02014b50) throw new ArchiveError('archiveUnreadable');
    const [nameLength, extra, comment] = [28, 30, 32].map((offset) => view.getUint16(at + offset, true)) as [number, number, number];
    const local = view.getUint32(at + 42, true);
    const name = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + nameLength));
    entries.push({
      name,
      method: view.getUint16(at + 10, true),
      packed: view.getUint32(at + 20, true),
      // The lengths of name and extra field stand in the local head, and may differ there.
      start: local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true),
    });
    at += 46 + nameLength + extra + comment;
  }
  return entries;
}

async function unpacked(bytes: Uint8Array<ArrayBuffer>, entry: Entry): Promise<Uint8Array<ArrayBuffer>> {
  const packed = bytes.subarray(entry.start, entry.start + entry.packed);
  if (packed.length !== entry.packed) throw new ArchiveError('archiveUnreadable');
  if (entry.method === 0) {
    if (packed.length > MAX_UNPACKED_BYTES) throw new ArchiveError('fileTooLarge');
    return packed;
  }
  if (entry.method !== 8) throw new ArchiveError('archiveUnreadable');
  const reader = new Blob([packed]).stream().pipeThrough(new DecompressionStream('deflate-raw')).getReader();
  const parts: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    length += value.length;
    if (length > MAX_UNPACKED_BYTES) {
      await reader.cancel();
      throw new ArchiveError('fileTooLarge');
    }
    parts.push(value);
  }
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

type Position = [number, number];

/** Polygons of an ESRI shapefile (white paper of July 1998): types 5, 15 and 25. */
function polygons(bytes: Uint8Array<ArrayBuffer>): ArchivedBoundary['boundary'] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getInt32(0, false) !== 9994) throw new ArchiveError('archiveUnreadable');
  if (![5, 15, 25].includes(view.getInt32(32, true))) throw new ArchiveError('archiveNoShapefile');
  const features: GeoJSON.Feature<GeoJSON.MultiPolygon>[] = [];
  let vertices = 0;
  for (let at = 100; at + 8 <= bytes.length; ) {
    const number = view.getInt32(at, false);
    const content = at + 8;
    at = content + view.getInt32(at + 4, false) * 2;
    if (at <= content) throw new ArchiveError('archiveUnreadable');
    if (view.getInt32(content, true) === 0) continue;
    const [parts, points] = [view.getInt32(content + 36, true), view.getInt32(content + 40, true)];
    vertices += points;
    if (parts < 1 || parts > points || points < 3) throw new ArchiveError('archiveUnreadable');
    if (vertices > MAX_VERTICES) throw new ArchiveError('fileTooLarge');
    const starts = Array.from({ length: parts }, (_, i) => view.getInt32(content + 44 + 4 * i, true));
    const xy = content + 44 + 4 * parts;
    const rings = starts.map((start, i) => {
      const end = starts[i + 1] ?? points;
      if (start < 0 || end > points || end < start) throw new ArchiveError('archiveUnreadable');
      return Array.from({ length: end - start }, (_, k): Position => {
        const place = xy + 16 * (start + k);
        return [view.getFloat64(place, true), view.getFloat64(place + 8, true)];
      });
    });
    features.push({ type: 'Feature', properties: { name: String(number) }, geometry: { type: 'MultiPolygon', coordinates: nested(rings) } });
  }
  if (features.length === 0) throw new ArchiveError('archiveNoShapefile');
  return { type: 'FeatureCollection', features };
}

/** Outer rings run clockwise; a hole belongs to the smallest outer ring around its first vertex. */
function nested(rings: Position[][]): Position[][][] {
  const shells: { area: number; polygon: Position[][] }[] = [];
  const holes: Position[][] = [];
  for (const ring of rings) {
    if (ring.length < 4) continue;
    const area = doubledArea(ring);
    if (area < 0) shells.push({ area: -area, polygon: [ring] });
    else holes.push(ring);
  }
  // Who draws every ring the other way round has no holes.
  if (shells.length === 0) return holes.map((ring) => [ring]);
  shells.sort((a, b) => a.area - b.area);
  for (const hole of holes) shells.find(({ polygon }) => winds(polygon[0]!, hole[0]!))?.polygon.push(hole);
  return shells.map(({ polygon }) => polygon);
}

function doubledArea(ring: Position[]): number {
  const [ox, oy] = ring[0]!;
  let sum = 0;
  for (let i = 0; i + 1 < ring.length; i += 1) {
    const [a, b] = [ring[i]!, ring[i + 1]!];
    sum += (a[0] - ox) * (b[1] - oy) - (b[0] - ox) * (a[1] - oy);
  }
  return sum;
}

function winds(ring: Position[], [x, y]: Position): boolean {
  let inside = false;
  for (let i = 0; i + 1 < ring.length; i += 1) {
    const [[ax, ay], [bx, by]] = [ring[i]!, ring[i + 1]!];
    if (ay > y !== by > y && x < ax + ((y - ay) / (by - ay)) * (bx - ax)) inside = !inside;
  }
  return inside;
}
