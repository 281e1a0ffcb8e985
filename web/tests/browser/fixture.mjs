// A small made-up county around 104.0° E, 30.5° N: squares of land use, a red line, a licence, a district, places.
// Everything is written as GeoJSON and imported by the program itself.
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const WEST = 104;
export const SOUTH = 30.5;
/** Side of a square of land use, in degrees. */
export const SIDE = 0.01;
/** Codes of the squares, rows from the south. */
export const CODES = [
  ['0101', '0103', '0201', '0301'],
  ['0702', '1101', '0201K', '9999'],
  ['0601', '0404', '1006', '0307'],
];
const NAMES = {
  '0101': '水田', '0103': '旱地', '0201': '果园', '0301': '乔木林地', '0702': '农村宅基地', 1101: '河流水面',
  '0201K': '可调整果园', 9999: '未分类', '0601': '工业用地', '0404': '其他草地', 1006: '农村道路', '0307': '其他林地',
};

const square = (west, south, east, north) => ({
  type: 'Polygon',
  coordinates: [[[west, south], [east, south], [east, north], [west, north], [west, south]]],
});
const feature = (geometry, properties) => ({ type: 'Feature', properties, geometry });

/** The centre of a square of land use. */
export const centre = (row, column) => [WEST + (column + 0.5) * SIDE, SOUTH + (row + 0.5) * SIDE];

export function landUse(codes = CODES) {
  return codes.flatMap((row, r) =>
    row.map((code, c) =>
      feature(square(WEST + c * SIDE, SOUTH + r * SIDE, WEST + (c + 1) * SIDE, SOUTH + (r + 1) * SIDE), {
        OBJECTID: r * 10 + c,
        BSM: `51000000000000${String(r * 10 + c).padStart(4, '0')}`,
        TBBH: String(r * 10 + c),
        DLBM: code,
        DLMC: NAMES[code],
        QSXZ: '30',
        TBMJ: 1063000.5,
      }),
    ),
  );
}

const LAYERS = {
  dltb: { kind: 'landuse', title: '地类图斑', features: landUse() },
  stbhhx: {
    kind: 'planning', title: '生态保护红线',
    // Over the middle of the square of forest.
    features: [feature(square(WEST + 3.3 * SIDE, SOUTH + 0.3 * SIDE, WEST + 3.7 * SIDE, SOUTH + 0.7 * SIDE), { HXMC: '青山水源地', HXLX: '水源涵养' })],
  },
  xzq: {
    kind: 'admin', title: '行政区',
    features: [feature(square(WEST - SIDE, SOUTH - SIDE, WEST + 5 * SIDE, SOUTH + 4 * SIDE), { XZQDM: '510199', XZQMC: '示范县' })],
  },
  dm: {
    kind: 'admin', title: '地名',
    features: [feature({ type: 'Point', coordinates: [WEST + 0.5 * SIDE, SOUTH + 2.5 * SIDE] }, { name: '柳树村' })],
  },
};

export function writeLayer(directory, name, features) {
  mkdirSync(directory, { recursive: true });
  const path = join(directory, `${name}.geojson`);
  writeFileSync(path, JSON.stringify({ type: 'FeatureCollection', features }));
  return path;
}

export function importLayer(binary, workspace, name, path, kind, title) {
  execFileSync(binary, ['import', workspace, `${name}=${path}`, '--kind', kind, '--title', title, '--id-field', idField(name), '--quiet'], { stdio: ['ignore', 'ignore', 'inherit'] });
}

const idField = (name) => ({ dltb: 'OBJECTID', stbhhx: 'HXMC', xzq: 'XZQDM', dm: 'name' })[name];

export function importAll(binary, workspace, directory) {
  for (const [name, { kind, title, features }] of Object.entries(LAYERS)) {
    importLayer(binary, workspace, name, writeLayer(directory, name, features), kind, title);
  }
}
