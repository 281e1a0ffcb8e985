//! Starts a server on the demo's workspace, asks for one of everything, stops it.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::client::{self, Answer, percent_encoded};
use super::examples::{EXAMPLES, Example};
use crate::cli::{Failure, Globals, Outcome};

/// One line of the table.
struct Row {
    what: String,
    path: String,
    status: u16,
    bytes: usize,
    time: Duration,
    /// What is wrong; `None` when nothing is.
    wrong: Option<String>,
}

/// A server in a process of its own, as users start it.
struct Running {
    child: Child,
    address: SocketAddr,
}

pub fn run(workspace: &Path, globals: &Globals) -> Result<Outcome, Failure> {
    let server = Running::start(workspace)?;
    let mut visit = Visit {
        server: server.address,
        rows: Vec::new(),
    };
    visit.everything();
    visit.rows.push(server.stop());
    let rows = visit.rows;
    if globals.json {
        let rows: Vec<Value> = rows.iter().map(Row::json).collect();
        writeln!(
            std::io::stdout(),
            "{}",
            serde_json::json!({ "checks": rows })
        )?;
    } else {
        write!(std::io::stdout(), "{}", table(&rows))?;
    }
    let all_right = rows.iter().all(|row| row.wrong.is_none());
    Ok(if all_right {
        Outcome::Done
    } else {
        Outcome::Findings
    })
}

impl Running {
    fn start(workspace: &Path) -> Result<Running, Failure> {
        let program = std::env::current_exe()?;
        let mut child = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--json", "--quiet"])
            .arg(workspace)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().expect("it is piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = serde_json::from_str::<Value>(&line)
            .ok()
            .and_then(|line| line["listening"].as_str()?.parse().ok());
        match address {
            Some(address) => Ok(Running { child, address }),
            None => {
                // It has ended by itself, or does not speak; either way it is of no use.
                let _ = child.kill();
                let _ = child.wait();
                Err(Failure::DemoServer { said: line })
            }
        }
    }

    /// Asks it to stop, and looks whether it does so properly.
    fn stop(mut self) -> Row {
        let started = Instant::now();
        // SAFETY: the number is that of our own child, which has not been waited for.
        unsafe { libc::kill(self.child.id() as libc::pid_t, libc::SIGTERM) };
        let ended = self.child.wait();
        let wrong = match ended {
            Ok(status) if status.success() => None,
            Ok(status) => Some(status.to_string()),
            Err(error) => Some(error.to_string()),
        };
        Row {
            what: "stops when told to".into(),
            path: "SIGTERM".into(),
            status: 0,
            bytes: 0,
            time: started.elapsed(),
            wrong,
        }
    }
}

/// A round through the server.
struct Visit {
    server: SocketAddr,
    rows: Vec<Row>,
}

type Verdict = Result<(), String>;

impl Visit {
    fn everything(&mut self) {
        self.operations();
        self.portal();
        let layers = self.json("catalogue", "/layers.json", |document| {
            let count = document["layers"].as_array().map_or(0, Vec::len);
            expect(
                count >= EXAMPLES.len(),
                format!("{count} layers, expected {}", EXAMPLES.len()),
            )
        });
        for example in EXAMPLES {
            let known = layers.as_ref().and_then(|document| {
                let layers = document["layers"].as_array()?;
                layers
                    .iter()
                    .find(|layer| layer["name"] == example.name)
                    .cloned()
            });
            match (known, example.find) {
                (None, _) => self.missing(example),
                (Some(layer), Some(text)) => self.features(example, &layer, text),
                (Some(layer), None) => self.image(example, &layer),
            }
        }
        self.several_layers();
        self.refusals();
    }

    fn operations(&mut self) {
        self.ask("alive", "/health/live", 200, |_| Ok(()));
        self.ask("ready", "/health/ready", 200, |_| Ok(()));
        self.ask("metrics", "/metrics", 200, |answer| {
            let text = String::from_utf8_lossy(&answer.body);
            expect(text.contains("# TYPE"), "no metrics in it")
        });
        self.json("grids", "/grids", |_| Ok(()));
    }

