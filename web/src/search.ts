// The search box: any attribute of chosen layers, or a position.
import { parsePosition } from './coordinates';
import { h, icon, replace } from './dom';
import type { LonLat } from './geodesy';
import { currentLanguage, onLanguage, t, titleOf } from './i18n';
import { search, type Match, type Properties } from './server';
import type { LayerStack, StackedLayer } from './stack';
import { featureTitle, fieldAlias, valueMeaning } from './vocabulary';

const LIMIT_PER_LAYER = 20;
const LIMIT = 60;
const AT_ONCE = 3;

export interface SearchNeeds {
  stack: LayerStack;
  goTo(position: LonLat): void;
  show(layer: StackedLayer, match: Match): void;
}

interface Found {
  layer: StackedLayer;
  match: Match;
}

export class SearchBox {
  readonly element = h('section', { class: 'search', role: 'search' });
  private readonly input = h('input', { type: 'search', id: 'search-text', autocomplete: 'off', enterkeyhint: 'search' });
  private readonly scope = h('select', {});
  private readonly field = h('select', {});
  private readonly clear = h('button', { type: 'button', class: 'icon-button clear' }, icon('close'));
  private readonly submit = h('button', { type: 'submit', class: 'icon-button' }, icon('search'));
  private readonly options = h('div', { class: 'search-options' });
  private readonly status = h('p', { class: 'note', role: 'status' });
  private readonly results = h('ul', { class: 'results' });
  private readonly answer = h('div', { class: 'answer' }, this.status, this.results);
  private running: AbortController | null = null;
  /** Draws the last answer again, in the language that is on. */
  private redraw: () => void = () => this.reset();

  constructor(private readonly needs: SearchNeeds) {
    const form = h('form', { class: 'search-form', onsubmit: (event: SubmitEvent) => {
      event.preventDefault();
      void this.run();
    } }, this.submit, this.input, this.clear);
    this.clear.addEventListener('click', () => {
      this.input.value = '';
      this.reset();
      this.input.focus();
    });
    this.input.addEventListener('input', () => {
      this.clear.hidden = this.input.value === '';
      if (this.input.value === '') this.reset();
    });
    this.input.addEventListener('keydown', (event) => {
      if (event.key === 'Escape' && this.input.value !== '') this.clear.click();
    });
    this.scope.addEventListener('change', () => this.fillFields());
    this.element.addEventListener('focusin', () => this.element.classList.add('used'));
    this.element.append(form, this.options, this.answer);
    this.options.append(this.scope, this.field);
    needs.stack.onChange((change) => change === 'catalog' && this.fillScopes());
    onLanguage(() => {
      this.words();
      this.redraw();
    });
    this.words();
    this.reset();
  }

  private words(): void {
    this.input.placeholder = t('searchPlaceholder');
    this.input.setAttribute('aria-label', t('searchPlaceholder'));
    this.scope.setAttribute('aria-label', t('searchIn'));
    this.field.setAttribute('aria-label', t('searchField'));
    this.clear.setAttribute('aria-label', t('searchClear'));
    this.submit.setAttribute('aria-label', t('searchButton'));
    this.fillScopes();
  }

  private searchable(): StackedLayer[] {
    return this.needs.stack.layers.filter((layer) => layer.info.geometry !== 'raster' && layer.info.fields.length > 0);
  }

  private fillScopes(): void {
    const before = this.scope.value || ':visible';
    replace(
      this.scope,
      h('option', { value: ':visible' }, t('searchVisible')),
      h('option', { value: ':all' }, t('searchAll')),
      ...this.searchable().map((layer) => h('option', { value: layer.info.name }, titleOf(layer.info))),
    );
    this.scope.value = before;
    if (this.scope.selectedIndex < 0) this.scope.value = ':visible';
    this.fillFields();
  }

  private fillFields(): void {
    const before = this.field.value;
    const layer = this.needs.stack.find(this.scope.value);
    const language = currentLanguage();
    replace(
      this.field,
      h('option', { value: '' }, t('anyField')),
      ...(layer?.info.fields ?? []).map(({ name }) => {
        const alias = fieldAlias(name, language);
        return h('option', { value: name }, alias ? `${alias} ${name}` : name);
      }),
    );
    this.field.value = before;
    if (this.field.selectedIndex < 0) this.field.value = '';
    this.field.hidden = layer === undefined;
  }

