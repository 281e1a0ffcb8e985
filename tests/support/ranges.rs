//! A web server on the loopback that gives ranges of one file, and can be told to misbehave.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Well,
    /// The whole file, whatever range is asked for.
    WithoutRanges,
    /// The right range, then bytes without end.
    Endless,
    /// Fewer bytes than promised.
    Short,
    /// 500.
    Broken,
}

pub struct State {
    pub bytes: Vec<u8>,
    pub e_tag: String,
    pub manner: Manner,
    /// What was asked for: path and range.
    pub asked: Vec<(String, String)>,
    /// Of the last request.
    pub authorization: Option<String>,
}

/// Runs until the test ends.
pub struct RangeServer {
    pub address: String,
    pub state: Arc<Mutex<State>>,
}

impl RangeServer {
    pub fn start(bytes: Vec<u8>) -> RangeServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State {
            bytes,
            e_tag: "\"one\"".into(),
            manner: Manner::Well,
            asked: Vec::new(),
            authorization: None,
        }));
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                // A client that goes away is none of our business.
                std::thread::spawn(move || drop(answer_all(stream, &shared)));
            }
        });
        RangeServer { address, state }
    }

    pub fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
    }

    /// What was asked for since the last look.
    pub fn asked(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.state.lock().unwrap().asked)
    }
}

fn answer_all(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_string();
        let (mut range, mut authorization) = (String::new(), None);
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header)? <= 2 {
                break;
            }
            if let Some((name, value)) = header.trim().split_once(':') {
                match name.to_ascii_lowercase().as_str() {
                    "range" => range = value.trim().to_string(),
                    "authorization" => authorization = Some(value.trim().to_string()),
                    _ => {}
                }
            }
        }
        let (bytes, e_tag, manner) = {
            let mut state = state.lock().unwrap();
            state.asked.push((path, range.clone()));
            state.authorization = authorization;
            (state.bytes.clone(), state.e_tag.clone(), state.manner)
        };
        let wanted = range
            .strip_prefix("bytes=")
            .and_then(|range| range.split_once('-'))
            .and_then(|(a, b)| Some((a.parse::<usize>().ok()?, b.parse::<usize>().ok()?)));
        let common = format!(
            "etag: {e_tag}\r\nlast-modified: Wed, 21 Oct 2015 07:28:00 GMT\r\naccept-ranges: bytes\r\n"
        );
        match (manner, wanted) {
            (Manner::Broken, _) => {
                stream.write_all(b"HTTP/1.1 500 Broken\r\ncontent-length: 0\r\n\r\n")?;
            }
            (Manner::WithoutRanges, _) | (_, None) => {
                let head = format!(
                    "HTTP/1.1 200 OK\r\n{common}content-length: {}\r\n\r\n",
                    bytes.len()
                );
                stream.write_all(head.as_bytes())?;
                stream.write_all(&bytes)?;
            }
            (manner, Some((from, to))) if from < bytes.len() => {
                let to = to.min(bytes.len() - 1);
                let part = &bytes[from..=to];
                let length = match manner {
                    Manner::Endless => "content-length: 1099511627776".to_string(),
                    _ => format!("content-length: {}", part.len()),
                };
                let head = format!(
                    "HTTP/1.1 206 Partial Content\r\n{common}content-range: bytes {from}-{to}/{}\r\n{length}\r\n\r\n",
                    bytes.len()
                );
                stream.write_all(head.as_bytes())?;
                match manner {
                    Manner::Endless => loop {
                        stream.write_all(&[0; 0x10000])?;
                    },
                    Manner::Short => {
                        stream.write_all(&part[..part.len() / 2])?;
                        return Ok(());
                    }
                    _ => stream.write_all(part)?,
                }
            }
            (_, Some(_)) => {
                let head = format!(
                    "HTTP/1.1 416 Range Not Satisfiable\r\ncontent-range: bytes */{}\r\ncontent-length: 0\r\n\r\n",
                    bytes.len()
                );
                stream.write_all(head.as_bytes())?;
            }
        }
    }
}