    fn portal(&mut self) {
        let page = self.ask("portal", "/", 200, |answer| {
            expect(answer.media_type() == "text/html", "not a page")?;
            let text = String::from_utf8_lossy(&answer.body);
            expect(
                text.contains("<script"),
                "the portal is not built into this program",
            )
        });
        let text = page.map(|page| String::from_utf8_lossy(&page.body).into_owned());
        for path in assets(text.as_deref().unwrap_or("")) {
            self.ask("portal asset", &path, 200, |answer| {
                expect(!answer.body.is_empty(), "empty")
            });
        }
        self.json("sprite", "/sprites/onemap.json", |_| Ok(()));
        self.ask("sprite", "/sprites/onemap.png", 200, |answer| {
            picture(answer, "image/png").map(|_| ())
        });
    }

    fn missing(&mut self, example: &Example) {
        self.rows.push(Row {
            what: format!("{}: in the catalogue", example.name),
            path: "/layers.json".into(),
            status: 200,
            bytes: 0,
            time: Duration::ZERO,
            wrong: Some("the layer is not there".into()),
        });
    }

    fn style_and_tilejson(&mut self, name: &str) {
        self.json(
            &format!("{name}: TileJSON"),
            &format!("/tiles/{name}.json"),
            |document| {
                let right = document["tilejson"] == "3.0.0" && document["tiles"][0].is_string();
                expect(right, "not a TileJSON 3.0")
            },
        );
        self.json(
            &format!("{name}: style"),
            &format!("/styles/{name}.json"),
            |document| {
                let layers = document["layers"].as_array().map_or(0, Vec::len);
                expect(document["version"] == 8 && layers > 0, "not a style")
            },
        );
    }

    fn features(&mut self, example: &Example, layer: &Value, text: &str) {
        let name = example.name;
        self.style_and_tilejson(name);
        let path = format!("/layers/{name}/search?q={}", percent_encoded(text));
        let found = self.json(&format!("{name}: search {text}"), &path, |document| {
            let count = document["matches"].as_array().map_or(0, Vec::len);
            expect(count > 0, "nothing found")
        });
        let Some(hit) = found.map(|document| document["matches"][0].clone()) else {
            return;
        };
        if let Some(id) = hit["id"].as_u64() {
            let path = format!("/layers/{name}/features/{id}");
            self.json(&format!("{name}: feature"), &path, |document| {
                expect(document["geometry"].is_object(), "no geometry")
            });
        }
        let place = [0, 1].map(|axis| hit["point"][axis].as_f64().unwrap_or(0.0));
        let zoom = |key: &str| layer[key].as_u64().unwrap_or(0) as u32;
        let width_deg = layer["bounds"][2].as_f64().unwrap_or(180.0)
            - layer["bounds"][0].as_f64().unwrap_or(-180.0);
        let overview = zoom_of_width(width_deg).max(zoom("minzoom"));
        for zoom in [overview, zoom("maxzoom").min(14)] {
            let [x, y] = tile_at(place, zoom);
            let path = format!("/tiles/{name}/{zoom}/{x}/{y}.mvt");
            let tile = self.ask(
                &format!("{name}: tile, zoom {zoom}"),
                &path,
                200,
                |answer| {
                    let media_type = answer.media_type();
                    expect(
                        media_type == "application/vnd.mapbox-vector-tile",
                        format!("type {media_type}"),
                    )?;
                    expect(!answer.body.is_empty(), "empty tile")
                },
            );
            let tag = tile.and_then(|tile| tile.header("etag").map(str::to_string));
            if let Some(tag) = tag {
                let headers = [("If-None-Match", tag.as_str())];
                self.ask_with(
                    &format!("{name}: tile, not modified"),
                    &path,
                    304,
                    &headers,
                    |_| Ok(()),
                );
            }
        }
    }

