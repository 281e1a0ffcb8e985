//! The server under bad, slow and too many clients: the real program on a free port.

#[allow(dead_code, reason = "each test file uses its own part")]
#[path = "support/server.rs"]
mod server;
mod support;

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use server::{Reply, Server};
use support::parcels::{TILE, contains, workspace};

#[test]
fn what_is_not_there_says_so_and_empty_is_not_missing() {
    let dir = workspace();
    let server = Server::start(dir.path(), &[]);
    let empty = server.get("/tiles/dltb/12/0/0.mvt");
    assert_eq!((empty.status, empty.body.len()), (204, 0));
    for (target, status, code) in [
        ("/tiles/dltb/99/0/0.mvt", 404, "tile-outside-grid"),
        ("/tiles/dltb/c/0/0/0.mvt", 404, "tile-outside-grid"),
        ("/tiles/dltb/1/2/0.mvt", 404, "tile-outside-grid"),
        ("/tiles/dltb/1/0/2147483647.mvt", 404, "tile-outside-grid"),
        ("/tiles/dltb/-1/0/0.mvt", 400, "bad-coordinate"),
        ("/tiles/dltb/1/-1/0.mvt", 400, "bad-coordinate"),
        ("/tiles/dltb/1/0/1.5.mvt", 400, "bad-coordinate"),
        ("/tiles/dltb/1.0/0/0.mvt", 400, "bad-coordinate"),
        ("/tiles/dltb/NaN/0/0.mvt", 400, "bad-coordinate"),
        ("/tiles/dltb/1e0/0/0.mvt", 400, "bad-coordinate"),
        ("/tiles/dltb/%31%30%2b/0/0.mvt", 400, "bad-coordinate"),
        (
            "/tiles/dltb/1/99999999999999999999999/0.mvt",
            400,
            "bad-coordinate",
        ),
        ("/tiles/nope/1/0/0.mvt", 404, "unknown-layer"),
        ("/tiles/dltb,nope/1/0/0.mvt", 404, "unknown-layer"),
        ("/tiles/,/1/0/0.mvt", 404, "unknown-layer"),
        ("/tiles/dltb,dltb/1/0/0.mvt", 400, "bad-parameter"),
        ("/tiles/dltb/mars/1/0/0.mvt", 404, "unknown-grid"),
        ("/tiles/dltb/1/0/0.exe", 404, "unknown-format"),
        ("/tiles/dltb/1/0/0", 404, "unknown-format"),
        ("/tiles/dltb/1/0/0.png", 404, "wrong-format"),
        ("/tiles/dltb/1/0/0.mvt?fields=nope", 400, "bad-parameter"),
        ("/tiles/dltb/1/0/0.mvt?cache=no", 400, "bad-parameter"),
        (
            "/tiles/dltb/1/0/0.mvt?cache=skip",
            403,
            "cache-skip-refused",
        ),
        ("/tiles/%ff/1/0/0.mvt", 400, "bad-encoding"),
        ("/tiles/%zz/1/0/0.mvt", 400, "bad-encoding"),
        ("/tiles/%", 400, "bad-encoding"),
        ("/tiles/dltb/1/0/0.mvt?fields=%C3%28", 400, "bad-encoding"),
        ("/nope", 404, "not-found"),
        ("/tiles", 404, "not-found"),
        ("/layers/dltb", 404, "not-found"),
    ] {
        let reply = server.get(target);
        assert_eq!(
            (reply.status, reply.problem().as_str()),
            (status, code),
            "{target}"
        );
    }
    server.stop();
}

#[test]
fn paths_do_not_leave_the_workspace() {
    let dir = workspace();
    std::fs::write(dir.path().join("secret.json"), "{\"secret\": 1}").unwrap();
    let server = Server::start(dir.path(), &[]);
    for target in [
        "/../secret.json",
        "/..%2fsecret.json",
        "/sprites/..%2f..%2fsecret.json",
        "/sprites/%2e%2e/secret.json",
        "/sprites/../../secret.json",
        "/styles/..%2f..%2fsecret.json",
        "/grids/..%2fsecret.json",
        "/tiles/..%2f..%2f..%2fetc%2fpasswd/0/0/0.mvt",
        "/layers/..%5c..%5csecret/search?q=secret",
        "/catalog.sqlite",
        "/layers/dltb/g000001/manifest.json",
        "//etc/passwd",
        "/%00",
        "/sprites/.hidden",
    ] {
        let reply = server.get(target);
        assert!(
            [400, 404].contains(&reply.status),
            "{target}: {}",
            reply.status
        );
        assert!(!contains(&reply.body, "\"secret\""), "{target}");
        reply.problem();
    }
    server.stop();
}