  private reset(): void {
    this.running?.abort();
    this.clear.hidden = this.input.value === '';
    this.answer.hidden = true;
    this.results.replaceChildren();
    this.redraw = () => undefined;
  }

  private say(text: string): void {
    this.answer.hidden = false;
    this.status.textContent = text;
  }

  async run(): Promise<void> {
    this.running?.abort();
    const text = this.input.value.trim();
    if (text === '') return;
    const position = parsePosition(text);
    if (position) {
      this.redraw = () => {
        this.say('');
        const name = `${position[0].toFixed(6)}°, ${position[1].toFixed(6)}°`;
        replace(this.results, h('li', {}, h('button', { type: 'button', onclick: () => this.needs.goTo(position) }, t('goTo', { position: name }))));
      };
      this.redraw();
      this.needs.goTo(position);
      return;
    }
    const scope = this.scope.value;
    const layers = this.searchable().filter((layer) => scope === ':all' || (scope === ':visible' ? layer.on : layer.info.name === scope));
    if (layers.length === 0) {
      this.redraw = () => {
        this.results.replaceChildren();
        this.say(t('nothingToSearch'));
      };
      this.redraw();
      return;
    }
    const controller = new AbortController();
    this.running = controller;
    this.results.replaceChildren();
    this.redraw = () => this.say(t('searching'));
    this.redraw();
    this.element.classList.add('busy');

    const found = new Map<StackedLayer, Found[]>();
    let truncated = false;
    let failed = 0;
    const waiting = [...layers];
    const draw = (done: boolean) => {
      const all = layers.flatMap((layer) => found.get(layer) ?? []);
      const shown = all.slice(0, LIMIT);
      const more = truncated || all.length > LIMIT;
      this.redraw = () => {
        replace(this.results, ...shown.map((item) => this.item(item, text)));
        const count = shown.length;
        const parts = [
          !done ? t('searching') : count === 0 ? t('noResults', { text }) : more ? t('resultsMore', { count }) : count === 1 ? t('resultsOne') : t('results', { count }),
          failed > 0 && t('searchFailed', { count: failed }),
        ];
        this.say(parts.filter(Boolean).join(' · '));
      };
      this.redraw();
    };
    const worker = async () => {
      for (let layer = waiting.shift(); layer; layer = waiting.shift()) {
        if ([...found.values()].flat().length >= LIMIT) {
          truncated = true;
          return;
        }
        try {
          const field = scope === layer.info.name ? this.field.value || null : null;
          const answer = await search(layer.info.name, text, field, LIMIT_PER_LAYER, controller.signal);
          const owner = layer;
          found.set(layer, answer.matches.map((match) => ({ layer: owner, match })));
          truncated ||= answer.truncated;
        } catch {
          if (controller.signal.aborted) return;
          failed++;
        }
        draw(false);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    if (this.running === controller) this.element.classList.remove('busy');
    if (!controller.signal.aborted) draw(true);
  }

  private item({ layer, match }: Found, text: string): HTMLElement {
    const language = currentLanguage();
    const title = featureTitle(match.properties, language) ?? `#${match.id}`;
    const why = matchingField(match.properties, text);
    const meaning = why && valueMeaning(why.name, why.value, language);
    return h(
      'li', {},
      h(
        'button', { type: 'button', 'data-feature': `${layer.info.name}/${match.id}`, onclick: () => this.needs.show(layer, match) },
        h('span', { class: 'result-title' }, title),
        h('span', { class: 'result-layer' }, titleOf(layer.info)),
        why && h('span', { class: 'result-why' }, `${fieldAlias(why.name, language) ?? why.name}: ${why.value}${meaning ? ` ${meaning.text}` : ''}`),
      ),
    );
  }
}

/** The first attribute that holds the text. */
export function matchingField(properties: Properties, text: string): { name: string; value: string } | undefined {
  const wanted = text.toLowerCase();
  for (const [name, value] of Object.entries(properties)) {
    if (value !== null && value !== undefined && String(value).toLowerCase().includes(wanted)) return { name, value: String(value) };
  }
  return undefined;
}
