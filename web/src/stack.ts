// The layers of the workspace as a stack: which are on, how opaque, in what order; and the map drawn from it.
//
// The order of the tree is the order of drawing, uppermost first. Fills and lines of all layers lie below the names
// of all layers. Styles come from the server when a layer is first switched on.
import type { LayerSpecification, Map as MapLibre } from 'maplibre-gl';
import { getStyle, tileJsonUrl, RequestError, type Catalog, type Group, type GroupId, type LayerInfo, type LayerStyle, type LegendEntry } from './server';
import { scaleOpacity } from './opacity';

/** Style layers between which the stack puts its own. */
export const ABOVE_GEOMETRY = 'onemap:above-geometry';
export const ABOVE_NAMES = 'onemap:above-names';

/** Groups as first shown: what is drawn over the rest comes first. */
const GROUP_ORDER: GroupId[] = ['basic', 'planning', 'mineral', 'landuse', 'imagery'];
/** More layers than this are not switched on without being asked for. */
const ON_AT_FIRST = 12;

export interface StackedLayer {
  info: LayerInfo;
  on: boolean;
  opacity: number;
  state: 'idle' | 'loading' | 'ready' | 'failed';
  failure: 'no-tiles' | 'request' | null;
  failureText: string;
  style: LayerStyle | null;
  legend: LegendEntry[];
  /** Counts requests of the style, so that a late answer of an older one is dropped. */
  attempt: number;
}

type Change = 'catalog' | 'order' | 'layer';

export class LayerStack {
  groups: Group[] = [];
  /** Every layer, uppermost first, grouped. */
  layers: StackedLayer[] = [];
  private readonly listeners: ((change: Change, layer: StackedLayer | null) => void)[] = [];
  private readonly drawn = new Set<string>();

  constructor(private readonly map: MapLibre) {}

  onChange(listener: (change: Change, layer: StackedLayer | null) => void): void {
    this.listeners.push(listener);
  }

  private changed(change: Change, layer: StackedLayer | null = null): void {
    for (const listener of this.listeners) listener(change, layer);
  }

  find(name: string): StackedLayer | undefined {
    return this.layers.find((layer) => layer.info.name === name);
  }

  inGroup(group: GroupId): StackedLayer[] {
    return this.layers.filter((layer) => layer.info.group === group);
  }

  visible(): StackedLayer[] {
    return this.layers.filter((layer) => layer.on);
  }

  /** Takes over a catalog; keeps what the user chose for layers that are still there. Names of renewed layers come back. */
  take(catalog: Catalog, wanted?: { on?: { name: string; opacity: number }[]; groups?: string[] }): string[] {
    const first = this.layers.length === 0;
    const before = new Map(this.layers.map((layer) => [layer.info.name, layer]));
    const groupRank = new Map((wanted?.groups ?? (first ? GROUP_ORDER : this.groups.map((group) => group.id))).map((id, rank) => [id as string, rank]));
    this.groups = [...catalog.groups].sort((a, b) => (groupRank.get(a.id) ?? 99) - (groupRank.get(b.id) ?? 99));
    const rankBefore = new Map(this.layers.map((layer, rank) => [layer.info.name, rank]));
    const renewed: string[] = [];

    const next = catalog.layers.map((info): StackedLayer => {
      const old = before.get(info.name);
      before.delete(info.name);
      if (!old) return { info, on: false, opacity: 1, state: 'idle', failure: null, failureText: '', style: null, legend: [], attempt: 0 };
      if (old.info.generation !== info.generation) {
        renewed.push(info.name);
        this.erase(old);
        old.style = null;
        old.state = 'idle';
      }
      old.info = info;
      return old;
    });
    for (const gone of before.values()) this.erase(gone);

    const kindRank = (layer: StackedLayer) => ({ admin: 0, other: 1, planning: 0, mineral: 0, landuse: 0, imagery: 0 })[layer.info.kind];
    const shapeRank = (layer: StackedLayer) => ({ point: 0, line: 1, mixed: 2, polygon: 3, raster: 4 })[layer.info.geometry];
    this.layers = next.sort(
      (a, b) =>
        (rankBefore.get(a.info.name) ?? -1) - (rankBefore.get(b.info.name) ?? -1) || kindRank(a) - kindRank(b) || shapeRank(a) - shapeRank(b),
    );
    if (wanted?.on) this.choose(wanted.on);
    else if (first) this.chooseDefaults();
    this.sortByGroup();
    this.changed('catalog');
    for (const layer of this.visible()) void this.draw(layer);
    this.restack();
    return renewed;
  }

