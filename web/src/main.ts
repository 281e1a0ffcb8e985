// The portal: puts the parts together, follows the server, and keeps the link of the page true.
import 'maplibre-gl/dist/maplibre-gl.css';
import './style.css';
import { LngLatBounds, type LngLatBoundsLike, type Map as MapLibre } from 'maplibre-gl';
import { h, icon, replace, type Icon } from './dom';
import { currentLanguage, onLanguage, setLanguage, t, titleOf, type TextKey } from './i18n';
import { Inspector } from './inspect';
import { entriesInView } from './legend';
import { createMap } from './map';
import { Measure, type Tool } from './measure';
import { readPermalink, writePermalink, type Permalink } from './permalink';
import { Readout } from './readout';
import { ReportPanel } from './report';
import { SearchBox } from './search';
import { getCatalog, RequestError, type Bounds, type Catalog } from './server';
import { LayerStack, type StackedLayer } from './stack';
import { LayerTree } from './tree';

const POLL_MS = 20_000;
const RETRY_MS = 4_000;
const SLOW_MS = 6_000;

function start(): void {
  const link = readPermalink(location.hash);
  if (link.language) setLanguage(link.language);
  const app = document.getElementById('app')!;
  const mapBox = h('div', { class: 'map', id: 'map' });
  app.append(mapBox);
  let map: MapLibre;
  try {
    map = createMap(mapBox);
  } catch {
    replace(app, h('div', { class: 'notice' }, h('h1', {}, t('noWebgl'))));
    return;
  }
  map.once('load', () => new Portal(app, mapBox, map, link));
}

class Portal {
  private readonly stack: LayerStack;
  private readonly tree: LayerTree;
  private readonly inspector: Inspector;
  private readonly measure: Measure;
  private readonly report: ReportPanel;
  private readonly readout = new Readout();
  private readonly live = h('div', { class: 'visually-hidden', 'aria-live': 'polite' });
  private readonly notice = h('div', { class: 'notice', hidden: true });
  private readonly banner = h('div', { class: 'banner', role: 'status', hidden: true });
  private readonly progress = h('div', { class: 'progress', role: 'status' });
  private readonly workspace = h('p', { class: 'workspace' });
  private bannerTimer = 0;
  private version: string | null = null;
  private selected: Permalink['feature'];
  private writtenHash = '';
  private chosenByUser: boolean;
  private viewTimer = 0;

  constructor(app: HTMLElement, private readonly mapBox: HTMLElement, private readonly map: MapLibre, private readonly link: Permalink) {
    this.chosenByUser = link.on !== undefined;
    this.stack = new LayerStack(map);
    const announce = (text: string) => {
      this.live.textContent = text;
    };
    this.tree = new LayerTree({
      stack: this.stack,
      zoomTo: (layer) => this.zoomToLayer(layer),
      isInView: (layer) => this.isInView(layer),
      zoom: () => map.getZoom(),
      entriesInView: (layer) => entriesInView(map, layer),
      announce,
    });
    this.inspector = new Inspector({
      map,
      stack: this.stack,
      zoomTo: (geometry) => this.fit(boundsOf(geometry), 17),
      announce,
      selected: (feature) => {
        this.selected = feature ?? undefined;
        this.writeLink();
      },
      copyLink: () => void this.copyLink(),
    });
    this.measure = new Measure(map);
    this.report = new ReportPanel({
      map,
      stack: this.stack,
      measure: this.measure,
      below: 'onemap:report-veil',
      zoomTo: (geometry) => this.fit(boundsOf(geometry), 18),
      openFeature: (layer, id) => this.openLinked({ layer, id }),
      announce,
    });
    const search = new SearchBox({
      stack: this.stack,
      goTo: (position) => {
        map.flyTo({ center: [...position], zoom: Math.max(map.getZoom(), 15), ...this.quietly() });
        this.readout.show(...position);
      },
      show: (layer, match) => {
        if (!layer.on) this.stack.setOn(layer, true);
        if (match.bbox) this.fit(match.bbox, 17);
        else if (match.point) map.flyTo({ center: match.point, zoom: 16, ...this.quietly() });
        void this.inspector.open([{ layer, id: match.id, properties: match.properties }]);
        if (this.isPhone()) this.setPanel(false);
      },
    });

    const panel = h(
      'div', { class: 'panel', id: 'panel' },
      h('header', { class: 'brand' }, h('div', { class: 'mark' }, icon('layers')), h('div', {}, this.title, this.workspace), this.languageButton, this.hideButton),
      search.element,
      this.tree.element,
    );
    app.append(
      panel, this.showButton, this.toolbar(), this.inspector.element, this.report.element, this.measure.element,
      h('div', { class: 'crosshair', 'aria-hidden': 'true' }), this.readout.element, this.progress, this.banner, this.notice, this.live,
    );
    this.words();
    onLanguage(() => {
      this.words();
      this.writeLink();
    });
    this.listen();
    this.setPanel(!this.isPhone());
    void this.follow();
  }

