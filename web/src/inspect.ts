// What lies at a place: the features under a click, and the attributes of the one chosen.
import type { GeoJSONSource, Map as MapLibre, Point } from 'maplibre-gl';
import { formatArea, formatLength } from './coordinates';
import { h, icon, replace } from './dom';
import { areaM2, distanceM, type LonLat } from './geodesy';
import { currentLanguage, onLanguage, t, titleOf } from './i18n';
import { colourDot } from './legend';
import { getFeature, RequestError, type Feature, type Properties } from './server';
import type { LayerStack, StackedLayer } from './stack';
import { featureTitle, fieldAlias, valueMeaning } from './vocabulary';

export const SELECTION_SOURCE = 'onemap:selection';
/** Lines and points are hit within so many pixels. */
const REACH_PX = 5;

export interface Candidate {
  layer: StackedLayer;
  id: number;
  properties: Properties;
}

export interface InspectNeeds {
  map: MapLibre;
  stack: LayerStack;
  zoomTo(geometry: GeoJSON.Geometry): void;
  announce(text: string): void;
  selected(feature: { layer: string; id: number } | null): void;
  copyLink(): void;
}

export class Inspector {
  readonly element = h('aside', { class: 'inspector', hidden: true, tabindex: -1 });
  private candidates: Candidate[] = [];
  private chosen = 0;
  private feature: Feature | null = null;
  private failure: RequestError | null = null;
  private request: AbortController | null = null;

  constructor(private readonly needs: InspectNeeds) {
    onLanguage(() => this.render());
    this.element.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') this.close();
    });
  }

  /** Everything under a pixel, uppermost first and administrative units last; each feature once. */
  candidatesAt(point: Point): Candidate[] {
    const { map, stack } = this.needs;
    const owners = new Map<string, StackedLayer>();
    for (const layer of stack.visible()) for (const id of stack.clickable(layer)) owners.set(id, layer);
    if (owners.size === 0) return [];
    const exact = map.queryRenderedFeatures(point, { layers: [...owners.keys()] });
    const near = map
      .queryRenderedFeatures([[point.x - REACH_PX, point.y - REACH_PX], [point.x + REACH_PX, point.y + REACH_PX]], { layers: [...owners.keys()] })
      .filter(({ geometry }) => !geometry.type.endsWith('Polygon'));
    const seen = new Set<string>();
    const rank = new Map(stack.layers.map((layer, index) => [layer, index]));
    return [...near, ...exact]
      .flatMap((feature): Candidate[] => {
        const layer = owners.get(feature.layer.id)!;
        const id = Number(feature.id);
        const key = `${layer.info.name}/${id}`;
        if (!Number.isSafeInteger(id) || seen.has(key)) return [];
        seen.add(key);
        return [{ layer, id, properties: feature.properties }];
      })
      // An administrative unit covers everything in it: what was meant is rather the thing inside.
      .sort((a, b) => Number(a.layer.info.kind === 'admin') - Number(b.layer.info.kind === 'admin') || rank.get(a.layer)! - rank.get(b.layer)!);
  }

  async open(candidates: Candidate[]): Promise<void> {
    if (candidates.length === 0) {
      this.close();
      this.needs.announce(t('nothingHere'));
      return;
    }
    this.candidates = candidates;
    await this.choose(0);
  }

  async choose(index: number): Promise<void> {
    const candidate = this.candidates[index];
    if (!candidate) return;
    this.request?.abort();
    const request = new AbortController();
    this.request = request;
    this.chosen = index;
    this.feature = null;
    this.failure = null;
    this.element.hidden = false;
    document.body.classList.add('inspecting');
    this.render();
    this.needs.selected({ layer: candidate.layer.info.name, id: candidate.id });
    try {
      const feature = await getFeature(candidate.layer.info.name, candidate.id, request.signal);
      if (request.signal.aborted) return;
      this.feature = feature;
      this.highlight(feature.geometry);
    } catch (error) {
      if (request.signal.aborted) return;
      this.failure = error instanceof RequestError ? error : new RequestError('content', null, String(error));
      this.highlight(null);
    }
    this.render();
    const title = featureTitle(this.feature?.properties ?? candidate.properties, currentLanguage());
    this.needs.announce(`${titleOf(candidate.layer.info)} ${title ?? candidate.id}`);
  }

  get geometry(): GeoJSON.Geometry | null {
    return this.feature?.geometry ?? null;
  }

  close(): void {
    this.request?.abort();
    if (this.element.hidden) return;
    this.candidates = [];
    this.feature = null;
    this.element.hidden = true;
    document.body.classList.remove('inspecting');
    this.highlight(null);
    this.needs.selected(null);
  }

  private highlight(geometry: GeoJSON.Geometry | null): void {
    this.needs.map.getSource<GeoJSONSource>(SELECTION_SOURCE)?.setData({
      type: 'FeatureCollection',
      features: geometry ? [{ type: 'Feature', properties: {}, geometry }] : [],
    });
  }

  private render(): void {
    const candidate = this.candidates[this.chosen];
    if (!candidate) return;
    const language = currentLanguage();
    const properties = this.feature?.properties ?? candidate.properties;
    const title = featureTitle(properties, language) ?? `#${candidate.id}`;
    this.element.setAttribute('aria-label', t('attributes'));
    this.element.setAttribute('data-feature', `${candidate.layer.info.name}/${candidate.id}`);
    replace(
      this.element,
      h(
        'header', { class: 'inspector-head' },
        h('div', {}, h('p', { class: 'eyebrow' }, titleOf(candidate.layer.info)), h('h2', {}, title)),
        h('button', { type: 'button', class: 'icon-button', 'aria-label': t('closeAttributes'), title: t('closeAttributes'), onclick: () => this.close() }, icon('close')),
      ),
      this.candidates.length > 1 &&
        h(
          'div', { class: 'candidates', role: 'group', 'aria-label': t('here', { count: this.candidates.length }) },
          h('p', { class: 'note' }, t('here', { count: this.candidates.length })),
          ...this.candidates.map((other, index) =>
            h(
              'button', { type: 'button', class: 'chip', 'aria-pressed': String(index === this.chosen), onclick: () => void this.choose(index) },
              h('span', { class: 'chip-layer' }, titleOf(other.layer.info)), ' ', featureTitle(other.properties, language) ?? `#${other.id}`,
            ),
          ),
        ),
      this.failure && h('p', { class: 'problem', role: 'alert' }, icon('alert'), this.failure.status === 404 ? t('featureGone') : t('featureFailed')),
      h(
        'div', { class: 'inspector-actions' },
        this.feature?.geometry && h('button', { type: 'button', class: 'text-button', onclick: () => this.feature?.geometry && this.needs.zoomTo(this.feature.geometry) }, icon('zoomTo'), t('zoomToFeature')),
        h('button', { type: 'button', class: 'text-button', onclick: () => this.needs.copyLink() }, icon('link'), t('copyLink')),
      ),
      this.table(candidate, properties),
    );
  }

  private table(candidate: Candidate, properties: Properties): HTMLElement {
    const language = currentLanguage();
    // The layer's own order of fields, then whatever else the feature has.
    const order = candidate.layer.info.fields.map(({ name }) => name);
    const names = [...order.filter((name) => name in properties), ...Object.keys(properties).filter((name) => !order.includes(name))];
    const rows = names.map((name) => {
      const value = properties[name];
      const meaning = value === null || value === undefined ? undefined : valueMeaning(name, value, language);
      const alias = fieldAlias(name, language);
      return h(
        'tr', { 'data-field': name },
        h('th', { scope: 'row' }, h('span', {}, alias ?? name), alias && h('code', {}, name)),
        h('td', {}, formatValue(value), meaning && h('span', { class: 'meaning' }, meaning.color ? colourDot(meaning.color) : null, meaning.text), landArea(name, value)),
      );
    });
    const geometry = this.feature?.geometry;
    const size = geometry && geometrySize(geometry);
    return h(
      'div', { class: 'attributes' },
      h(
        'table', {},
        h(
          'tbody', {},
          ...rows,
          size && h('tr', { class: 'derived', title: t('measureMethod') }, h('th', { scope: 'row' }, h('span', {}, size.kind === 'area' ? t('ellipsoidArea') : t('ellipsoidLength'))), h('td', {}, size.text)),
          h('tr', { class: 'derived' }, h('th', { scope: 'row' }, h('span', {}, t('featureId'))), h('td', {}, String(candidate.id))),
        ),
      ),
    );
  }
}

