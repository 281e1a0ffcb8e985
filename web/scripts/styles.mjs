// Writes the style templates and the sprite of ../../styles from the class tables there.
//
// `npm run styles` after a change of a table or of this file; a test compares the result with what is committed.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { encodePng, hatch } from './sprite.mjs';

export const stylesDir = join(dirname(fileURLToPath(import.meta.url)), '../../styles');

const LAYER = '{layer}';
const LABEL = '{layer}_label';
/** MapLibre draws text with the fonts of the machine when a style names no `glyphs`. */
const FONT = ['Noto Sans CJK SC, Source Han Sans SC, PingFang SC, Microsoft YaHei, sans-serif'];

const isPolygon = ['match', ['geometry-type'], ['Polygon', 'MultiPolygon'], true, false];
const isLine = ['match', ['geometry-type'], ['LineString', 'MultiLineString'], true, false];
const isPoint = ['match', ['geometry-type'], ['Point', 'MultiPoint'], true, false];
const all = (...filters) => ['all', ...filters];
const zoomed = (...stops) => ['interpolate', ['linear'], ['zoom'], ...stops];
/** How many features of the layer one stands for. */
const COUNT = ['coalesce', ['get', 'onemap_count'], 1];
/** Radius of a point by zoom; one that stands for ten others is larger by a pixel, for a hundred by two. */
const radius = (...stops) => zoomed(...stops.map((stop, i) => (i % 2 ? ['+', stop, ['log10', COUNT]] : stop)));

/** The first of these fields that a feature has, as text; '' without any. */
const firstOf = (fields) => ['to-string', ['coalesce', ...fields.map((field) => ['get', field]), '']];
const bothCases = (fields) => fields.flatMap((field) => [field, field.toLowerCase()]);
const hasAny = (fields) => bothCases(fields).map((field) => ['has', field]);
/** True when the layer's own name holds one of the words. */
const named = (words) => words.map((word) => ['in', word, ['downcase', LAYER]]);

const layer = (suffix, type, rest) => ({
  id: `${LAYER}-${suffix}`,
  type,
  source: LAYER,
  ...(type === 'raster' ? {} : { 'source-layer': LAYER }),
  ...rest,
});
const label = (suffix, rest) => ({ ...layer(suffix, 'symbol', rest), 'source-layer': LABEL });

/** The name beside a point: points have no label layer, they are their own. */
const pointName = (minzoom, fields, color) => layer('point-name', 'symbol', {
  filter: isPoint, minzoom,
  layout: textLayout(firstOf(fields), 12, { 'text-anchor': 'left', 'text-offset': [0.8, 0] }),
  paint: { ...textPaint(color), 'text-opacity': 1 },
});

const textLayout = (text, size, more = {}) => ({
  'text-field': text,
  'text-font': FONT,
  'text-size': size,
  'text-max-width': 8,
  'text-padding': 4,
  ...more,
});
const textPaint = (color, halo = 1.4) => ({
  'text-color': color,
  'text-halo-color': 'rgba(255,255,255,0.9)',
  'text-halo-width': halo,
});

/** `match` over text whose cases are gathered by colour. */
function matchColours(input, pairs, fallback) {
  const byColour = new Map();
  for (const [key, colour] of pairs) byColour.set(colour, [...(byColour.get(colour) ?? []), key]);
  return ['match', input, ...[...byColour].flatMap(([colour, keys]) => [keys, colour]), fallback];
}