  private readonly title = h('h1', {});
  private readonly languageButton = h('button', { type: 'button', class: 'text-button language', onclick: () => setLanguage(currentLanguage() === 'zh' ? 'en' : 'zh') });
  private readonly hideButton = h('button', { type: 'button', class: 'icon-button hide-panel', onclick: () => this.setPanel(false) }, icon('close'));
  private readonly showButton = h('button', { type: 'button', class: 'show-panel', 'aria-controls': 'panel', onclick: () => this.setPanel(true) }, icon('layers'), h('span', {}));
  private readonly toolButtons: { button: HTMLButtonElement; text: TextKey }[] = [];

  private words(): void {
    this.title.textContent = t('title');
    document.title = `${t('title')} · onemap`;
    this.languageButton.textContent = t('language');
    this.languageButton.setAttribute('aria-label', t('languageLabel'));
    this.languageButton.lang = currentLanguage() === 'zh' ? 'en' : 'zh-CN';
    this.hideButton.setAttribute('aria-label', t('hidePanel'));
    this.hideButton.title = t('hidePanel');
    this.showButton.setAttribute('aria-label', t('showPanel'));
    this.showButton.lastElementChild!.textContent = t('layers');
    document.getElementById('panel')?.setAttribute('aria-label', t('layerPanel'));
    document.body.dataset['drop'] = t('dropHere');
    const canvas = this.map.getCanvas();
    canvas.setAttribute('aria-label', t('map'));
    for (const { button, text } of this.toolButtons) {
      button.title = t(text);
      button.setAttribute('aria-label', t(text));
    }
    this.mapBox.querySelector('.maplibregl-ctrl-attrib')?.setAttribute('lang', document.documentElement.lang);
  }

  private toolbar(): HTMLElement {
    const { map } = this;
    const tool = (text: TextKey, picture: Icon, onclick: () => void) => {
      const button = h('button', { type: 'button', onclick }, icon(picture));
      this.toolButtons.push({ button, text });
      return button;
    };
    const measureTool = (text: TextKey, picture: Icon, which: Tool) => {
      const button = tool(text, picture, () => (this.measure.tool === which ? this.measure.clear() : this.measure.start(which)));
      const refresh = () => button.setAttribute('aria-pressed', String(this.measure.tool === which));
      this.measure.onChange(refresh);
      refresh();
      return button;
    };
    const reportTool = tool('report', 'report', () => (this.report.isOpen ? this.report.close() : this.report.open()));
    const pressed = () => reportTool.setAttribute('aria-pressed', String(this.report.isOpen));
    this.report.onChange(() => {
      pressed();
      // They stand in the same place.
      if (this.report.isOpen) this.inspector.close();
    });
    pressed();
    const compass = tool('northUp', 'compass', () => map.resetNorth(this.quietly()));
    const turn = () => {
      compass.hidden = Math.abs(map.getBearing()) < 0.5;
      (compass.firstElementChild as SVGElement).style.transform = `rotate(${-map.getBearing()}deg)`;
    };
    map.on('rotate', turn);
    turn();
    const element = h(
      'div', { class: 'toolbar', role: 'toolbar', 'aria-orientation': 'vertical' },
      h('div', { class: 'tool-group' }, tool('zoomIn', 'plus', () => map.zoomIn(this.quietly())), tool('zoomOut', 'minus', () => map.zoomOut(this.quietly())), compass),
      h('div', { class: 'tool-group' }, tool('home', 'home', () => this.zoomHome())),
      h('div', { class: 'tool-group' }, measureTool('measureDistance', 'distance', 'distance'), measureTool('measureArea', 'area', 'area')),
      h('div', { class: 'tool-group' }, reportTool),
    );
    const name = () => element.setAttribute('aria-label', t('tools'));
    onLanguage(name);
    name();
    return element;
  }

