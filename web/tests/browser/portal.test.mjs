// The portal in a real browser on the real program: what it draws, what it says, what it asks for.
//
//   ONEMAP_BIN=../target/debug/onemap npm run test:browser
//
// Chromium is Debian's (CHROMIUM names another); WebGL is drawn in software, so no graphics card is needed.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, afterEach, test } from 'node:test';
import { chromium } from 'playwright-core';
import { centre, importAll, importLayer, landUse, writeLayer, CODES, SIDE, SOUTH, WEST } from './fixture.mjs';
import { decodePng } from './png.mjs';
import { binaryPath, freePort, serve } from './server.mjs';

const DESKTOP = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 780 };
const PAPER = [238, 240, 236];
const FILL_OPACITY = 0.88;
/** Rounding in the blend and in the tile's colour space. */
const TOLERANCE = 4;
const VIEW = { zoom: 14, lon: WEST + 2 * SIDE, lat: SOUTH + 1.5 * SIDE };

let directory;
let binary;
let server;
let browser;
let page;
let problems;

before(async () => {
  binary = binaryPath();
  directory = mkdtempSync(join(tmpdir(), 'onemap-portal-'));
  importAll(binary, join(directory, 'workspace'), join(directory, 'data'));
  server = await serve(binary, join(directory, 'workspace'), await freePort());
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox', '--use-angle=swiftshader', '--enable-unsafe-swiftshader', '--ignore-gpu-blocklist', '--hide-scrollbars',
      '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run', '--force-color-profile=srgb',
    ],
  });
}, { timeout: 180_000 });

after(async () => {
  await browser?.close();
  await server?.stop();
  if (directory) rmSync(directory, { recursive: true, force: true });
});

beforeEach(() => {
  problems = [];
});

afterEach(async () => {
  await page?.context().close();
  page = undefined;
  assert.deepEqual(problems, [], 'no error on the console, no request to another place, no request refused');
});

const hash = ({ zoom, lon, lat }, more = '') => `#map=${zoom}/${lat}/${lon}${more}`;

/** A page that counts as a problem whatever goes wrong in it, unless the test expects it. */
async function open(address, { viewport = DESKTOP, touch = false, language = 'zh-CN', expectFailures = false } = {}) {
  const context = await browser.newContext({ viewport, hasTouch: touch, isMobile: touch, locale: language });
  page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const origin = new URL(address).origin;
  page.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith(`${origin}/`) && !url.startsWith('data:') && !url.startsWith(`blob:${origin}/`)) problems.push(`left the server: ${url}`);
  });
  page.on('pageerror', (error) => problems.push(`exception: ${error.message}`));
  if (!expectFailures) {
    page.on('console', (message) => ['error', 'warning'].includes(message.type()) && !isDriverNote(message.text()) && problems.push(`console: ${message.text()}`));
    page.on('response', (response) => response.status() >= 400 && problems.push(`${response.status()}: ${response.url()}`));
  }
  await page.goto(address);
  return page;
}

/** The software renderer says that reading pixels back is slow, which is the browser's matter. */
const isDriverNote = (text) => /GPU stall due to ReadPixels|Automatic fallback to software WebGL/u.test(text);

async function settled() {
  await page.waitForFunction(() => document.querySelector('.layer') && !document.querySelector('.progress.active') && !document.querySelector('.layer.loading'), null, { timeout: 60_000 });
  // Names fade in.
  await page.waitForTimeout(500);
}

/** Where a position is on the page, for a map that fills it (Web Mercator, tiles of 512 pixels). */
function pixelOf([lon, lat], view = VIEW, viewport = DESKTOP) {
  const world = 512 * 2 ** view.zoom;
  const x = (degrees) => (degrees / 360 + 0.5) * world;
  const y = (degrees) => (0.5 - Math.asinh(Math.tan((degrees * Math.PI) / 180)) / (2 * Math.PI)) * world;
  return [Math.round(viewport.width / 2 + x(lon) - x(view.lon)), Math.round(viewport.height / 2 + y(lat) - y(view.lat))];
}

async function screenshot() {
  return decodePng(await page.screenshot());
}

/** The colour of a class over the paper (or another colour below). */
const drawn = (colour, opacity = FILL_OPACITY, below = PAPER) => colour.map((value, index) => Math.round(value * opacity + below[index] * (1 - opacity)));

