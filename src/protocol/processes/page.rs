//! A report as a page to be read and printed: one HTML file with everything in it, in Chinese.
//!
//! No script, no address of anything outside. The picture is SVG; what lies inside the boundary
//! is shown in full colour by clipping, so the picture needs no computed pieces.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::analysis::Group;
use crate::analysis::report::drawing::{Drawing, SIDE, Shape};
use crate::analysis::report::rules::Verdict;
use crate::analysis::report::{LayerReport, Report, Row};
use crate::overlay::GridPoint;

/// Features in the page's tables per layer; the JSON document has more.
const MAX_FEATURE_ROWS: usize = 200;
/// Colours of classes without one of their own, one after the other.
const COLORS: [&str; 10] = [
    "#8dd3c7", "#fdb462", "#bebada", "#fb8072", "#80b1d3", "#b3de69", "#fccde5", "#bc80bd",
    "#ccebc5", "#ffed6f",
];
/// Outlines of the layers after the first.
const OUTLINES: [&str; 5] = ["#c1121f", "#0353a4", "#6a4c93", "#2a9d8f", "#8d5524"];

/// A report, its seal and its picture.
pub struct Sheet<'a> {
    pub report: &'a Report,
    pub hash: &'a str,
    pub drawing: &'a Drawing,
}

/// The page of all sheets, one after the other.
pub fn page(title: &str, sheets: &[Sheet<'_>]) -> String {
    let mut out = String::with_capacity(64 << 10);
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"zh-CN\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n",
        escape(title)
    );
    for (number, sheet) in sheets.iter().enumerate() {
        one(&mut out, title, sheet, number);
    }
    out.push_str("</body>\n</html>\n");
    out
}

const STYLE: &str = "\
@page{size:A4;margin:15mm}\
*{box-sizing:border-box}\
body{font:14px/1.5 system-ui,'Noto Sans SC','Source Han Sans SC','Microsoft YaHei',sans-serif;color:#1a1a1a;max-width:190mm;margin:0 auto;padding:8mm}\
h1{font-size:22px;text-align:center;margin:0 0 4mm}h2{font-size:16px;margin:6mm 0 2mm;border-bottom:1px solid #999}\
article{break-after:page}article:last-child{break-after:auto}\
table{border-collapse:collapse;width:100%;margin:2mm 0}th,td{border:1px solid #aaa;padding:1mm 2mm;text-align:left;vertical-align:top}\
th{background:#f0f0ec}td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}tr.total td{font-weight:600;background:#f7f7f4}\
tr{break-inside:avoid}.verdict{padding:2mm 4mm;border:2px solid;font-weight:600;margin:2mm 0}\
.pass{color:#1b6e3c;border-color:#1b6e3c}.warn{color:#8a5a00;border-color:#c98a00}.fail{color:#a31515;border-color:#a31515}\
svg{width:100%;max-height:150mm;border:1px solid #bbb;background:#fff}\
.legend{display:flex;flex-wrap:wrap;gap:1mm 5mm;font-size:12px}.legend i{display:inline-block;width:4mm;height:3mm;border:1px solid #777;margin-right:1mm;vertical-align:-0.3mm}\
.small{font-size:12px;color:#555;word-break:break-all}\
@media print{body{padding:0;max-width:none}*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}";

fn one(out: &mut String, title: &str, sheet: &Sheet<'_>, number: usize) {
    let report = sheet.report;
    let boundary = &report.boundary;
    let _ = write!(out, "<article>\n<h1>{}</h1>\n", escape(title));
    if let Some(verdict) = report.verdict {
        let (class, word) = words_of(verdict);
        let _ = writeln!(
            out,
            "<p class=\"verdict {class}\" role=\"status\">审查结论:{word}</p>"
        );
    }
    out.push_str("<h2>地块</h2>\n<table>\n");
    let mut line = |name: &str, value: String| {
        let _ = writeln!(out, "<tr><th>{name}</th><td>{value}</td></tr>");
    };
    line("名称", escape(&boundary.name));
    line("面积(椭球)", areas_in_words(boundary.area_m2));
    if let Some(official) = boundary.official_area_m2 {
        line(
            "图斑椭球面积(国土调查办发〔2008〕32号)",
            format!(
                "{official:.2} 平方米,与上项相差 {:.2} 平方米",
                official - boundary.area_m2
            ),
        );
    }
    line(
        "坐标系、界址点数",
        format!("{},{} 点", escape(&boundary.crs), boundary.vertices),
    );
    let [west, south, east, north] = boundary.bbox_lonlat;
    line(
        "经纬度范围",
        format!("{west:.6}°–{east:.6}°,{south:.6}°–{north:.6}°"),
    );
    out.push_str("</table>\n");
    picture(out, sheet, number);
    checks(out, report);
    for layer in &report.layers {
        table(out, layer, boundary.area_m2);
    }
    sources(out, sheet);
    out.push_str("</article>\n");
}

