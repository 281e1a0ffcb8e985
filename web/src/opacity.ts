// The opacity of a whole layer, worked into the opacities its style already has.
import type { LayerSpecification } from 'maplibre-gl';

const PROPERTIES: Record<string, string[]> = {
  fill: ['fill-opacity'],
  line: ['line-opacity'],
  circle: ['circle-opacity', 'circle-stroke-opacity'],
  symbol: ['text-opacity', 'icon-opacity'],
  raster: ['raster-opacity'],
};

/** The paint properties of a style layer that carry opacity, each multiplied. */
export function scaleOpacity(spec: LayerSpecification, factor: number): [property: string, value: unknown][] {
  const paint = ((spec as { paint?: Record<string, unknown> }).paint ?? {}) as Record<string, unknown>;
  return (PROPERTIES[spec.type] ?? []).map((property) => [property, multiply(paint[property] ?? 1, factor)]);
}

/** A curve over the zoom may only be the outermost expression, so its outputs are multiplied one by one. */
export function multiply(value: unknown, factor: number): unknown {
  if (typeof value === 'number') return value * factor;
  if (Array.isArray(value) && value[0] === 'interpolate') {
    return value.map((part, index) => (index >= 4 && index % 2 === 0 ? multiply(part, factor) : part));
  }
  if (Array.isArray(value) && value[0] === 'step') {
    return value.map((part, index) => (index >= 2 && index % 2 === 0 ? multiply(part, factor) : part));
  }
  return ['*', value, factor];
}
