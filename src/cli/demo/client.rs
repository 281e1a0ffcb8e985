//! As much of an HTTP client as it takes to ask our own server on this machine.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// What came back.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub fn media_type(&self) -> &str {
        let full = self.header("content-type").unwrap_or("");
        full.split(';').next().unwrap_or("").trim()
    }
}

/// Asks with HTTP/1.0, so that the answer ends with the connection and is not cut into chunks.
pub fn get(
    server: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<Answer, std::io::Error> {
    const TIMEOUT: Duration = Duration::from_secs(60);
    const MOST_BYTES: u64 = 64 << 20;
    let mut stream = TcpStream::connect_timeout(&server, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let mut request = format!("GET {path} HTTP/1.0\r\nHost: {server}\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    stream.take(MOST_BYTES).read_to_end(&mut bytes)?;
    parse(&bytes).ok_or_else(|| {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned();
        std::io::Error::other(format!("no HTTP answer but {text:?}"))
    })
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    const END: &[u8] = b"\r\n\r\n";
    let end = bytes.windows(END.len()).position(|window| window == END)?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_string(), value.trim().to_string()))
        .collect();
    Some(Answer {
        status,
        headers,
        body: bytes[end + END.len()..].to_vec(),
    })
}

/// A text as part of an address.
pub fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_apart() {
        let answer =
            parse(b"HTTP/1.0 200 OK\r\nContent-Type: a/b; x=y\r\nETag: \"1\"\r\n\r\nbody").unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.media_type(), "a/b");
        assert_eq!(answer.header("etag"), Some("\"1\""));
        assert_eq!(answer.body, b"body");
        assert!(parse(b"garbage").is_none());
        assert_eq!(percent_encoded("城 a"), "%E5%9F%8E%20a");
    }
}