fn checks(out: &mut String, report: &Report) {
    if report.layers.iter().all(|layer| layer.checks.is_empty()) {
        return;
    }
    out.push_str(
        "<h2>审查意见</h2>\n<table>\n<tr><th>图层</th><th>结论</th><th>意见</th><th>面积(公顷)</th><th>占比</th></tr>\n",
    );
    for layer in &report.layers {
        for check in &layer.checks {
            let (class, word) = words_of(check.verdict);
            let _ = writeln!(
                out,
                "<tr><td>{}</td><td class=\"{class}\">{word}</td><td>{}</td><td class=\"n\">{:.4}</td><td class=\"n\">{}</td></tr>",
                escape(&layer.title),
                escape(&check.text.zh),
                check.area_m2 / 1e4,
                percent(check.share)
            );
        }
    }
    out.push_str("</table>\n");
}

/// Areas by the official rule, piece by piece, and what they miss of the boundary's.
fn officials(out: &mut String, layer: &LayerReport) {
    let Some(residual) = layer.official_residual_m2 else {
        return;
    };
    let _ = writeln!(
        out,
        "<table>\n<tr><th>国土调查办发〔2008〕32号</th><th>各部分法定面积之和(平方米)</th></tr>"
    );
    let mut sum = 0.0;
    for row in &layer.rows {
        let official = row.official_area_m2.unwrap_or(0.0);
        sum += official;
        let name = match &row.value {
            Group::Outside => "图层范围外".to_string(),
            group => format!("{} {}", escape(group_text(group)), escape(&label_of(row))),
        };
        let _ = writeln!(
            out,
            "<tr><td>{name}</td><td class=\"n\">{official:.2}</td></tr>"
        );
    }
    let _ = writeln!(
        out,
        "<tr class=\"total\"><td>合计,与地块法定面积相差 {residual:.2} 平方米</td><td class=\"n\">{sum:.2}</td></tr>\n</table>"
    );
}

fn table(out: &mut String, layer: &LayerReport, total_m2: f64) {
    let _ = writeln!(out, "<h2>{}</h2>", escape(&layer.title));
    let field = match &layer.field {
        Some(field) => escape(field),
        None => "图层".to_string(),
    };
    let _ = writeln!(
        out,
        "<table>\n<tr><th>{field}</th><th>名称</th><th>图斑数</th><th>平方米</th><th>公顷</th><th>亩</th><th>占比</th></tr>"
    );
    for row in &layer.rows {
        let (value, name) = match &row.value {
            Group::Outside => ("—".to_string(), "图层范围外".to_string()),
            group => (escape(group_text(group)), escape(&label_of(row))),
        };
        let _ = writeln!(
            out,
            "<tr><td>{value}</td><td>{name}</td><td class=\"n\">{}</td>{}<td class=\"n\">{}</td></tr>",
            row.features,
            area_cells(row.area_m2),
            percent(row.share)
        );
    }
    let features: u64 = layer.rows.iter().map(|row| row.features).sum();
    let _ = writeln!(
        out,
        "<tr class=\"total\"><td colspan=\"2\">合计</td><td class=\"n\">{features}</td>{}<td class=\"n\">100.00%</td></tr>\n</table>",
        area_cells(total_m2)
    );
    officials(out, layer);
    if layer.overlaps_itself {
        out.push_str(
            "<p class=\"small\">该图层自身有重叠,重叠处按图斑分别计入,图层范围外一行为负。</p>\n",
        );
    }
    if layer.features.is_empty() {
        return;
    }
    let shown = &layer.features[..layer.features.len().min(MAX_FEATURE_ROWS)];
    let _ = writeln!(
        out,
        "<details{}><summary>图斑明细({} 个)</summary>\n<table>\n<tr><th>要素号</th><th>{field}</th><th>平方米</th><th>公顷</th><th>亩</th><th>占地块</th><th>占图斑</th></tr>",
        if shown.len() <= 30 { " open" } else { "" },
        layer.touched
    );
    for feature in shown {
        let _ = writeln!(
            out,
            "<tr><td class=\"n\">{}</td><td>{}{}</td>{}<td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            feature.id,
            escape(group_text(&feature.value)),
            if feature.sliver { "(碎片)" } else { "" },
            area_cells(feature.area_m2),
            percent(feature.share),
            percent(feature.share_of_feature)
        );
    }
    let rest = layer.touched - shown.len() as u64;
    if rest > 0 {
        let _ = writeln!(
            out,
            "<tr><td colspan=\"7\">另有 {rest} 个较小的图斑未列出,已计入上表。</td></tr>"
        );
    }
    out.push_str("</table>\n</details>\n");
}

