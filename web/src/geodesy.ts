// Gauss-Krüger coordinates, distances and areas on the CGCS2000 ellipsoid.
//
// Gauss-Krüger by Krüger's series in the third flattening to the sixth order, as given by C. F. F. Karney,
// "Transverse Mercator with an accuracy of a few nanometers", J. Geodesy 85 (2011), equations 35 and 36.
// Distances and areas follow geodesics (C. F. F. Karney, "Algorithms for geodesics", J. Geodesy 87 (2013)).
import { Geodesic } from 'geographiclib-geodesic';

export type LonLat = readonly [lon: number, lat: number];
export type ZoneWidth = 3 | 6;

/** CGCS2000: semi-major axis in metres and flattening. */
export const SEMI_MAJOR_AXIS_M = 6378137;
export const FLATTENING = 1 / 298.257222101;

const FALSE_EASTING_M = 500_000;
const ZONE_PREFIX = 1_000_000;

const n = FLATTENING / (2 - FLATTENING);
const e = Math.sqrt(FLATTENING * (2 - FLATTENING));
const rectifyingRadius = (SEMI_MAJOR_AXIS_M / (1 + n)) * (1 + n ** 2 / 4 + n ** 4 / 64 + n ** 6 / 256);

const polynomial = (...coefficients: number[]) => coefficients.reduceRight((sum, c) => sum * n + c, 0);
const alpha = [
  polynomial(0, 1 / 2, -2 / 3, 5 / 16, 41 / 180, -127 / 288, 7891 / 37800),
  polynomial(0, 0, 13 / 48, -3 / 5, 557 / 1440, 281 / 630, -1983433 / 1935360),
  polynomial(0, 0, 0, 61 / 240, -103 / 140, 15061 / 26880, 167603 / 181440),
  polynomial(0, 0, 0, 0, 49561 / 161280, -179 / 168, 6601661 / 7257600),
  polynomial(0, 0, 0, 0, 0, 34729 / 80640, -3418889 / 1995840),
  polynomial(0, 0, 0, 0, 0, 0, 212378941 / 319334400),
];
const beta = [
  polynomial(0, 1 / 2, -2 / 3, 37 / 96, -1 / 360, -81 / 512, 96199 / 604800),
  polynomial(0, 0, 1 / 48, 1 / 15, -437 / 1440, 46 / 105, -1118711 / 3870720),
  polynomial(0, 0, 0, 17 / 480, -37 / 840, -209 / 4480, 5569 / 90720),
  polynomial(0, 0, 0, 0, 4397 / 161280, -11 / 504, -830251 / 7257600),
  polynomial(0, 0, 0, 0, 0, 4583 / 161280, -108847 / 3991680),
  polynomial(0, 0, 0, 0, 0, 0, 20648693 / 638668800),
];

export interface PlanePosition {
  zone: number;
  zoneWidth: ZoneWidth;
  centralMeridian: number;
  /** Northing in metres: the X of a Chinese plane coordinate. */
  x: number;
  /** Easting in metres with false easting and zone prefix: its Y. */
  y: number;
}

const radians = (degrees: number) => (degrees * Math.PI) / 180;
const degrees = (angle: number) => (angle * 180) / Math.PI;

/** Longitude in [-180, 180). */
export function wrapLongitude(lon: number): number {
  return ((((lon + 180) % 360) + 360) % 360) - 180;
}

export function zoneOf(lon: number, zoneWidth: ZoneWidth): number {
  const positive = ((lon % 360) + 360) % 360;
  if (zoneWidth === 6) return Math.floor(positive / 6) + 1;
  const zone = Math.floor((positive + 1.5) / 3) % 120;
  return zone === 0 ? 120 : zone;
}

export function centralMeridianOf(zone: number, zoneWidth: ZoneWidth): number {
  return wrapLongitude(zoneWidth === 3 ? 3 * zone : 6 * zone - 3);
}

