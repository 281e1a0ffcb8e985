//! Addresses into requests: what is read, what is refused, and that nothing falls over.

use onemap::protocol::xyz::{MAX_LAYERS, TileFormat, TileRequest};
use onemap::protocol::{Request, encode, parse};
use onemap::render::image::ImageFormat;
use proptest::prelude::*;

fn ask(target: &str) -> Result<Request, String> {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    parse(path, query).map_err(|problem| format!("{} {}", problem.status, problem.code))
}

fn tile(target: &str) -> TileRequest {
    match ask(target) {
        Ok(Request::Tile(tile)) => tile,
        other => panic!("{target}: {other:?}"),
    }
}

#[test]
fn tiles_are_read_with_and_without_a_grid() {
    let plain = tile("/tiles/a,%E5%9C%B0%E7%B1%BB/3/4/5.pbf");
    let names: Vec<&str> = plain.layers.iter().map(|layer| layer.as_str()).collect();
    assert_eq!(names, ["a", "地类"]);
    assert_eq!((plain.address.grid, plain.address.z), (None, 3));
    assert_eq!((plain.address.x, plain.address.y), (4, 5));
    assert_eq!((plain.format, plain.fields), (TileFormat::Mvt, None));
    let other = tile("/tiles/a/c/3/4/5.mvt?fields=B,A,,A&cache=skip&v=7&tk=ignored");
    assert_eq!(other.address.grid.as_deref(), Some("c"));
    assert_eq!(other.fields, Some(vec!["A".to_string(), "B".to_string()]));
    assert!(other.skip_cache);
    assert_eq!(other.version.as_deref(), Some("7"));
    for (extension, format) in [
        ("png", ImageFormat::Png),
        ("jpg", ImageFormat::Jpeg),
        ("jpeg", ImageFormat::Jpeg),
        ("webp", ImageFormat::Webp),
    ] {
        let image = tile(&format!("/tiles/dom/3/4/5.{extension}"));
        assert_eq!(image.format, TileFormat::Image(format));
    }
    assert_eq!(ask("/tiles/a,b/1/0/0.png"), Err("400 bad-parameter".into()));
}

#[test]
fn as_many_layers_as_allowed_and_not_one_more() {
    let list = |n: usize| {
        let names: Vec<String> = (0..n).map(|i| format!("l{i}")).collect();
        format!("/tiles/{}/0/0/0.mvt", names.join(","))
    };
    assert_eq!(tile(&list(MAX_LAYERS)).layers.len(), MAX_LAYERS);
    assert_eq!(
        ask(&list(MAX_LAYERS + 1)),
        Err("400 too-many-layers".into())
    );
}

#[test]
fn names_survive_being_written_into_an_address() {
    for name in ["dltb", "地类图斑_2024", "li-2024.v2", "Ö"] {
        let read = tile(&format!("/tiles/{}/0/0/0.mvt", encode(name)));
        assert_eq!(read.layers[0].as_str(), name);
    }
}

#[test]
fn every_endpoint_has_its_address() {
    assert_eq!(ask("/layers.json"), Ok(Request::Layers));
    assert_eq!(ask("/grids"), Ok(Request::Grids));
    assert_eq!(ask("/grids/c.json"), Ok(Request::Grid { id: "c".into() }));
    assert_eq!(ask("/health/live"), Ok(Request::Live));
    assert_eq!(ask("/health/ready"), Ok(Request::Ready));
    assert_eq!(ask("/metrics"), Ok(Request::Metrics));
    let portal = |path: &str| Ok(Request::Portal { path: path.into() });
    assert_eq!(ask("/"), portal("index.html"));
    assert_eq!(ask("/assets/index-1a2b.js"), portal("assets/index-1a2b.js"));
    assert!(
        matches!(ask("/tiles/a,b.json?grid=c"), Ok(Request::TileJson { layers, grid, overlay: false })
        if layers.len() == 2 && grid.as_deref() == Some("c"))
    );
    assert!(
        matches!(ask("/layers/a/search?q=%20%E6%B0%B4+%E7%94%B0%20"),
        Ok(Request::Search { text, limit: 20, field: None, .. }) if text == "水 田")
    );
}

proptest! {
    #[test]
    fn any_address_is_read_or_refused(text in "/[/%.,a2fF=&?+~\\\\\u{0}-\u{ff}水]{0,60}") {
        let _ = ask(&text);
        for prefix in ["/tiles", "/tiles/a/", "/layers/", "/grids/", "/styles/", "/sprites/"] {
            match ask(&format!("{prefix}{text}")) {
                Ok(Request::Portal { path }) | Ok(Request::Sprite { file: path }) => {
                    prop_assert!(!path.split('/').any(|segment| segment == ".."));
                }
                Ok(_) => {}
                Err(problem) => prop_assert!(problem.starts_with('4'), "{}", problem),
            }
        }
    }

    #[test]
    fn what_is_not_a_whole_number_is_no_coordinate(z in "[-+ .0-9eExXnNaAiI]{1,8}") {
        let is_number = !z.is_empty() && z.bytes().all(|b| b.is_ascii_digit());
        let answer = ask(&format!("/tiles/a/{}/0/0.mvt", encode(&z)));
        // Dots alone are a path of their own.
        prop_assume!(z != "." && z != "..");
        prop_assert_eq!(answer.is_ok(), is_number && z.parse::<u32>().is_ok(), "{}", z);
    }
}