function assertColour(found, expected, what) {
  assert.ok(found.every((value, index) => Math.abs(value - expected[index]) <= TOLERANCE), `${what}: found ${found}, expected ${expected}`);
}

/** A point of a square away from its name, its borders and everything drawn over it. */
const aside = (row, column) => [WEST + (column + 0.12) * SIDE, SOUTH + (row + 0.85) * SIDE];

/** Only land use, so that nothing lies over its colours. */
const LAND_USE_ONLY = '&on=dltb';

test('land use is drawn in the colours of its classes', async () => {
  await open(`${server.origin}/${hash(VIEW, LAND_USE_ONLY)}`);
  await settled();
  const image = await screenshot();
  const expected = {
    '0103': [255, 251, 177], '0201': [214, 167, 201], '0301': [49, 173, 105], 1101: [163, 214, 245], '0201K': [214, 167, 201],
    '0404': [200, 227, 160], 1006: [194, 193, 193], '0307': [151, 207, 178],
  };
  let seen = 0;
  CODES.forEach((row, r) => row.forEach((code, c) => {
    const [x, y] = pixelOf(aside(r, c));
    if (!expected[code] || x < 370 || x > 1200 || y < 20 || y > 740) return;
    assertColour(image.at(x, y), drawn(expected[code]), code);
    seen++;
  }));
  assert.ok(seen >= 6, `${seen} squares were in view`);
  const [x, y] = pixelOf([WEST + 5.5 * SIDE, SOUTH + 1.5 * SIDE], { ...VIEW });
  if (x < 1200) assertColour(image.at(x, y), PAPER, 'outside every square');
});

test('a click shows the feature that is there, with Chinese names of fields and classes', async () => {
  await open(`${server.origin}/${hash(VIEW, LAND_USE_ONLY)}`);
  await settled();
  const [x, y] = pixelOf(aside(1, 1));
  await page.mouse.click(x, y);
  const panel = page.locator('.inspector');
  await panel.waitFor();
  await page.locator('.inspector [data-field="DLBM"]').waitFor();
  assert.equal(await panel.getAttribute('data-feature'), 'dltb/11');
  assert.match(await page.locator('[data-field="DLBM"]').innerText(), /地类编码[\s\S]*DLBM[\s\S]*1101[\s\S]*河流水面/u);
  assert.match(await page.locator('[data-field="TBMJ"]').innerText(), /图斑面积[\s\S]*106\.3001 公顷/u);
  assert.match(await page.locator('[data-field="QSXZ"]').innerText(), /集体土地所有权/u);
  await page.waitForFunction(() => /椭球面积/u.test(document.querySelector('.inspector').textContent));
  await page.waitForTimeout(500);
  // Its border is drawn as selected: orange along the southern edge.
  const image = await screenshot();
  const [edgeX, edgeY] = pixelOf([WEST + 1.8 * SIDE, SOUTH + SIDE]);
  const column = [-2, -1, 0, 1, 2].map((by) => image.at(edgeX, edgeY + by));
  assert.ok(column.some(([r, g, b]) => r > 200 && g < 140 && b < 90), `the edge is ${column.join(' | ')}`);
  assert.match(page.url(), /feature=dltb\/11/u);
  await page.keyboard.press('Escape');
});

test('where several features lie, each can be chosen', async () => {
  await open(`${server.origin}/${hash(VIEW)}`);
  await settled();
  const [x, y] = pixelOf(centre(0, 3));
  await page.mouse.click(x, y);
  const chips = page.locator('.chip');
  await chips.first().waitFor();
  assert.deepEqual(await chips.allInnerTexts(), ['生态保护红线 青山水源地', '地类图斑 乔木林地', '行政区 示范县']);
  await chips.nth(1).click();
  await page.waitForFunction(() => document.querySelector('.inspector').dataset.feature === 'dltb/3');
  assert.equal(await page.locator('.inspector h2').innerText(), '乔木林地');
});

