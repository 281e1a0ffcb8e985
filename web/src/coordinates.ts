// Coordinates as text: degrees written as decimals or as degrees, minutes, seconds; and typed ones read back.
import { fromGaussKrueger, type LonLat } from './geodesy';

export type DegreeFormat = 'decimal' | 'dms';

export function formatDegrees([lon, lat]: LonLat, format: DegreeFormat): { lon: string; lat: string } {
  if (format === 'decimal') return { lon: `${lon.toFixed(6)}°`, lat: `${lat.toFixed(6)}°` };
  return {
    lon: `${dms(Math.abs(lon))}${lon < 0 ? 'W' : 'E'}`,
    lat: `${dms(Math.abs(lat))}${lat < 0 ? 'S' : 'N'}`,
  };
}

function dms(angle: number): string {
  // Rounded once, in hundredths of a second, so that 59.999″ becomes the next minute.
  const hundredths = Math.round(angle * 360_000);
  const seconds = (hundredths % 6000) / 100;
  const minutes = Math.floor(hundredths / 6000) % 60;
  const whole = Math.floor(hundredths / 360_000);
  return `${whole}°${String(minutes).padStart(2, '0')}′${seconds.toFixed(2).padStart(5, '0')}″`;
}

const DMS = String.raw`(\d{1,3})\s*[°度d]\s*(?:(\d{1,2})\s*[′'分m]\s*)?(?:(\d{1,2}(?:\.\d+)?)\s*(?:[″"秒s]|'')\s*)?`;
const DMS_AFTER = new RegExp(String.raw`${DMS}([NSEW东西南北])?`, 'giu');

/**
 * A typed position: `116.39, 39.9` (longitude first), `39.9N 116.39E`, `116°23′28″E 39°54′26″N`, or plane metres
 * with the zone prefix (`4419416.1, 39447950.8` in either order). Undefined when the text is none of these.
 */
export function parsePosition(text: string): LonLat | undefined {
  const trimmed = text.trim();
  if (/[°度]/u.test(trimmed)) return parseDms(trimmed);
  const match = /^([+-]?\d+(?:\.\d+)?)\s*([NSEW])?\s*[,，;\s]\s*([+-]?\d+(?:\.\d+)?)\s*([NSEW])?$/iu.exec(trimmed);
  if (!match) return undefined;
  const [, firstText, firstSide, secondText, secondSide] = match;
  let first = signed(Number(firstText), firstSide);
  let second = signed(Number(secondText), secondSide);
  if (Math.abs(first) > 180 || Math.abs(second) > 180) {
    if (firstSide || secondSide) return undefined;
    const [north, east] = first < second ? [first, second] : [second, first];
    return north > 0 && north < 10_000_000 ? fromGaussKrueger(north, east) : undefined;
  }
  if (/[NS]/iu.test(firstSide ?? '') || /[EW]/iu.test(secondSide ?? '')) [first, second] = [second, first];
  return inRange(first, second);
}

function parseDms(text: string): LonLat | undefined {
  // 东经116度30分 says the side first.
  const sidesLast = text.replace(/([东西南北])[经纬]\s*([^东西南北,，;\s]+)/gu, '$2$1');
  const parts = [...sidesLast.matchAll(DMS_AFTER)];
  if (parts.length !== 2) return undefined;
  const values = parts.map(([, whole, minutes, seconds, side]) => ({
    value: signed(Number(whole) + Number(minutes ?? 0) / 60 + Number(seconds ?? 0) / 3600, side),
    isLatitude: /[NS南北]/iu.test(side ?? ''),
  }));
  const [first, second] = values as [(typeof values)[0], (typeof values)[0]];
  return first.isLatitude ? inRange(second.value, first.value) : inRange(first.value, second.value);
}

const signed = (value: number, side: string | undefined) => (/[SW南西]/iu.test(side ?? '') ? -value : value);

const inRange = (lon: number, lat: number): LonLat | undefined =>
  Math.abs(lon) <= 180 && Math.abs(lat) <= 90 ? [lon, lat] : undefined;

const grouped = (value: number, digits: number) =>
  value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits }).replaceAll(',', ' ');

/** Plane metres to the centimetre, without grouping so that it can be pasted anywhere. */
export const formatMetres = (value: number) => value.toFixed(2);

export function formatLength(metres: number): string {
  return metres < 1000 ? `${grouped(metres, 1)} m` : `${grouped(metres / 1000, 3)} km`;
}

/** An area in the units of land administration; one mu is 2000/3 square metres. */
export function formatArea(squareMetres: number): { main: string; hectares: string; mu: string } {
  const main = squareMetres < 1_000_000 ? `${grouped(squareMetres, 1)} m²` : `${grouped(squareMetres / 1_000_000, 4)} km²`;
  return { main, hectares: grouped(squareMetres / 10_000, 4), mu: grouped((squareMetres * 3) / 2000, 2) };
}