  private listen(): void {
    const { map } = this;
    map.on('mousemove', ({ lngLat }) => this.readout.show(lngLat.lng, lngLat.lat));
    const centre = () => this.readout.show(map.getCenter().lng, map.getCenter().lat);
    // Without a pointer over the map the read-out is of its centre.
    let pointerOver = false;
    map.on('mouseover', () => (pointerOver = true));
    map.on('mouseout', () => {
      pointerOver = false;
      centre();
    });
    map.on('move', () => {
      if (!pointerOver) centre();
    });
    centre();
    map.on('click', (event) => {
      this.readout.show(event.lngLat.lng, event.lngLat.lat);
      // The measuring tool takes its own clicks, and the second half of the double click that ends it.
      if (this.measure.tool === null) void this.inspector.open(this.inspector.candidatesAt(event.point));
    });
    map.getCanvas().addEventListener('keydown', (event) => {
      const point = map.project(map.getCenter());
      if (event.key === 'Enter' && this.measure.isDrawing) {
        if (event.shiftKey) this.measure.finish();
        else this.measure.addPoint([map.getCenter().lng, map.getCenter().lat]);
      } else if (event.key === 'Enter' && this.measure.tool === null) void this.inspector.open(this.inspector.candidatesAt(point));
      else return;
      event.preventDefault();
    });
    document.addEventListener('keydown', (event) => {
      if (event.key === 'Escape' && this.measure.tool !== null) this.measure.clear();
      else if (event.key === 'Escape' && event.target === map.getCanvas()) this.inspector.close();
      else if (event.key === '/' && !(event.target as HTMLElement).matches('input, select, textarea')) {
        event.preventDefault();
        this.setPanel(true);
        document.getElementById('search-text')?.focus();
      }
    });
    map.on('moveend', () => this.writeLink());
    map.on('idle', () => this.refreshView());
    map.on('moveend', () => this.refreshView());
    this.stack.onChange((change) => {
      if (change === 'catalog') this.workspaceState();
      else this.chosenByUser = true;
      this.writeLink();
    });
    addEventListener('hashchange', () => this.readLink());
    this.followTiles();
  }

  /** At most every 200 ms: asking what is drawn takes a moment on a full map. */
  private refreshView(): void {
    if (this.viewTimer !== 0) return;
    this.viewTimer = window.setTimeout(() => {
      this.viewTimer = 0;
      this.tree.refreshView();
    }, 200);
  }

  // ---- tiles -------------------------------------------------------------------------------------------------

  private followTiles(): void {
    const { map, stack } = this;
    let since = 0;
    const check = () => {
      let waiting = false;
      for (const layer of stack.visible()) {
        if (layer.state === 'failed' || !map.getSource(layer.info.name)) continue;
        const loaded = map.isSourceLoaded(layer.info.name);
        stack.setLoading(layer, !loaded);
        waiting ||= !loaded;
      }
      if (!waiting) since = 0;
      else if (since === 0) since = performance.now();
      const slow = waiting && performance.now() - since > SLOW_MS;
      this.progress.classList.toggle('active', waiting);
      this.progress.classList.toggle('slow', slow);
      const text = slow ? t('slow') : '';
      if (this.progress.textContent !== text) this.progress.textContent = text;
    };
    window.setInterval(check, 300);
    map.on('idle', check);
    map.on('error', ({ error, ...event }) => {
      const sourceId = (event as { sourceId?: string }).sourceId;
      const layer = sourceId === undefined ? undefined : stack.find(sourceId);
      const status = (error as { status?: number } | undefined)?.status;
      if (layer) stack.fail(layer, status === 404 ? 'no-tiles' : 'request', error?.message ?? '');
      // Without a layer nothing is missing from the map: a hatch that could not be read, at most.
      else if (error) console.warn(error.message);
    });
  }