test('search finds a feature by any attribute and goes there', async () => {
  await open(`${server.origin}/${hash({ zoom: 12, lon: 104.2, lat: 30.6 })}`);
  await settled();
  await page.fill('#search-text', '水源地');
  await page.keyboard.press('Enter');
  const result = page.locator('.results button');
  await result.first().waitFor();
  assert.equal(await result.count(), 1);
  assert.match(await result.innerText(), /青山水源地[\s\S]*生态保护红线/u);
  await result.click();
  await page.waitForFunction(() => document.querySelector('.inspector h2')?.textContent === '青山水源地');
  await page.waitForFunction(() => {
    const [, lat, lon] = /map=[\d.]+\/([-\d.]+)\/([-\d.]+)/u.exec(location.hash).map(Number);
    return Math.abs(lat - 30.505) < 0.005 && Math.abs(lon - 104.035) < 0.01;
  });

  // One field of one layer: 3 is the number of the forest, and part of other attributes.
  await page.selectOption('.search-options select >> nth=0', 'dltb');
  await page.selectOption('.search-options select >> nth=1', 'DLBM');
  await page.fill('#search-text', '0103');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => [...document.querySelectorAll('.results button')].some((button) => button.dataset.feature === 'dltb/1'));
  assert.deepEqual(await page.locator('.results button').evaluateAll((buttons) => buttons.map((button) => button.dataset.feature)), ['dltb/1']);

  await page.fill('#search-text', '没有这样的东西');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => /没有找到/u.test(document.querySelector('.answer').textContent));
});

test('a typed position is gone to, in degrees or in plane metres', async () => {
  await open(`${server.origin}/${hash(VIEW)}`);
  await settled();
  // 104.03° E, 30.52° N in the 3° zone 35 (cs2cs EPSG:4490 EPSG:4523).
  for (const text of ['104.03, 30.52', '104°01′48″E 30°31′12″N', '3378159.20 35406897.93']) {
    await page.evaluate(() => (location.hash = '#map=12/30.4/103.9'));
    await page.fill('#search-text', text);
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => {
      const [, lat, lon] = /map=[\d.]+\/([-\d.]+)\/([-\d.]+)/u.exec(location.hash).map(Number);
      return Math.abs(lat - 30.52) < 0.0005 && Math.abs(lon - 104.03) < 0.0005;
    }, null, { timeout: 15_000 });
  }
});

test('the read-out says where the pointer is, in degrees and in metres of either zone', async () => {
  await open(`${server.origin}/${hash(VIEW)}`);
  await settled();
  const [x, y] = pixelOf([104.02, 30.515]);
  await page.mouse.move(x, y);
  const readout = page.locator('.readout');
  const numbers = async () => [...(await readout.innerText()).matchAll(/\d+\.\d{2,}/gu)].map(([text]) => Number(text));
  const [lon, lat, north, east] = await numbers();
  assert.ok(Math.abs(lon - 104.02) < 0.0001 && Math.abs(lat - 30.515) < 0.0001, `${lon} ${lat}`);
  // 104.02° E, 30.515° N (cs2cs EPSG:4490 EPSG:4523): a pixel is some eight metres here.
  assert.ok(Math.abs(north - 3377613.15) < 10 && Math.abs(east - 35405933.25) < 10, `${north} ${east}`);
  await page.locator('.readout-part').first().click();
  assert.match(await readout.innerText(), /104°\d\d′\d\d\.\d\d″E/u);
  await page.locator('.readout-part').nth(1).click();
  assert.match(await readout.innerText(), /6°带 18/u);
});

test('layers are switched, faded and put in another order, by keyboard too', async () => {
  await open(`${server.origin}/${hash(VIEW, LAND_USE_ONLY)}`);
  await settled();
  const [x, y] = pixelOf(aside(1, 1));
  const water = [163, 214, 245];
  assertColour((await screenshot()).at(x, y), drawn(water), 'on');

  const slider = page.locator('[data-layer="dltb"] input[type=range]');
  await slider.focus();
  for (let step = 0; step < 10; step++) await page.keyboard.press('ArrowLeft');
  await page.waitForTimeout(600);
  assertColour((await screenshot()).at(x, y), drawn(water, FILL_OPACITY * 0.5), 'half');
  assert.match(page.url(), /on=dltb~50/u);

  await page.locator('#layer-dltb').press('Space');
  await page.waitForTimeout(600);
  assertColour((await screenshot()).at(x, y), PAPER, 'off');

  const order = () => page.locator('.group').evaluateAll((groups) => groups.map((group) => group.dataset.group));
  assert.deepEqual(await order(), ['basic', 'planning', 'landuse']);
  await page.locator('[data-focus-key="group:landuse"]').press('ArrowUp');
  await page.locator('[data-focus-key="group:landuse"]').press('ArrowUp');
  assert.deepEqual(await order(), ['landuse', 'basic', 'planning']);
  assert.equal(await page.evaluate(() => document.activeElement.dataset.focusKey), 'group:landuse');
  assert.match(await page.locator('[aria-live=polite]').innerText(), /移到第 1 位/u);
  const layers = () => page.locator('[data-group=basic] .layer').evaluateAll((rows) => rows.map((row) => row.dataset.layer));
  assert.deepEqual(await layers(), ['dm', 'xzq']);
  await page.locator('[data-focus-key="layer:dm"]').press('ArrowDown');
  assert.deepEqual(await layers(), ['xzq', 'dm']);
});

