import { describe, expect, it } from 'vitest';
import { featureTitle, fieldAlias, landUseClass, valueMeaning } from '../../src/vocabulary';

describe('names of fields', () => {
  it('are found in either case and either language', () => {
    expect(fieldAlias('DLBM', 'zh')).toBe('地类编码');
    expect(fieldAlias('dlbm', 'en')).toBe('Land-use code');
    expect(fieldAlias('no_such_field', 'zh')).toBeUndefined();
  });
});

describe('land-use classes', () => {
  it('are those of the third and of the second survey', () => {
    expect(landUseClass('0101')).toMatchObject({ name: '水田', color: '#f8d072', three_way: '农用地' });
    expect(landUseClass('08H2A')).toMatchObject({ name: '高教用地' });
    expect(landUseClass('031')).toMatchObject({ name: '有林地', three_way: '农用地' });
    expect(landUseClass('113')).toMatchObject({ name: '水库水面', three_way: '建设用地' });
    expect(landUseClass('1103')).toMatchObject({ name: '水库水面', three_way: '农用地' });
  });

  it('fall back from a suffix to the parent, and from there to the group', () => {
    expect(landUseClass('0101K')).toMatchObject({ name: '水田' });
    expect(landUseClass('0199')).toMatchObject({ name: '耕地' });
    expect(landUseClass('farmland')).toBeUndefined();
    expect(landUseClass('77')).toBeUndefined();
  });
});

describe('coded values', () => {
  it('mean what their field says', () => {
    expect(valueMeaning('DLBM', '0103', 'zh')).toEqual({ text: '旱地', color: '#fffbb1' });
    expect(valueMeaning('dlbm', '0103', 'en')?.text).toBe('Dry cropland');
    expect(valueMeaning('QSXZ', '20', 'zh')?.text).toBe('国有土地使用权');
    expect(valueMeaning('YDYHFLDM', '0701', 'en')?.text).toBe('Residential');
    expect(valueMeaning('landuse', 'farmland', 'zh')?.text).toBe('耕地');
    expect(valueMeaning('TBBH', '0103', 'zh')).toBeUndefined();
  });
});

describe('the title of a feature', () => {
  it('is its name rather than its class, and its class rather than its number', () => {
    expect(featureTitle({ BSM: '1', DLMC: '旱地', TBBH: '7' }, 'zh')).toBe('旱地');
    expect(featureTitle({ DLMC: '旱地', XZQMC: '示范县' }, 'zh')).toBe('示范县');
    expect(featureTitle({ DLBM: '0103', DLMC: '旱地' }, 'en')).toBe('Dry cropland');
    expect(featureTitle({ landuse: 'farmland' }, 'en')).toBe('Farmland');
    expect(featureTitle({ building: 'yes' }, 'zh')).toBe('建筑');
    expect(featureTitle({ other: 1, name: null }, 'en')).toBeUndefined();
  });
});