fn sources(out: &mut String, sheet: &Sheet<'_>) {
    out.push_str("<h2>依据</h2>\n<table>\n<tr><th>图层</th><th>版本</th><th>坐标系</th></tr>\n");
    for layer in &sheet.report.layers {
        let _ = writeln!(
            out,
            "<tr><td>{}({})</td><td>{}</td><td>{}</td></tr>",
            escape(&layer.title),
            escape(&layer.layer),
            escape(&layer.generation),
            escape(&layer.crs)
        );
    }
    let _ = write!(
        out,
        "</table>\n<p class=\"small\">规则:{} {}<br>面积为椭球面积(等积投影,可加);各行按 0.0001 平方米取整并调平,合计等于地块面积。<br>范围摘要:{}<br>结果摘要:{}</p>\n",
        escape(&sheet.report.rules.id),
        escape(&sheet.report.rules.version),
        escape(&sheet.report.boundary.digest),
        escape(sheet.hash)
    );
}

fn picture(out: &mut String, sheet: &Sheet<'_>, number: usize) {
    let drawing = sheet.drawing;
    let boundary = path(&drawing.boundary);
    let _ = write!(
        out,
        "<h2>位置示意</h2>\n<svg viewBox=\"0 0 {SIDE} {SIDE}\" role=\"img\" aria-label=\"地块与图层位置示意\">\n\
         <defs><clipPath id=\"inside{number}\"><path clip-rule=\"evenodd\" d=\"{boundary}\"/></clipPath></defs>\n"
    );
    let mut legend = String::new();
    if let (Some(layer), Some(shapes)) = (sheet.report.layers.first(), drawing.layers.first()) {
        let colors = colors(layer);
        let mut fills = String::new();
        for shape in shapes {
            let color = colors
                .get(&layer.features[shape.feature].value)
                .map_or("#dddddd", String::as_str);
            let _ = writeln!(
                fills,
                "<path fill=\"{color}\" stroke=\"#777\" stroke-width=\"8\" fill-rule=\"evenodd\" d=\"{}\"/>",
                path(&shape.rings)
            );
        }
        let _ = write!(
            out,
            "<g opacity=\"0.35\">{fills}</g>\n<g clip-path=\"url(#inside{number})\">{fills}</g>\n"
        );
        for row in layer.rows.iter().filter(|row| !row.outside) {
            if let Some(color) = colors.get(&row.value) {
                let _ = write!(
                    legend,
                    "<span><i style=\"background:{color}\"></i>{} {}</span>",
                    escape(group_text(&row.value)),
                    escape(&label_of(row))
                );
            }
        }
    }
    for (rank, (layer, shapes)) in sheet
        .report
        .layers
        .iter()
        .zip(&drawing.layers)
        .skip(1)
        .enumerate()
    {
        outline(out, &mut legend, layer, shapes, rank);
    }
    let _ = writeln!(
        out,
        "<path fill=\"none\" stroke=\"#000\" stroke-width=\"45\" stroke-linejoin=\"round\" d=\"{boundary}\"/>"
    );
    scale_bar(out, drawing.metres_per_unit);
    let _ = write!(
        out,
        "</svg>\n<div class=\"legend\"><span><i style=\"border:2px solid #000\"></i>地块范围</span>{legend}</div>\n"
    );
}

fn outline(
    out: &mut String,
    legend: &mut String,
    layer: &LayerReport,
    shapes: &[Shape],
    rank: usize,
) {
    if shapes.is_empty() {
        return;
    }
    let color = OUTLINES[rank % OUTLINES.len()];
    for shape in shapes {
        let _ = writeln!(
            out,
            "<path fill=\"{color}\" fill-opacity=\"0.12\" stroke=\"{color}\" stroke-width=\"30\" fill-rule=\"evenodd\" d=\"{}\"/>",
            path(&shape.rings)
        );
    }
    let _ = write!(
        legend,
        "<span><i style=\"border:2px solid {color}\"></i>{}</span>",
        escape(&layer.title)
    );
}