function landuse(classes) {
  const code = firstOf(classes.fields);
  const four = classes.classes.filter((entry) => entry.code.length === 4).map((entry) => [entry.code, entry.color]);
  const exact = [
    ...classes.second_survey.map((entry) => [entry.code, entry.color]),
    ...classes.tags.flatMap((tag) => tag.values.map((value) => [value, tag.color])),
    ...classes.unclassified.codes.map((value) => [value, classes.unclassified.color]),
  ];
  const groups = classes.groups.map((entry) => [entry.code, entry.color]);
  const fill = [
    'let', 'code', code,
    matchColours(['slice', ['var', 'code'], 0, 4], four,
      matchColours(['var', 'code'], exact,
        matchColours(['slice', ['var', 'code'], 0, 2], groups, classes.unclassified.color))),
  ];
  const entry = (values, item) => ({
    label: item.name,
    label_en: item.name_en,
    shape: 'fill',
    color: item.color,
    outline: '#8a8672',
    layer: `${LAYER}-fill`,
    fields: classes.fields,
    values,
  });
  return {
    family: 'landuse',
    legend: [
      ...classes.classes.map((item) => entry([item.code], item)),
      ...classes.groups.filter((group) => group.code !== '09').map((item) => entry([item.code], item)),
      ...classes.second_survey.map((item) => entry([item.code], item)),
      ...classes.tags.map((item) => entry(item.values, item)),
      { ...entry([], classes.unclassified), otherwise: true },
    ],
    layers: [
      layer('fill', 'fill', {
        filter: isPolygon,
        paint: { 'fill-color': fill, 'fill-opacity': 0.88, 'fill-antialias': false },
      }),
      layer('outline', 'line', {
        filter: isPolygon,
        minzoom: 11,
        paint: {
          'line-color': '#5d5a4c',
          'line-width': zoomed(11, 0.2, 14, 0.5, 17, 1),
          'line-opacity': zoomed(11, 0.25, 14, 0.5, 17, 0.8),
        },
      }),
      layer('line', 'line', {
        filter: isLine,
        paint: { 'line-color': fill, 'line-width': zoomed(10, 0.8, 16, 3), 'line-opacity': 1 },
      }),
      layer('point', 'circle', {
        filter: isPoint,
        paint: {
          // What stands for several has no class when they differ.
          'circle-color': ['case', ['all', ['has', 'onemap_count'], ['==', code, '']], '#8a8672', fill], 'circle-radius': radius(10, 2, 16, 5),
          'circle-stroke-color': '#5d5a4c', 'circle-stroke-width': 0.7,
          'circle-opacity': 1, 'circle-stroke-opacity': 1,
        },
      }),
      label('name', {
        minzoom: 15,
        layout: textLayout(firstOf(['DLMC', 'dlmc', 'name', 'NAME', 'TBBH']), zoomed(15, 10, 18, 13)),
        paint: { ...textPaint('#4b4a3d', 1.1), 'text-opacity': 0.95 },
      }),
    ],
  };
}

