// What a boundary lies on: a boundary drawn or dropped, the server's report beside the map, and what it names lit up.
import type { FilterSpecification, GeoJSONSource, Map as MapLibre } from 'maplibre-gl';
import { formatArea } from './coordinates';
import { h, icon, replace } from './dom';
import { currentLanguage, onLanguage, t, titleOf, type TextKey } from './i18n';
import type { Measure } from './measure';
import { askReport, overlayTileJsonUrl, OVERLAY_LAYER, RequestError, type LayerReport, type ReportAnswer, type SiteReport, type Verdict } from './server';
import { ArchiveError, isZip, readZippedShapefile } from './shapefile';
import type { LayerStack } from './stack';

export const REPORT_SOURCE = 'onemap:report';
const LIT = 'onemap:report-lit:';
const PIECES_SOURCE = 'onemap:report-pieces';
const OVERLAY_SOURCE = 'onemap:overlay';
const OVERLAY_COLOUR = '#7048e8';
const LIT_COLOUR = '#e8590c';
/** Layers of one report, as the server has it. */
const MAX_LAYERS = 16;
const MAX_FILE_BYTES = 16 << 20;
/** Features named in the list of one layer. */
const SHOWN_FEATURES = 50;
const VERDICTS: Record<Verdict, TextKey> = { pass: 'verdictPass', warn: 'verdictWarn', fail: 'verdictFail' };

export interface ReportNeeds {
  map: MapLibre;
  stack: LayerStack;
  measure: Measure;
  /** Drawn over everything but names. */
  below: string;
  zoomTo(geometry: GeoJSON.Geometry): void;
  openFeature(layer: string, id: number): void;
  announce(text: string): void;
}

/** What was asked, to ask again for the page to print. */
interface Question {
  boundary: unknown;
  name: string;
  /** Reference system that came with the boundary's file. */
  crs?: string;
}

/** What of a report is lit up. */
interface Lit {
  layer?: LayerReport;
  feature?: number;
  row?: LayerReport['rows'][number];
}

export class ReportPanel {
  readonly element = h('aside', { class: 'report', hidden: true, tabindex: -1 });
  private question: Question | null = null;
  private answer: ReportAnswer | null = null;
  private site = 0;
  private failure = '';
  private busy = false;
  private drawing = false;
  private readonly unchosen = new Set<string>();
  private crs = '';
  /** Layers whose common pieces are shown, empty for none. */
  private readonly overlaid: [string, string] = ['', ''];
  private request: AbortController | null = null;
  private readonly listeners: (() => void)[] = [];
  private readonly file = h('input', { type: 'file', class: 'visually-hidden', accept: '.geojson,.json,.wkt,.txt,.zip', tabindex: -1, 'aria-hidden': 'true' });

