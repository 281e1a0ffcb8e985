//! A layer's MapLibre style from the template of its family (format: `styles/README.md`).

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::encode;
use crate::store::Snapshot;

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
    // A name of a layer holds nothing that JSON escapes, so text is replaced as text.
    let text = String::from_utf8_lossy(template).replace(PLACEHOLDER, name);
    let template: Template = serde_json::from_str(&text)?;
    let tile_json = format!("{base}/tiles/{}.json", encode(name));
    let source = if snapshot.image().is_some() {
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