function planning() {
  const kinds = [
    {
      suffix: 'redline', label: '生态保护红线', label_en: 'Ecological protection red line',
      names: ['stbh', '红线', 'redline'], fields: ['HXMC', 'HXLX', 'HXBM'],
      line: '#d4202c', width: 2, dash: null, tint: '#2e9e4f', pattern: 'hatch-green',
    },
    {
      suffix: 'farmland', label: '永久基本农田', label_en: 'Permanent basic farmland',
      names: ['jbnt', '基本农田'], fields: ['JBNTTBBH', 'JBNTMJ', 'YJJBNTTBBH', 'YJJBNTBHBH', 'YJJBNTMJ'],
      line: '#a97c00', width: 1, dash: null, tint: '#f2c230', pattern: 'hatch-gold',
    },
    {
      suffix: 'urban', label: '城镇开发边界', label_en: 'Urban development boundary',
      names: ['czkfbj', 'cskfbj', '开发边界', 'growth'], fields: [],
      line: '#7a2fb5', width: 2.2, dash: [4, 1.5], tint: '#a45fd6', pattern: null,
    },
  ];
  const isKind = (kind) => ['any', ...named(kind.names), ...hasAny(kind.fields)];
  // The first kind that fits wins, so that one feature is drawn once.
  const kindOf = ['case', ...kinds.flatMap((kind) => [isKind(kind), kind.suffix]), 'zone'];
  const only = (suffix) => all(isPolygon, ['==', kindOf, suffix]);

  const zones = [
    { fields: ['GZQLXDM'], length: 2, entries: [
      ['01', '允许建设区', 'Construction allowed', '#f3a6a0'], ['02', '有条件建设区', 'Construction conditional', '#f7d9a0'],
      ['03', '限制建设区', 'Construction restricted', '#d8e8b4'], ['04', '禁止建设区', 'Construction prohibited', '#9cc9a0']] },
    { fields: ['TDYTQLXDM'], length: 2, entries: [
      ['01', '基本农田保护区', 'Basic farmland', '#f5e27a'], ['02', '一般农地区', 'General farmland', '#fbf3bd'],
      ['03', '城镇建设用地区', 'Urban construction', '#ea8f8d'], ['04', '村镇建设用地区', 'Village construction', '#f2b8b0'],
      ['05', '独立工矿用地区', 'Separate industry and mining', '#c59a8c'], ['06', '风景旅游用地区', 'Scenery and tourism', '#a9d6b8'],
      ['07', '生态环境安全控制区', 'Ecological safety', '#7fc08f'], ['08', '自然与文化遗产保护区', 'Heritage protection', '#9bbfa8'],
      ['09', '林业用地区', 'Forestry', '#5cb27c'], ['10', '牧业用地区', 'Pasture', '#a8d070'], ['99', '其他用地区', 'Other', '#d9d6cf']] },
    { fields: ['GHFQDM'], length: 2, entries: [
      ['10', '生态保护区', 'Ecological protection', '#7fc08f'], ['20', '生态控制区', 'Ecological control', '#a9d6b8'],
      ['30', '农田保护区', 'Farmland protection', '#f5e27a'], ['40', '城镇发展区', 'Urban development', '#ea8f8d'],
      ['50', '乡村发展区', 'Rural development', '#f6dcb4'], ['60', '海洋发展区', 'Marine development', '#a4e0e6'],
      ['70', '矿产能源发展区', 'Minerals and energy', '#c59a8c']] },
    { fields: ['YDYHFLDM', 'YDYHDM', 'GHYDDM'], length: 2, entries: [
      ['01', '耕地', 'Cropland', '#fbf3bd'], ['02', '园地', 'Plantation', '#d6a7c9'], ['03', '林地', 'Forest', '#5cb27c'],
      ['04', '草地', 'Grassland', '#a8d070'], ['05', '湿地', 'Wetland', '#9fd0c4'],
      ['06', '农业设施建设用地', 'Agricultural facilities', '#dcb482'], ['07', '居住用地', 'Residential', '#ffe17a'],
      ['08', '公共管理与公共服务用地', 'Public services', '#f08fb0'], ['09', '商业服务业用地', 'Commercial', '#ee5a52'],
      ['10', '工矿用地', 'Industry and mining', '#b58262'], ['11', '仓储用地', 'Storage', '#a68cc8'],
      ['12', '交通运输用地', 'Transport', '#b9b9b9'], ['13', '公用设施用地', 'Utilities', '#5f9ecb'],
      ['14', '绿地与开敞空间用地', 'Green and open space', '#6cc76c'], ['15', '特殊用地', 'Special use', '#8d9a6a'],
      ['16', '留白用地', 'Reserved', '#f4f4f0'], ['17', '陆地水域', 'Inland water', '#a3d6f5'],
      ['18', '渔业用海', 'Fishery sea', '#8cc4e8'], ['19', '工矿通信用海', 'Industry sea', '#9aa9d0'],
      ['20', '交通运输用海', 'Transport sea', '#a9b9d8'], ['21', '游憩用海', 'Recreation sea', '#a4e0e6'],
      ['22', '特殊用海', 'Special sea', '#8fb0b8'], ['23', '其他土地', 'Other land', '#d9d0c0'], ['24', '其他海域', 'Other sea', '#c4dff0']] },
  ];
  const other = '#b8c4d4';
  const zoneColour = zones.reduceRight((rest, zone) => {
    const fields = bothCases(zone.fields);
    return ['case', ['any', ...fields.map((field) => ['has', field])],
      matchColours(['slice', firstOf(fields), 0, zone.length], zone.entries.map(([code, , , colour]) => [code, colour]), other),
      rest];
  }, other);

  return {
    family: 'planning',
    legend: [
      ...kinds.map((kind) => ({
        label: kind.label, label_en: kind.label_en, shape: 'fill', color: kind.tint, outline: kind.line,
        ...(kind.pattern ? { pattern: kind.pattern } : {}), ...(kind.dash ? { dash: kind.dash } : {}),
        layer: `${LAYER}-${kind.suffix}`,
      })),
      ...zones.flatMap((zone) => zone.entries.map(([code, name, name_en, color]) => ({
        label: name, label_en: name_en, shape: 'fill', color, outline: '#7d8794',
        layer: `${LAYER}-zone`, fields: bothCases(zone.fields), values: [code],
      }))),
      { label: '其他规划分区', label_en: 'Other planning zone', shape: 'fill', color: other, outline: '#7d8794', layer: `${LAYER}-zone`, otherwise: true },
      { label: '规划线', label_en: 'Planning line', shape: 'line', color: '#b0346a', layer: `${LAYER}-line` },
      { label: '规划点', label_en: 'Planning point', shape: 'point', color: '#b0346a', layer: `${LAYER}-point` },
    ],
    layers: [
      layer('zone', 'fill', { filter: only('zone'), paint: { 'fill-color': zoneColour, 'fill-opacity': 0.6 } }),
      layer('zone-outline', 'line', {
        filter: only('zone'),
        paint: { 'line-color': '#5f6b7a', 'line-width': zoomed(9, 0.4, 15, 1.2), 'line-opacity': 0.8 },
      }),
      ...kinds.flatMap((kind) => [
        layer(kind.suffix, 'fill', { filter: only(kind.suffix), paint: { 'fill-color': kind.tint, 'fill-opacity': 0.14 } }),
        ...(kind.pattern
          ? [layer(`${kind.suffix}-hatch`, 'fill', {
              filter: only(kind.suffix), minzoom: 10,
              paint: { 'fill-pattern': kind.pattern, 'fill-opacity': zoomed(10, 0.35, 13, 0.75) },
            })]
          : []),
        layer(`${kind.suffix}-outline`, 'line', {
          filter: only(kind.suffix),
          layout: { 'line-join': 'round' },
          paint: {
            'line-color': kind.line,
            'line-width': zoomed(8, kind.width * 0.4, 12, kind.width * 0.8, 16, kind.width * 1.4),
            'line-opacity': 0.95,
            ...(kind.dash ? { 'line-dasharray': kind.dash } : {}),
          },
        }),
      ]),
      layer('line', 'line', {
        filter: isLine,
        paint: { 'line-color': '#b0346a', 'line-width': zoomed(8, 0.8, 15, 2.4), 'line-opacity': 0.95 },
      }),
      layer('point', 'circle', {
        filter: isPoint,
        paint: {
          'circle-color': '#b0346a', 'circle-radius': radius(8, 2.5, 15, 6), 'circle-opacity': 0.95,
          'circle-stroke-color': '#ffffff', 'circle-stroke-width': 1.2, 'circle-stroke-opacity': 1,
        },
      }),
      pointName(13, ['XMMC', 'name', 'NAME', 'MC'], '#3f4652'),
      label('name', {
        minzoom: 13,
        layout: textLayout(firstOf(['HXMC', 'GHFQMC', 'YDYHFLMC', 'XMMC', 'name', 'NAME', 'MC']), zoomed(13, 11, 17, 14)),
        paint: { ...textPaint('#3f4652'), 'text-opacity': 1 },
      }),
    ],
  };
}

