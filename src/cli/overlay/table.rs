//! Area tables: rows in CSV, JSON and XLSX, with adjustment to control areas.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use indicatif::ProgressBar;
use rust_xlsxwriter::{Format as CellFormat, Workbook, XlsxError};
use serde::Serialize;

use super::{Operation, OverlayArgs, show};
use crate::analysis::{self, AreaReport, Group, LayerRead, Request, adjust, control_areas};
use crate::cli::Failure;
use crate::query::Budget;

/// Form of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Csv,
    Json,
    Xlsx,
}

/// Rows of a sheet of Excel at most, the heading one of them.
const SHEET_ROWS: usize = 1 << 20;

/// A row as it is printed.
struct Line {
    cells: Vec<String>,
    area_m2: f64,
    sliver: bool,
    /// Control area and what it was more than the sum before adjustment, m².
    control: Option<(f64, f64)>,
}

pub fn write(
    request: &Request<'_>,
    args: &OverlayArgs,
    format: Format,
    budget: &Budget,
    bar: &ProgressBar,
) -> Result<Vec<LayerRead>, Failure> {
    if args.adjust.is_some()
        && (request.clip.is_some() || !matches!(args.op, Operation::Union | Operation::Identity))
    {
        return Err(Failure::Usage {
            message: "--adjust needs whole parcels: --op union or identity, without --bbox and --clip (平差需要完整图斑)".into(),
        });
    }
    let report = analysis::areas_of(request, budget, &|at| show(bar, at));
    bar.finish_and_clear();
    let report = report?;
    let mut lines = lines(&report, args);
    if let Some(field) = &args.adjust {
        let field = Some(field.as_str()).filter(|field| !field.is_empty());
        let conditions = request.conditions.first().map_or(&[][..], Vec::as_slice);
        let left = &request.selections[0];
        let controls = control_areas(left, conditions, request.mode, field, budget)?;
        adjust_lines(&report, &controls, &mut lines);
    }
    let bytes = match format {
        Format::Csv => csv(&report, &lines, args).into_bytes(),
        Format::Json => as_json(request, &report, &lines, args)?.into_bytes(),
        Format::Xlsx => xlsx(&report, &lines, args)?,
    };
    match &args.out {
        Some(path) => write_file(path, &bytes)?,
        None => std::io::stdout().lock().write_all(&bytes)?,
    }
    Ok(report.layers)
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    std::fs::write(path, bytes).map_err(|source| Failure::File {
        path: path.to_path_buf(),
        source,
    })
}

fn lines(report: &AreaReport, args: &OverlayArgs) -> Vec<Line> {
    let rows = report.rows.iter().map(|row| Line {
        cells: row
            .groups
            .iter()
            .map(|g| group_text(g).to_string())
            .collect(),
        area_m2: row.area_m2,
        sliver: row.area_m2.abs() < args.sliver,
        control: None,
    });
    let overlaps = report.overlaps.iter().map(|excess| Line {
        cells: excess
            .row
            .groups
            .iter()
            .enumerate()
            .map(|(layer, group)| match layer == excess.layer {
                true => "(overlap)".to_string(),
                false => group_text(group).to_string(),
            })
            .collect(),
        area_m2: excess.row.area_m2,
        sliver: false,
        control: None,
    });
    rows.chain(overlaps).collect()
}

/// Adjusts the rows of each left group; what the right layers cover twice stays as it is.
fn adjust_lines(report: &AreaReport, controls: &BTreeMap<Group, f64>, lines: &mut [Line]) {
    let mut start = 0;
    for rows in report.rows.chunk_by(|a, b| a.groups[0] == b.groups[0]) {
        let own = &mut lines[start..start + rows.len()];
        start += rows.len();
        let group = &rows[0].groups[0];
        let Some(&control) = controls.get(group) else {
            continue;
        };
        let twice: f64 = report
            .overlaps
            .iter()
            .filter(|excess| excess.row.groups[0] == *group)
            .map(|excess| excess.row.area_m2)
            .sum();
        let areas: Vec<f64> = own.iter().map(|line| line.area_m2).collect();
        let adjusted = adjust(&areas, control + twice);
        for (line, centi) in own.iter_mut().zip(adjusted.centi_m2) {
            line.area_m2 = centi as f64 / 100.0;
            line.control = Some((control, adjusted.residual_m2));
        }
    }
}

pub fn group_text(group: &Group) -> &str {
    match group {
        Group::Null => "(null)",
        Group::Value(value) => value,
        Group::Outside => "(outside)",
    }
}