/// A bar of a round length, about a fifth of the picture.
fn scale_bar(out: &mut String, metres_per_unit: f64) {
    let wanted = SIDE as f64 / 5.0 * metres_per_unit;
    let decade = 10f64.powf(wanted.log10().floor());
    let metres = [5.0, 2.0, 1.0]
        .into_iter()
        .map(|step| step * decade)
        .find(|metres| *metres <= wanted)
        .unwrap_or(decade);
    let width = (metres / metres_per_unit).round();
    let label = if metres >= 1000.0 {
        format!("{} 公里", metres / 1000.0)
    } else {
        format!("{metres} 米")
    };
    let _ = writeln!(
        out,
        "<g><rect x=\"200\" y=\"{0}\" width=\"{width}\" height=\"70\" fill=\"#000\"/>\
         <text x=\"200\" y=\"{1}\" font-size=\"260\" font-family=\"sans-serif\">{label}</text></g>",
        SIDE - 300,
        SIDE - 380
    );
}

fn path(rings: &[Vec<GridPoint>]) -> String {
    let mut d = String::new();
    for ring in rings {
        let mut before = [0, 0];
        for (number, point) in ring.iter().enumerate() {
            if number == 0 {
                let _ = write!(d, "M{} {}", point[0], point[1]);
            } else {
                let letter = if number == 1 { "l" } else { " " };
                let _ = write!(
                    d,
                    "{letter}{} {}",
                    point[0] - before[0],
                    point[1] - before[1]
                );
            }
            before = *point;
        }
        d.push('z');
    }
    d
}

fn colors(layer: &LayerReport) -> BTreeMap<&Group, String> {
    let mut free = COLORS.iter().cycle();
    layer
        .rows
        .iter()
        .filter(|row| !row.outside)
        .map(|row| {
            let known = known_class(group_text(&row.value)).map(|class| class.color.clone());
            let color = known.or_else(|| free.next().map(|color| color.to_string()));
            (&row.value, color.unwrap_or_default())
        })
        .collect()
}

/// Names and colours of the land-use codes, as the portal has them.
#[derive(Deserialize)]
struct Classes {
    groups: Vec<ClassEntry>,
    classes: Vec<ClassEntry>,
    second_survey: Vec<ClassEntry>,
}

#[derive(Deserialize)]
struct ClassEntry {
    code: String,
    name: String,
    color: String,
}

static CLASSES: LazyLock<HashMap<String, ClassEntry>> = LazyLock::new(|| {
    let table: Classes = serde_json::from_str(include_str!("../../../styles/landuse-classes.json"))
        .expect("the table in the repository is checked by a test");
    table
        .second_survey
        .into_iter()
        .chain(table.groups)
        .chain(table.classes)
        .map(|entry| (entry.code.clone(), entry))
        .collect()
});

fn known_class(code: &str) -> Option<&'static ClassEntry> {
    CLASSES.get(code)
}

fn label_of(row: &Row) -> String {
    match &row.label {
        Some(label) => label.clone(),
        None => known_class(group_text(&row.value)).map_or(String::new(), |c| c.name.clone()),
    }
}

fn group_text(group: &Group) -> &str {
    match group {
        Group::Value(value) => value,
        Group::Null => "(空)",
        Group::Outside => "—",
    }
}

fn words_of(verdict: Verdict) -> (&'static str, &'static str) {
    match verdict {
        Verdict::Pass => ("pass", "通过"),
        Verdict::Warn => ("warn", "提示"),
        Verdict::Fail => ("fail", "不通过"),
    }
}

fn areas_in_words(m2: f64) -> String {
    format!(
        "{m2:.4} 平方米 = {:.4} 公顷 = {:.4} 亩",
        m2 / 1e4,
        m2 * 3.0 / 2000.0
    )
}

fn area_cells(m2: f64) -> String {
    format!(
        "<td class=\"n\">{m2:.4}</td><td class=\"n\">{:.4}</td><td class=\"n\">{:.4}</td>",
        m2 / 1e4,
        m2 * 3.0 / 2000.0
    )
}

fn percent(share: f64) -> String {
    format!("{:.2}%", share * 100.0)
}

/// Text for an element or a quoted attribute.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
