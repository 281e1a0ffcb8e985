// Words of the trade: what fields, coded values and land-use classes are called in either language.
import aliases from '../../styles/field-aliases.json';
import classes from '../../styles/landuse-classes.json';
import type { Language } from './i18n';

interface Word {
  zh: string;
  en: string;
}

export interface LandUseClass {
  name: string;
  name_en: string;
  color: string;
  three_way?: string;
}

const fields = new Map<string, Word>(Object.entries(aliases.fields));
const fieldsAnyCase = new Map([...fields].map(([name, word]) => [name.toLowerCase(), word]));
const values = new Map<string, Record<string, Word>>(
  Object.entries(aliases.values).map(([field, words]) => [field.toLowerCase(), words as Record<string, Word>]),
);
const landUseFields = new Set(aliases.landuse_code_fields.map((name) => name.toLowerCase()));

const byCode = new Map<string, LandUseClass>();
for (const item of classes.groups) byCode.set(item.code, item);
for (const item of classes.second_survey) byCode.set(item.code, item);
for (const item of classes.classes) byCode.set(item.code, item);
for (const code of classes.unclassified.codes) byCode.set(code, classes.unclassified);
const byTag = new Map(classes.tags.flatMap((tag) => tag.values.map((value) => [value, tag as LandUseClass])));

/** The field's alias, or undefined when it has none. */
export function fieldAlias(name: string, language: Language): string | undefined {
  return (fields.get(name) ?? fieldsAnyCase.get(name.toLowerCase()))?.[language];
}

/** The class of a land-use code of either survey; a suffix falls back to its parent, that to its group. */
export function landUseClass(code: string): LandUseClass | undefined {
  const exact = byCode.get(code);
  if (exact) return exact;
  if (!/^\d{2}[\dH]/u.test(code)) return undefined;
  return byCode.get(code.slice(0, 4)) ?? byCode.get(code.slice(0, 2));
}

/** What a coded value means in a field, with the class's colour where it has one. */
export function valueMeaning(field: string, value: unknown, language: Language): { text: string; color?: string } | undefined {
  const key = field.toLowerCase();
  const text = String(value);
  const found = landUseFields.has(key) ? landUseClass(text) : key === 'landuse' || key === 'natural' || key === 'leisure' ? byTag.get(text) : undefined;
  if (found) return { text: language === 'zh' ? found.name : found.name_en, color: found.color };
  const words = values.get(key);
  if (!words) return undefined;
  for (const length of [text.length, 4, 3, 2]) {
    const word = words[text.slice(0, length)];
    if (word) return { text: word[language] };
  }
  return undefined;
}

/** Fields that name a feature best, the best first. */
const TITLE_FIELDS = [
  'XZQMC', 'ZLDWMC', 'HXMC', 'KSMC', 'mine_name', 'XMMC', 'GHFQMC', 'YDYHFLMC', 'KQBH', 'XKZH', 'licence_no', 'YJJBNTBHBH', 'YJJBNTTBBH',
  'JBNTTBBH', 'name', 'NAME', 'MC', 'DLMC', 'GZQLXDM', 'TDYTQLXDM', 'GHFQDM', 'YDYHFLDM', 'DLBM', 'landuse', 'natural', 'leisure', 'building', 'TBBH', 'BSM',
];

export function featureTitle(properties: Record<string, unknown>, language: Language): string | undefined {
  const names = new Map(Object.keys(properties).map((name) => [name.toLowerCase(), name]));
  // DLMC is Chinese whatever the language of the page; its code is said in either.
  const wantedFields = language === 'zh' ? TITLE_FIELDS : TITLE_FIELDS.map((name) => (name === 'DLMC' ? 'DLBM' : name === 'DLBM' ? 'DLMC' : name));
  for (const wanted of wantedFields) {
    const name = names.get(wanted.toLowerCase());
    const value = name === undefined ? undefined : properties[name];
    if (name === undefined || value === undefined || value === null || value === '') continue;
    // building=yes says that it is one, no more.
    if (value === 'yes') return fieldAlias(name, language) ?? name;
    return valueMeaning(name, value, language)?.text ?? String(value);
  }
  return undefined;
}