    fn image(&mut self, example: &Example, layer: &Value) {
        let name = example.name;
        self.style_and_tilejson(name);
        let bound = |at: usize| layer["bounds"][at].as_f64().unwrap_or(0.0);
        let centre = [(bound(0) + bound(2)) / 2.0, (bound(1) + bound(3)) / 2.0];
        let zoom = layer["maxzoom"].as_u64().unwrap_or(0) as u32;
        let [x, y] = tile_at(centre, zoom);
        for (end, media_type) in [
            ("png", "image/png"),
            ("jpg", "image/jpeg"),
            ("webp", "image/webp"),
        ] {
            let path = format!("/tiles/{name}/{zoom}/{x}/{y}.{end}");
            self.ask(
                &format!("{name}: {end} tile, zoom {zoom}"),
                &path,
                200,
                |answer| {
                    let picture = picture(answer, media_type)?;
                    let first = picture.get_pixel(0, 0);
                    let plain = picture.pixels().all(|pixel| pixel == first);
                    expect(!plain, "a picture of one colour")
                },
            );
        }
    }

    fn several_layers(&mut self) {
        let path = "/tiles/us_counties,helsinki_landuse/0/0/0.mvt";
        self.ask("two layers in one tile", path, 200, |answer| {
            expect(!answer.body.is_empty(), "empty tile")
        });
        let path = "/tiles/us_counties/CGCS2000Quad/3/1/1.mvt";
        self.ask("tile of a national grid", path, 200, |_| Ok(()));
    }

    fn refusals(&mut self) {
        let cases = [
            ("no such layer", "/tiles/no_such_layer/0/0/0.mvt"),
            ("no such zoom", "/tiles/us_counties/99/0/0.mvt"),
            ("no such tile", "/tiles/us_counties/1/7/0.mvt"),
            ("no number", "/tiles/us_counties/1/NaN/0.mvt"),
            (
                "no such feature",
                "/layers/us_counties/features/18446744073709551615",
            ),
            ("out of the workspace", "/../../etc/passwd"),
        ];
        for (what, path) in cases {
            let asked = client::get(self.server, path, &[]);
            self.note(
                &format!("refused: {what}"),
                path,
                Instant::now(),
                asked,
                |answer| {
                    expect(
                        (400..500).contains(&answer.status),
                        format!("status {}", answer.status),
                    )
                },
            );
        }
    }

    fn json(&mut self, what: &str, path: &str, look: impl Fn(&Value) -> Verdict) -> Option<Value> {
        let answer = self.ask(what, path, 200, |answer| {
            let document = serde_json::from_slice(&answer.body).map_err(|e| e.to_string())?;
            look(&document)
        })?;
        serde_json::from_slice(&answer.body).ok()
    }

    fn ask(
        &mut self,
        what: &str,
        path: &str,
        status: u16,
        look: impl Fn(&Answer) -> Verdict,
    ) -> Option<Answer> {
        self.ask_with(what, path, status, &[], look)
    }

    fn ask_with(
        &mut self,
        what: &str,
        path: &str,
        status: u16,
        headers: &[(&str, &str)],
        look: impl Fn(&Answer) -> Verdict,
    ) -> Option<Answer> {
        let started = Instant::now();
        let asked = client::get(self.server, path, headers);
        self.note(what, path, started, asked, |answer| {
            let text = || {
                String::from_utf8_lossy(&answer.body)
                    .chars()
                    .take(120)
                    .collect::<String>()
            };
            expect(
                answer.status == status,
                format!("status {}, expected {status}: {}", answer.status, text()),
            )?;
            look(answer)
        })
    }