#[test]
fn ten_thousand_layers_and_endless_addresses_are_refused() {
    let dir = workspace();
    let server = Server::start(dir.path(), &[]);
    let layers = vec!["a"; 10_000].join(",");
    let reply = server.get(&format!("/tiles/{layers}/0/0/0.mvt"));
    assert_eq!(
        (reply.status, reply.problem().as_str()),
        (400, "too-many-layers")
    );
    let long = server.get(&format!("/tiles/{}/0/0/0.mvt", "x".repeat(40_000)));
    assert_eq!(
        (long.status, long.problem().as_str()),
        (414, "uri-too-long")
    );
    // Beyond what the head of a request may have, the connection's own limit answers.
    let longer = server.get(&format!("/{}", "x".repeat(200_000)));
    assert!([414, 431].contains(&longer.status), "{}", longer.status);
    let fields: Vec<String> = (0..1000).map(|i| format!("f{i}")).collect();
    let many = server.get(&format!(
        "/tiles/dltb/0/0/0.mvt?fields={}",
        fields.join(",")
    ));
    assert_eq!(many.problem(), "bad-parameter");
    let pairs = server.get(&format!("/layers.json?{}", "a=1&".repeat(1000)));
    assert_eq!(pairs.problem(), "bad-parameter");
    server.stop();
}

#[test]
fn large_heads_bodies_and_strange_methods_are_refused() {
    let dir = workspace();
    let server = Server::start(dir.path(), &[]);
    let big = "x".repeat(100_000);
    assert_eq!(
        server.ask("GET", "/layers.json", &[("x-big", &big)]).status,
        431
    );
    let many: Vec<String> = (0..500).map(|i| format!("x-{i}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "1")).collect();
    assert_eq!(server.ask("GET", "/layers.json", &many).status, 431);
    let body = server.ask("GET", "/layers.json", &[("content-length", "1000000")]);
    assert_eq!(
        (body.status, body.problem().as_str()),
        (413, "body-refused")
    );
    for method in ["POST", "PUT", "DELETE", "PATCH", "BREW"] {
        let reply = server.ask(method, "/layers.json", &[]);
        assert_eq!(
            (reply.status, reply.problem().as_str()),
            (405, "method-not-allowed")
        );
        assert_eq!(reply.header("allow"), Some("GET, HEAD, OPTIONS"));
    }
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
    ] {
        let mut stream = server.connect();
        stream.write_all(garbage).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let status = Reply::parse(&answer).map(|reply| reply.status);
        assert!(
            status.is_none_or(|status| [400, 505].contains(&status)),
            "{status:?}"
        );
    }
    assert_eq!(server.get("/health/live").status, 200);
    server.stop();
}

#[test]
fn mangled_requests_are_answered_or_dropped_and_the_server_stays_up() {
    let dir = workspace();
    let server = Server::start(dir.path(), &[]);
    let request = format!(
        "GET /tiles/dltb/{TILE}.mvt?fields=DLBM&v=1 HTTP/1.1\r\nhost: x\r\nif-none-match: \"a\"\r\naccept-encoding: gzip;q=0.5, br\r\nconnection: close\r\n\r\n"
    );
    let mut seed = 0x0BAD_5EEDu64;
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let mut answered = 0;
    for _ in 0..300 {
        let mut bytes = request.clone().into_bytes();
        for _ in 0..=next() % 4 {
            let at = next() as usize % bytes.len();
            match next() % 3 {
                0 => bytes[at] = next() as u8,
                1 => bytes.insert(at, b"%/,.?&=;\" \0\xff"[next() as usize % 12]),
                _ => {
                    bytes.remove(at);
                }
            }
        }
        let mut stream = server.connect();
        let _ = stream.write_all(&bytes);
        // Who closes an end before the answer has come is taken to have lost interest: that end
        // is closed afterwards, or when there is none because the request is not complete.
        stream
            .set_read_timeout(Some(std::time::Duration::from_millis(250)))
            .unwrap();
        let mut answer = vec![0; 1];
        let begun = matches!(stream.read(&mut answer), Ok(1));
        answer.truncate(usize::from(begun));
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut answer);
        if let Some(reply) = Reply::parse(&answer) {
            answered += 1;
            assert!(reply.status < 500, "{:?}", String::from_utf8_lossy(&bytes));
        }
    }
    assert!(answered > 200);
    assert_eq!(server.metric("onemap_panics_total"), 0.0);
    server.stop();
}

#[test]
fn a_full_queue_answers_503_and_says_when_to_come_back() {
    let dir = workspace();
    let flags = ["--threads", "1", "--queue", "1", "--allow-cache-skip"];
    let server = Server::start(dir.path(), &flags);
    let target = format!("/tiles/dltb/{TILE}.mvt?cache=skip");
    let replies: Vec<Reply> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..64)
            .map(|_| scope.spawn(|| server.get(&target)))
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .collect()
    });
    let refused: Vec<&Reply> = replies.iter().filter(|reply| reply.status != 200).collect();
    for reply in &refused {
        assert_eq!((reply.status, reply.problem().as_str()), (503, "busy"));
        assert_eq!(reply.header("retry-after"), Some("1"));
    }
    assert!(refused.len() < 64, "somebody is served");
    assert_eq!(
        server.metric("onemap_refused_busy_total"),
        refused.len() as f64
    );
    // Refusals are warnings; beyond them the log is clean.
    let log = server.stop_and_read_log();
    assert!(!log.contains("\"ERROR\""));
    assert_eq!(log.matches("\"WARN\"").count(), refused.len());
}