function mineral() {
  const kinds = [
    {
      suffix: 'mining', label: '采矿权', label_en: 'Mining right', names: ['ckq', '采矿', 'mining'], licence: ['C'],
      words: ['采矿权', 'mining'], fields: ['CKXKZH', 'CKQR'], line: '#9c2f1f', tint: '#d9674f', pattern: 'hatch-red', dash: null,
    },
    {
      suffix: 'exploration', label: '探矿权', label_en: 'Exploration right', names: ['tkq', '探矿', 'explor'], licence: ['T', 'D'],
      words: ['探矿权', 'exploration'], fields: ['KCXKZH', 'TKQR', 'KCJD'], line: '#2f5aa8', tint: '#6f98dc', pattern: 'hatch-blue', dash: [3, 1.5],
    },
  ];
  const licence = ['upcase', ['slice', firstOf(bothCases(['XKZH', 'licence_no', 'KQBH', 'right_kind'])), 0, 1]];
  const rightType = ['downcase', firstOf(bothCases(['KQLX', 'right_type', 'kind']))];
  const isKind = (kind) => ['any', ...named(kind.names), ...hasAny(kind.fields),
    ['match', rightType, kind.words, true, false], ['match', licence, kind.licence, true, false]];
  const kindOf = ['case', ...kinds.flatMap((kind) => [isKind(kind), kind.suffix]), 'other'];
  const only = (suffix) => all(isPolygon, ['==', kindOf, suffix]);
  const drawn = [...kinds, {
    suffix: 'other', label: '其他矿产要素', label_en: 'Other mineral feature', line: '#6b5b4a', tint: '#b8a48c', pattern: null, dash: null,
  }];
  return {
    family: 'mineral',
    legend: [
      ...drawn.map((kind) => ({
        label: kind.label, label_en: kind.label_en, shape: 'fill', color: kind.tint, outline: kind.line,
        ...(kind.pattern ? { pattern: kind.pattern } : {}), ...(kind.dash ? { dash: kind.dash } : {}),
        layer: `${LAYER}-${kind.suffix}`,
      })),
      { label: '矿产线', label_en: 'Mineral line', shape: 'line', color: '#6b5b4a', layer: `${LAYER}-line` },
      { label: '矿产地', label_en: 'Mineral site', shape: 'point', color: '#9c2f1f', layer: `${LAYER}-point` },
    ],
    layers: [
      ...drawn.flatMap((kind) => [
        layer(kind.suffix, 'fill', { filter: only(kind.suffix), paint: { 'fill-color': kind.tint, 'fill-opacity': 0.18 } }),
        ...(kind.pattern
          ? [layer(`${kind.suffix}-hatch`, 'fill', {
              filter: only(kind.suffix), minzoom: 9, paint: { 'fill-pattern': kind.pattern, 'fill-opacity': zoomed(9, 0.3, 13, 0.7) },
            })]
          : []),
        layer(`${kind.suffix}-outline`, 'line', {
          filter: only(kind.suffix),
          layout: { 'line-join': 'miter' },
          paint: {
            'line-color': kind.line, 'line-width': zoomed(8, 1, 14, 2.2), 'line-opacity': 0.95,
            ...(kind.dash ? { 'line-dasharray': kind.dash } : {}),
          },
        }),
      ]),
      layer('line', 'line', {
        filter: isLine, paint: { 'line-color': '#6b5b4a', 'line-width': zoomed(8, 0.8, 15, 2), 'line-opacity': 0.95 },
      }),
      layer('point', 'circle', {
        filter: isPoint,
        paint: {
          'circle-color': '#9c2f1f', 'circle-radius': radius(6, 3, 14, 6), 'circle-opacity': 0.95,
          'circle-stroke-color': '#ffffff', 'circle-stroke-width': 1.5, 'circle-stroke-opacity': 1,
        },
      }),
      pointName(10, ['KSMC', 'mine_name', 'XMMC', 'KQMC', 'name', 'NAME', 'MC'], '#5a2a20'),
      label('name', {
        minzoom: 11,
        layout: textLayout(firstOf(['KSMC', 'mine_name', 'XMMC', 'KQMC', 'name', 'NAME', 'XKZH', 'licence_no', 'KQBH']), zoomed(11, 11, 16, 14)),
        paint: { ...textPaint('#5a2a20'), 'text-opacity': 1 },
      }),
    ],
  };
}