    /// Adds a row; gives the answer back when it was right.
    fn note(
        &mut self,
        what: &str,
        path: &str,
        started: Instant,
        asked: std::io::Result<Answer>,
        look: impl Fn(&Answer) -> Verdict,
    ) -> Option<Answer> {
        let verdict = match &asked {
            Ok(answer) => look(answer),
            Err(error) => Err(error.to_string()),
        };
        self.rows.push(Row {
            what: what.to_string(),
            path: path.to_string(),
            status: asked.as_ref().map_or(0, |answer| answer.status),
            bytes: asked.as_ref().map_or(0, |answer| answer.body.len()),
            time: started.elapsed(),
            wrong: verdict.clone().err(),
        });
        asked.ok().filter(|_| verdict.is_ok())
    }
}

fn expect(condition: bool, otherwise: impl Into<String>) -> Verdict {
    if condition {
        Ok(())
    } else {
        Err(otherwise.into())
    }
}

fn picture(answer: &Answer, media_type: &str) -> Result<image::RgbaImage, String> {
    let found = answer.media_type();
    expect(found == media_type, format!("type {found}"))?;
    let picture = image::load_from_memory(&answer.body).map_err(|e| e.to_string())?;
    Ok(picture.to_rgba8())
}

/// The zoom at which a layer covers about a quarter of a tile; far below it a town is nothing.
fn zoom_of_width(width_deg: f64) -> u32 {
    const SHARE: f64 = 0.25;
    let zoom = (360.0 * SHARE / width_deg.max(1e-6)).log2().ceil();
    zoom.clamp(0.0, 14.0) as u32
}

/// The tile of Web Mercator that holds a place.
fn tile_at([longitude, latitude]: [f64; 2], zoom: u32) -> [u32; 2] {
    let tiles = f64::from(1u32 << zoom);
    let latitude = latitude.clamp(-85.0, 85.0).to_radians();
    let x = (longitude / 360.0 + 0.5) * tiles;
    let y = (0.5 - latitude.tan().asinh() / std::f64::consts::TAU) * tiles;
    [x, y].map(|place| place.floor().clamp(0.0, tiles - 1.0) as u32)
}

/// Scripts, styles and icons a page refers to on its own server.
fn assets(page: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for attribute in ["src=\"", "href=\""] {
        for (at, _) in page.match_indices(attribute) {
            let rest = &page[at + attribute.len()..];
            let value = rest.split('"').next().unwrap_or("");
            let local = value.trim_start_matches("./").trim_start_matches('/');
            if !local.is_empty() && !value.contains(':') && !value.starts_with('#') {
                paths.push(format!("/{local}"));
            }
        }
    }
    paths
}

impl Row {
    fn json(&self) -> Value {
        serde_json::json!({
            "what": self.what,
            "path": self.path,
            "status": self.status,
            "bytes": self.bytes,
            "milliseconds": self.time.as_secs_f64() * 1000.0,
            "wrong": self.wrong,
        })
    }
}

fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        let mark = if row.wrong.is_none() { "ok  " } else { "FAIL" };
        text.push_str(&format!(
            "{mark} {:<42} {:>4} {:>9} B {:>8.1} ms  {}\n",
            row.what,
            row.status,
            row.bytes,
            row.time.as_secs_f64() * 1000.0,
            row.path,
        ));
        if let Some(wrong) = &row.wrong {
            text.push_str(&format!("     {wrong}\n"));
        }
    }
    let wrong = rows.iter().filter(|row| row.wrong.is_some()).count();
    text.push_str(&format!(
        "{} asked, {wrong} wrong (共 {} 项,{wrong} 项有误)\n",
        rows.len(),
        rows.len()
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_fall_into_their_tiles() {
        assert_eq!(tile_at([0.0, 0.0], 1), [1, 1]);
        assert_eq!(tile_at([-180.0, 85.0], 3), [0, 0]);
        assert_eq!(tile_at([180.0, -89.0], 3), [7, 7]);
        // Denver's City Hall.
        assert_eq!(tile_at([-104.9905, 39.7392], 14), [3413, 6218]);
    }

    #[test]
    fn a_layer_is_looked_at_where_it_is_big_enough() {
        assert_eq!(zoom_of_width(358.0), 0);
        assert_eq!(zoom_of_width(0.09), 10);
        assert_eq!(zoom_of_width(0.0), 14);
    }

    #[test]
    fn a_page_names_its_assets() {
        let page = r##"<link rel="icon" href="data:,"><script src="/assets/a.js"></script>
            <link href="./assets/b.css"><a href="#map"><a href="https://example.org/">"##;
        assert_eq!(assets(page), ["/assets/a.js", "/assets/b.css"]);
    }
}