  // ---- the catalog -------------------------------------------------------------------------------------------

  /** Asks for the catalog for as long as the page is open. */
  private async follow(): Promise<void> {
    const first = h('p', {}, t('connecting'));
    replace(this.notice, first);
    const patience = window.setTimeout(() => (this.notice.hidden = this.version !== null), 600);
    for (;;) {
      let wait = POLL_MS;
      if (document.visibilityState === 'visible' || this.version === null) {
        try {
          const catalog = await getCatalog();
          this.reached(catalog);
          if (catalog.layers.length === 0) wait = RETRY_MS;
        } catch (error) {
          this.unreached(error);
          wait = RETRY_MS;
        }
        window.clearTimeout(patience);
      }
      await this.pause(wait);
    }
  }

  /** Waits, but not past the moment someone comes back to the page. */
  private pause(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        window.clearTimeout(timer);
        removeEventListener('focus', done);
        document.removeEventListener('visibilitychange', done);
        resolve();
      };
      const timer = window.setTimeout(done, milliseconds);
      addEventListener('focus', done);
      document.addEventListener('visibilitychange', done);
    });
  }

  private reached(catalog: Catalog): void {
    const isFirst = this.version === null;
    if (this.banner.dataset['reason'] === 'lost') this.banner.hidden = true;
    if (catalog.version === this.version) return;
    this.version = catalog.version;
    this.workspace.textContent = catalog.workspace;
    const wasEmpty = this.stack.layers.length === 0;
    const renewed = this.stack.take(catalog, wasEmpty ? { ...(this.link.on ? { on: this.link.on } : {}), ...(this.link.groups ? { groups: this.link.groups } : {}) } : undefined);
    if (wasEmpty && this.stack.layers.length > 0) {
      if (isFirst && this.link.view) this.map.jumpTo({ center: [this.link.view.lon, this.link.view.lat], zoom: this.link.view.zoom });
      else this.zoomHome(false);
      if (this.link.feature) this.openLinked(this.link.feature);
    }
    if (renewed.length > 0) {
      this.say(t('updated', { names: renewed.map((name) => titleOf(this.stack.find(name)!.info)).join('、') }), 'updated', 6000);
    }
    this.workspaceState();
  }

  private unreached(error: unknown): void {
    if (this.version !== null) {
      this.say(t('lost'), 'lost');
      return;
    }
    const unreadable = error instanceof RequestError && error.reason === 'content';
    this.notice.hidden = false;
    replace(
      this.notice,
      icon('alert'),
      h('h2', {}, unreadable ? t('badCatalog') : t('unreachable')),
      h('p', {}, t('unreachableHint')),
      h('p', { class: 'note' }, error instanceof Error ? error.message : String(error)),
    );
  }

  private workspaceState(): void {
    const isEmpty = this.stack.layers.length === 0;
    this.notice.hidden = !isEmpty;
    if (!isEmpty) return;
    replace(this.notice, icon('layers'), h('h2', {}, t('empty')), h('p', {}, t('emptyHint')), h('pre', {}, `onemap import ${this.workspace.textContent || 'WORKSPACE'} dltb=DLTB.shp --kind landuse`));
  }

  private say(text: string, reason: string, hideAfterMs = 0): void {
    window.clearTimeout(this.bannerTimer);
    this.banner.textContent = text;
    this.banner.dataset['reason'] = reason;
    this.banner.hidden = false;
    if (hideAfterMs > 0) this.bannerTimer = window.setTimeout(() => (this.banner.hidden = true), hideAfterMs);
  }

  // ---- places ------------------------------------------------------------------------------------------------

  private isPhone = () => matchMedia('(max-width: 720px)').matches;
  private quietly = () => (matchMedia('(prefers-reduced-motion: reduce)').matches ? { duration: 0 } : { duration: 600 });

  private fit(bounds: Bounds, maxZoom: number, animate = true): void {
    const wide = bounds[2] < bounds[0] ? [bounds[0], bounds[1], bounds[2] + 360, bounds[3]] : bounds;
    const panelOpen = document.body.classList.contains('panel-open');
    const padding = this.isPhone()
      ? { top: 70, bottom: document.body.classList.contains('inspecting') ? Math.round(innerHeight * 0.42) : 90, left: 30, right: 50 }
      : { top: 40, bottom: 60, left: panelOpen ? 380 : 40, right: document.body.classList.contains('inspecting') ? 400 : 70 };
    this.map.fitBounds(wide as LngLatBoundsLike, { padding, maxZoom, ...(animate ? this.quietly() : { duration: 0 }) });
  }

  private zoomToLayer(layer: StackedLayer): void {
    if (layer.info.bounds) this.fit(layer.info.bounds, 17);
    if (this.isPhone()) this.setPanel(false);
  }

  /** The land of the workspace: its land use if it has any, else the first thing that is not a picture of the world. */
  private zoomHome(animate = true): void {
    const bounded = this.stack.layers.filter((layer) => layer.info.bounds);
    const shown = bounded.filter((layer) => layer.on);
    const from = shown.length > 0 ? shown : bounded;
    const best = ['landuse', 'planning', 'mineral', 'admin', 'other', 'imagery'].flatMap((kind) => from.filter((layer) => layer.info.kind === kind))[0];
    if (best) this.fit(best.info.bounds!, 17, animate);
  }

  private isInView(layer: StackedLayer): boolean {
    const { bounds } = layer.info;
    if (!bounds) return true;
    const view = this.map.getBounds();
    const east = bounds[2] < bounds[0] ? bounds[2] + 360 : bounds[2];
    if (bounds[1] > view.getNorth() || bounds[3] < view.getSouth()) return false;
    return [-360, 0, 360].some((turn) => bounds[0] + turn <= view.getEast() && east + turn >= view.getWest());
  }

  private setPanel(open: boolean): void {
    document.body.classList.toggle('panel-open', open);
    this.showButton.setAttribute('aria-expanded', String(open));
    document.getElementById('panel')?.toggleAttribute('inert', !open);
    if (open && this.showButton === document.activeElement) this.hideButton.focus();
  }

  // ---- the link of the page ----------------------------------------------------------------------------------

  private writeLink(): void {
    if (this.stack.layers.length === 0) return;
    const centre = this.map.getCenter();
    const link: Permalink = { view: { zoom: this.map.getZoom(), lon: centre.wrap().lng, lat: centre.lat }, language: currentLanguage() };
    if (this.chosenByUser) link.on = this.stack.visible().map(({ info, opacity }) => ({ name: info.name, opacity }));
    if (!this.stack.groupsAsFirstShown()) link.groups = this.stack.groups.map(({ id }) => id);
    if (this.selected) link.feature = this.selected;
    this.writtenHash = writePermalink(link);
    history.replaceState(null, '', this.writtenHash);
  }

  private readLink(): void {
    if (location.hash === this.writtenHash) return;
    const link = readPermalink(location.hash);
    if (link.language) setLanguage(link.language);
    if (link.on) {
      this.stack.choose(link.on);
      this.stack.apply();
    }
    if (link.view) this.map.jumpTo({ center: [link.view.lon, link.view.lat], zoom: link.view.zoom });
    if (link.feature) this.openLinked(link.feature);
    else this.inspector.close();
  }

  private openLinked(feature: { layer: string; id: number }): void {
    const layer = this.stack.find(feature.layer);
    if (layer) void this.inspector.open([{ layer, id: feature.id, properties: {} }]);
  }

  private async copyLink(): Promise<void> {
    this.writeLink();
    try {
      await navigator.clipboard.writeText(location.href);
      this.say(t('linkCopied'), 'copied', 2500);
    } catch {
      // Without permission for the clipboard (a page without TLS) the address bar has the link all the same.
      this.say(location.href, 'copied', 8000);
    }
  }
}

function boundsOf(geometry: GeoJSON.Geometry): Bounds {
  const bounds = new LngLatBounds();
  const walk = (coordinates: unknown): void => {
    if (!Array.isArray(coordinates)) return;
    if (typeof coordinates[0] === 'number') bounds.extend([coordinates[0], coordinates[1] as number]);
    else coordinates.forEach(walk);
  };
  if (geometry.type === 'GeometryCollection') geometry.geometries.forEach((part) => walk('coordinates' in part ? part.coordinates : []));
  else walk(geometry.coordinates);
  return bounds.toArray().flat() as Bounds;
}

start();
