import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { inflateSync } from 'node:zlib';
import { join } from 'node:path';
import { createExpression, validateStyleMin } from '@maplibre/maplibre-gl-style-spec';
import { describe, expect, it } from 'vitest';
import { build, spriteSheet, stylesDir } from '../../scripts/styles.mjs';
import { entriesFor } from '../../src/legend';
import { multiply, scaleOpacity } from '../../src/opacity';
import type { LegendEntry } from '../../src/server';
import { landUseClass } from '../../src/vocabulary';

const FAMILIES = ['landuse', 'planning', 'mineral', 'admin', 'imagery', 'other'];

function instantiate(family: string, name: string) {
  const text = readFileSync(join(stylesDir, `${family}.json`), 'utf8').replaceAll('{layer}', name);
  return JSON.parse(text) as { family: string; legend: LegendEntry[]; layers: any[] };
}

/** What an expression gives for a feature. */
function evaluate(expression: unknown, properties: Record<string, unknown>, type = 'Polygon'): any {
  const compiled = createExpression(expression as never, 'layers[0].paint.fill-color');
  if (compiled.result === 'error') throw new Error(compiled.value.map((error: Error) => error.message).join());
  return compiled.value.evaluate({ zoom: 14 }, { type: type as never, properties, geometry: [] } as never);
}