function formatValue(value: unknown): Node {
  if (value === null || value === undefined || value === '') return h('span', { class: 'null' }, '—');
  if (typeof value === 'boolean') return document.createTextNode(value ? t('yes') : t('no'));
  if (typeof value === 'object') return h('code', {}, JSON.stringify(value));
  return document.createTextNode(String(value));
}

/** Square metres of a known area field said again in hectares and mu. */
function landArea(name: string, value: unknown): HTMLElement | null {
  const alias = fieldAlias(name, 'en');
  if (!alias?.endsWith('(m²)') || value === null || value === '' || !Number.isFinite(Number(value))) return null;
  const { hectares, mu } = formatArea(Number(value));
  return h('span', { class: 'meaning' }, `${hectares} ${t('hectare')} · ${mu} ${t('mu')}`);
}

/** Area of polygons or length of lines on the ellipsoid; nothing for points and very large shapes. */
export function geometrySize(geometry: GeoJSON.Geometry): { kind: 'area' | 'length'; text: string } | null {
  const rings = (polygon: GeoJSON.Position[][]) =>
    polygon.reduce((sum, ring, index) => {
      const { area } = areaM2(ring.slice(0, -1).map(([lon, lat]) => [lon, lat] as LonLat));
      return index === 0 ? sum + area : sum - area;
    }, 0);
  const line = (positions: GeoJSON.Position[]) => distanceM(positions.map(([lon, lat]) => [lon, lat] as LonLat));
  const area = (squareMetres: number) => {
    const { main, hectares, mu } = formatArea(squareMetres);
    return { kind: 'area' as const, text: `${main} · ${hectares} ${t('hectare')} · ${mu} ${t('mu')}` };
  };
  const length = (metres: number) => ({ kind: 'length' as const, text: formatLength(metres) });
  if (vertices(geometry) > 50_000) return null;
  switch (geometry.type) {
    case 'Polygon': return area(rings(geometry.coordinates));
    case 'MultiPolygon': return area(geometry.coordinates.reduce((sum, polygon) => sum + rings(polygon), 0));
    case 'LineString': return length(line(geometry.coordinates));
    case 'MultiLineString': return length(geometry.coordinates.reduce((sum, part) => sum + line(part), 0));
    case 'Point':
    case 'MultiPoint':
    case 'GeometryCollection':
      return null;
  }
}

const vertices = (geometry: GeoJSON.Geometry): number =>
  geometry.type === 'GeometryCollection' ? geometry.geometries.reduce((sum, part) => sum + vertices(part), 0) : count(geometry.coordinates);

const count = (coordinates: unknown): number =>
  Array.isArray(coordinates) ? (typeof coordinates[0] === 'number' ? 1 : coordinates.reduce((sum: number, part) => sum + count(part), 0)) : 0;
