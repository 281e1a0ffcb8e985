// Which legend entries have something in view, and what they look like.
import type { MapGeoJSONFeature, Map as MapLibre } from 'maplibre-gl';
import { h } from './dom';
import type { LegendEntry, Properties } from './server';
import { absolute } from './server';
import type { StackedLayer } from './stack';

/** The entries of a layer that explain a feature now drawn, in the order of the legend. */
export function entriesInView(map: MapLibre, layer: StackedLayer): LegendEntry[] {
  const ids = [...new Set(layer.legend.map((entry) => entry.layer))].filter((id) => map.getLayer(id));
  if (ids.length === 0) return [];
  return entriesFor(layer.legend, map.queryRenderedFeatures({ layers: ids }).map(({ layer: { id }, properties }: MapGeoJSONFeature) => ({ layer: id, properties })));
}

/** The entries that explain one of the features, each named with the style layer that draws it. */
export function entriesFor(legend: LegendEntry[], features: Iterable<{ layer: string; properties: Properties }>): LegendEntry[] {
  const byLayer = new Map<string, LegendEntry[]>();
  for (const entry of legend) byLayer.set(entry.layer, [...(byLayer.get(entry.layer) ?? []), entry]);
  const finders = new Map([...byLayer].map(([layer, entries]) => [layer, finder(entries)]));
  const found = new Set<LegendEntry>();
  for (const feature of features) {
    const entry = finders.get(feature.layer)?.(feature.properties);
    if (entry) found.add(entry);
  }
  return legend.filter((entry) => found.has(entry));
}

function finder(entries: LegendEntry[]): (properties: Properties) => LegendEntry | undefined {
  // Entries with the same fields share one table.
  const tables = new Map<string, { fields: string[]; byValue: Map<string, LegendEntry> }>();
  let rest: LegendEntry | undefined;
  for (const entry of entries) {
    if (entry.otherwise || !entry.fields) {
      rest ??= entry;
      continue;
    }
    const key = entry.fields.join('\n');
    const table = tables.get(key) ?? { fields: entry.fields, byValue: new Map<string, LegendEntry>() };
    tables.set(key, table);
    for (const value of entry.values ?? []) if (!table.byValue.has(value)) table.byValue.set(value, entry);
  }
  return (properties) => {
    for (const { fields, byValue } of tables.values()) {
      const field = fields.find((name) => properties[name] !== undefined && properties[name] !== null);
      if (field === undefined) continue;
      const value = String(properties[field]);
      const entry = byValue.get(value) ?? byValue.get(value.slice(0, 4)) ?? byValue.get(value.slice(0, 2));
      if (entry) return entry;
    }
    return rest;
  };
}

/** A small drawing of an entry. */
export function swatch(entry: LegendEntry): SVGSVGElement {
  const namespace = 'http://www.w3.org/2000/svg';
  const make = (tag: string, attributes: Record<string, string | number>) => {
    const element = document.createElementNS(namespace, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
    return element;
  };
  const svg = make('svg', { viewBox: '0 0 24 16', width: 24, height: 16, class: 'swatch', 'aria-hidden': 'true' }) as SVGSVGElement;
  const dash: Record<string, string> = entry.dash ? { 'stroke-dasharray': entry.dash.map((part) => part * 1.3).join(' ') } : {};
  if (entry.shape === 'fill') {
    svg.append(make('rect', { x: 1.5, y: 1.5, width: 21, height: 13, fill: entry.color, 'fill-opacity': entry.pattern || entry.dash ? 0.25 : 1 }));
    if (entry.pattern) {
      const lines = entry.pattern === 'hatch-gold' || entry.pattern === 'hatch-blue' ? 'M-2 5l12 12M5 0l16 16M14 0l12 12' : 'M-2 12L12 -2M4 16L20 0M12 18L26 4';
      const clip = make('svg', { x: 1.5, y: 1.5, width: 21, height: 13 });
      clip.append(make('path', { d: lines, stroke: entry.outline ?? entry.color, 'stroke-width': 0.9, opacity: 0.75, fill: 'none' }));
      svg.append(clip);
    }
    svg.append(make('rect', { x: 1.5, y: 1.5, width: 21, height: 13, fill: 'none', stroke: entry.outline ?? '#777', 'stroke-width': entry.pattern || entry.dash ? 1.5 : 0.75, ...dash }));
  } else if (entry.shape === 'line') {
    svg.append(make('path', { d: 'M1 8h22', stroke: entry.color, 'stroke-width': 2, ...dash }));
  } else {
    svg.append(make('circle', { cx: 12, cy: 8, r: 4.5, fill: entry.color, stroke: '#fff', 'stroke-width': 1.2 }));
  }
  return svg;
}

export const spriteUrl = (): string => absolute('sprites/onemap');

export const colourDot = (color: string) => h('span', { class: 'dot', style: `background:${color}`, 'aria-hidden': 'true' });
