// The state of the map as text behind `#`, so that a link shows what its sender saw.

import type { Language } from './i18n';

export interface View {
  zoom: number;
  lon: number;
  lat: number;
}

export interface Permalink {
  view?: View;
  /** Layers that are on, uppermost first, with opacity between 0 and 1. Undefined: the defaults. */
  on?: { name: string; opacity: number }[];
  groups?: string[];
  feature?: { layer: string; id: number };
  language?: Language;
}

export function readPermalink(hash: string): Permalink {
  const parameters = new URLSearchParams(hash.replace(/^#/u, ''));
  const link: Permalink = {};
  const view = parameters.get('map')?.split('/').map(Number);
  if (view?.length === 3 && view.every(Number.isFinite)) {
    const [zoom, lat, lon] = view as [number, number, number];
    if (zoom >= 0 && zoom <= 24 && Math.abs(lat) <= 90 && Math.abs(lon) <= 180) link.view = { zoom, lat, lon };
  }
  const on = parameters.get('on');
  if (on !== null) {
    link.on = on.split(',').filter(Boolean).map((part) => {
      const [name, percent] = part.split('~') as [string, string?];
      const opacity = percent === undefined ? 1 : Number(percent) / 100;
      return { name, opacity: Number.isFinite(opacity) ? Math.min(1, Math.max(0, opacity)) : 1 };
    });
  }
  const groups = parameters.get('groups');
  if (groups) link.groups = groups.split(',');
  const feature = /^(.+)\/(\d+)$/u.exec(parameters.get('feature') ?? '');
  if (feature && Number.isSafeInteger(Number(feature[2]))) link.feature = { layer: feature[1]!, id: Number(feature[2]) };
  const language = parameters.get('lang');
  if (language === 'zh' || language === 'en') link.language = language;
  return link;
}

export function writePermalink(link: Permalink): string {
  const parts: string[] = [];
  if (link.view) {
    const { zoom, lat, lon } = link.view;
    const digits = Math.max(2, Math.min(7, Math.ceil(zoom / 3) + 1));
    parts.push(`map=${Number(zoom.toFixed(2))}/${lat.toFixed(digits)}/${lon.toFixed(digits)}`);
  }
  if (link.on) {
    parts.push(`on=${link.on.map(({ name, opacity }) => encodeURIComponent(name) + (opacity === 1 ? '' : `~${Math.round(opacity * 100)}`)).join(',')}`);
  }
  if (link.groups) parts.push(`groups=${link.groups.join(',')}`);
  if (link.feature) parts.push(`feature=${encodeURIComponent(link.feature.layer)}/${link.feature.id}`);
  if (link.language && link.language !== 'zh') parts.push(`lang=${link.language}`);
  return `#${parts.join('&')}`;
}