#[test]
fn slow_heads_are_cut_off_and_do_not_hold_up_others() {
    let dir = workspace();
    let server = Server::start(dir.path(), &["--head-seconds", "1"]);
    let started = Instant::now();
    let mut silent = server.connect();
    let mut trickling = server.connect();
    trickling
        .write_all(b"GET /layers.json HTTP/1.1\r\n")
        .unwrap();
    // A byte now and then does not help.
    while trickling.write_all(b"x").is_ok() && started.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(server.get("/health/live").status, 200);
    }
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "the trickle was accepted"
    );
    let mut rest = Vec::new();
    let _ = silent.read_to_end(&mut rest);
    assert_eq!(rest, b"");
    server.wait_for_metric("onemap_connections_open", |open| open <= 1.0);
    server.stop();
}

#[test]
fn a_client_that_does_not_read_is_cut_off() {
    let dir = workspace();
    let flags = ["--write-seconds", "1", "--head-seconds", "60"];
    let server = Server::start(dir.path(), &flags);
    let mut stream = server.connect();
    let request = format!("GET /tiles/dltb/{TILE}.mvt HTTP/1.1\r\nhost: x\r\n\r\n");
    let requests = request.repeat(2000);
    // Thousands of answers that nobody reads fill every buffer on the way.
    stream
        .set_write_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    for _ in 0..100 {
        if stream.write_all(requests.as_bytes()).is_err() {
            break;
        }
    }
    server.wait_for_metric("onemap_connections_open", |open| open <= 1.0);
    drop(stream);
    server.stop();
}

#[test]
fn clients_that_hang_up_leave_nothing_behind() {
    let dir = workspace();
    let server = Server::start(dir.path(), &["--allow-cache-skip", "--threads", "1"]);
    let request = format!("GET /tiles/dltb/{TILE}.mvt?cache=skip HTTP/1.1\r\nhost: x\r\n\r\n");
    for _ in 0..200 {
        let mut stream = server.connect();
        stream.write_all(request.as_bytes()).unwrap();
    }
    server.wait_for_metric("onemap_connections_open", |open| open <= 1.0);
    server.wait_for_metric("onemap_jobs_waiting", |jobs| jobs == 0.0);
    assert_eq!(server.get(&format!("/tiles/dltb/{TILE}.mvt")).status, 200);
    assert_eq!(server.metric("onemap_panics_total"), 0.0);
    server.stop();
}

#[test]
fn a_stop_finishes_what_is_open_and_closes_idle_connections() {
    let dir = workspace();
    let server = Server::start(dir.path(), &["--allow-cache-skip"]);
    let mut idle = server.connect();
    idle.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n")
        .unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    assert_eq!(server.get("/health/ready").text(), "ready\n");
    let target = format!("/tiles/dltb/{TILE}.mvt?cache=skip");
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..20)
            .map(|_| {
                scope.spawn(|| {
                    let mut stream = server.connect();
                    let text = format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n");
                    stream.write_all(text.as_bytes()).unwrap();
                    stream
                })
            })
            .collect();
        let streams: Vec<_> = clients.into_iter().map(|c| c.join().unwrap()).collect();
        server.wait_for_metric(
            "onemap_requests_total{endpoint=\"vector_tile\",status=\"200\"}",
            |n| n >= 20.0,
        );
        server.signal("-TERM");
        for mut stream in streams {
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            assert_eq!(Reply::parse(&answer).unwrap().status, 200);
        }
    });
    let started = Instant::now();
    server.stop();
    assert!(
        started.elapsed() < Duration::from_secs(15),
        "the idle connection held up the stop"
    );
}

#[test]
fn the_command_line_teaches_and_ends_with_the_right_code() {
    let onemap = |arguments: &[&str]| {
        std::process::Command::new(env!("CARGO_BIN_EXE_onemap"))
            .args(arguments)
            .output()
            .unwrap()
    };
    let help = onemap(&["serve", "--help"]);
    assert_eq!(help.status.code(), Some(0));
    let text = String::from_utf8(help.stdout).unwrap();
    for word in [
        "--listen",
        "--cache-mb",
        "--allow-cache-skip",
        "瓦片缓存",
        "/layers.json",
    ] {
        assert!(text.contains(word), "{word} is not explained");
    }
    assert_eq!(onemap(&["serve", "/nowhere/at/all"]).status.code(), Some(2));
    assert_eq!(onemap(&["serve"]).status.code(), Some(2));
    let dir = workspace();
    let path = dir.path().to_str().unwrap();
    let config = dir.path().join("onemap.toml");
    std::fs::write(&config, "cach-mb = 1\n").unwrap();
    let misspelt = onemap(&["serve", path, "--config", config.to_str().unwrap()]);
    assert_eq!(misspelt.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&misspelt.stderr).contains("cach-mb"));
    let wild = onemap(&["serve", path, "--request-seconds", "0"]);
    assert_eq!(wild.status.code(), Some(2));
}