  constructor(private readonly needs: ReportNeeds) {
    onLanguage(() => this.render());
    this.file.addEventListener('change', () => {
      const file = this.file.files?.[0];
      if (file) void this.takeFile(file);
      this.file.value = '';
    });
    this.element.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') this.close();
    });
    needs.measure.onChange(() => this.takeDrawing());
    needs.stack.onChange((change) => {
      if (change === 'catalog' && this.isOpen) this.render();
    });
    this.acceptDrops();
  }

  get isOpen(): boolean {
    return !this.element.hidden;
  }

  onChange(listener: () => void): void {
    this.listeners.push(listener);
  }

  open(): void {
    this.element.hidden = false;
    document.body.classList.add('reporting');
    this.render();
    this.element.focus();
    this.changed();
  }

  close(): void {
    this.request?.abort();
    this.drawing = false;
    this.element.hidden = true;
    document.body.classList.remove('reporting');
    this.clear();
    this.needs.map.getCanvas().focus();
    this.changed();
  }

  private changed(): void {
    for (const listener of this.listeners) listener();
  }

  private clear(): void {
    this.question = null;
    this.answer = null;
    this.failure = '';
    this.show(null);
    this.showPieces(null);
    this.light(null);
  }

  // ---- where boundaries come from ----------------------------------------------------------------------------

  private draw(): void {
    this.clear();
    // First of all it clears what was measured before, which would end the drawing.
    this.needs.measure.start('area');
    this.drawing = true;
    this.render();
    this.needs.map.getCanvas().focus();
  }

  /** A finished area of the measuring tool becomes the boundary. */
  private takeDrawing(): void {
    const { measure } = this.needs;
    if (!this.drawing) return;
    if (measure.tool !== 'area') {
      this.drawing = false;
      this.render();
      return;
    }
    const ring = measure.finishedRing;
    if (!ring) return;
    this.drawing = false;
    measure.clear();
    const closed = [...ring, ring[0]!].map((point) => [...point]);
    void this.ask({ boundary: { type: 'Polygon', coordinates: [closed] }, name: '' });
  }

  private acceptDrops(): void {
    const carriesFiles = (event: DragEvent) => event.dataTransfer?.types.includes('Files') ?? false;
    document.addEventListener('dragover', (event) => {
      if (!carriesFiles(event)) return;
      event.preventDefault();
      document.body.classList.add('dropping');
    });
    document.addEventListener('dragleave', (event) => {
      if (event.relatedTarget === null) document.body.classList.remove('dropping');
    });
    document.addEventListener('drop', (event) => {
      document.body.classList.remove('dropping');
      const file = event.dataTransfer?.files[0];
      if (!file) return;
      event.preventDefault();
      if (!this.isOpen) this.open();
      void this.takeFile(file);
    });
  }

  private async takeFile(file: File): Promise<void> {
    this.clear();
    if (file.size > MAX_FILE_BYTES) {
      this.fail(t('fileTooLarge', { name: file.name }));
      return;
    }
    const bytes = new Uint8Array(await file.arrayBuffer());
    if (isZip(bytes)) {
      try {
        const { boundary, crs } = await readZippedShapefile(bytes);
        await this.ask({ boundary, name: file.name, crs });
      } catch (error) {
        this.fail(error instanceof ArchiveError ? t(error.reason, { name: file.name }) : String(error));
      }
      return;
    }
    const text = new TextDecoder().decode(bytes).replace(/^\uFEFF/u, '').trim();
    let boundary: unknown = text;
    if (text.startsWith('{')) {
      try {
        boundary = JSON.parse(text);
      } catch {
        this.fail(t('fileUnreadable', { name: file.name }));
        return;
      }
    } else if (!/^(SRID=\d+;\s*)?(MULTI)?POLYGON/iu.test(text)) {
      this.fail(t('fileUnreadable', { name: file.name }));
      return;
    }
    await this.ask({ boundary, name: file.name });
  }

  // ---- asking ------------------------------------------------------------------------------------------------

  private candidates() {
    return this.needs.stack.layers.filter(({ info }) => (info.geometry === 'polygon' || info.geometry === 'mixed') && info.features !== null);
  }

  private chosen(): string[] {
    return this.candidates()
      .map(({ info }) => info.name)
      .filter((name) => !this.unchosen.has(name))
      .slice(0, MAX_LAYERS);
  }

  private body(question: Question, more: Record<string, unknown> = {}): Record<string, unknown> {
    const inputs: Record<string, unknown> = { boundary: question.boundary, layers: this.chosen(), outlines: true, official: true };
    const crs = question.crs || this.crs.trim();
    if (crs) inputs['crs'] = crs;
    return { inputs, ...more };
  }

  private async ask(question: Question): Promise<void> {
    this.request?.abort();
    const request = new AbortController();
    this.request = request;
    this.question = question;
    this.answer = null;
    this.failure = '';
    this.light(null);
    if (this.chosen().length === 0) {
      this.fail(t('reportNoLayers'));
      return;
    }
    this.busy = true;
    this.render();
    try {
      const answer = await this.answerTo(question, request.signal);
      if (request !== this.request) return;
      this.answer = answer;
      this.busy = false;
      this.choose(0);
      this.element.focus();
      const { area_m2 } = answer.reports[0]!.boundary;
      this.needs.announce(t('reportReady', { area: formatArea(area_m2).main }));
    } catch (error) {
      if (request.signal.aborted) return;
      this.busy = false;
      this.fail(error instanceof RequestError ? error.message : String(error));
    }
  }

  /** With the pieces, without them where they are too many. */
  private async answerTo(question: Question, signal: AbortSignal): Promise<ReportAnswer> {
    const plain = this.body(question);
    const inputs = { ...(plain['inputs'] as Record<string, unknown>), pieces: true };
    let response: Response;
    try {
      response = await askReport({ ...plain, inputs }, signal);
    } catch (error) {
      if (!(error instanceof RequestError && error.status === 413)) throw error;
      response = await askReport(plain, signal);
    }
    return (await response.json()) as ReportAnswer;
  }

  private fail(message: string): void {
    this.busy = false;
    this.failure = message;
    this.render();
    this.needs.announce(message);
  }

  private choose(site: number): void {
    this.site = site;
    const outline = this.answer?.outlines?.[site] ?? null;
    this.show(outline);
    this.showPieces(this.answer?.pieces?.[site] ?? null);
    this.light(this.answer?.reports[site] ?? null);
    if (outline) this.needs.zoomTo(outline);
    this.render();
  }

  // ---- the map -----------------------------------------------------------------------------------------------

  /** The boundary, and a veil over all that is outside of it: what stays bright are the pieces. */
  private show(outline: GeoJSON.MultiPolygon | null): void {
    const source = this.needs.map.getSource<GeoJSONSource>(REPORT_SOURCE);
    if (!source) return;
    const features: GeoJSON.Feature[] = [];
    if (outline) {
      const world = [[-180, -85], [180, -85], [180, 85], [-180, 85], [-180, -85]];
      const shells = outline.coordinates.map((rings) => rings[0]!);
      const holes = outline.coordinates.flatMap((rings) => rings.slice(1));
      const veil = [[world, ...shells], ...holes.map((ring) => [ring])];
      features.push(
        { type: 'Feature', properties: { part: 'veil' }, geometry: { type: 'MultiPolygon', coordinates: veil } },
        { type: 'Feature', properties: { part: 'boundary' }, geometry: outline },
      );
    }
    source.setData({ type: 'FeatureCollection', features });
  }

  private showPieces(pieces: GeoJSON.FeatureCollection | null): void {
    const { map } = this.needs;
    const data: GeoJSON.FeatureCollection = pieces ?? { type: 'FeatureCollection', features: [] };
    const source = map.getSource<GeoJSONSource>(PIECES_SOURCE);
    if (source) source.setData(data);
    else if (pieces) map.addSource(PIECES_SOURCE, { type: 'geojson', data });
  }

  /** The pieces a report lists: all borders, and filled what the pointer is at in the panel. */
  private light(report: SiteReport | null, lit: Lit = {}): void {
    const { map } = this.needs;
    for (const layer of map.getStyle().layers) if (layer.id.startsWith(LIT)) map.removeLayer(layer.id);
    if (!this.answer?.pieces || !map.getSource(PIECES_SOURCE)) {
      this.lightFeatures(report, lit.layer, lit.feature);
      return;
    }
    if (!report) return;
    const conditions: unknown[] = ['all'];
    if (lit.layer) conditions.push(['==', ['get', 'layer'], lit.layer.layer]);
    if (lit.feature !== undefined) conditions.push(['==', ['get', 'feature'], lit.feature]);
    if (lit.row) conditions.push(['==', ['get', 'outside'], lit.row.outside]);
    else if (lit.feature === undefined) conditions.push(['==', ['get', 'outside'], false]);
    if (lit.row && !lit.row.outside) conditions.push(['==', ['get', 'value'], lit.row.value]);
    const filter = conditions as FilterSpecification;
    const one = lit.row !== undefined || lit.feature !== undefined;
    if (one) map.addLayer({ id: `${LIT}fill`, type: 'fill', source: PIECES_SOURCE, filter, paint: { 'fill-color': LIT_COLOUR, 'fill-opacity': 0.35 } }, this.needs.below);
    map.addLayer(
      {
        id: `${LIT}line`,
        type: 'line',
        source: PIECES_SOURCE,
        filter,
        layout: { 'line-join': 'round' },
        paint: { 'line-color': LIT_COLOUR, 'line-width': one ? 2.6 : 1.4 },
      },
      this.needs.below,
    );
  }

  /** Borders of whole features, out of the tiles that are there anyway. */
  private lightFeatures(report: SiteReport | null, only?: LayerReport, id?: number): void {
    const { map } = this.needs;
    for (const layer of report?.layers ?? []) {
      if ((only && only !== layer) || !map.getSource(layer.layer) || layer.features.length === 0) continue;
      const ids = id === undefined ? layer.features.map((feature) => feature.id) : [id];
      map.addLayer(
        {
          id: `${LIT}${layer.layer}`,
          type: 'line',
          source: layer.layer,
          'source-layer': layer.layer,
          filter: ['in', ['id'], ['literal', ids]],
          layout: { 'line-join': 'round' },
          paint: { 'line-color': LIT_COLOUR, 'line-width': id === undefined ? 1.4 : 3.5 },
        },
        this.needs.below,
      );
    }
  }

  // ---- the panel ---------------------------------------------------------------------------------------------

  private render(): void {
    if (!this.isOpen) return;
    const report = this.answer?.reports[this.site];
    replace(
      this.element,
      h(
        'header', { class: 'report-head' },
        h('h2', {}, t('report')),
        h('button', { type: 'button', class: 'icon-button', 'aria-label': t('closeReport'), title: t('closeReport'), onclick: () => this.close() }, icon('close')),
      ),
      h(
        'div', { class: 'report-actions' },
        h('button', { type: 'button', class: 'text-button', 'aria-pressed': String(this.drawing), onclick: () => this.draw() }, icon('area'), t('drawBoundary')),
        h('button', { type: 'button', class: 'text-button', onclick: () => this.file.click() }, icon('file'), t('openBoundary')),
        this.file,
      ),
      h(
        'div', { class: 'report-body', role: 'status', 'aria-busy': String(this.busy) },
        this.failure !== '' && h('p', { class: 'report-failure' }, this.failure),
        this.busy && h('p', { class: 'note' }, t('reporting')),
        !report && !this.busy && h('p', { class: 'note' }, this.drawing ? t('drawHint') : t('reportHint')),
        !report && !this.drawing && this.options(),
        report && this.sites(),
        report && this.result(report),
      ),
    );
    this.element.setAttribute('aria-label', t('report'));
  }

  private options(): HTMLElement {
    const crs = h('input', { type: 'text', value: this.crs, placeholder: 'EPSG:4490', size: 12, oninput: () => (this.crs = crs.value) });
    return h(
      'fieldset', { class: 'report-options' },
      h('legend', {}, t('reportLayers')),
      ...this.candidates().map(({ info }) =>
        h(
          'label', {},
          h('input', {
            type: 'checkbox',
            checked: !this.unchosen.has(info.name),
            onchange: (event: Event) => {
              if ((event.target as HTMLInputElement).checked) this.unchosen.delete(info.name);
              else this.unchosen.add(info.name);
            },
          }),
          titleOf(info),
        ),
      ),
      h('label', { class: 'report-crs' }, t('reportCrs'), crs),
      this.overlays(),
    );
  }

  /** What lies inside of two layers, as tiles. */
  private overlays(): HTMLElement {
    const options = (selected: string) => [
      h('option', { value: '', selected: selected === '' }, t('overlayNone')),
      ...this.candidates().map(({ info }) => h('option', { value: info.name, selected: info.name === selected }, titleOf(info))),
    ];
    const selects = this.overlaid.map((name, place) => {
      const select = h(
        'select', {
          'aria-label': `${t('overlayShow')} ${place + 1}`,
          onchange: () => {
            this.overlaid[place] = select.value;
            this.showOverlay();
          },
        },
        ...options(name),
      );
      return select;
    });
    return h('div', { class: 'report-overlay' }, h('span', {}, t('overlayShow')), selects[0]!, '×', selects[1]!);
  }

  private showOverlay(): void {
    const { map } = this.needs;
    for (const id of ['fill', 'line']) if (map.getLayer(`${OVERLAY_SOURCE}:${id}`)) map.removeLayer(`${OVERLAY_SOURCE}:${id}`);
    if (map.getSource(OVERLAY_SOURCE)) map.removeSource(OVERLAY_SOURCE);
    const [a, b] = this.overlaid;
    if (a === '' || b === '' || a === b) return;
    map.addSource(OVERLAY_SOURCE, { type: 'vector', url: overlayTileJsonUrl([a, b]) });
    const drawn = { source: OVERLAY_SOURCE, 'source-layer': OVERLAY_LAYER };
    map.addLayer({ id: `${OVERLAY_SOURCE}:fill`, type: 'fill', ...drawn, paint: { 'fill-color': OVERLAY_COLOUR, 'fill-opacity': 0.28 } }, this.needs.below);
    map.addLayer({ id: `${OVERLAY_SOURCE}:line`, type: 'line', ...drawn, paint: { 'line-color': OVERLAY_COLOUR, 'line-width': 1.2 } }, this.needs.below);
    const title = (name: string) => {
      const info = this.needs.stack.find(name)?.info;
      return info ? titleOf(info) : name;
    };
    this.needs.announce(t('overlayOf', { a: title(a), b: title(b) }));
  }

  private sites(): HTMLElement | false {
    const reports = this.answer?.reports ?? [];
    if (reports.length < 2) return false;
    const select = h(
      'select', { 'aria-label': t('reportSite'), onchange: () => this.choose(Number(select.value)) },
      ...reports.map(({ boundary, verdict }, index) =>
        h('option', { value: index, selected: index === this.site }, `${boundary.name}${verdict ? ` · ${t(VERDICTS[verdict])}` : ''}`),
      ),
    );
    return h('label', { class: 'report-sites' }, t('reportSite'), select);
  }

  private result(report: SiteReport): HTMLElement {
    const { boundary } = report;
    const { hectares, mu } = formatArea(boundary.area_m2);
    return h(
      'div', {},
      report.verdict && h('p', { class: `verdict ${report.verdict}` }, t(VERDICTS[report.verdict])),
      h(
        'p', { class: 'report-area' },
        h('strong', {}, `${boundary.area_m2.toFixed(2)} m²`), ` ${hectares} ${t('hectare')} · ${mu} ${t('mu')}`,
      ),
      boundary.official_area_m2 !== null && h('p', { class: 'note' }, t('officialArea', { area: boundary.official_area_m2.toFixed(2) })),
      h(
        'div', { class: 'report-downloads' },
        h('button', { type: 'button', class: 'text-button', onclick: () => this.saveJson() }, icon('download'), 'JSON'),
        h('button', { type: 'button', class: 'text-button', onclick: () => void this.savePage() }, icon('download'), t('reportPage')),
      ),
      ...report.layers.map((layer) => this.layer(report, layer)),
      h('p', { class: 'note report-stamp' }, t('reportStamp', { rules: `${report.rules.id} ${report.rules.version}`, hash: report.hash })),
    );
  }

  private layer(report: SiteReport, layer: LayerReport): HTMLElement {
    const info = this.needs.stack.find(layer.layer)?.info;
    const zh = currentLanguage() === 'zh';
    const value = (text: string | null) => text ?? t('noValue');
    const light = () => this.light(report, { layer });
    const official = layer.official_residual_m2 !== undefined;
    const sum = layer.rows.reduce((all, row) => all + (row.official_area_m2 ?? 0), 0);
    const dim = () => this.light(report);
    const features = layer.features.slice(0, SHOWN_FEATURES);
    const rest = layer.touched - features.length;
    return h(
      'section', { class: 'report-layer', onmouseenter: light, onmouseleave: dim },
      h('h3', {}, info ? titleOf(info) : layer.title, h('span', { class: 'note' }, t('features', { count: layer.touched }))),
      ...layer.checks.map((check) => h('p', { class: `check ${check.verdict}` }, h('b', {}, t(VERDICTS[check.verdict])), ` ${zh ? check.text.zh : check.text.en}`)),
      h(
        'table', {},
        h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, layer.field ?? t('layers')), h('th', { scope: 'col' }, 'm²'), official && h('th', { scope: 'col' }, t('officialColumn')), h('th', { scope: 'col' }, '%'))),
        h(
          'tbody', {},
          ...layer.rows.map((row) =>
            h(
              'tr', { class: row.outside ? 'outside' : '', onmouseenter: () => this.light(report, { layer, row }), onmouseleave: light },
              h('td', {}, row.outside ? t('outsideLayer') : `${value(row.value)} ${row.label ?? ''}`),
              h('td', { class: 'number' }, row.area_m2.toFixed(2)),
              official && h('td', { class: 'number' }, (row.official_area_m2 ?? 0).toFixed(2)),
              h('td', { class: 'number' }, (row.share * 100).toFixed(2)),
            ),
          ),
          h('tr', { class: 'total' }, h('td', {}, t('total')), h('td', { class: 'number' }, report.boundary.area_m2.toFixed(2)), official && h('td', { class: 'number' }, sum.toFixed(2)), h('td', { class: 'number' }, '100.00')),
        ),
      ),
      official && h('p', { class: 'note' }, t('officialResidual', { area: (layer.official_residual_m2 ?? 0).toFixed(2) })),
      features.length > 0 &&
        h(
          'details', {},
          h('summary', {}, t('reportFeatures', { count: layer.touched })),
          h(
            'ul', {},
            ...features.map((feature) =>
              h(
                'li', {},
                h(
                  'button', {
                    type: 'button',
                    onclick: () => this.needs.openFeature(layer.layer, feature.id),
                    onfocus: () => this.light(report, { layer, feature: feature.id }),
                    onmouseenter: () => this.light(report, { layer, feature: feature.id }),
                    onmouseleave: light,
                    onblur: dim,
                  },
                  h('span', {}, `${feature.id} ${value(feature.value)}`),
                  h('span', { class: 'number' }, `${feature.area_m2.toFixed(2)} m² · ${(feature.share_of_feature * 100).toFixed(1)}%`),
                ),
              ),
            ),
            rest > 0 && h('li', { class: 'note' }, t('reportMore', { count: rest })),
          ),
        ),
    );
  }

  // ---- downloads ---------------------------------------------------------------------------------------------

  private saveJson(): void {
    if (!this.answer) return;
    const { outlines: _, pieces: __, ...document } = this.answer;
    this.save(new Blob([JSON.stringify(document, null, 1)], { type: 'application/json' }), 'report.json');
  }

  private async savePage(): Promise<void> {
    if (!this.question) return;
    const outputs = { report: { format: { mediaType: 'text/html' } } };
    try {
      const response = await askReport(this.body(this.question, { outputs }), this.request?.signal);
      this.save(await response.blob(), 'report.html');
    } catch (error) {
      this.fail(error instanceof RequestError ? error.message : String(error));
    }
  }

  private save(content: Blob, name: string): void {
    const address = URL.createObjectURL(content);
    h('a', { href: address, download: name }).click();
    window.setTimeout(() => URL.revokeObjectURL(address), 10_000);
  }
}