function admin() {
  return {
    family: 'admin',
    legend: [
      { label: '行政区界线', label_en: 'Administrative boundary', shape: 'line', color: '#6d4a86', dash: [5, 2, 1, 2], layer: `${LAYER}-area` },
      { label: '界线', label_en: 'Boundary line', shape: 'line', color: '#6d4a86', dash: [5, 2, 1, 2], layer: `${LAYER}-line` },
      { label: '地名点', label_en: 'Place', shape: 'point', color: '#6d4a86', layer: `${LAYER}-point` },
    ],
    layers: [
      // A breath of colour: seen only over white, and it lets a click inside the boundary find the unit.
      layer('area', 'fill', { filter: isPolygon, paint: { 'fill-color': '#6d4a86', 'fill-opacity': 0.04 } }),
      layer('casing', 'line', {
        filter: ['any', isPolygon, isLine], minzoom: 5, layout: { 'line-join': 'round' },
        paint: { 'line-color': '#ffffff', 'line-width': zoomed(5, 0.8, 8, 2.2, 14, 4.5), 'line-opacity': zoomed(5, 0, 9, 0.7) },
      }),
      layer('outline', 'line', {
        filter: isPolygon, layout: { 'line-join': 'round' },
        paint: { 'line-color': '#6d4a86', 'line-width': zoomed(3, 0.25, 8, 0.9, 14, 1.8), 'line-opacity': zoomed(3, 0.5, 7, 0.9), 'line-dasharray': [5, 2, 1, 2] },
      }),
      layer('line', 'line', {
        filter: isLine, layout: { 'line-join': 'round' },
        paint: { 'line-color': '#6d4a86', 'line-width': zoomed(3, 0.3, 8, 0.9, 14, 1.8), 'line-opacity': 0.9, 'line-dasharray': [5, 2, 1, 2] },
      }),
      layer('point', 'circle', {
        filter: isPoint,
        paint: {
          'circle-color': '#6d4a86', 'circle-radius': radius(4, 1.5, 12, 4), 'circle-opacity': 0.95,
          'circle-stroke-color': '#ffffff', 'circle-stroke-width': 1, 'circle-stroke-opacity': 1,
        },
      }),
      pointName(8, ['XZQMC', 'xzqmc', 'name', 'NAME', 'Name', 'MC'], '#4d3360'),
      label('name', {
        minzoom: 6,
        layout: textLayout(firstOf(['XZQMC', 'xzqmc', 'ZLDWMC', 'zldwmc', 'name', 'NAME', 'Name', 'MC', 'CJDCQMC']), zoomed(6, 10, 10, 13, 15, 17), { 'text-letter-spacing': 0.06 }),
        paint: { ...textPaint('#4d3360', 1.6), 'text-opacity': 1 },
      }),
    ],
  };
}

