// Elements in one call.

type Attributes = Record<string, string | number | boolean | null | undefined | ((event: never) => void)>;
export type Child = Node | string | null | undefined | false;

/**
 * An element with attributes, listeners (`onclick`) and children.
 * `true` sets an attribute without value; false, null and undefined leave it out.
 */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(name.slice(2), value as EventListener);
    else if (value === true) element.setAttribute(name, '');
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  append(element, children);
  return element;
}

export function append(parent: Node, children: Child[]): void {
  for (const child of children) if (child) parent.appendChild(typeof child === 'string' ? document.createTextNode(child) : child);
}

export function replace(parent: Element, ...children: Child[]): void {
  parent.replaceChildren();
  append(parent, children);
}

const ICONS = {
  layers: 'M4 9l8-4 8 4-8 4zM4 13l8 4 8-4',
  search: 'M10.5 4.5a6 6 0 100 12 6 6 0 000-12zM15 15l5 5',
  close: 'M6 6l12 12M18 6L6 18',
  chevron: 'M9 6l6 6-6 6',
  handle: 'M9 6.5v.01M15 6.5v.01M9 12v.01M15 12v.01M9 17.5v.01M15 17.5v.01',
  distance: 'M4 16L16 4l4 4L8 20zM8 12l2 2M11 9l2 2M14 6l2 2',
  area: 'M5 8l8-3 6 6-3 8-9-2zM5 8v.01M13 5v.01M19 11v.01M16 19v.01M7 17v.01',
  home: 'M4 11l8-7 8 7M6.5 9.5V20h11V9.5',
  zoomTo: 'M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5M12 9v6M9 12h6',
  link: 'M10 14a4 4 0 005.7.3l3-3a4 4 0 00-5.7-5.7l-1 1M14 10a4 4 0 00-5.7-.3l-3 3a4 4 0 005.7 5.7l1-1',
  trash: 'M5 7h14M10 7V4.5h4V7M7 7l1 13h8l1-13',
  alert: 'M12 4l9 16H3zM12 10v4M12 17v.01',
  plus: 'M12 5v14M5 12h14',
  minus: 'M5 12h14',
  report: 'M6 3h9l4 4v14H6zM14 3v5h5M9 12h7M9 16h7',
  file: 'M4 7h6l2 2h8v10H4z',
  download: 'M12 4v11M7 11l5 5 5-5M5 20h14',
  compass: 'M12 3v18M12 3l4 7h-8zM12 21l-4-7h8z',
} as const;

export type Icon = keyof typeof ICONS;

export function icon(name: Icon): SVGSVGElement {
  const namespace = 'http://www.w3.org/2000/svg';
  const svg = document.createElementNS(namespace, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  svg.setAttribute('class', `icon icon-${name}`);
  const path = document.createElementNS(namespace, 'path');
  path.setAttribute('d', ICONS[name]);
  svg.appendChild(path);
  return svg;
}
