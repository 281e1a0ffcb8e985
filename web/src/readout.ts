// Where the pointer is, in degrees and in Gauss-Krüger metres of CGCS2000.
import { formatDegrees, formatMetres, type DegreeFormat } from './coordinates';
import { h, replace } from './dom';
import { toGaussKrueger, wrapLongitude, type LonLat, type ZoneWidth } from './geodesy';
import { onLanguage, t } from './i18n';

export class Readout {
  private readonly degrees = h('button', { type: 'button', class: 'readout-part' });
  private readonly plane = h('button', { type: 'button', class: 'readout-part' });
  readonly element = h('div', { class: 'readout' }, h('span', { class: 'readout-datum' }, 'CGCS2000'), this.degrees, this.plane);
  private format: DegreeFormat = 'decimal';
  private zoneWidth: ZoneWidth = 3;
  private position: LonLat = [0, 0];

  constructor() {
    this.degrees.addEventListener('click', () => {
      this.format = this.format === 'decimal' ? 'dms' : 'decimal';
      this.render();
    });
    this.plane.addEventListener('click', () => {
      this.zoneWidth = this.zoneWidth === 3 ? 6 : 3;
      this.render();
    });
    onLanguage(() => this.render());
  }

  show(lon: number, lat: number): void {
    this.position = [wrapLongitude(lon), lat];
    this.render();
  }

  private render(): void {
    const { lon, lat } = formatDegrees(this.position, this.format);
    const { zone, x, y } = toGaussKrueger(this.position, this.zoneWidth);
    replace(this.degrees, part(t('lonShort'), lon), part(t('latShort'), lat));
    replace(this.plane, h('span', { class: 'readout-zone' }, t('zone', { width: this.zoneWidth, zone })), part('X', formatMetres(x)), part('Y', formatMetres(y)));
    this.degrees.title = t('degreeFormat');
    this.plane.title = t('zoneFormat');
    this.element.setAttribute('role', 'group');
    this.element.setAttribute('aria-label', t('coordinates'));
  }
}

const part = (label: string, value: string) => h('span', { class: 'readout-value' }, h('i', {}, label), value);
