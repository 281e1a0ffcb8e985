//! 平差: pieces' areas brought to a control area, and the control areas themselves.
//!
//! Every piece gets its share of the difference, rounded to 0.01 m²; what rounding leaves over
//! goes to the largest pieces, 0.01 m² each. The difference is always stated, never hidden.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::measure::Meter;
use super::reader::Reader;
use super::{AnalysisError, AreaMode, Condition, Group, Selection};
use crate::format::fgb::ValueRef;
use crate::query::Budget;

/// Features measured by one meter.
const BLOCK: u32 = 1024;

/// Areas after adjustment, hundredths of a square metre.
#[derive(Debug, Clone, PartialEq)]
pub struct Adjusted {
    pub centi_m2: Vec<i64>,
    /// Control area less the sum of the areas as they were, square metres.
    pub residual_m2: f64,
}

/// Adjusts areas to a control area.
pub fn adjust(areas_m2: &[f64], control_m2: f64) -> Adjusted {
    let centi = |area: f64| (area * 100.0).round() as i64;
    let sum_m2: f64 = areas_m2.iter().sum();
    let mut parts: Vec<i64> = areas_m2.iter().map(|&area| centi(area)).collect();
    let target = centi(control_m2);
    let difference = target - parts.iter().sum::<i64>();
    let total: i64 = parts.iter().sum();
    if total != 0 {
        for part in &mut parts {
            *part += (*part as f64 / total as f64 * difference as f64).round() as i64;
        }
    }
    let mut left = target - parts.iter().sum::<i64>();
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by_key(|&at| std::cmp::Reverse(parts[at]));
    // Rounding leaves at most half a step per piece; with no area at all everything is left.
    while left != 0 && !order.is_empty() {
        for &at in &order {
            if left == 0 {
                break;
            }
            let step = if total == 0 { left } else { left.signum() };
            parts[at] += step;
            left -= step;
        }
    }
    Adjusted {
        centi_m2: parts,
        residual_m2: control_m2 - sum_m2,
    }
}

/// Per group of a layer: the areas of its features by `mode`, or the sum of a field's numbers,
/// square metres.
///
/// # Errors
/// As [`super::areas`].
pub fn control_areas(
    selection: &Selection<'_>,
    conditions: &[Condition],
    mode: AreaMode,
    field: Option<&str>,
    budget: &Budget,
) -> Result<BTreeMap<Group, f64>, AnalysisError> {
    let reader = Reader::open(selection, conditions, budget)?;
    let column = match field {
        None => None,
        Some(field) => Some(reader.info.schema.index_of(field).ok_or_else(|| {
            AnalysisError::NoSuchField {
                layer: reader.name.to_string(),
                field: field.to_string(),
                known: reader
                    .info
                    .schema
                    .fields
                    .iter()
                    .map(|f| f.name.clone())
                    .collect(),
            }
        })?),
    };
    let features = reader.data.index.len() as u32;
    let starts: Vec<u32> = (0..features).step_by(BLOCK as usize).collect();
    let parts: Vec<Vec<(u32, f64)>> = starts
        .par_iter()
        .map(|&start| {
            budget.check()?;
            let mut meter = Meter::new(reader.crs, mode)?;
            let mut part = Vec::new();
            for feature in (start..features.min(start + BLOCK)).filter(|&f| reader.takes(f)) {
                let area = match column {
                    None => {
                        let record = reader.data.index.record(feature);
                        let view = reader.data.features.feature(record.offset)?;
                        match view.geometry() {
                            Some(geometry) => meter.area_m2(&geometry.to_geometry())?,
                            None => 0.0,
                        }
                    }
                    Some(column) => number_of(&reader, feature, column)?,
                };
                part.push((reader.group_of(feature)?, area));
            }
            Ok(part)
        })
        .collect::<Result<_, AnalysisError>>()?;
    let mut sums: BTreeMap<u32, f64> = BTreeMap::new();
    for (group, area) in parts.into_iter().flatten() {
        *sums.entry(group).or_insert(0.0) += area;
    }
    Ok(sums
        .into_iter()
        .map(|(group, area)| (reader.group(group), area))
        .collect())
}

fn number_of(reader: &Reader<'_>, feature: u32, column: usize) -> Result<f64, AnalysisError> {
    let record = reader.data.index.record(feature);
    let view = reader.data.features.feature(record.offset)?;
    let mut number = None;
    view.for_each_value(&reader.info.schema, |at, value| {
        if at == column {
            number = match value {
                ValueRef::Integer(value) => Some(value as f64),
                ValueRef::Real(value) => Some(value),
                ValueRef::Text(text) => text.trim().parse().ok(),
                ValueRef::Boolean(_) | ValueRef::Binary(_) => None,
            };
        }
    });
    number.ok_or_else(|| AnalysisError::NoControlArea {
        layer: reader.name.to_string(),
        id: record.id,
        field: reader.info.schema.fields[column].name.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_adjusted_as_the_handbook_does() {
        let adjusted = adjust(&[12345.67, 2345.68, 345.69, 45.71], 15082.70);
        assert_eq!(adjusted.centi_m2, [1_234_563, 234_567, 34_569, 4_571]);
        assert!((adjusted.residual_m2 + 0.05).abs() < 1e-9);
    }

    #[test]
    fn the_sum_is_always_the_control_area() {
        let mut seed = 11u64;
        for round in 0..500 {
            let mut parts = Vec::new();
            for _ in 0..round % 9 + 1 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                parts.push((seed >> 40) as f64 / 997.0);
            }
            let control = parts.iter().sum::<f64>() + (round as f64 - 250.0) / 37.0;
            let sum: i64 = adjust(&parts, control).centi_m2.iter().sum();
            assert_eq!(sum, (control * 100.0).round() as i64);
        }
        assert_eq!(adjust(&[0.0, 0.0], 0.07).centi_m2.iter().sum::<i64>(), 7);
        assert!(adjust(&[], 1.0).centi_m2.is_empty());
    }
}
