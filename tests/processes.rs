//! Reports and overlays over HTTP as OGC API – Processes: descriptions, answers at once, jobs,
//! limits, refusals.

#[allow(dead_code, reason = "each test file uses its own part")]
#[path = "support/server.rs"]
mod server;
mod support;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use onemap::model::{FieldType, Schema, Value as Cell};
use onemap::store::Store;
use serde_json::{Value, json};
use server::{Reply, Server};
use support::{crs, feature, field, import, square, text_field};

/// Parcels of 0.001° in two classes and farmland over the western half.
fn workspace() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(dir.path()).unwrap();
    let schema = || Schema {
        fields: vec![text_field("DLBM"), field("NO", FieldType::Integer)],
    };
    let parcels = (0..400)
        .map(|i| {
            let (x, y) = (
                104.0 + (i % 20) as f64 * 0.001,
                30.2 + (i / 20) as f64 * 0.001,
            );
            let class = ["0101", "0702"][(i % 2) as usize];
            feature(
                i,
                square(x, y, 0.001),
                vec![Cell::Text(class.into()), Cell::Integer(i)],
            )
        })
        .collect();
    import(&store, "dltb", crs(4490, true), schema(), parcels, |o| {
        o.id_field = Some("NO".into());
    });
    let farmland = vec![feature(
        1,
        square(103.99, 30.19, 0.02),
        vec![Cell::Text("1".into()), Cell::Integer(1)],
    )];
    import(
        &store,
        "yjjbnt",
        crs(4490, true),
        schema(),
        farmland,
        |_| {},
    );
    dir
}