test('a layer dragged above another is drawn above it', async () => {
  await open(`${server.origin}/${hash({ ...VIEW, zoom: 15, lon: WEST + 3.5 * SIDE, lat: SOUTH + 0.5 * SIDE }, '&on=stbhhx,dltb')}`);
  await settled();
  const view = { zoom: 15, lon: WEST + 3.5 * SIDE, lat: SOUTH + 0.5 * SIDE };
  const [x, y] = pixelOf([WEST + 3.3 * SIDE, SOUTH + 0.45 * SIDE], view);
  const isRed = (image) => [-1, 0, 1].some((by) => image.at(x + by, y)[0] > 160);
  assert.ok(isRed(await screenshot()), 'the red line is seen');
  const grip = page.locator('[data-focus-key="group:landuse"]');
  const box = await grip.boundingBox();
  const top = await page.locator('[data-group=basic]').boundingBox();
  await page.mouse.move(box.x + 8, box.y + 12);
  await page.mouse.down();
  await page.mouse.move(box.x + 8, box.y - 40, { steps: 4 });
  await page.mouse.move(box.x + 8, top.y - 60, { steps: 4 });
  await page.mouse.up();
  await page.waitForTimeout(800);
  assert.deepEqual(await page.locator('.group').evaluateAll((groups) => groups.map((group) => group.dataset.group)), ['landuse', 'basic', 'planning']);
  const image = await screenshot();
  assert.ok(!isRed(image), 'land use lies over the red line');
});

test('the legend lists what is in view and no more', async () => {
  await open(`${server.origin}/${hash({ zoom: 16, lon: centre(0, 1)[0], lat: centre(0, 1)[1] }, LAND_USE_ONLY)}`);
  await settled();
  await page.waitForFunction(() => document.querySelector('[data-layer=dltb] .legend')?.textContent.includes('旱地'));
  const legend = await page.locator('[data-layer=dltb] .legend').innerText();
  assert.ok(!legend.includes('工业用地'), legend);
});

test('distance and area are measured on the ellipsoid', async () => {
  await open(`${server.origin}/${hash(VIEW, LAND_USE_ONLY)}`);
  await settled();
  await page.locator('button[aria-label="量面积"]').click();
  const corners = [[1, 0.5], [3, 0.5], [3, 2], [1, 2]].map(([c, r]) => pixelOf([WEST + c * SIDE, SOUTH + r * SIDE]));
  for (const [x, y] of corners) await page.mouse.click(x, y, { delay: 20 });
  await page.keyboard.press('Tab');
  await page.locator('.maplibregl-canvas').press('Shift+Enter');
  const text = await page.locator('.measure').innerText();
  // 0.02° by 0.015° at this latitude: 3.1924 km² on the ellipsoid (GeographicLib); the pixels leave half a percent.
  const [, km2] = /([\d.]+) km²/u.exec(text);
  assert.ok(Math.abs(Number(km2) - 3.1924) < 0.02, text);
  assert.match(text, /公顷.*亩/u);
  assert.match(text, /Karney/u);
  assert.equal(await page.locator('.inspector').isVisible(), false);
  await page.keyboard.press('Escape');
  assert.equal(await page.locator('.measure').isVisible(), false);

  await page.locator('button[aria-label="量距离"]').click();
  await page.mouse.click(...corners[0]);
  await page.mouse.dblclick(...corners[1]);
  const line = await page.locator('.measure').innerText();
  const [, km] = /([\d.]+) km/u.exec(line);
  assert.ok(Math.abs(Number(km) - 1.9199) < 0.012, line);
});

