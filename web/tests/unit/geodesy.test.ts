import { describe, expect, it } from 'vitest';
import { areaM2, distanceM, fromGaussKrueger, project, toGaussKrueger, unproject, zoneOf, type LonLat } from '../../src/geodesy';

// PROJ 9: cs2cs -f %.6f EPSG:4490 EPSG:(4488 + zone of three degrees) and EPSG:(4478 + zone of six degrees).
const PROJ: [LonLat, zone3: number, x3: number, y3: number, zone6: number, x6: number, y6: number][] = [
  [[116.391305, 39.907323], 39, 4419416.133794, 39447950.808337, 20, 4419416.133794, 20447950.808337],
  [[75.0, 38.5], 25, 4262998.626251, 25500000.0, 13, 4262998.626251, 13500000.0],
  [[135.08, 48.4], 45, 5362908.37241, 45505923.732182, 23, 5362908.37241, 23505923.732182],
  [[109.5, 18.3], 37, 2024838.548582, 37341398.671814, 19, 2024838.548582, 19341398.671814],
  [[91.117, 29.65], 30, 3281837.656301, 30608154.879226, 16, 3282798.619973, 16317665.301359],
  [[121.4737, 31.2304], 40, 3457455.488582, 40640412.315037, 21, 3457523.538959, 21354575.479184],
  [[104.999999, 30.0], 35, 3320113.397845, 35499999.903514, 18, 3320113.397845, 18499999.903514],
  [[118.5, 24.4444444], 40, 2705340.03074, 40347889.582725, 20, 2705340.03074, 20652110.417275],
];

describe('Gauss-Krüger', () => {
  it.each(PROJ)('%j is where PROJ puts it, to a hundredth of a millimetre', (position, zone3, x3, y3, zone6, x6, y6) => {
    const three = toGaussKrueger(position, 3);
    expect(three.zone).toBe(zone3);
    expect(Math.abs(three.x - x3)).toBeLessThan(1e-5);
    expect(Math.abs(three.y - y3)).toBeLessThan(1e-5);
    const six = toGaussKrueger(position, 6);
    expect(six.zone).toBe(zone6);
    expect(Math.abs(six.x - x6)).toBeLessThan(1e-5);
    expect(Math.abs(six.y - y6)).toBeLessThan(1e-5);
  });

  it('stays right forty degrees away from its meridian', () => {
    // cs2cs +proj=longlat +ellps=GRS80 +to +proj=tmerc +lon_0=-30 +x_0=0 +ellps=GRS80
    const { north, east } = project([9.52, 47.14], -30);
    expect(Math.abs(east - 2961070.25032803)).toBeLessThan(1e-4);
    expect(Math.abs(north - 6033210.7051594)).toBeLessThan(1e-4);
  });

  it('is undone by its inverse to 1e-11 degrees, south and west included', () => {
    for (const [lon, lat] of [[116.39, 39.9], [-70.2, -33.4], [9.52, 47.14], [179.9, 0], [-0.1, 84]] as LonLat[]) {
      for (const width of [3, 6] as const) {
        const plane = toGaussKrueger([lon, lat], width);
        const { north, east } = project([lon, lat], plane.centralMeridian);
        const back = unproject(north, east, plane.centralMeridian);
        expect(Math.abs(back[0] - lon)).toBeLessThan(1e-11);
        expect(Math.abs(back[1] - lat)).toBeLessThan(1e-11);
      }
    }
  });

  it('knows the width of a zone from its prefix and refuses others', () => {
    const three = fromGaussKrueger(4419416.133794, 39447950.808337)!;
    expect(three[0]).toBeCloseTo(116.391305, 9);
    expect(three[1]).toBeCloseTo(39.907323, 9);
    const six = fromGaussKrueger(4419416.133794, 20447950.808337)!;
    expect(six[0]).toBeCloseTo(116.391305, 9);
    expect(fromGaussKrueger(4419416, 447950)).toBeUndefined();
    expect(fromGaussKrueger(4419416, 24447950)).toBeUndefined();
  });

  it('counts zones around the whole earth', () => {
    expect([zoneOf(1.4, 3), zoneOf(1.5, 3), zoneOf(-1.6, 3), zoneOf(0, 6), zoneOf(-0.1, 6), zoneOf(179.99, 6)]).toEqual([120, 1, 119, 1, 60, 30]);
  });
});

describe('measuring', () => {
  it('a degree of the equator is a / 360 of its circle', () => {
    expect(distanceM([[110, 0], [111, 0]])).toBeCloseTo((6378137 * Math.PI) / 180, 6);
  });

  it('a quarter of a meridian is the known length of the ellipsoid', () => {
    // GRS80, whose constants CGCS2000 shares to this precision: 10 001 965.729 m.
    expect(distanceM([[100, 0], [100, 90]])).toBeCloseTo(10001965.729, 3);
  });

  it('the surface of an octant is an eighth of the ellipsoid', () => {
    // Total surface of GRS80: 510 065 621.7 km².
    const { area } = areaM2([[0, 0], [90, 0], [0, 90]]);
    expect((area * 8) / 1e6).toBeCloseTo(510065621.7, 0);
  });

  it('does not care about direction, and needs three points', () => {
    const ring: LonLat[] = [[116, 39], [116.01, 39], [116.01, 39.01]];
    expect(areaM2(ring).area).toBeCloseTo(areaM2([...ring].reverse()).area, 3);
    expect(areaM2(ring.slice(0, 2)).area).toBe(0);
  });
});