fn send(
    server: &Server,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Reply {
    let mut text =
        format!("{method} {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    server.raw(text.as_bytes())
}

fn execute(server: &Server, process: &str, prefer: &str, body: &Value) -> Reply {
    let target = format!("/ogc/processes/{process}/execution");
    let headers = [("content-type", "application/json"), ("prefer", prefer)];
    send(server, "POST", &target, &headers, &body.to_string())
}

fn ring(west: f64, south: f64, side: f64) -> Value {
    json!([[
        [west, south],
        [west + side, south],
        [west + side, south + side],
        [west, south + side],
        [west, south]
    ]])
}

fn site() -> Value {
    json!({ "type": "Polygon", "coordinates": ring(104.0055, 30.2055, 0.007) })
}

fn ask(boundary: Value) -> Value {
    json!({ "inputs": { "boundary": boundary, "layers": ["dltb:DLBM", "yjjbnt"] } })
}

fn path_of(reply: &Reply) -> String {
    let location = reply.header("location").expect("where the job is");
    let start = location.find("/ogc/").expect("an address below /ogc");
    location[start..].to_string()
}

/// Polls until the job is finished.
fn finished(server: &Server, path: &str) -> Value {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let job = server.get(path).json();
        if !["accepted", "running"].contains(&job["status"].as_str().unwrap()) {
            return job;
        }
        assert!(Instant::now() < until, "{job}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_server_says_what_it_can_do() {
    let dir = workspace();
    let server = Server::start(dir.path(), &[]);
    let landing = server.get("/ogc/").json();
    let links = landing["links"].as_array().unwrap();
    assert!(
        links
            .iter()
            .any(|link| link["rel"].as_str().unwrap().ends_with("/processes"))
    );
    let classes = server.get("/ogc/conformance").json();
    let classes = classes["conformsTo"].as_array().unwrap();
    for class in ["core", "ogc-process-description", "json", "dismiss"] {
        let uri = format!("http://www.opengis.net/spec/ogcapi-processes-1/1.0/conf/{class}");
        assert!(classes.contains(&Value::String(uri)), "{class}");
    }
    let list = server.get("/ogc/processes").json();
    for process in list["processes"].as_array().unwrap() {
        let href = process["links"][0]["href"].as_str().unwrap();
        let description = server.get(&href[href.find("/ogc/").unwrap()..]).json();
        assert_eq!(description["id"], process["id"]);
        assert!(description["inputs"]["layers"]["schema"].is_object());
        assert_eq!(description["outputs"].as_object().unwrap().len(), 1);
    }
    let missing = server.get("/ogc/processes/buffer");
    assert_eq!(missing.status, 404);
    assert!(
        missing.json()["type"]
            .as_str()
            .unwrap()
            .ends_with("/no-such-process")
    );
    server.stop();
}

#[test]
fn a_report_comes_at_once_adds_up_and_is_the_same_each_time() {
    let dir = workspace();
    let server = Server::start(dir.path(), &[]);
    let reply = execute(&server, "report", "", &ask(site()));
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let report = &reply.json()["reports"][0];
    assert_eq!(report["verdict"], "fail");
    let total = report["boundary"]["area_m2"].as_f64().unwrap();
    for layer in report["layers"].as_array().unwrap() {
        let rows = layer["rows"].as_array().unwrap();
        let sum: f64 = rows
            .iter()
            .map(|row| row["area_m2"].as_f64().unwrap())
            .sum();
        assert!((sum - total).abs() < 1e-6, "{sum} {total}");
        assert!(layer["generation"].is_string());
    }
    assert_eq!(report["layers"][0]["rows"][0]["value"], "0101");
    assert_eq!(report["rules"]["version"], "2026.1");
    let hash = report["hash"].as_str().unwrap();
    assert!(hash.starts_with("sha256:") && hash.len() == 7 + 64);
    let again = execute(&server, "report", "", &ask(site()));
    assert_eq!(again.body, reply.body);
    // The same place in other words is the same report but for its name.
    let corners =
        "104.0055 30.2055, 104.0125 30.2055, 104.0125 30.2125, 104.0055 30.2125, 104.0055 30.2055";
    let wkt = execute(
        &server,
        "report",
        "",
        &ask(json!(format!("POLYGON(({corners}))"))),
    );
    assert_eq!(
        wkt.json()["reports"][0]["boundary"]["digest"],
        report["boundary"]["digest"]
    );
    let value = execute(&server, "report", "", &ask(json!({ "value": site() })));
    assert_eq!(value.body, reply.body);
    let mut body = ask(site());
    body["response"] = json!("document");
    let document = execute(&server, "report", "", &body);
    assert_eq!(
        document.json()["report"]["reports"][0]["hash"],
        report["hash"]
    );
    server.stop();
}

#[test]
fn official_areas_and_pieces_come_on_request() {
    let dir = workspace();
    let server = Server::start(dir.path(), &[]);
    let mut body = ask(site());
    let plain = execute(&server, "report", "", &body).json();
    assert!(plain.get("pieces").is_none());
    assert!(
        plain["reports"][0]["layers"][0]
            .get("official_residual_m2")
            .is_none()
    );
    body["inputs"]["official"] = json!(true);
    body["inputs"]["pieces"] = json!(true);
    let reply = execute(&server, "report", "", &body);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let document = reply.json();
    let layer = &document["reports"][0]["layers"][0];
    assert!(layer["official_residual_m2"].is_number());
    assert!(layer["features"][0]["official_area_m2"].is_number());
    let pieces = document["pieces"][0]["features"].as_array().unwrap();
    let of_layer = pieces.iter().filter(|p| p["properties"]["layer"] == "dltb");
    let inside = of_layer.filter(|p| p["properties"]["outside"] == false);
    assert_eq!(inside.count() as u64, layer["touched"].as_u64().unwrap());
    assert_eq!(pieces[0]["geometry"]["type"], "MultiPolygon");
    // A .prj file's text names the system of degrees; what it might do beyond that is not done.
    let prj = |end: &str| {
        format!(
            "GEOGCS[\"GCS_China_Geodetic_Coordinate_System_2000\",DATUM[\"D_China_2000\",SPHEROID[\"CGCS2000\",6378137.0,298.257222101]],PRIMEM[\"Greenwich\",0.0],UNIT[\"Degree\",0.0174532925199433]{end}]"
        )
    };
    body["inputs"]["crs"] = json!(prj(""));
    let read = execute(&server, "report", "", &body);
    assert_eq!(read.status, 200, "{}", read.text());
    let crs = &read.json()["reports"][0]["boundary"]["crs"];
    assert!(crs.as_str().unwrap().contains("4490"), "{crs}");
    for wrong in [prj(&"x".repeat(5000)), "PROJCS[\"x\"]".to_string()] {
        body["inputs"]["crs"] = json!(wrong);
        assert_eq!(execute(&server, "report", "", &body).status, 400);
    }
    body["inputs"].as_object_mut().unwrap().remove("crs");
    body["inputs"]["official"] = json!("yes");
    assert_eq!(execute(&server, "report", "", &body).status, 400);
    server.stop();
}

#[test]
fn a_report_is_a_page_when_that_is_asked_for() {
    let dir = workspace();
    let server = Server::start(dir.path(), &[]);
    let mut body = ask(
        json!({ "type": "Feature", "properties": { "XMMC": "<b>项目</b>" }, "geometry": site() }),
    );
    body["outputs"] = json!({ "report": { "format": { "mediaType": "text/html" } } });
    let page = execute(&server, "report", "", &body);
    assert_eq!(page.status, 200, "{}", page.text());
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let html = page.text();
    assert!(html.contains("&lt;b&gt;项目&lt;/b&gt;") && !html.contains("<b>项目"));
    assert!(html.contains("<svg") && html.contains("水田") && html.contains("不通过"));
    for outside in ["http://", "https://", "<script", "src="] {
        assert!(!html.contains(outside), "{outside}");
    }
    server.stop();
}

#[test]
fn a_job_is_accepted_followed_collected_and_dismissed() {
    let dir = workspace();
    let server = Server::start(dir.path(), &[]);
    let features: Vec<Value> = (0..300)
        .map(|i| {
            let (x, y) = (104.0 + f64::from(i % 17) * 0.001, 30.2 + f64::from(i / 17) * 0.001);
            let geometry = json!({ "type": "Polygon", "coordinates": ring(x + 0.0003, y, 0.0015) });
            json!({ "type": "Feature", "properties": { "name": format!("p{i}") }, "geometry": geometry })
        })
        .collect();
    let many = ask(json!({ "type": "FeatureCollection", "features": features }));
    let reply = execute(&server, "report", "respond-async, wait=5", &many);
    assert_eq!(reply.status, 201, "{}", reply.text());
    assert_eq!(reply.header("preference-applied"), Some("respond-async"));
    let path = path_of(&reply);
    assert_eq!(reply.json()["processID"], "report");
    let job = finished(&server, &path);
    assert_eq!(job["status"], "successful", "{job}");
    assert_eq!(job["progress"], 100);
    assert!(job["finished"].as_str().unwrap().ends_with('Z'));
    let results = server.get(&format!("{path}/results"));
    let reports = results.json();
    let reports = reports["reports"].as_array().unwrap().clone();
    assert_eq!(reports.len(), 300);
    assert_eq!(reports[299]["boundary"]["name"], "p299");
    let gone = send(&server, "DELETE", &path, &[], "");
    assert_eq!(
        (gone.status, &gone.json()["status"]),
        (200, &json!("dismissed"))
    );
    let missing = server.get(&path);
    assert_eq!(missing.status, 404);
    assert!(
        missing.json()["type"]
            .as_str()
            .unwrap()
            .ends_with("/no-such-job")
    );
    server.stop();
}

#[test]
fn an_overlay_is_the_table_of_all_combinations() {
    let dir = workspace();
    let server = Server::start(dir.path(), &[]);
    let body = json!({ "inputs": { "layers": ["dltb:DLBM", "yjjbnt"] } });
    let now = execute(&server, "overlay", "", &body);
    assert_eq!(now.status, 200, "{}", now.text());
    let table = now.json();
    let rows = table["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 5, "{table}");
    assert_eq!(rows[0]["groups"], json!(["0101", "yjjbnt"]));
    let job = execute(&server, "overlay", "respond-async", &body);
    let path = path_of(&job);
    assert_eq!(finished(&server, &path)["status"], "successful");
    assert_eq!(server.get(&format!("{path}/results")).body, now.body);
    server.stop();
}

#[test]
fn what_is_wrong_is_said_and_what_is_too_much_is_refused() {
    let dir = workspace();
    let server = Server::start(dir.path(), &[]);
    let refused = |body: &Value, status: u16, words: &[&str]| {
        let reply = execute(&server, "report", "", body);
        assert_eq!(reply.status, status, "{body} {}", reply.text());
        assert_eq!(
            reply.header("content-type"),
            Some("application/problem+json")
        );
        for word in words {
            assert!(reply.text().contains(word), "{word}: {}", reply.text());
        }
    };
    refused(&json!({}), 400, &["inputs"]);
    refused(&json!({ "inputs": {} }), 400, &["boundary"]);
    refused(
        &json!({ "inputs": { "boundary": site() } }),
        400,
        &["layers"],
    );
    refused(
        &json!({ "inputs": { "boundary": site(), "layers": [] } }),
        400,
        &["layers"],
    );
    refused(
        &json!({ "inputs": { "boundary": site(), "layers": [7] } }),
        400,
        &["NAME:FIELD"],
    );
    refused(
        &json!({ "inputs": { "boundary": site(), "layers": ["x"] } }),
        404,
        &["unknown-layer"],
    );
    refused(
        &json!({ "inputs": { "boundary": site(), "layers": ["dltb:XX"] } }),
        400,
        &["XX", "DLBM"],
    );
    refused(
        &json!({ "inputs": { "boundary": site(), "layers": ["dltb"], "buffer": 1 } }),
        400,
        &["buffer"],
    );
    let many: Vec<&str> = vec!["dltb"; 17];
    refused(
        &json!({ "inputs": { "boundary": site(), "layers": many } }),
        400,
        &["too-many-layers"],
    );
    refused(&ask(json!("POINT(1 2)")), 400, &["POINT", "POLYGON"]);
    refused(&ask(json!("POLYGON((1 2, 3 4")), 400, &["WKT"]);
    refused(
        &ask(json!({ "type": "LineString", "coordinates": [] })),
        400,
        &["LineString"],
    );
    refused(
        &ask(json!({ "type": "Polygon", "coordinates": [[[1, 2], [3, 4]]] })),
        400,
        &["three"],
    );
    refused(
        &ask(json!({ "type": "Polygon", "coordinates": ring(60.0, 20.0, 5.0) })),
        413,
        &["at most"],
    );
    let flat = json!({ "type": "Polygon", "coordinates": [[[104, 30], [104.1, 30.1], [104, 30], [104, 30]]] });
    refused(&ask(flat), 422, &["no area"]);
    let mut wrong_crs = ask(site());
    wrong_crs["inputs"]["crs"] = json!("/etc/passwd");
    refused(&wrong_crs, 400, &["EPSG:n"]);
    wrong_crs["inputs"]["crs"] = json!("EPSG:4610");
    refused(&wrong_crs, 422, &["EPSG:4610", "EPSG:4490"]);
    let boundaries: Vec<Value> = (0..501)
        .map(|_| json!({ "type": "Feature", "properties": null, "geometry": site() }))
        .collect();
    let boundaries = json!({ "type": "FeatureCollection", "features": boundaries });
    refused(&ask(boundaries), 413, &["boundaries", "500"]);

    let target = "/ogc/processes/report/execution";
    let json_type = [("content-type", "application/json")];
    let not_json = send(
        &server,
        "POST",
        target,
        &[("content-type", "text/plain")],
        "x",
    );
    assert_eq!(not_json.status, 415);
    assert_eq!(send(&server, "POST", target, &json_type, "{").status, 400);
    let huge = format!("{{\"inputs\":\"{}\"}}", "x".repeat(17 << 20));
    assert_eq!(send(&server, "POST", target, &json_type, &huge).status, 413);
    let get = server.get(target);
    assert_eq!(
        (get.status, get.header("allow")),
        (405, Some("POST, OPTIONS"))
    );
    assert_eq!(
        send(&server, "POST", "/layers.json", &json_type, "{}").status,
        405
    );
    assert_eq!(server.get("/ogc/nothing").status, 404);
    assert_eq!(
        server.get("/ogc/jobs").status,
        404,
        "jobs are nobody else's"
    );
    let preflight = server.ask("OPTIONS", target, &[("origin", "http://elsewhere")]);
    let methods = preflight.header("access-control-allow-methods").unwrap();
    assert!(methods.contains("POST") && methods.contains("DELETE"));
    server.stop();
}

fn report(workspace: &Path, args: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_onemap"))
        .arg("report")
        .arg(workspace)
        .args(args)
        .output()
        .unwrap()
}

#[test]
fn the_command_reads_files_texts_and_standard_input_and_says_the_same() {
    let dir = workspace();
    let wkt = "POLYGON((104.0055 30.2055, 104.0125 30.2055, 104.0125 30.2125, 104.0055 30.2125, 104.0055 30.2055))";
    let layers = ["--layer", "dltb:DLBM", "--layer", "yjjbnt"];
    let page = dir.path().join("report.html");
    let mut args = vec![wkt, "--json", "--html", page.to_str().unwrap()];
    args.extend(layers);
    let output = report(dir.path(), &args);
    assert_eq!(output.status.code(), Some(1), "a rule says fail");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(std::fs::read_to_string(&page).unwrap().contains("示意"));

    let server = Server::start(dir.path(), &[]);
    let over_http = execute(&server, "report", "", &ask(json!(wkt))).json();
    assert_eq!(over_http, document);
    server.stop();

    let geojson = dir.path().join("sites.geojson");
    let feature = json!({ "type": "Feature", "properties": { "name": "1" }, "geometry": site() });
    let collection = json!({ "type": "FeatureCollection", "features": [feature] });
    std::fs::write(&geojson, collection.to_string()).unwrap();
    let mut args = vec![geojson.to_str().unwrap(), "--json"];
    args.extend(layers);
    let of_file: Value = serde_json::from_slice(&report(dir.path(), &args).stdout).unwrap();
    // GeoJSON is on WGS 84, which is the same place.
    assert_eq!(
        of_file["reports"][0]["layers"],
        document["reports"][0]["layers"]
    );
    assert_eq!(
        of_file["reports"][0]["boundary"]["digest"],
        document["reports"][0]["boundary"]["digest"]
    );

    let words = report(dir.path(), &[wkt]);
    let text = String::from_utf8(words.stdout).unwrap();
    assert!(
        text.contains("dltb") && text.contains("yjjbnt") && text.contains("不通过"),
        "{text}"
    );
    let wrong = report(dir.path(), &["nowhere.shp"]);
    assert_eq!(wrong.status.code(), Some(2));
    let wrong = report(dir.path(), &[wkt, "--rules", geojson.to_str().unwrap()]);
    let said = String::from_utf8(wrong.stderr).unwrap();
    assert!(
        said.contains("sites.geojson") && said.contains("规则"),
        "{said}"
    );
}
