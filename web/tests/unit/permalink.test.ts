import { describe, expect, it } from 'vitest';
import { readPermalink, writePermalink } from '../../src/permalink';

describe('the link of the page', () => {
  it('says everything it is told, and reads it back', () => {
    const link = {
      view: { zoom: 12.5, lon: 104.01, lat: 30.5 },
      on: [{ name: '地类图斑_2024', opacity: 0.65 }, { name: 'li-2024.v2', opacity: 1 }],
      groups: ['landuse', 'basic'],
      feature: { layer: '地类图斑_2024', id: 5824983726249849 },
      language: 'en' as const,
    };
    expect(readPermalink(writePermalink(link))).toEqual(link);
  });

  it('with no layer on differs from one that says nothing of layers', () => {
    expect(readPermalink(writePermalink({ on: [] })).on).toEqual([]);
    expect(readPermalink('#').on).toBeUndefined();
  });

  it('keeps what is right of a damaged one', () => {
    for (const bad of ['#map=1/2', '#map=9/91/0', '#map=99/1/1', '#map=a/b/c', '#feature=x', '#feature=x/99999999999999999999', '#lang=fr', '#%', '#on=a~nonsense']) {
      const { view, feature, language } = readPermalink(bad);
      expect({ view, feature, language }).toEqual({ view: undefined, feature: undefined, language: undefined });
    }
    expect(readPermalink('#on=a~nonsense,b~250').on).toEqual([{ name: 'a', opacity: 1 }, { name: 'b', opacity: 1 }]);
  });
});
