// Both languages of the page, and which one is on.

export type Language = 'zh' | 'en';

const TEXTS = {
  title: ['一张图', 'One Map'],
  subtitle: ['国土资源基础数据', 'Land and resources base data'],
  language: ['English', '中文'],
  languageLabel: ['Switch to English', '切换为中文'],
  layers: ['图层', 'Layers'],
  layerPanel: ['图层与查询', 'Layers and search'],
  hidePanel: ['收起面板', 'Hide panel'],
  showPanel: ['打开图层面板', 'Show layer panel'],
  filterLayers: ['筛选图层…', 'Filter layers…'],
  noLayerMatches: ['没有符合的图层', 'No layer matches'],
  groupOn: ['显示或隐藏“{name}”的全部图层', 'Show or hide every layer of {name}'],
  groupToggle: ['展开或折叠“{name}”', 'Expand or collapse {name}'],
  layerOn: ['显示图层“{name}”', 'Show layer {name}'],
  moveLayer: ['移动图层“{name}”：按上、下方向键', 'Move layer {name}: press the up and down arrow keys'],
  moveGroup: ['移动分组“{name}”：按上、下方向键', 'Move group {name}: press the up and down arrow keys'],
  moved: ['“{name}”移到第 {position} 位，共 {count}', '{name} moved to place {position} of {count}'],
  details: ['“{name}”的图例、透明度和信息', 'Legend, opacity and details of {name}'],
  opacity: ['不透明度', 'Opacity'],
  zoomToLayer: ['缩放到图层', 'Zoom to layer'],
  features: ['{count} 个要素', '{count} features'],
  featuresOne: ['1 个要素', '1 feature'],
  outOfView: ['不在当前视野', 'Not in view'],
  belowZoom: ['放大后显示', 'Zoom in to see it'],
  layerFailed: ['加载失败', 'Could not be loaded'],
  layerNoTiles: ['此图层没有瓦片', 'This layer has no tiles'],
  retry: ['重试', 'Retry'],
  legend: ['图例', 'Legend'],
  legendEmpty: ['当前视野内没有要素', 'No feature in view'],
  searchPlaceholder: ['搜索属性或坐标', 'Search attributes or a position'],
  searchButton: ['搜索', 'Search'],
  searchClear: ['清除搜索', 'Clear search'],
  searchIn: ['搜索范围', 'Search in'],
  searchField: ['字段', 'Field'],
  searchVisible: ['已显示的图层', 'Layers shown'],
  searchAll: ['全部图层', 'All layers'],
  anyField: ['任意字段', 'Any field'],
  searching: ['正在搜索…', 'Searching…'],
  results: ['{count} 条结果', '{count} results'],
  resultsOne: ['1 条结果', '1 result'],
  resultsMore: ['显示前 {count} 条结果', 'First {count} results'],
  noResults: ['没有找到“{text}”', 'Nothing found for “{text}”'],
  nothingToSearch: ['没有可搜索的图层，请先打开图层或选择“全部图层”', 'No layer to search: show one or choose “All layers”'],
  searchFailed: ['有 {count} 个图层搜索失败', '{count} layers could not be searched'],
  goTo: ['前往坐标 {position}', 'Go to {position}'],
  attributes: ['属性', 'Attributes'],
  here: ['此处有 {count} 个要素', '{count} features here'],
  nothingHere: ['此处没有要素', 'No feature here'],
  closeAttributes: ['关闭属性', 'Close attributes'],
  zoomToFeature: ['缩放到要素', 'Zoom to feature'],
  copyLink: ['复制链接', 'Copy link'],
  linkCopied: ['链接已复制', 'Link copied'],
  featureId: ['要素编号', 'Feature id'],
  ellipsoidArea: ['椭球面积', 'Ellipsoidal area'],
  ellipsoidLength: ['椭球长度', 'Ellipsoidal length'],
  featureFailed: ['要素读取失败', 'The feature could not be read'],
  featureGone: ['此要素已不存在（图层可能已更新）', 'This feature no longer exists (the layer may have been updated)'],
  yes: ['是', 'Yes'],
  no: ['否', 'No'],
  hectare: ['公顷', 'ha'],
  mu: ['亩', 'mu'],
  tools: ['地图工具', 'Map tools'],
  zoomIn: ['放大', 'Zoom in'],
  zoomOut: ['缩小', 'Zoom out'],
  northUp: ['恢复正北', 'North up'],
  home: ['全图', 'Full extent'],
  measureDistance: ['量距离', 'Measure distance'],
  measureArea: ['量面积', 'Measure area'],
  measureHint: ['单击加点，双击或回车结束，Esc 取消', 'Click to add points, double-click or Enter to finish, Esc to cancel'],
  measureMethod: ['CGCS2000 椭球测地线（Karney 2013）', 'Geodesics on the CGCS2000 ellipsoid (Karney 2013)'],
  distance: ['距离', 'Distance'],
  area: ['面积', 'Area'],
  report: ['地块分析', 'Site report'],
  closeReport: ['关闭地块分析', 'Close the site report'],
  drawBoundary: ['画范围', 'Draw a boundary'],
  openBoundary: ['打开文件', 'Open a file'],
  drawHint: ['在地图上单击加点，双击结束；键盘用方向键移动、回车加点、Shift+回车结束', 'Click on the map to add points, double-click to finish; by keyboard move with the arrow keys, Enter adds, Shift+Enter finishes'],
  reportHint: ['画一个范围，或把 GeoJSON、WKT 或 Shapefile 压缩包拖到页面上，即可得到它所压占的图斑和面积。', 'Draw a boundary, or drop a GeoJSON, WKT or zipped shapefile onto the page, to learn what it lies on.'],
  reportLayers: ['参与分析的图层', 'Layers to look at'],
  reportNoLayers: ['没有选择面图层', 'No layer of polygons is chosen'],
  reportCrs: ['文件未声明时的坐标系', 'Reference system when the file has none'],
  reporting: ['正在分析…', 'Asking…'],
  reportReady: ['分析完成，面积 {area}', 'Report ready, {area}'],
  reportSite: ['地块', 'Boundary'],
  reportPage: ['打印页面', 'Page to print'],
  reportFeatures: ['图斑明细（{count}）', 'Features ({count})'],
  reportMore: ['另有 {count} 个', '{count} more'],
  reportStamp: ['规则 {rules} · {hash}', 'Rules {rules} · {hash}'],
  officialArea: ['图斑椭球面积（国土调查办发〔2008〕32号）{area} m²', 'By the official rule {area} m²'],
  outsideLayer: ['图层范围外', 'Outside of the layer'],
  noValue: ['（空）', '(none)'],
  total: ['合计', 'Total'],
  verdictPass: ['通过', 'Pass'],
  verdictWarn: ['提示', 'Warning'],
  verdictFail: ['不通过', 'Fail'],
  officialColumn: ['法定 m²', 'Official m²'],
  officialResidual: ['各部分法定面积之和与地块法定面积相差 {area} m²', 'The official areas of the pieces miss the boundary’s by {area} m²'],
  overlayShow: ['叠加显示', 'Show pieces of two layers'],
  overlayOf: ['叠加 {a} × {b}', '{a} × {b}'],
  overlayNone: ['不叠加', 'None'],
  archiveUnreadable: ['压缩包已损坏或无法读取：{name}', 'The archive is broken: {name}'],
  archiveNoShapefile: ['压缩包中须有且仅有一个面图层（.shp）：{name}', 'The archive is to hold one shapefile of polygons: {name}'],
  fileTooLarge: ['文件过大：{name}', 'The file is too large: {name}'],
  fileUnreadable: ['不是 GeoJSON、WKT 面或 Shapefile 压缩包：{name}', 'Neither GeoJSON nor WKT polygons nor a zipped shapefile: {name}'],
  dropHere: ['松开以分析此文件', 'Drop to ask about this file'],
  perimeter: ['周长', 'Perimeter'],
  clearMeasure: ['清除量算', 'Clear measurement'],
  undo: ['撤销上一点', 'Undo last point'],
  map: ['地图，方向键平移，加减键缩放，回车查询中心点', 'Map. Arrow keys pan, plus and minus zoom, Enter asks at the centre'],
  coordinates: ['坐标', 'Coordinates'],
  degrees: ['经纬度', 'Degrees'],
  degreeFormat: ['切换十进制度与度分秒', 'Switch between decimal degrees and degrees, minutes, seconds'],
  zoneFormat: ['切换 3° 带与 6° 带', 'Switch between zones of 3° and 6°'],
  zone: ['{width}°带 {zone}', '{width}° zone {zone}'],
  lonShort: ['经', 'Lon'],
  latShort: ['纬', 'Lat'],
  loading: ['正在加载…', 'Loading…'],
  slow: ['瓦片加载较慢，请稍候…', 'Tiles are slow, please wait…'],
  connecting: ['正在连接服务器…', 'Connecting to the server…'],
  unreachable: ['无法连接服务器', 'The server cannot be reached'],
  unreachableHint: ['请确认 onemap serve 正在运行；页面会自动重试。', 'Check that onemap serve is running; this page keeps trying.'],
  lost: ['与服务器的连接中断，正在重试…', 'Connection to the server lost, trying again…'],
  badCatalog: ['服务器的回答无法读取', "The server's answer cannot be read"],
  empty: ['工作区还没有图层', 'No layer in this workspace yet'],
  emptyHint: ['用下面的命令导入数据，页面会自动显示：', 'Import data with this command; the page then shows it:'],
  noWebgl: ['浏览器不支持 WebGL，无法显示地图', 'This browser has no WebGL, so the map cannot be drawn'],
  updated: ['图层已更新：{names}', 'Updated: {names}'],
} as const satisfies Record<string, readonly [zh: string, en: string]>;

export type TextKey = keyof typeof TEXTS;

let language: Language = 'zh';
const listeners: (() => void)[] = [];

export const currentLanguage = (): Language => language;

export function setLanguage(next: Language): void {
  if (next === language) return;
  language = next;
  document.documentElement.lang = next === 'zh' ? 'zh-CN' : 'en';
  for (const listener of listeners) listener();
}

export function onLanguage(listener: () => void): void {
  listeners.push(listener);
}

export function t(key: TextKey, values: Record<string, string | number> = {}): string {
  return TEXTS[key][language === 'zh' ? 0 : 1].replace(/\{(\w+)\}/gu, (_, name: string) => String(values[name] ?? ''));
}

/** A thing's title in the language that is on; the Chinese one when it has no other. */
export const titleOf = (item: { title: string; title_en?: string | null }): string =>
  language === 'en' && item.title_en ? item.title_en : item.title;
