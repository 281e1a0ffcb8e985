//! The real program on a free port, and a client that can also behave badly.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running `onemap serve`. Ended and judged by [`Server::stop`]; killed when a test fails.
pub struct Server {
    child: Child,
    pub address: String,
    log: Option<std::thread::JoinHandle<String>>,
}

impl Server {
    /// Serves a workspace; `flags` come after the fixed ones.
    pub fn start(workspace: &Path, flags: &[&str]) -> Server {
        Server::start_with(workspace, flags, &[])
    }

    /// The same with words in its environment.
    pub fn start_with(workspace: &Path, flags: &[&str], environment: &[(&str, &str)]) -> Server {
        let mut child = Command::new(env!("CARGO_BIN_EXE_onemap"))
            .arg("serve")
            .arg(workspace)
            .args(["--listen", "127.0.0.1:0", "--json"])
            .args(flags)
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let log = std::thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).unwrap();
            text
        });
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let mut server = Server {
            child,
            address: String::new(),
            log: Some(log),
        };
        let Ok(said) = serde_json::from_str::<serde_json::Value>(&line) else {
            let log = server.log.take().unwrap().join().unwrap();
            panic!("the server did not start: {line}{log}");
        };
        server.address = said["listening"].as_str().unwrap().to_string();
        server
    }

    pub fn get(&self, target: &str) -> Reply {
        self.ask("GET", target, &[])
    }

    pub fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Reply {
        let mut text = format!("{method} {target} HTTP/1.1\r\nhost: {}\r\n", self.address);
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("connection: close\r\n\r\n");
        self.raw(text.as_bytes())
    }

    /// Sends bytes as they are and reads to the end.
    pub fn raw(&self, request: &[u8]) -> Reply {
        let mut stream = self.connect();
        // A server that refuses early may close before it has read everything.
        let _ = stream.write_all(request);
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        Reply::parse(&bytes).unwrap_or_else(|| panic!("no answer but {bytes:?}"))
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        stream
    }

    /// A number from `/metrics`; 0 when it is not there.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").text();
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
            .unwrap_or(0.0)
    }

    /// Waits until a number is what it should be.
    pub fn wait_for_metric(&self, name: &str, is: impl Fn(f64) -> bool) {
        let until = Instant::now() + Duration::from_secs(30);
        while !is(self.metric(name)) {
            assert!(Instant::now() < until, "{name} is {}", self.metric(name));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Tells the server to stop; its log must hold neither errors nor warnings nor panics.
    pub fn stop(self) {
        let log = self.stop_and_read_log();
        for line in log.lines() {
            let event: serde_json::Value =
                serde_json::from_str(line).unwrap_or_else(|_| panic!("not a log line: {line}"));
            let level = event["level"].as_str().unwrap();
            assert!(!["ERROR", "WARN"].contains(&level), "{line}");
        }
    }

    pub fn stop_and_read_log(mut self) -> String {
        self.signal("-TERM");
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(0));
        self.log.take().unwrap().join().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already waited for after a stop; otherwise a test failed half-way.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn parse(bytes: &[u8]) -> Option<Reply> {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).ok()?;
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_string()))
            .collect();
        Some(Reply {
            status,
            headers,
            body: bytes[end + 4..].to_vec(),
        })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The code of a problem document, after a look at the document itself.
    pub fn problem(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json")
        );
        let document = self.json();
        assert_eq!(document["status"], self.status);
        assert_eq!(document["request_id"], self.header("x-request-id").unwrap());
        assert!(!document["title_zh"].as_str().unwrap().is_ascii());
        let code = document["code"].as_str().unwrap();
        assert_eq!(document["type"], format!("urn:onemap:problem:{code}"));
        code.to_string()
    }
}