function other() {
  const themes = [
    { suffix: 'water', label: '水系', label_en: 'Water', names: ['water', 'river', 'lake', '水系', '河流', '湖泊'], fields: ['waterway'], fill: '#a9d3ee', line: '#4c93c4', opacity: 0.9 },
    { suffix: 'building', label: '建筑', label_en: 'Building', names: ['build', '建筑', '房屋'], fields: ['building'], fill: '#d8c9b8', line: '#a08d78', opacity: 0.95 },
    { suffix: 'road', label: '道路', label_en: 'Road', names: ['road', 'street', 'highway', '道路', '公路'], fields: ['highway'], fill: '#e8e4da', line: '#c58a3a', opacity: 0.9 },
  ];
  const rest = { suffix: 'thing', label: '面', label_en: 'Area', fill: '#9db4c0', line: '#54707f', opacity: 0.32 };
  const isTheme = (theme) => ['any', ...named(theme.names), ...hasAny(theme.fields)];
  const themeOf = ['case', ...themes.flatMap((theme) => [isTheme(theme), theme.suffix]), rest.suffix];
  const pick = (key) => ['match', themeOf, ...themes.flatMap((theme) => [theme.suffix, theme[key]]), rest[key]];
  const both = [...themes, rest];
  return {
    family: 'other',
    legend: both.flatMap((theme) => [
      { label: theme.label, label_en: theme.label_en, shape: 'fill', color: theme.fill, outline: theme.line, layer: `${LAYER}-${theme.suffix}` },
      { label: theme === rest ? '线' : theme.label, label_en: theme === rest ? 'Line' : theme.label_en, shape: 'line', color: theme.line, layer: `${LAYER}-${theme.suffix}-line` },
    ]).concat({ label: '点', label_en: 'Point', shape: 'point', color: rest.line, layer: `${LAYER}-point` }),
    layers: [
      ...both.map((theme) => layer(theme.suffix, 'fill', {
        filter: all(isPolygon, ['==', themeOf, theme.suffix]),
        paint: { 'fill-color': theme.fill, 'fill-opacity': theme.opacity },
      })),
      layer('outline', 'line', {
        filter: isPolygon, paint: { 'line-color': pick('line'), 'line-width': zoomed(8, 0.3, 14, 0.8, 17, 1.2), 'line-opacity': 0.9 },
      }),
      ...both.map((theme) => layer(`${theme.suffix}-line`, 'line', {
        filter: all(isLine, ['==', themeOf, theme.suffix]),
        layout: { 'line-cap': 'round', 'line-join': 'round' },
        paint: { 'line-color': theme.line, 'line-width': zoomed(6, 0.6, 12, 1.2, 17, 3.5), 'line-opacity': 0.95 },
      })),
      layer('point', 'circle', {
        filter: isPoint,
        paint: {
          'circle-color': rest.line, 'circle-radius': radius(6, 2, 14, 5), 'circle-opacity': 0.95,
          'circle-stroke-color': '#ffffff', 'circle-stroke-width': 1, 'circle-stroke-opacity': 1,
        },
      }),
      pointName(14, ['MC', 'name', 'NAME', 'Name'], '#3c4a52'),
      label('name', {
        minzoom: 13,
        layout: textLayout(firstOf(['MC', 'name', 'NAME', 'Name']), zoomed(13, 10, 17, 13)),
        paint: { ...textPaint('#3c4a52'), 'text-opacity': 1 },
      }),
    ],
  };
}