  private sortByGroup(): void {
    const rank = new Map(this.groups.map((group, index) => [group.id, index]));
    this.layers = this.layers
      .map((layer, index) => ({ layer, index }))
      .sort((a, b) => (rank.get(a.layer.info.group) ?? 99) - (rank.get(b.layer.info.group) ?? 99) || a.index - b.index)
      .map(({ layer }) => layer);
  }

  private chooseDefaults(): void {
    if (this.layers.length <= ON_AT_FIRST) {
      for (const layer of this.layers) layer.on = true;
      return;
    }
    for (const group of this.groups) {
      for (const layer of this.inGroup(group.id).slice(0, 2)) layer.on = true;
    }
  }

  /** Switches on exactly these, in this order within their groups. */
  choose(on: { name: string; opacity: number }[]): void {
    const rank = new Map(on.map(({ name }, index) => [name, index]));
    for (const layer of this.layers) {
      const wanted = on.find(({ name }) => name === layer.info.name);
      layer.on = wanted !== undefined;
      if (wanted) layer.opacity = wanted.opacity;
    }
    // Layers that are on change places only among themselves: the others keep theirs.
    const slots = this.layers.flatMap((layer, index) => (layer.on ? [index] : []));
    const sorted = slots.map((slot) => this.layers[slot]!).sort((a, b) => rank.get(a.info.name)! - rank.get(b.info.name)!);
    slots.forEach((slot, index) => (this.layers[slot] = sorted[index]!));
    this.sortByGroup();
  }

  /** Brings the map in line after `choose`. */
  apply(): void {
    for (const layer of this.layers) {
      this.showOrHide(layer);
      this.paintOpacity(layer);
    }
    this.restack();
    this.changed('catalog');
  }

  setOn(layer: StackedLayer, on: boolean): void {
    layer.on = on;
    this.showOrHide(layer);
    this.changed('layer', layer);
  }

  setOpacity(layer: StackedLayer, opacity: number): void {
    layer.opacity = opacity;
    this.paintOpacity(layer);
    this.changed('layer', layer);
  }

  /** Moves a layer among those of its group; false when it is already there. */
  moveLayer(layer: StackedLayer, place: number): boolean {
    const group = this.inGroup(layer.info.group);
    const target = Math.max(0, Math.min(group.length - 1, place));
    if (group.indexOf(layer) === target) return false;
    group.splice(group.indexOf(layer), 1);
    group.splice(target, 0, layer);
    this.layers = this.groups.flatMap(({ id }) => (id === layer.info.group ? group : this.inGroup(id)));
    this.restack();
    this.changed('order');
    return true;
  }

  /** The groups that have layers, uppermost first. */
  shownGroups(): Group[] {
    return this.groups.filter(({ id }) => this.layers.some((layer) => layer.info.group === id));
  }

  /** Moves a group among those that have layers; false when it is already there. */
  moveGroup(group: Group, place: number): boolean {
    const shown = this.shownGroups();
    const target = shown[Math.max(0, Math.min(shown.length - 1, place))];
    if (target === undefined || target === group) return false;
    const index = this.groups.indexOf(target);
    this.groups.splice(this.groups.indexOf(group), 1);
    this.groups.splice(index, 0, group);
    this.sortByGroup();
    this.restack();
    this.changed('order');
    return true;
  }

  groupsAsFirstShown(): boolean {
    const shown = this.groups.map(({ id }) => id);
    return GROUP_ORDER.filter((id) => shown.includes(id)).every((id, index) => shown[index] === id);
  }

  retry(layer: StackedLayer): void {
    this.erase(layer);
    layer.style = null;
    layer.state = 'idle';
    layer.failure = null;
    this.changed('layer', layer);
    void this.draw(layer);
  }