/** A file as the browser would have it from the disk. */
const fileOf = (name, content) => ({ name, mimeType: 'application/json', buffer: Buffer.from(content) });
const siteOf = ([west, south, east, north]) => JSON.stringify({ type: 'Polygon', coordinates: [[[west, south], [east, south], [east, north], [west, north], [west, south]]] });

test('a drawn boundary gets its report: classes that add up, the rest of the map under a veil', async () => {
  await open(`${server.origin}/${hash(VIEW, LAND_USE_ONLY)}`);
  await settled();
  await page.getByRole('button', { name: '地块分析', exact: true }).click();
  await page.getByRole('button', { name: '画范围' }).click();
  const corners = [[1.5, 0.5], [2.5, 0.5], [2.5, 1.5], [1.5, 1.5]].map(([c, r]) => pixelOf([WEST + c * SIDE, SOUTH + r * SIDE]));
  for (const [px, py] of corners) {
    await page.mouse.click(px, py);
    await page.waitForTimeout(350);
  }
  await page.mouse.dblclick(...corners[3]);
  await page.waitForSelector('.report .verdict');
  assert.match(await page.locator('.report .verdict').textContent(), /提示/u, 'cropland is taken');
  const rows = page.locator('.report-layer', { hasText: '地类图斑' }).locator('tbody tr');
  const numbers = (await rows.evaluateAll((all) => all.map((row) => Number(row.children[1].textContent)))).filter((n) => n > 0);
  const total = numbers.pop();
  assert.equal(numbers.length, 4, 'four squares are cut');
  assert.ok(Math.abs(numbers.reduce((a, b) => a + b) - total) < 0.03, `${numbers} ${total}`);
  assert.equal(await page.locator('.measure').isVisible(), false);
  await settled();
  // Orchard lies inside and outside of the boundary: there in its own colour, here under the veil.
  const orchard = drawn([0xd6, 0xa7, 0xc9]);
  const pale = drawn([0xf7, 0xf6, 0xf2], 0.68, orchard);
  const image = await screenshot();
  const count = (colour) => {
    let found = 0;
    for (let y = 60; y < DESKTOP.height; y += 3) {
      for (let x = 360; x < 830; x += 3) if (image.at(x, y).every((value, index) => Math.abs(value - colour[index]) <= TOLERANCE)) found += 1;
    }
    return found;
  };
  assert.ok(count(orchard) > 30, `${count(orchard)} samples in the colour of orchard`);
  assert.ok(count(pale) > 10, `${count(pale)} samples of it under the veil`);
  await page.keyboard.press('Escape');
  assert.equal(await page.locator('.report').isVisible(), false);
});

test('a boundary from a file is judged, downloaded, and read in English', async () => {
  await open(`${server.origin}/${hash(VIEW)}`);
  await settled();
  await page.getByRole('button', { name: '地块分析', exact: true }).click();
  const red = [WEST + 3.2 * SIDE, SOUTH + 0.2 * SIDE, WEST + 3.6 * SIDE, SOUTH + 0.6 * SIDE];
  await page.locator('.report input[type=file]').setInputFiles(fileOf('site.geojson', siteOf(red)));
  await page.waitForSelector('.report .verdict.fail');
  assert.match(await page.locator('.report').textContent(), /压占生态保护红线/u);
  const [json] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'JSON' }).click()]);
  assert.equal(json.suggestedFilename(), 'report.json');
  const [html] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: '打印页面' }).click()]);
  assert.equal(html.suggestedFilename(), 'report.html');
  await page.locator('.report details').first().locator('summary').click();
  await page.locator('.report details li button').first().focus();
  await page.getByRole('button', { name: 'Switch to English' }).click();
  assert.match(await page.locator('.report').textContent(), /inside the ecological red line/u);
  await page.locator('.report input[type=file]').setInputFiles(fileOf('x.txt', 'not a boundary'));
  await page.waitForSelector('.report-failure');
  assert.match(await page.locator('.report-failure').textContent(), /Neither GeoJSON nor WKT/u);
  await page.getByRole('button', { name: 'Close the site report' }).click();
  assert.equal(await page.locator('.report').isVisible(), false);
});