function imagery() {
  return {
    family: 'imagery',
    legend: [],
    layers: [layer('raster', 'raster', { paint: { 'raster-opacity': 1, 'raster-fade-duration': 150 } })],
  };
}

const HATCHES = {
  'hatch-green': { colour: [34, 139, 68], slope: 1 },
  'hatch-gold': { colour: [190, 142, 10], slope: -1 },
  'hatch-red': { colour: [156, 47, 31], slope: 1 },
  'hatch-blue': { colour: [47, 90, 168], slope: -1 },
};

/** Every file below `styles/` that is made, by name: text or bytes. */
export function build() {
  const classes = JSON.parse(readFileSync(join(stylesDir, 'landuse-classes.json'), 'utf8'));
  const files = new Map();
  for (const template of [landuse(classes), planning(), mineral(), admin(), imagery(), other()]) {
    files.set(`${template.family}.json`, printTemplate(template));
  }
  for (const [suffix, ratio] of [['', 1], ['@2x', 2]]) {
    const { image, index } = spriteSheet(ratio);
    files.set(`sprites/onemap${suffix}.png`, encodePng(image));
    files.set(`sprites/onemap${suffix}.json`, `${JSON.stringify(index, null, 1)}\n`);
  }
  return files;
}

export function spriteSheet(ratio) {
  const size = 12 * ratio;
  const names = Object.keys(HATCHES);
  const image = { width: size * names.length, height: size, rgba: new Uint8Array(size * names.length * size * 4) };
  const index = {};
  names.forEach((name, column) => {
    const tile = hatch(size, ratio, HATCHES[name]);
    for (let y = 0; y < size; y++) {
      image.rgba.set(tile.subarray(y * size * 4, (y + 1) * size * 4), (y * image.width + column * size) * 4);
    }
    index[name] = { x: column * size, y: 0, width: size, height: size, pixelRatio: ratio };
  });
  return { image, index };
}

/** One line for each legend entry and each layer: a diff shows what changed. */
function printTemplate({ family, legend, layers }) {
  const lines = (items) => items.map((item) => `\n    ${JSON.stringify(item)}`).join(',');
  return `{\n  "family": ${JSON.stringify(family)},\n  "legend": [${lines(legend)}\n  ],\n  "layers": [${lines(layers)}\n  ]\n}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  mkdirSync(join(stylesDir, 'sprites'), { recursive: true });
  for (const [name, content] of build()) writeFileSync(join(stylesDir, name), content);
}
