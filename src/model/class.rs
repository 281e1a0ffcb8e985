//! Which attribute of a layer holds its features' class, and which classes of lines matter most.

use super::Schema;

/// Attributes that hold a feature's class, the most specific first.
const CLASS_FIELDS: [&str; 17] = [
    "DLBM", "dlbm", "DLDM", "dldm", "BGHDLBM", "KCDLBM", "GHDLBM", "GHYTDM", "GZQ", "landuse",
    "LANDUSE", "natural", "leisure", "fclass", "class", "CLASS", "type",
];
/// Those of lines. A layer of several kinds of lines has several, and a line a value in one of them.
const LINE_CLASS_FIELDS: [&str; 5] = ["GLDJ", "gldj", "highway", "railway", "waterway"];

/// Classes of lines from the most important on; links and unknown classes come behind.
const LINE_CLASSES: [&[&str]; 6] = [
    &["motorway", "高速公路", "高速", "river", "rail"],
    &["trunk", "国道", "一级公路", "canal"],
    &["primary", "省道", "二级公路", "narrow_gauge"],
    &["secondary", "县道", "三级公路", "light_rail"],
    &["tertiary", "乡道", "四级公路", "stream"],
    &["unclassified", "residential", "村道", "drain"],
];

/// The column of the class, when the layer has one.
pub fn class_column(schema: &Schema) -> Option<usize> {
    CLASS_FIELDS.iter().find_map(|name| schema.index_of(name))
}

/// The columns that make up the class in a layer of lines.
pub fn line_class_columns(schema: &Schema) -> Vec<usize> {
    let of_lines = LINE_CLASS_FIELDS
        .iter()
        .filter_map(|name| schema.index_of(name));
    let columns: Vec<usize> = of_lines.collect();
    match columns.is_empty() {
        true => class_column(schema).into_iter().collect(),
        false => columns,
    }
}

/// The place of a line's class in the order of importance: 0 is the most important.
pub fn line_rank(class: &str) -> u8 {
    let place = |word: &str| LINE_CLASSES.iter().position(|same| same.contains(&word));
    let (word, is_link) = match class.strip_suffix("_link") {
        Some(word) => (word, true),
        None => (class, false),
    };
    // A link ranks behind the next class: without its roads it leads nowhere.
    place(word).map_or(u8::MAX, |place| {
        2 * place as u8 + if is_link { 3 } else { 0 }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Field, FieldType};

    #[test]
    fn a_layer_of_lines_looks_for_roads_first() {
        let schema = |names: &[&str]| Schema {
            fields: names
                .iter()
                .map(|name| Field {
                    name: name.to_string(),
                    alias: None,
                    field_type: FieldType::String,
                    width: 0,
                    precision: 0,
                })
                .collect(),
        };
        let osm = schema(&["osm_id", "natural", "highway", "waterway"]);
        assert_eq!(
            (class_column(&osm), line_class_columns(&osm)),
            (Some(1), vec![2, 3])
        );
        let parcels = schema(&["TBMJ", "DLBM"]);
        assert_eq!(
            (class_column(&parcels), line_class_columns(&parcels)),
            (Some(1), vec![1])
        );
        assert!(line_class_columns(&schema(&["NAME"])).is_empty());
    }

    #[test]
    fn motorways_rank_before_their_links_and_links_before_the_unknown() {
        let order = [
            "motorway",
            "trunk",
            "motorway_link",
            "primary",
            "trunk_link",
            "path",
        ];
        assert!(order.is_sorted_by_key(|class| line_rank(class)));
    }
}
