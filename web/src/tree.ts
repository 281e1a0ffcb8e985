// The layer tree: groups and layers with switches, order, opacity and legend.
import { h, icon, replace, type Child } from './dom';
import { currentLanguage, onLanguage, t, titleOf } from './i18n';
import { swatch } from './legend';
import type { Group, LegendEntry } from './server';
import type { LayerStack, StackedLayer } from './stack';

/** A tree with more layers than this has a box to filter them. */
const FILTER_FROM = 13;

export interface TreeNeeds {
  stack: LayerStack;
  zoomTo(layer: StackedLayer): void;
  isInView(layer: StackedLayer): boolean;
  zoom(): number;
  entriesInView(layer: StackedLayer): LegendEntry[];
  announce(text: string): void;
}

interface Row {
  element: HTMLElement;
  refresh(): void;
  refreshView(): void;
}

export class LayerTree {
  readonly element = h('section', { class: 'tree' });
  private readonly open = new Set<string>();
  private readonly closedGroups = new Set<string>();
  private rows = new Map<StackedLayer, Row>();
  private groupRefresh: (() => void)[] = [];
  private filter = '';
  private openedFirst = false;

  constructor(private readonly needs: TreeNeeds) {
    needs.stack.onChange((change, layer) => {
      if (change === 'layer' && layer) {
        this.rows.get(layer)?.refresh();
        for (const refresh of this.groupRefresh) refresh();
      } else this.render();
    });
    onLanguage(() => this.render());
  }

  /** After the map has moved: what is in view may have changed. */
  refreshView(): void {
    for (const row of this.rows.values()) row.refreshView();
  }

  private render(): void {
    const { stack } = this.needs;
    if (!this.openedFirst && stack.layers.length > 0) {
      this.openedFirst = true;
      const first = stack.visible().find((layer) => layer.info.kind === 'landuse') ?? stack.visible()[0];
      if (first) this.open.add(first.info.name);
    }
    const focused = (document.activeElement as HTMLElement | null)?.dataset['focusKey'];
    this.rows = new Map();
    this.groupRefresh = [];
    const list = h('div', { class: 'groups' }, ...this.groups());
    replace(
      this.element,
      stack.layers.length >= FILTER_FROM &&
        h('input', {
          type: 'search', class: 'filter', placeholder: t('filterLayers'), 'aria-label': t('filterLayers'), value: this.filter,
          oninput: (event: InputEvent) => {
            this.filter = (event.target as HTMLInputElement).value;
            this.rows = new Map();
            this.groupRefresh = [];
            replace(list, ...this.groups());
          },
        }),
      list,
    );
    if (focused) this.element.querySelector<HTMLElement>(`[data-focus-key="${CSS.escape(focused)}"]`)?.focus();
  }

  private groups(): Child[] {
    const { stack } = this.needs;
    const wanted = this.filter.trim().toLowerCase();
    const fits = (layer: StackedLayer) =>
      wanted === '' || [layer.info.title, layer.info.title_en ?? '', layer.info.name].some((text) => text.toLowerCase().includes(wanted));
    const shown = stack.groups.map((group) => ({ group, layers: stack.inGroup(group.id).filter(fits) }));
    if (stack.layers.length > 0 && shown.every(({ layers }) => layers.length === 0)) return [h('p', { class: 'note' }, t('noLayerMatches'))];
    return shown.filter(({ layers }) => layers.length > 0).map(({ group, layers }) => this.group(group, layers, wanted !== ''));
  }