  fail(layer: StackedLayer, failure: 'no-tiles' | 'request', text: string): void {
    layer.state = 'failed';
    layer.failure = failure;
    layer.failureText = text;
    this.changed('layer', layer);
  }

  setLoading(layer: StackedLayer, loading: boolean): void {
    if (layer.state === 'failed' && loading) return;
    const state = loading ? 'loading' : 'ready';
    if (layer.state === state) return;
    layer.state = state;
    layer.failure = null;
    this.changed('layer', layer);
  }

  /** Ids of the style layers of a layer that can be clicked. */
  clickable(layer: StackedLayer): string[] {
    return this.drawn.has(layer.info.name) && layer.info.features !== null
      ? layer.style!.layers.filter((spec) => spec.type !== 'symbol' && spec.type !== 'raster').map((spec) => spec.id)
      : [];
  }

  private showOrHide(layer: StackedLayer): void {
    if (layer.on && !this.drawn.has(layer.info.name)) {
      void this.draw(layer);
      return;
    }
    if (!this.drawn.has(layer.info.name)) return;
    for (const spec of layer.style!.layers) this.map.setLayoutProperty(spec.id, 'visibility', layer.on ? 'visible' : 'none');
  }

  private async draw(layer: StackedLayer): Promise<void> {
    if (this.drawn.has(layer.info.name)) return;
    const attempt = ++layer.attempt;
    this.setLoading(layer, true);
    try {
      layer.style ??= await getStyle(layer.info.name);
    } catch (error) {
      if (attempt !== layer.attempt) return;
      const noTiles = error instanceof RequestError && error.status === 404;
      this.fail(layer, noTiles ? 'no-tiles' : 'request', error instanceof Error ? error.message : String(error));
      return;
    }
    if (attempt !== layer.attempt || this.drawn.has(layer.info.name) || !this.layers.includes(layer)) return;
    layer.legend = layer.style.metadata?.['onemap:legend'] ?? [];
    if (layer.info.geometry === 'point') {
      // Points are their own labels: their tiles have no layer of label points.
      layer.style.layers = layer.style.layers.filter((spec) => !('source-layer' in spec && spec['source-layer']?.endsWith('_label')));
    }
    const url = tileJsonUrl(layer.info.name);
    // The generation in the address keeps a browser from showing the tiles of an older one.
    const versioned = `${url}?generation=${encodeURIComponent(layer.info.generation)}`;
    this.map.addSource(
      layer.info.name,
      layer.info.geometry === 'raster' ? { type: 'raster', url: versioned, tileSize: 256 } : { type: 'vector', url: versioned },
    );
    for (const spec of layer.style.layers) {
      const shown = { ...spec, layout: { ...spec.layout, visibility: layer.on ? 'visible' : 'none' } } as LayerSpecification;
      this.map.addLayer(shown, spec.type === 'symbol' ? ABOVE_NAMES : ABOVE_GEOMETRY);
    }
    this.drawn.add(layer.info.name);
    this.paintOpacity(layer);
    this.restack();
    this.changed('layer', layer);
  }

  private erase(layer: StackedLayer): void {
    layer.attempt++;
    if (!this.drawn.delete(layer.info.name)) return;
    for (const spec of layer.style!.layers) if (this.map.getLayer(spec.id)) this.map.removeLayer(spec.id);
    if (this.map.getSource(layer.info.name)) this.map.removeSource(layer.info.name);
  }

  private paintOpacity(layer: StackedLayer): void {
    if (!this.drawn.has(layer.info.name)) return;
    for (const spec of layer.style!.layers) {
      for (const [property, value] of scaleOpacity(spec, layer.opacity)) this.map.setPaintProperty(spec.id, property as never, value as never);
    }
  }

  private restack(): void {
    for (const layer of [...this.layers].reverse()) {
      if (!this.drawn.has(layer.info.name)) continue;
      for (const spec of layer.style!.layers) this.map.moveLayer(spec.id, spec.type === 'symbol' ? ABOVE_NAMES : ABOVE_GEOMETRY);
    }
  }
}