describe('the committed templates', () => {
  it('are what the tables and the script make', () => {
    for (const [name, content] of build()) {
      const path = join(stylesDir, name);
      expect(existsSync(path), name).toBe(true);
      if (typeof content === 'string') expect(readFileSync(path, 'utf8'), name).toBe(content);
    }
    expect(readdirSync(stylesDir).filter((name) => name.endsWith('.json')).sort()).toEqual([...FAMILIES.map((name) => `${name}.json`), 'field-aliases.json', 'landuse-classes.json', 'rules.json'].sort());
  });

  it('draw the sprite that its index describes', () => {
    for (const [suffix, ratio] of [['', 1], ['@2x', 2]] as const) {
      const png = readFileSync(join(stylesDir, `sprites/onemap${suffix}.png`));
      const { image } = spriteSheet(ratio);
      expect([png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual([image.width, image.height]);
      // Other versions of zlib may pack it otherwise; what is unpacked must be the same.
      const length = png.readUInt32BE(33);
      const rows = inflateSync(png.subarray(41, 41 + length));
      for (let y = 0; y < image.height; y++) {
        const start = y * (image.width * 4 + 1) + 1;
        expect(rows.subarray(start, start + image.width * 4).equals(Buffer.from(image.rgba.subarray(y * image.width * 4, (y + 1) * image.width * 4)))).toBe(true);
      }
    }
  });

  it.each(FAMILIES)('%s is a valid style for any layer name', (family) => {
    for (const name of ['dltb', '地类图斑_2024', 'li-2024.v2']) {
      const { layers } = instantiate(family, name);
      const source = family === 'imagery' ? { type: 'raster', url: 'http://localhost/' } : { type: 'vector', url: 'http://localhost/' };
      expect(validateStyleMin({ version: 8, sprite: 'http://localhost/s', sources: { [name]: source }, layers } as never).map((error) => error.message)).toEqual([]);
    }
  });

  it.each(FAMILIES)('%s explains only style layers that it has', (family) => {
    const { legend, layers } = instantiate(family, 'x');
    const ids = new Set(layers.map((layer) => layer.id));
    for (const entry of legend) expect(ids.has(entry.layer), `${entry.label}: ${entry.layer}`).toBe(true);
  });
});

describe('land use', () => {
  const { layers, legend } = instantiate('landuse', 'dltb');
  const fill = layers.find((layer) => layer.id === 'dltb-fill').paint['fill-color'];
  const colour = (properties: Record<string, unknown>) => String(evaluate(fill, properties));
  const legendOf = (properties: Record<string, unknown>) => entriesFor(legend, [{ layer: 'dltb-fill', properties }]);

  it('has the colours of the Third Survey', () => {
    expect(colour({ DLBM: '0101' })).toBe('#f8d072');
    expect(colour({ DLBM: '0702' })).toBe('#ec898a');
    expect(colour({ dlbm: '1101' })).toBe('#a3d6f5');
  });

  it('gives suffixes their parent, unknown second levels their group, numbers their text', () => {
    expect(colour({ DLBM: '0201K' })).toBe(colour({ DLBM: '0201' }));
    expect(colour({ DLBM: '0101A' })).toBe(colour({ DLBM: '0101' }));
    expect(colour({ DLBM: '0199' })).toBe(landUseClass('01')!.color);
    expect(colour({ DLBM: 1101 })).toBe(colour({ DLBM: '1101' }));
  });

  it('knows the codes of the Second Survey and the words of OpenStreetMap', () => {
    expect(colour({ DLBM: '011' })).toBe(colour({ DLBM: '0101' }));
    expect(colour({ landuse: 'forest' })).toBe(colour({ DLBM: '0301' }));
    expect(colour({ DLBM: 'nonsense' })).toBe(colour({}));
  });

  it('shows in the legend what it draws', () => {
    for (const properties of [{ DLBM: '0101' }, { DLBM: '0201K' }, { DLBM: '0199' }, { DLBM: '09' }, { DLBM: '013' }, { landuse: 'quarry' }, { DLBM: '9999' }, {}, { DLBM: '1101' }]) {
      const entries = legendOf(properties);
      expect(entries.length, JSON.stringify(properties)).toBe(1);
      expect(entries[0]!.color, JSON.stringify(properties)).toBe(colour(properties));
    }
    expect(legendOf({ DLBM: '0103' })[0]!.label).toBe('旱地');
    expect(legendOf({ DLBM: '9999' })[0]!.label).toBe('未分类');
  });
});

describe('planning and mineral rights', () => {
  const drawnBy = (family: string, name: string, properties: Record<string, unknown>) =>
    instantiate(family, name).layers
      .filter((layer) => layer.type === 'fill' && !layer.paint['fill-pattern'] && evaluate(layer.filter, properties))
      .map((layer) => layer.id);

  it('draw each control line once, known by its layer name or its fields', () => {
    expect(drawnBy('planning', 'STBHHX', {})).toEqual(['STBHHX-redline']);
    expect(drawnBy('planning', 'any', { HXMC: 'x' })).toEqual(['any-redline']);
    expect(drawnBy('planning', '永久基本农田', {})).toEqual(['永久基本农田-farmland']);
    expect(drawnBy('planning', 'any', { yjjbntmj: 1 })).toEqual(['any-farmland']);
    expect(drawnBy('planning', 'czkfbj_like', { GHFQDM: '01' })).toEqual(['czkfbj_like-urban']);
    expect(drawnBy('planning', 'any', { GZQLXDM: '010' })).toEqual(['any-zone']);
    expect(drawnBy('planning', 'any', {})).toEqual(['any-zone']);
  });

  it('tell mining from exploration by name, kind or licence number', () => {
    expect(drawnBy('mineral', 'ckq', {})).toEqual(['ckq-mining']);
    expect(drawnBy('mineral', 'any', { KQLX: '探矿权' })).toEqual(['any-exploration']);
    expect(drawnBy('mineral', 'any', { XKZH: 'C5300002010011110000001' })).toEqual(['any-mining']);
    expect(drawnBy('mineral', 'any', { licence_no: 'T5300002010011110000001' })).toEqual(['any-exploration']);
    expect(drawnBy('mineral', 'any', {})).toEqual(['any-other']);
  });
});

describe('the opacity of a layer', () => {
  it('multiplies numbers, curves and expressions', () => {
    expect(multiply(0.8, 0.5)).toBe(0.4);
    expect(multiply(['interpolate', ['linear'], ['zoom'], 3, 0.2, 10, 0.8], 0.5)).toEqual(['interpolate', ['linear'], ['zoom'], 3, 0.1, 10, 0.4]);
    expect(multiply(['step', ['zoom'], 0.2, 10, 0.8], 0.5)).toEqual(['step', ['zoom'], 0.1, 10, 0.4]);
    expect(multiply(['get', 'a'], 0.5)).toEqual(['*', ['get', 'a'], 0.5]);
  });

  it('leaves every template valid', () => {
    for (const family of FAMILIES) {
      const { layers } = instantiate(family, 'x');
      for (const layer of layers) layer.paint = { ...layer.paint, ...Object.fromEntries(scaleOpacity(layer, 0.37)) };
      const source = family === 'imagery' ? { type: 'raster', url: 'http://localhost/' } : { type: 'vector', url: 'http://localhost/' };
      expect(validateStyleMin({ version: 8, sprite: 'http://localhost/s', sources: { x: source }, layers } as never).map((error) => error.message)).toEqual([]);
    }
  });
});
