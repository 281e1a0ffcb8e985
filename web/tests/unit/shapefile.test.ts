import { deflateRawSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { ArchiveError, isZip, readZippedShapefile } from '../../src/shapefile';

/** An archive of deflated files. */
function zip(files: Record<string, Uint8Array>): Uint8Array<ArrayBuffer> {
  const [heads, directory]: [Buffer[], Buffer[]] = [[], []];
  let offset = 0;
  for (const [name, content] of Object.entries(files)) {
    const packed = deflateRawSync(content);
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(8, 8);
    local.writeUInt32LE(packed.length, 18);
    local.writeUInt16LE(name.length, 26);
    const central = Buffer.alloc(46);
    central.writeUInt32LE(0x02014b50, 0);
    central.writeUInt16LE(8, 10);
    central.writeUInt32LE(packed.length, 20);
    // What an archive says of sizes is not believed.
    central.writeUInt32LE(10, 24);
    central.writeUInt16LE(name.length, 28);
    central.writeUInt32LE(offset, 42);
    heads.push(local, Buffer.from(name), packed);
    directory.push(central, Buffer.from(name));
    offset += 30 + name.length + packed.length;
  }
  const middle = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(directory.length / 2, 10);
  end.writeUInt32LE(middle.length, 12);
  end.writeUInt32LE(offset, 16);
  return new Uint8Array(Buffer.concat([...heads, middle, end]));
}

const square = (x: number, y: number, side: number): [number, number][] => [[x, y], [x, y + side], [x + side, y + side], [x + side, y], [x, y]];

function shp(type: number, rings: [number, number][][]): Uint8Array {
  const points = rings.flat();
  const content = Buffer.alloc(44 + 4 * rings.length + 16 * points.length);
  content.writeInt32LE(type, 0);
  content.writeInt32LE(rings.length, 36);
  content.writeInt32LE(points.length, 40);
  let start = 0;
  rings.forEach((ring, i) => {
    content.writeInt32LE(start, 44 + 4 * i);
    start += ring.length;
  });
  points.forEach(([x, y], i) => {
    content.writeDoubleLE(x, 44 + 4 * rings.length + 16 * i);
    content.writeDoubleLE(y, 52 + 4 * rings.length + 16 * i);
  });
  const head = Buffer.alloc(108);
  head.writeInt32BE(9994, 0);
  head.writeInt32LE(type, 32);
  head.writeInt32BE(1, 100);
  head.writeInt32BE(content.length / 2, 104);
  return Buffer.concat([head, content]);
}

const reason = async (bytes: Uint8Array<ArrayBuffer>) => {
  const failure: unknown = await readZippedShapefile(bytes).catch((error: unknown) => error);
  return failure instanceof ArchiveError ? failure.reason : failure;
};

describe('a zipped shapefile', () => {
  it('is its polygons with holes and its reference system', async () => {
    const hole = square(2, 2, 1).reverse();
    const bytes = zip({ 'site.shp': shp(5, [square(0, 0, 10), hole, square(20, 0, 5)]), 'SITE.PRJ': Buffer.from('GEOGCS["x"]\n'), 'site.dbf': Buffer.alloc(3) });
    expect(isZip(bytes)).toBe(true);
    const { boundary, crs } = await readZippedShapefile(bytes);
    expect(crs).toBe('GEOGCS["x"]');
    expect(boundary.features).toHaveLength(1);
    const polygons = boundary.features[0]!.geometry.coordinates;
    expect(polygons).toHaveLength(2);
    expect(polygons.find((rings) => rings.length === 2)).toEqual([square(0, 0, 10), hole]);
  });

  it('is refused when it is something else, broken or a bomb', async () => {
    const sound = zip({ 'a.shp': shp(5, [square(0, 0, 1)]) });
    expect(await reason(zip({ 'a.txt': Buffer.from('x') }))).toBe('archiveNoShapefile');
    expect(await reason(zip({ 'a.shp': shp(1, [square(0, 0, 1)]) }))).toBe('archiveNoShapefile');
    expect(await reason(sound.slice(0, 40))).toBe('archiveUnreadable');
    expect(await reason(zip({ 'a.shp': shp(5, [square(0, 0, 1)]).subarray(0, 150) }))).toBe('archiveUnreadable');
    expect(await reason(zip({ 'a.shp': new Uint8Array(40 << 20) }))).toBe('fileTooLarge');
    for (let at = 0; at < sound.length; at += 1) {
      const bent = sound.slice();
      bent[at] = bent[at]! ^ 0xff;
      const failure = await readZippedShapefile(bent).catch((error: unknown) => error);
      expect(failure instanceof Error ? failure instanceof ArchiveError : true).toBe(true);
    }
  });
});