test('a boundary is drawn by keyboard, and on a phone the report is a sheet', async () => {
  const view = { zoom: 14, lon: centre(1, 1)[0], lat: centre(1, 1)[1] };
  await open(`${server.origin}/${hash(view, LAND_USE_ONLY)}`, { viewport: PHONE, touch: true });
  await settled();
  await page.getByRole('button', { name: '地块分析', exact: true }).tap();
  const box = await page.locator('.report').boundingBox();
  assert.ok(box.width === PHONE.width && box.y > 0, JSON.stringify(box));
  await page.getByRole('button', { name: '画范围' }).tap();
  for (const key of ['ArrowRight', 'ArrowDown', 'ArrowLeft']) {
    await page.keyboard.press('Enter');
    await page.keyboard.press(key);
    await page.waitForTimeout(500);
  }
  await page.keyboard.press('Shift+Enter');
  await page.waitForSelector('.report .report-area');
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'nothing is wider than the page');
});

test('English and back, with the page saying which it is', async () => {
  await open(`${server.origin}/${hash(VIEW)}`);
  await settled();
  assert.equal(await page.evaluate(() => document.documentElement.lang), 'zh-CN');
  await page.locator('.language').click();
  assert.equal(await page.evaluate(() => document.documentElement.lang), 'en');
  assert.equal(await page.locator('h1').innerText(), 'One Map');
  assert.match(await page.locator('[data-group=landuse]').innerText(), /Land use[\s\S]*Paddy field/u);
  assert.match(page.url(), /lang=en/u);
  await page.locator('.language').click();
  assert.equal(await page.locator('h1').innerText(), '一张图');
});

test('a link shows what its sender saw', async () => {
  await open(`${server.origin}/${hash(VIEW, '&on=dltb~50&groups=landuse,basic,planning&feature=dltb/11&lang=en')}`);
  await settled();
  await page.waitForFunction(() => document.querySelector('.inspector h2')?.textContent === 'River');
  assert.deepEqual(await page.locator('.layer.on').evaluateAll((rows) => rows.map((row) => row.dataset.layer)), ['dltb']);
  assert.equal(await page.locator('[data-layer=dltb] input[type=range]').inputValue(), '50');
  assert.equal(await page.locator('.group').first().getAttribute('data-group'), 'landuse');
});

test('everything is reached and worked from the keyboard', async () => {
  await open(`${server.origin}/${hash({ zoom: 14, lon: centre(1, 1)[0], lat: centre(1, 1)[1] - 0.001 }, LAND_USE_ONLY)}`);
  await settled();
  const reached = new Set();
  await page.evaluate(() => document.activeElement?.blur());
  for (let press = 0; press < 60; press++) {
    await page.keyboard.press('Tab');
    const name = await page.evaluate(() => {
      const element = document.activeElement;
      if (!element || element === document.body) return '';
      return element.id || element.dataset.focusKey || element.getAttribute('aria-label') || element.className || '';
    });
    reached.add(name);
  }
  for (const wanted of ['search-text', 'layer-dltb', 'group:landuse', 'layer:dltb', 'opacity:dltb', '放大', '量距离', 'readout-part']) {
    assert.ok([...reached].some((name) => name.includes(wanted)), `${wanted} is not among ${[...reached].join(', ')}`);
  }
  const canvas = page.locator('.maplibregl-canvas');
  assert.match(await canvas.getAttribute('aria-label'), /方向键平移/u);
  await canvas.press('Enter');
  await page.waitForFunction(() => document.querySelector('.inspector').dataset.feature === 'dltb/11');
  const unnamed = await page.evaluate(() =>
    [...document.querySelectorAll('button, input, select')].filter((element) => !(element.getAttribute('aria-label') || element.textContent.trim() || element.labels?.length || element.title)).map((element) => element.outerHTML));
  assert.deepEqual(unnamed, []);
});