fn csv(report: &AreaReport, lines: &[Line], args: &OverlayArgs) -> String {
    let quoted = |text: &str| {
        if text.contains(['"', ',', '\n', '\r']) {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            text.to_string()
        }
    };
    let mut text = String::new();
    for layer in &report.layers {
        text.push_str(&quoted(&layer.name));
        text.push(',');
    }
    text.push_str(&format!("area_{},sliver", args.unit.word()));
    if args.adjust.is_some() {
        text.push_str(",control_m2,residual_m2");
    }
    text.push('\n');
    for line in lines {
        for cell in &line.cells {
            text.push_str(&quoted(cell));
            text.push(',');
        }
        let (area, digits) = args.unit.of_m2(line.area_m2);
        text.push_str(&format!("{area:.digits$},{}", u8::from(line.sliver)));
        if args.adjust.is_some() {
            match line.control {
                Some((control, residual)) => {
                    text.push_str(&format!(",{control:.2},{residual:.4}"));
                }
                None => text.push_str(",,"),
            }
        }
        text.push('\n');
    }
    text
}

fn as_json<'a>(
    request: &Request<'_>,
    report: &AreaReport,
    lines: &'a [Line],
    args: &OverlayArgs,
) -> Result<String, Failure> {
    let (rows, overlaps) = lines.split_at(report.rows.len());
    let area = |line: &Line| args.unit.of_m2(line.area_m2).0;
    let total: f64 = rows.iter().map(|line| line.area_m2).sum();
    let row = |line: &'a Line| JsonRow {
        groups: &line.cells,
        area: area(line),
        sliver: line.sliver,
        control_m2: line.control.map(|control| control.0),
        residual_m2: line.control.map(|control| control.1),
    };
    let document = JsonTable {
        layers: &report.layers,
        crs: request
            .selections
            .iter()
            .map(|selection| selection.snapshot.manifest.crs.label())
            .collect(),
        area: args.area.word(),
        unit: args.unit.word(),
        total: args.unit.of_m2(total).0,
        rows: rows.iter().map(row).collect(),
        overlaps: overlaps
            .iter()
            .map(|line| JsonExcess {
                groups: &line.cells,
                area: area(line),
            })
            .collect(),
    };
    let mut text = serde_json::to_string_pretty(&document).map_err(std::io::Error::from)?;
    text.push('\n');
    Ok(text)
}

#[derive(Serialize)]
struct JsonTable<'a> {
    layers: &'a [LayerRead],
    crs: Vec<String>,
    area: &'static str,
    unit: &'static str,
    total: f64,
    rows: Vec<JsonRow<'a>>,
    overlaps: Vec<JsonExcess<'a>>,
}

#[derive(Serialize)]
struct JsonRow<'a> {
    groups: &'a [String],
    area: f64,
    sliver: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    control_m2: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    residual_m2: Option<f64>,
}

#[derive(Serialize)]
struct JsonExcess<'a> {
    groups: &'a [String],
    area: f64,
}

fn xlsx(report: &AreaReport, lines: &[Line], args: &OverlayArgs) -> Result<Vec<u8>, Failure> {
    let failed = |error: XlsxError| Failure::Output(std::io::Error::other(error));
    if lines.len() + 1 > SHEET_ROWS {
        return Err(Failure::Usage {
            message: format!(
                "{} rows do not fit a sheet of {SHEET_ROWS}; write .csv (超出表格行数上限)",
                lines.len()
            ),
        });
    }
    let mut book = Workbook::new();
    let sheet = book.add_worksheet();
    sheet.set_name("面积表").map_err(failed)?;
    let heading = CellFormat::new().set_bold();
    let mut headings: Vec<String> = report.layers.iter().map(|l| l.name.clone()).collect();
    headings.push(format!("面积({})", args.unit.title()));
    headings.push("碎片".into());
    if args.adjust.is_some() {
        headings.extend(["控制面积(平方米)".into(), "闭合差(平方米)".into()]);
    }
    for (column, text) in headings.iter().enumerate() {
        sheet
            .write_string_with_format(0, column as u16, text, &heading)
            .map_err(failed)?;
    }
    let digits = args.unit.of_m2(0.0).1.min(6);
    let number = CellFormat::new().set_num_format(format!("0.{}", "0".repeat(digits)));
    for (row, line) in lines.iter().enumerate() {
        let row = row as u32 + 1;
        let mut column = 0;
        for cell in &line.cells {
            sheet.write_string(row, column, cell).map_err(failed)?;
            column += 1;
        }
        let area = args.unit.of_m2(line.area_m2).0;
        sheet
            .write_number_with_format(row, column, area, &number)
            .map_err(failed)?;
        sheet
            .write_number(row, column + 1, u8::from(line.sliver))
            .map_err(failed)?;
        if let Some((control, residual)) = line.control {
            sheet
                .write_number(row, column + 2, control)
                .map_err(failed)?;
            sheet
                .write_number(row, column + 3, residual)
                .map_err(failed)?;
        }
    }
    sheet.set_freeze_panes(1, 0).map_err(failed)?;
    book.save_to_buffer().map_err(failed)
}
