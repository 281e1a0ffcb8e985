//! A layer's MapLibre style from the template of its family (format: `styles/README.md`).
//!
//! An archive has layers of its own in its tiles: the template is put in once for each of them, and
//! the source is the archive.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::encode;
use crate::store::Snapshot;
use crate::tile::LABEL_SUFFIX;

/// What stands in a template for the name of the layer.
const PLACEHOLDER: &str = "{layer}";

#[derive(Deserialize)]
struct Template {
    layers: Vec<Value>,
    #[serde(default)]
    legend: Vec<Value>,
}

/// Puts the layer into the template. `base` is the server's address as the client knows it.
///
/// # Errors
/// When the template is not JSON with a list `layers`.
pub fn document(
    snapshot: &Snapshot,
    template: &[u8],
    base: &str,
) -> Result<Value, serde_json::Error> {
    let name = snapshot.name();
    let mut template: Template = serde_json::from_slice(template)?;
    match snapshot.tiles().filter(|info| !info.tiles.is_image()) {
        None => {
            for value in template.layers.iter_mut().chain(&mut template.legend) {
                replace(value, name);
            }
        }
        Some(info) => {
            let ids: Vec<&str> = info.vector_layers.iter().map(|l| l.id.as_str()).collect();
            template = for_archive(&template, name, &ids);
        }
    }
    let tile_json = format!("{base}/tiles/{}.json", encode(name));
    let source = if snapshot.shows_images() {
        json!({ "type": "raster", "url": tile_json, "tileSize": 256 })
    } else {
        json!({ "type": "vector", "url": tile_json })
    };
    Ok(json!({
        "version": 8,
        "name": name,
        "sprite": format!("{base}/sprites/onemap"),
        "sources": Map::from_iter([(name.to_string(), source)]),
        "layers": template.layers,
        "metadata": { "onemap:legend": template.legend },
    }))
}

/// The template once per layer of the tiles. Ids begin with the name of the archive, so that they
/// differ from those of the layer the archive was made of.
fn for_archive(template: &Template, archive: &str, ids: &[&str]) -> Template {
    let is_label = |id: &&str| {
        id.strip_suffix(LABEL_SUFFIX)
            .is_some_and(|of| ids.contains(&of))
    };
    let mut all = Template {
        layers: Vec::new(),
        legend: Vec::new(),
    };
    for id in ids.iter().filter(|id| !is_label(id)) {
        let style_id = |text: &str| text.replace(PLACEHOLDER, &format!("{archive}/{id}"));
        let with = |value: &Value, styled: &str| {
            let mut value = value.clone();
            let own = value.get(styled).and_then(Value::as_str).map(style_id);
            replace(&mut value, id);
            if let (Some(own), Some(object)) = (own, value.as_object_mut()) {
                object.insert(styled.to_string(), own.into());
            }
            value
        };
        for layer in &template.layers {
            let mut layer = with(layer, "id");
            let from = layer.get("source-layer").and_then(Value::as_str);
            // A layer that the tiles do not have is an error to MapLibre.
            if from.is_some_and(|from| !ids.contains(&from)) {
                continue;
            }
            if layer.get("source").is_some() {
                layer["source"] = archive.into();
            }
            all.layers.push(layer);
        }
        let legend = template.legend.iter().map(|entry| with(entry, "layer"));
        all.legend.extend(legend);
    }
    all
}

/// Puts a name into every text of a value.
fn replace(value: &mut Value, name: &str) {
    match value {
        Value::String(text) if text.contains(PLACEHOLDER) => {
            *text = text.replace(PLACEHOLDER, name);
        }
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, name)),
        Value::Object(object) => {
            let keys: Vec<String> = object
                .keys()
                .filter(|key| key.contains(PLACEHOLDER))
                .cloned()
                .collect();
            for key in keys {
                if let Some(inner) = object.remove(&key) {
                    object.insert(key.replace(PLACEHOLDER, name), inner);
                }
            }
            object.values_mut().for_each(|inner| replace(inner, name));
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_has_the_template_for_each_of_its_layers_that_is_there() {
        let template: Template = serde_json::from_value(json!({
            "layers": [
                { "id": "{layer}-fill", "source": "{layer}", "source-layer": "{layer}", "filter": ["in", "water", "{layer}"] },
                { "id": "{layer}-name", "source": "{layer}", "source-layer": "{layer}_label" },
            ],
            "legend": [{ "label": "x", "layer": "{layer}-fill" }],
        }))
        .unwrap();
        let made = for_archive(&template, "arc", &["dltb", "dltb_label", "wat\"er"]);
        assert_eq!(
            Value::Array(made.layers),
            json!([
                { "id": "arc/dltb-fill", "source": "arc", "source-layer": "dltb", "filter": ["in", "water", "dltb"] },
                { "id": "arc/dltb-name", "source": "arc", "source-layer": "dltb_label" },
                { "id": "arc/wat\"er-fill", "source": "arc", "source-layer": "wat\"er", "filter": ["in", "water", "wat\"er"] },
            ])
        );
        assert_eq!(made.legend[1]["layer"], "arc/wat\"er-fill");
    }
}
