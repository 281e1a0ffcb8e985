import { describe, expect, it } from 'vitest';
import { formatArea, formatDegrees, formatLength, parsePosition } from '../../src/coordinates';

describe('degrees as text', () => {
  it('carries seconds over into minutes and degrees', () => {
    expect(formatDegrees([116.9999999, -0.5], 'dms')).toEqual({ lon: '117°00′00.00″E', lat: '0°30′00.00″S' });
    expect(formatDegrees([9.521234, 47.141234], 'decimal')).toEqual({ lon: '9.521234°', lat: '47.141234°' });
  });
});

describe('a typed position', () => {
  const near = (text: string, lon: number, lat: number) => {
    const found = parsePosition(text);
    expect(found, text).toBeDefined();
    expect(found![0]).toBeCloseTo(lon, 6);
    expect(found![1]).toBeCloseTo(lat, 6);
  };

  it('is read in every usual form', () => {
    near('116.391305, 39.907323', 116.391305, 39.907323);
    near('116.391305 39.907323', 116.391305, 39.907323);
    near('39.907323N, 116.391305E', 116.391305, 39.907323);
    near('12.5S 70.25W', -70.25, -12.5);
    near('116°23′28.698″E 39°54′26.3628″N', 116.391305, 39.907323);
    near('39°54′26.3628″N，116°23′28.698″E', 116.391305, 39.907323);
    near('东经116度30分 北纬39度', 116.5, 39);
    near('4419416.133794, 39447950.808337', 116.391305, 39.907323);
    near('20447950.808337 4419416.133794', 116.391305, 39.907323);
  });

  it('is not seen in a name, a number or an impossible place', () => {
    for (const text of ['', '0103', '旱地', 'w533249438', '200, 95', '100, 95', '4419416, 447950', '1,2,3']) {
      expect(parsePosition(text), text).toBeUndefined();
    }
  });
});

describe('lengths and areas', () => {
  it('change unit with size and give hectares and mu', () => {
    expect(formatLength(12.34)).toBe('12.3 m');
    expect(formatLength(1234567)).toBe('1 234.567 km');
    expect(formatArea(20000)).toEqual({ main: '20 000.0 m²', hectares: '2.0000', mu: '30.00' });
    expect(formatArea(2_500_000).main).toBe('2.5000 km²');
  });
});
