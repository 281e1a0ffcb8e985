// The MapLibre map before any layer of the workspace: paper, selection, measuring, and the places between.
import { Map as MapLibre, ScaleControl, setWorkerUrl, type StyleSpecification } from 'maplibre-gl';
import workerUrl from 'maplibre-gl/dist/maplibre-gl-worker.mjs?url';
import { spriteUrl } from './legend';
import { MEASURE_SOURCE } from './measure';
import { SELECTION_SOURCE } from './inspect';
import { REPORT_SOURCE } from './report';
import { ABOVE_GEOMETRY, ABOVE_NAMES } from './stack';

const SELECTED = '#e8590c';
const MEASURED = '#0b5fa5';
const nothing = { type: 'FeatureCollection' as const, features: [] };
const ofType = (...types: string[]) => ['match', ['geometry-type'], types, true, false] as never;

function baseStyle(): StyleSpecification {
  return {
    version: 8,
    name: 'onemap',
    sprite: spriteUrl(),
    sources: { [SELECTION_SOURCE]: { type: 'geojson', data: nothing }, [REPORT_SOURCE]: { type: 'geojson', data: nothing }, [MEASURE_SOURCE]: { type: 'geojson', data: nothing } },
    layers: [
      { id: 'onemap:paper', type: 'background', paint: { 'background-color': '#eef0ec' } },
      { id: ABOVE_GEOMETRY, type: 'background', layout: { visibility: 'none' } },
      { id: 'onemap:selected-fill', type: 'fill', source: SELECTION_SOURCE, filter: ofType('Polygon', 'MultiPolygon'), paint: { 'fill-color': SELECTED, 'fill-opacity': 0.12 } },
      { id: 'onemap:selected-casing', type: 'line', source: SELECTION_SOURCE, filter: ofType('Polygon', 'MultiPolygon', 'LineString', 'MultiLineString'), layout: { 'line-join': 'round' }, paint: { 'line-color': '#ffffff', 'line-width': 5.5, 'line-opacity': 0.9 } },
      { id: 'onemap:selected-line', type: 'line', source: SELECTION_SOURCE, filter: ofType('Polygon', 'MultiPolygon', 'LineString', 'MultiLineString'), layout: { 'line-join': 'round' }, paint: { 'line-color': SELECTED, 'line-width': 2.5 } },
      { id: 'onemap:selected-point', type: 'circle', source: SELECTION_SOURCE, filter: ofType('Point', 'MultiPoint'), paint: { 'circle-color': SELECTED, 'circle-radius': 8, 'circle-opacity': 0.35, 'circle-stroke-color': SELECTED, 'circle-stroke-width': 2.5 } },
      { id: 'onemap:report-veil', type: 'fill', source: REPORT_SOURCE, filter: ['==', ['get', 'part'], 'veil'], paint: { 'fill-color': '#f7f6f2', 'fill-opacity': 0.68, 'fill-antialias': false } },
      { id: 'onemap:report-casing', type: 'line', source: REPORT_SOURCE, filter: ['==', ['get', 'part'], 'boundary'], layout: { 'line-join': 'round' }, paint: { 'line-color': '#ffffff', 'line-width': 5.5 } },
      { id: 'onemap:report-line', type: 'line', source: REPORT_SOURCE, filter: ['==', ['get', 'part'], 'boundary'], layout: { 'line-join': 'round' }, paint: { 'line-color': '#1f2a27', 'line-width': 2.8 } },
      { id: ABOVE_NAMES, type: 'background', layout: { visibility: 'none' } },
      { id: 'onemap:measure-fill', type: 'fill', source: MEASURE_SOURCE, filter: ofType('Polygon'), paint: { 'fill-color': MEASURED, 'fill-opacity': 0.12 } },
      { id: 'onemap:measure-casing', type: 'line', source: MEASURE_SOURCE, filter: ofType('LineString'), layout: { 'line-join': 'round' }, paint: { 'line-color': '#ffffff', 'line-width': 4.5, 'line-opacity': 0.85 } },
      { id: 'onemap:measure-line', type: 'line', source: MEASURE_SOURCE, filter: ofType('LineString'), layout: { 'line-join': 'round' }, paint: { 'line-color': MEASURED, 'line-width': 2 } },
      { id: 'onemap:measure-point', type: 'circle', source: MEASURE_SOURCE, filter: ofType('Point'), paint: { 'circle-color': '#ffffff', 'circle-radius': 4, 'circle-stroke-color': MEASURED, 'circle-stroke-width': 2 } },
    ],
  };
}

export function createMap(container: HTMLElement): MapLibre {
  setWorkerUrl(new URL(workerUrl, document.baseURI).href);
  const map = new MapLibre({
    container,
    style: baseStyle(),
    center: [104, 35],
    zoom: 3,
    maxZoom: 22,
    attributionControl: { compact: true },
    dragRotate: true,
    pitchWithRotate: false,
    touchPitch: false,
    fadeDuration: 150,
    // Everything is on this server; an address without host belongs to the page.
    transformRequest: (url) => ({ url: new URL(url, document.baseURI).href }),
  });
  map.touchZoomRotate.disableRotation();
  map.addControl(new ScaleControl({ maxWidth: 110, unit: 'metric' }), 'bottom-left');
  return map;
}
