//! A small HTTP server for tests, which answers as a test wants, well or badly.
#![allow(dead_code, reason = "each test file uses its share")]

pub mod bucket;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A request.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub method: String,
    pub path: String,
    /// First byte of the part that is wanted.
    pub from: Option<usize>,
    pub if_range: Option<String>,
    pub if_none_match: Option<String>,
    pub authorization: Option<String>,
    /// Number of earlier requests.
    pub earlier: usize,
}

/// An answer.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The length that is claimed, if it is not the body's.
    pub claims: Option<usize>,
    /// Time for which the connection stays open after the body.
    pub stalls: Duration,
}

impl Answer {
    pub fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            claims: None,
            stalls: Duration::ZERO,
        }
    }

    /// The content, or the part of it that is asked for.
    pub fn content(content: &[u8], asked: &Asked) -> Self {
        match asked.from {
            Some(from) if from >= content.len() => {
                Self::status(416).header("Content-Range", format!("bytes */{}", content.len()))
            }
            Some(from) => {
                let whole = content.len();
                let mut answer = Self::status(206);
                answer.body = content[from..].to_vec();
                answer.header(
                    "Content-Range",
                    format!("bytes {from}-{}/{whole}", whole - 1),
                )
            }
            None => {
                let mut answer = Self::status(200);
                answer.body = content.to_vec();
                answer
            }
        }
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Claims all of the body, but ends after so many bytes of it.
    pub fn cut(mut self, bytes: usize) -> Self {
        self.claims = Some(self.body.len());
        self.body.truncate(bytes);
        self
    }

    pub fn stall(mut self, time: Duration) -> Self {
        self.stalls = time;
        self
    }
}

/// A server on this machine. It lives as long as the test's process.
pub struct Server {
    pub url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    pub fn start(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let answer = Arc::new(answer);
        let seen = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
                thread::spawn(move || {
                    if let Some(mut request) = read(&stream) {
                        {
                            let mut seen = seen.lock().unwrap();
                            request.earlier = seen.len();
                            seen.push(request.clone());
                        }
                        send(stream, &request, answer(&request));
                    }
                });
            }
        });
        Self { url, asked }
    }

    /// The requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let mut words = first.split(' ').map(str::to_owned);
    let mut asked = Asked {
        method: words.next()?,
        path: words.next()?,
        ..Asked::default()
    };
    for line in lines {
        let line = line.ok()?;
        let Some((name, value)) = line.split_once(": ") else {
            break;
        };
        let value = value.to_owned();
        match name.to_ascii_lowercase().as_str() {
            "range" => {
                let range = value.trim_start_matches("bytes=");
                asked.from = range.split('-').next().and_then(|from| from.parse().ok());
            }
            "if-range" => asked.if_range = Some(value),
            "if-none-match" => asked.if_none_match = Some(value),
            "authorization" => asked.authorization = Some(value),
            _ => {}
        }
    }
    Some(asked)
}

/// Errors are the client's business: it may have gone.
fn send(mut stream: TcpStream, asked: &Asked, answer: Answer) {
    let length = answer.claims.unwrap_or(answer.body.len());
    let mut head = format!("HTTP/1.1 {} Words\r\nConnection: close\r\n", answer.status);
    head += &format!("Content-Length: {length}\r\n");
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += "\r\n";
    let _ = stream.write_all(head.as_bytes());
    if asked.method != "HEAD" {
        let _ = stream.write_all(&answer.body);
    }
    let _ = stream.flush();
    thread::sleep(answer.stalls);
}