  private group(group: Group, layers: StackedLayer[], forceOpen: boolean): HTMLElement {
    const { stack } = this.needs;
    const name = titleOf(group);
    const isOpen = forceOpen || !this.closedGroups.has(group.id);
    const all = h('input', {
      type: 'checkbox', 'aria-label': t('groupOn', { name }), 'data-focus-key': `group-on:${group.id}`,
      onchange: () => {
        const on = layers.some((layer) => !layer.on);
        for (const layer of layers) if (layer.on !== on) stack.setOn(layer, on);
      },
    });
    const count = h('span', { class: 'count' });
    const refresh = () => {
      const on = layers.filter((layer) => layer.on).length;
      all.checked = on === layers.length;
      all.indeterminate = on > 0 && on < layers.length;
      count.textContent = `${on}/${layers.length}`;
    };
    refresh();
    this.groupRefresh.push(refresh);
    const list = h('ul', { class: 'layers', id: `group-${group.id}` }, ...(isOpen ? layers.map((layer) => this.row(layer).element) : []));
    const element: HTMLElement = h(
      'div',
      { class: `group${isOpen ? ' open' : ''}`, 'data-group': group.id },
      h(
        'div', { class: 'group-head' },
        this.handle(`group:${group.id}`, t('moveGroup', { name }), (step) => {
          if (stack.moveGroup(group, stack.shownGroups().indexOf(group) + step)) {
            const now = stack.shownGroups();
            this.needs.announce(t('moved', { name, position: now.indexOf(group) + 1, count: now.length }));
          }
        }, () => ({ item: element, siblings: [...this.element.querySelectorAll<HTMLElement>('.group')] }), (place) => {
          const visible = [...this.element.querySelectorAll<HTMLElement>('.group')].map((item) => item.dataset['group']);
          const target = stack.shownGroups().findIndex(({ id }) => id === visible[place]);
          if (target >= 0) stack.moveGroup(group, target);
        }),
        all,
        h(
          'button',
          {
            type: 'button', class: 'group-title', 'aria-expanded': String(isOpen), 'aria-controls': `group-${group.id}`,
            'aria-label': t('groupToggle', { name }), 'data-focus-key': `group-toggle:${group.id}`,
            onclick: () => {
              if (!this.closedGroups.delete(group.id)) this.closedGroups.add(group.id);
              this.render();
            },
          },
          h('span', {}, name), count, icon('chevron'),
        ),
      ),
      list,
    );
    return element;
  }

  private row(layer: StackedLayer): Row {
    const { stack } = this.needs;
    const { info } = layer;
    const name = titleOf(info);
    const onSwitch = h('input', {
      type: 'checkbox', id: `layer-${info.name}`, 'aria-label': t('layerOn', { name }), 'data-focus-key': `on:${info.name}`,
      onchange: () => stack.setOn(layer, onSwitch.checked),
    });
    const state = h('span', { class: 'state' });
    const detailsId = `details-${info.name}`;
    const details = h('div', { class: 'details', id: detailsId });
    const toggle = h(
      'button',
      {
        type: 'button', class: 'expand', 'aria-controls': detailsId, 'aria-label': t('details', { name }), 'data-focus-key': `expand:${info.name}`,
        onclick: () => {
          if (!this.open.delete(info.name)) this.open.add(info.name);
          fill();
        },
      },
      icon('chevron'),
    );
    const legendBox = h('ul', { class: 'legend' });
    const element: HTMLElement = h(
      'li', { class: 'layer', 'data-layer': info.name },
      h(
        'div', { class: 'layer-head' },
        this.handle(`layer:${info.name}`, t('moveLayer', { name }), (step) => {
          const group = stack.inGroup(info.group);
          if (stack.moveLayer(layer, group.indexOf(layer) + step)) {
            const now = stack.inGroup(info.group);
            this.needs.announce(t('moved', { name, position: now.indexOf(layer) + 1, count: now.length }));
          }
        }, () => ({ item: element, siblings: [...element.parentElement!.querySelectorAll<HTMLElement>(':scope > .layer')] }), (place) => {
          const names = [...element.parentElement!.querySelectorAll<HTMLElement>(':scope > .layer')].map((item) => item.dataset['layer']);
          const target = stack.inGroup(info.group).findIndex((other) => other.info.name === names[place]);
          if (target >= 0) stack.moveLayer(layer, target);
        }),
        onSwitch,
        h('label', { for: `layer-${info.name}`, class: 'layer-title', title: `${name} (${info.name})` }, name),
        state,
        toggle,
      ),
      details,
    );

    const refreshLegend = () => {
      if (!this.open.has(info.name) || !layer.on || info.geometry === 'raster') {
        legendBox.replaceChildren();
        return;
      }
      const entries = this.needs.entriesInView(layer);
      const language = currentLanguage();
      // The same words and colour may stand for several codes.
      const seen = new Set<string>();
      const unique = entries.filter((entry) => {
        const key = `${entry.label}|${entry.color}|${entry.shape}`;
        return !seen.has(key) && seen.add(key);
      });
      replace(
        legendBox,
        ...(unique.length > 0
          ? unique.map((entry) => h('li', {}, swatch(entry), h('span', {}, language === 'zh' ? entry.label : entry.label_en)))
          : [layer.state === 'ready' && h('li', { class: 'note' }, t('legendEmpty'))]),
      );
    };
    const refreshView = () => {
      const away = layer.on && layer.state !== 'failed' && !this.needs.isInView(layer);
      const tooFar = layer.on && !away && layer.state !== 'failed' && this.needs.zoom() < info.minzoom - 1;
      const failed = layer.state === 'failed';
      element.classList.toggle('away', away || tooFar);
      element.classList.toggle('failed', failed);
      element.classList.toggle('loading', layer.on && layer.state === 'loading');
      replace(
        state,
        failed
          ? h('button', { type: 'button', class: 'retry', title: layer.failureText, onclick: () => stack.retry(layer) },
              layer.failure === 'no-tiles' ? t('layerNoTiles') : t('layerFailed'), ' · ', t('retry'))
          : away
            ? h('button', { type: 'button', class: 'away-note', title: t('zoomToLayer'), onclick: () => this.needs.zoomTo(layer) }, t('outOfView'))
            : tooFar ? h('span', { class: 'away-note' }, t('belowZoom')) : null,
      );
      refreshLegend();
    };
    const refresh = () => {
      onSwitch.checked = layer.on;
      element.classList.toggle('on', layer.on);
      refreshView();
    };
    const fill = () => {
      const isOpen = this.open.has(info.name);
      toggle.setAttribute('aria-expanded', String(isOpen));
      element.classList.toggle('open', isOpen);
      if (!isOpen) {
        details.replaceChildren();
        return;
      }
      const output = h('output', {}, `${Math.round(layer.opacity * 100)}%`);
      const slider = h('input', {
        type: 'range', min: 0, max: 100, step: 5, value: Math.round(layer.opacity * 100), 'aria-label': `${t('opacity')}: ${name}`, 'data-focus-key': `opacity:${info.name}`,
        oninput: () => {
          output.textContent = `${slider.value}%`;
          stack.setOpacity(layer, Number(slider.value) / 100);
        },
      });
      const facts = [
        info.features === null ? null : info.features === 1 ? t('featuresOne') : t('features', { count: info.features.toLocaleString('en-US').replaceAll(',', ' ') }),
        info.crs ?? null,
      ].filter((fact) => fact !== null);
      replace(
        details,
        legendBox,
        h('div', { class: 'opacity' }, h('span', {}, t('opacity')), slider, output),
        h(
          'div', { class: 'facts' },
          h('span', {}, facts.join(' · ')),
          info.bounds && h('button', { type: 'button', class: 'text-button', 'data-focus-key': `zoom:${info.name}`, onclick: () => this.needs.zoomTo(layer) }, icon('zoomTo'), t('zoomToLayer')),
        ),
        info.attribution ? h('p', { class: 'attribution' }, info.attribution) : null,
      );
      refreshLegend();
    };
    fill();
    refresh();
    const row: Row = { element, refresh, refreshView };
    this.rows.set(layer, row);
    return row;
  }