test('on a phone the map fills the page, the panel slides over it, and a tap asks', async () => {
  const view = { zoom: 14, lon: centre(1, 1)[0], lat: centre(1, 1)[1] };
  await open(`${server.origin}/${hash(view, LAND_USE_ONLY)}`, { viewport: PHONE, touch: true });
  await settled();
  assert.equal(await page.locator('#panel').evaluate((panel) => getComputedStyle(panel).visibility), 'hidden');
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'nothing is wider than the page');
  const [x, y] = pixelOf(aside(1, 1), view, PHONE);
  await page.touchscreen.tap(x, y);
  await page.waitForFunction(() => document.querySelector('.inspector').dataset.feature === 'dltb/11');
  const box = await page.locator('.inspector').boundingBox();
  assert.ok(box.width === PHONE.width && box.y > PHONE.height / 2, JSON.stringify(box));
  await page.locator('.inspector .icon-button').tap();
  await page.locator('.show-panel').tap();
  await page.locator('#layer-dltb').waitFor();
  await page.waitForTimeout(400);
  const small = await page.evaluate(() =>
    [...document.querySelectorAll('#panel button, .toolbar button')].filter((button) => button.offsetParent && button.getBoundingClientRect().height < 24).map((button) => button.className));
  assert.deepEqual(small, []);
});

test('a new generation appears without loading the page again', async () => {
  await open(`${server.origin}/${hash(VIEW, LAND_USE_ONLY)}`);
  await settled();
  const [x, y] = pixelOf(aside(1, 1));
  const codes = CODES.map((row) => [...row]);
  codes[1][1] = '0301';
  const workspace = join(directory, 'workspace');
  importLayer(binary, workspace, 'dltb', writeLayer(join(directory, 'data2'), 'dltb', landUse(codes)), 'landuse', '地类图斑');
  try {
    await page.evaluate(() => dispatchEvent(new Event('focus')));
    await page.waitForFunction(() => /图层已更新/u.test(document.querySelector('.banner').textContent), null, { timeout: 30_000 });
    await settled();
    assertColour((await screenshot()).at(x, y), drawn([49, 173, 105]), 'forest now');
  } finally {
    importLayer(binary, workspace, 'dltb', join(directory, 'data', 'dltb.geojson'), 'landuse', '地类图斑');
  }
});

test('an empty workspace says what to do, and shows the first layer when it comes', async () => {
  const context = await browser.newContext({ viewport: DESKTOP });
  page = await context.newPage();
  let isEmpty = true;
  await page.route(/\/layers\.json/u, async (route) => {
    const response = await route.fetch();
    const catalog = await response.json();
    await route.fulfill({ response, json: isEmpty ? { ...catalog, version: '0', layers: [] } : catalog });
  });
  await page.goto(`${server.origin}/`);
  await page.waitForFunction(() => /onemap import/u.test(document.querySelector('.notice:not([hidden])')?.textContent ?? ''));
  isEmpty = false;
  await settled();
  assert.equal(await page.locator('.notice').isVisible(), false);
});

test('a server that goes away is noticed, and so is its return', async () => {
  const port = await freePort();
  let other = await serve(binary, join(directory, 'workspace'), port);
  await open(`${other.origin}/${hash(VIEW, LAND_USE_ONLY)}`, { expectFailures: true });
  await settled();
  await other.stop();
  await page.evaluate(() => dispatchEvent(new Event('focus')));
  await page.waitForFunction(() => document.querySelector('.banner').dataset.reason === 'lost' && !document.querySelector('.banner').hidden, null, { timeout: 20_000 });
  other = await serve(binary, join(directory, 'workspace'), port);
  try {
    await page.waitForFunction(() => document.querySelector('.banner').hidden, null, { timeout: 20_000 });
  } finally {
    await page.context().close();
    page = undefined;
    await other.stop();
  }
});

test('a layer whose tiles cannot be read says so, and is tried again', async () => {
  const context = await browser.newContext({ viewport: DESKTOP });
  page = await context.newPage();
  let broken = true;
  await page.route(/\/tiles\/dltb\.json/u, (route) => (broken ? route.fulfill({ status: 404, body: 'gone' }) : route.continue()));
  await page.goto(`${server.origin}/${hash(VIEW, LAND_USE_ONLY)}`);
  const retry = page.locator('[data-layer=dltb] .retry');
  await retry.waitFor();
  assert.match(await retry.innerText(), /没有瓦片/u);
  broken = false;
  await retry.click();
  await settled();
  const [x, y] = pixelOf(aside(1, 1));
  assertColour((await screenshot()).at(x, y), drawn([163, 214, 245]), 'drawn after the retry');
});