/** Northing and easting in metres from the equator and the central meridian, scale 1. */
export function project([lon, lat]: LonLat, centralMeridian: number): { north: number; east: number } {
  const lambda = radians(wrapLongitude(lon - centralMeridian));
  const tau = Math.tan(radians(lat));
  const sigma = Math.sinh(e * Math.atanh((e * tau) / Math.hypot(1, tau)));
  const tauConformal = tau * Math.hypot(1, sigma) - sigma * Math.hypot(1, tau);
  const xi0 = Math.atan2(tauConformal, Math.cos(lambda));
  const eta0 = Math.asinh(Math.sin(lambda) / Math.hypot(tauConformal, Math.cos(lambda)));
  let xi = xi0;
  let eta = eta0;
  alpha.forEach((coefficient, index) => {
    const order = 2 * (index + 1);
    xi += coefficient * Math.sin(order * xi0) * Math.cosh(order * eta0);
    eta += coefficient * Math.cos(order * xi0) * Math.sinh(order * eta0);
  });
  return { north: rectifyingRadius * xi, east: rectifyingRadius * eta };
}

/** The inverse of `project`. */
export function unproject(north: number, east: number, centralMeridian: number): LonLat {
  const xi = north / rectifyingRadius;
  const eta = east / rectifyingRadius;
  let xi0 = xi;
  let eta0 = eta;
  beta.forEach((coefficient, index) => {
    const order = 2 * (index + 1);
    xi0 -= coefficient * Math.sin(order * xi) * Math.cosh(order * eta);
    eta0 -= coefficient * Math.cos(order * xi) * Math.sinh(order * eta);
  });
  const tauConformal = Math.sin(xi0) / Math.hypot(Math.sinh(eta0), Math.cos(xi0));
  const lambda = Math.atan2(Math.sinh(eta0), Math.cos(xi0));
  // Newton's method of equation 19 of the same paper; three steps reach the last digit.
  let tau = tauConformal / (1 - e * e);
  for (let step = 0; step < 5; step++) {
    const sigma = Math.sinh(e * Math.atanh((e * tau) / Math.hypot(1, tau)));
    const conformal = tau * Math.hypot(1, sigma) - sigma * Math.hypot(1, tau);
    const slope = (1 + (1 - e * e) * tau * tau) / ((1 - e * e) * Math.hypot(1, conformal) * Math.hypot(1, tau));
    tau += (tauConformal - conformal) / slope;
  }
  return [wrapLongitude(centralMeridian + degrees(lambda)), degrees(Math.atan(tau))];
}

export function toGaussKrueger(position: LonLat, zoneWidth: ZoneWidth): PlanePosition {
  const zone = zoneOf(position[0], zoneWidth);
  const centralMeridian = centralMeridianOf(zone, zoneWidth);
  const { north, east } = project(position, centralMeridian);
  return { zone, zoneWidth, centralMeridian, x: north, y: zone * ZONE_PREFIX + FALSE_EASTING_M + east };
}

/**
 * Degrees of a plane position with zone prefix. In China the prefix alone tells the width:
 * zones 13 to 23 are six degrees wide, 25 to 45 three. Undefined for any other prefix.
 */
export function fromGaussKrueger(x: number, y: number): LonLat | undefined {
  const zone = Math.floor(y / ZONE_PREFIX);
  const width: ZoneWidth | undefined = zone >= 13 && zone <= 23 ? 6 : zone >= 25 && zone <= 45 ? 3 : undefined;
  if (width === undefined) return undefined;
  return unproject(x, y - zone * ZONE_PREFIX - FALSE_EASTING_M, centralMeridianOf(zone, width));
}

const ellipsoid = new Geodesic.Geodesic(SEMI_MAJOR_AXIS_M, FLATTENING);

/** Length of a geodesic line through the points, in metres. */
export function distanceM(points: readonly LonLat[]): number {
  let sum = 0;
  for (let i = 1; i < points.length; i++) {
    const [lon1, lat1] = points[i - 1]!;
    const [lon2, lat2] = points[i]!;
    sum += ellipsoid.Inverse(lat1, lon1, lat2, lon2, Geodesic.DISTANCE).s12 ?? 0;
  }
  return sum;
}

/** Area in square metres and perimeter in metres of the polygon whose edges are geodesics; the ring closes itself. */
export function areaM2(ring: readonly LonLat[]): { area: number; perimeter: number } {
  const polygon = ellipsoid.Polygon(false);
  for (const [lon, lat] of ring) polygon.AddPoint(lat, lon);
  const result = polygon.Compute(false, true);
  return { area: Math.abs(result.area ?? 0), perimeter: result.perimeter };
}