  /** A grip that moves its item by the arrow keys or by dragging. */
  private handle(
    key: string,
    label: string,
    step: (by: number) => void,
    items: () => { item: HTMLElement; siblings: HTMLElement[] },
    drop: (place: number) => void,
  ): HTMLButtonElement {
    const grip = h('button', { type: 'button', class: 'grip', 'aria-label': label, title: label, 'data-focus-key': key }, icon('handle'));
    grip.addEventListener('keydown', (event) => {
      const by = event.key === 'ArrowUp' ? -1 : event.key === 'ArrowDown' ? 1 : 0;
      if (by === 0) return;
      event.preventDefault();
      step(by);
    });
    grip.addEventListener('pointerdown', (down) => {
      if (down.button !== 0) return;
      down.preventDefault();
      grip.focus();
      grip.setPointerCapture(down.pointerId);
      const { item, siblings } = items();
      const from = siblings.indexOf(item);
      const middles = siblings.map((sibling) => {
        const box = sibling.getBoundingClientRect();
        return box.top + box.height / 2;
      });
      const startScroll = this.element.scrollTop;
      let place = from;
      item.classList.add('dragging');
      const move = (event: PointerEvent) => {
        const by = event.clientY - down.clientY + this.element.scrollTop - startScroll;
        item.style.transform = `translateY(${by}px)`;
        const middle = middles[from]! + by;
        place = middles.filter((other, index) => index !== from && other < middle).length;
        siblings.forEach((sibling, index) => {
          if (index === from) return;
          const shift = index > from && index <= place ? -1 : index < from && index >= place ? 1 : 0;
          sibling.style.transform = shift === 0 ? '' : `translateY(${shift * item.offsetHeight}px)`;
        });
      };
      const up = (event: PointerEvent) => {
        grip.removeEventListener('pointermove', move);
        grip.removeEventListener('pointerup', up);
        grip.removeEventListener('pointercancel', up);
        item.classList.remove('dragging');
        for (const sibling of siblings) sibling.style.transform = '';
        if (event.type === 'pointerup' && place !== from) drop(place);
      };
      grip.addEventListener('pointermove', move);
      grip.addEventListener('pointerup', up);
      grip.addEventListener('pointercancel', up);
    });
    return grip;
  }
}
