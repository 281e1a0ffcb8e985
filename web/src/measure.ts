// Measuring on the map: a line or an area drawn point by point, by pointer or keyboard.
import type { GeoJSONSource, Map as MapLibre, MapMouseEvent } from 'maplibre-gl';
import { formatArea, formatLength } from './coordinates';
import { h, icon, replace } from './dom';
import { areaM2, distanceM, type LonLat } from './geodesy';
import { onLanguage, t } from './i18n';

export const MEASURE_SOURCE = 'onemap:measure';
export type Tool = 'distance' | 'area';

export class Measure {
  readonly element = h('section', { class: 'measure', hidden: true, role: 'status' });
  tool: Tool | null = null;
  private points: LonLat[] = [];
  private hover: LonLat | null = null;
  private finished = false;
  private readonly listeners: (() => void)[] = [];

  constructor(private readonly map: MapLibre) {
    map.on('click', (event) => this.add(event));
    map.on('mousemove', (event) => {
      if (this.tool === null || this.finished) return;
      this.hover = [event.lngLat.lng, event.lngLat.lat];
      this.draw();
    });
    map.on('dblclick', (event) => {
      if (this.tool === null) return;
      event.preventDefault();
      this.finish();
    });
    onLanguage(() => this.render());
  }

  /** True while clicks draw instead of asking. */
  get isDrawing(): boolean {
    return this.tool !== null && !this.finished;
  }

  /** The points of an area that is drawn to its end. */
  get finishedRing(): readonly LonLat[] | null {
    return this.tool === 'area' && this.finished ? this.points : null;
  }

  onChange(listener: () => void): void {
    this.listeners.push(listener);
  }

  start(tool: Tool): void {
    this.clear();
    this.tool = tool;
    this.map.getCanvas().style.cursor = 'crosshair';
    this.element.hidden = false;
    this.changed();
  }

  clear(): void {
    this.tool = null;
    this.points = [];
    this.hover = null;
    this.finished = false;
    this.map.getCanvas().style.cursor = '';
    this.element.hidden = true;
    this.changed();
  }

  undo(): void {
    this.points.pop();
    this.finished = false;
    this.changed();
  }

  finish(): void {
    if (this.points.length < (this.tool === 'area' ? 3 : 2)) return;
    this.finished = true;
    this.hover = null;
    this.map.getCanvas().style.cursor = '';
    this.changed();
  }

  addPoint(point: LonLat): void {
    if (!this.isDrawing) return;
    const last = this.points.at(-1);
    // A double click arrives as two clicks on one place.
    if (last && last[0] === point[0] && last[1] === point[1]) return;
    this.points.push(point);
    this.changed();
  }

  private add(event: MapMouseEvent): void {
    if (!this.isDrawing) return;
    this.addPoint([event.lngLat.lng, event.lngLat.lat]);
  }

  private changed(): void {
    this.draw();
    this.render();
    for (const listener of this.listeners) listener();
  }

  private draw(): void {
    const source = this.map.getSource<GeoJSONSource>(MEASURE_SOURCE);
    if (!source) return;
    const path = this.hover && !this.finished ? [...this.points, this.hover] : this.points;
    const features: GeoJSON.Feature[] = this.points.map((point) => ({ type: 'Feature', properties: {}, geometry: { type: 'Point', coordinates: [...point] } }));
    if (path.length > 1) {
      const closed = this.tool === 'area' && path.length > 2;
      const line = (closed ? [...path, path[0]!] : path).map((point) => [...point]);
      features.push({ type: 'Feature', properties: {}, geometry: { type: 'LineString', coordinates: line } });
      if (closed) features.push({ type: 'Feature', properties: {}, geometry: { type: 'Polygon', coordinates: [line] } });
    }
    source.setData({ type: 'FeatureCollection', features });
    this.renderResult(path);
  }

  private readonly result = h('div', { class: 'measure-result' });

  private renderResult(path: LonLat[]): void {
    if (this.tool === 'distance') {
      replace(this.result, h('strong', {}, formatLength(distanceM(path))));
    } else if (this.tool === 'area') {
      const { area, perimeter } = path.length > 2 ? areaM2(path) : { area: 0, perimeter: distanceM(path) };
      const { main, hectares, mu } = formatArea(area);
      replace(
        this.result,
        h('strong', {}, main),
        h('span', {}, `${hectares} ${t('hectare')} · ${mu} ${t('mu')}`),
        h('span', {}, `${t('perimeter')} ${formatLength(perimeter)}`),
      );
    }
  }

  private render(): void {
    if (this.tool === null) return;
    this.renderResult(this.points);
    replace(
      this.element,
      h(
        'header', {},
        h('h2', {}, this.tool === 'distance' ? t('distance') : t('area')),
        h('button', { type: 'button', class: 'text-button', disabled: this.points.length === 0, onclick: () => this.undo() }, t('undo')),
        h('button', { type: 'button', class: 'icon-button', 'aria-label': t('clearMeasure'), title: t('clearMeasure'), onclick: () => this.clear() }, icon('close')),
      ),
      this.result,
      h('p', { class: 'note' }, this.finished ? t('measureMethod') : t('measureHint')),
    );
  }
}
