// What the server answers, and the requests for it. Every address is relative to the page.
import type { LayerSpecification } from 'maplibre-gl';

export type GroupId = 'basic' | 'imagery' | 'landuse' | 'mineral' | 'planning';
export type LayerKind = 'landuse' | 'planning' | 'mineral' | 'admin' | 'imagery' | 'other';
export type Bounds = [west: number, south: number, east: number, north: number];
export type Properties = Record<string, unknown>;

export interface Field {
  name: string;
  type: string;
  width?: number | null;
}

export interface LayerInfo {
  name: string;
  title: string;
  title_en?: string | null;
  kind: LayerKind;
  group: GroupId;
  geometry: 'polygon' | 'line' | 'point' | 'mixed' | 'raster';
  fields: Field[];
  /** Null for images and archives of tiles: there are no features to ask for. */
  features: number | null;
  bounds: Bounds | null;
  minzoom: number;
  maxzoom: number;
  generation: string;
  attribution?: string | null;
  crs?: string | null;
}

export interface Group {
  id: GroupId;
  title: string;
  title_en: string;
}

export interface Catalog {
  workspace: string;
  version: string;
  groups: Group[];
  layers: LayerInfo[];
}

export interface LegendEntry {
  label: string;
  label_en: string;
  shape: 'fill' | 'line' | 'point';
  color: string;
  outline?: string;
  pattern?: string;
  dash?: number[];
  /** The style layer whose features this entry explains. */
  layer: string;
  fields?: string[];
  values?: string[];
  otherwise?: boolean;
}

export interface LayerStyle {
  layers: LayerSpecification[];
  metadata?: { 'onemap:legend'?: LegendEntry[] };
}

export interface Match {
  id: number;
  properties: Properties;
  bbox: Bounds | null;
  point: [number, number] | null;
}

export interface SearchAnswer {
  matches: Match[];
  truncated: boolean;
  scanned: number;
}

export interface Feature {
  type: 'Feature';
  id: number;
  geometry: GeoJSON.Geometry | null;
  properties: Properties;
}

export type Verdict = 'pass' | 'warn' | 'fail';

export interface LayerReport {
  layer: string;
  title: string;
  generation: string;
  field: string | null;
  checks: { rule: string; verdict: Verdict; text: { zh: string; en: string } }[];
  touched: number;
  rows: { value: string | null; outside: boolean; label?: string; features: number; area_m2: number; official_area_m2?: number; share: number }[];
  official_residual_m2?: number;
  features: { id: number; value: string | null; area_m2: number; share: number; share_of_feature: number }[];
}

export interface SiteReport {
  boundary: { name: string; area_m2: number; official_area_m2: number | null };
  verdict: Verdict | null;
  rules: { id: string; version: string };
  layers: LayerReport[];
  hash: string;
}

export interface ReportAnswer {
  reports: SiteReport[];
  outlines?: GeoJSON.MultiPolygon[];
  /** What each report lists as shapes. */
  pieces?: GeoJSON.FeatureCollection[];
}

/** Why an answer did not come. */
export class RequestError extends Error {
  constructor(
    readonly reason: 'unreachable' | 'timeout' | 'status' | 'content',
    readonly status: number | null,
    message: string,
  ) {
    super(message);
  }
}

const TIMEOUT_MS = 20_000;

export const absolute = (path: string): string => new URL(path, document.baseURI).href;

async function getJson<T>(path: string, signal?: AbortSignal): Promise<T> {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  let response: Response;
  try {
    response = await fetch(absolute(path), { signal: signal ? AbortSignal.any([signal, timeout]) : timeout });
  } catch (error) {
    if (signal?.aborted) throw error;
    if (timeout.aborted) throw new RequestError('timeout', null, `${path}: no answer in ${TIMEOUT_MS / 1000} s`);
    throw new RequestError('unreachable', null, `${path}: ${String(error)}`);
  }
  if (!response.ok) {
    const text = (await response.text().catch(() => '')).slice(0, 300);
    throw new RequestError('status', response.status, `${path}: ${response.status} ${text}`);
  }
  try {
    return (await response.json()) as T;
  } catch (error) {
    throw new RequestError('content', response.status, `${path}: ${String(error)}`);
  }
}

/** Asks what boundaries lie on; a refusal's own words are the error's message. */
export async function askReport(body: unknown, signal?: AbortSignal): Promise<Response> {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  let response: Response;
  try {
    response = await fetch(absolute('ogc/processes/report/execution'), {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    });
  } catch (error) {
    throw new RequestError(timeout.aborted ? 'timeout' : 'unreachable', null, String(error));
  }
  if (response.ok) return response;
  const problem = (await response.json().catch(() => ({}))) as { title?: string; title_zh?: string; detail?: string };
  const title = document.documentElement.lang === 'en' ? problem.title : problem.title_zh;
  throw new RequestError('status', response.status, [title ?? String(response.status), problem.detail].filter(Boolean).join(': '));
}

const segment = encodeURIComponent;

export const getCatalog = () => getJson<Catalog>('layers.json');
export const getStyle = (layer: string) => getJson<LayerStyle>(`styles/${segment(layer)}.json`);
export const getFeature = (layer: string, id: number, signal?: AbortSignal) =>
  getJson<Feature>(`layers/${segment(layer)}/features/${id}`, signal);

export function search(layer: string, text: string, field: string | null, limit: number, signal: AbortSignal) {
  const query = new URLSearchParams({ q: text, limit: String(limit) });
  if (field) query.set('field', field);
  return getJson<SearchAnswer>(`layers/${segment(layer)}/search?${query}`, signal);
}

/** The pieces inside of all of some polygon layers. */
export const overlayTileJsonUrl = (layers: string[]) => absolute(`tiles/overlay(${layers.map(segment).join(',')}).json`);
export const OVERLAY_LAYER = 'overlay';
export const tileJsonUrl = (layer: string) => absolute(`tiles/${segment(layer)}.json`);
