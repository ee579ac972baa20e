//! `warmstart serve` as a process, and a small client.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

/// A server of a model, killed when dropped.
pub struct Server {
    pub child: Child,
    pub address: SocketAddr,
}

/// A response: its status, its head, and its body.
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Server {
    /// Starts a server on a free port.
    pub fn start(model: &Path) -> Self {
        let mut child = Command::new(assert_cmd::cargo::cargo_bin("warmstart"))
            .env("LC_ALL", "C")
            .arg("serve")
            .arg(model)
            .args(["--port", "0", "--threads", "2"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let out = child.stdout.take().unwrap();
        BufReader::new(out).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("http://").unwrap();
        let address = address.strip_suffix('/').unwrap().parse().unwrap();
        Self { child, address }
    }

    /// A connection on which a request has begun.
    pub fn begin(&self, head: &str, body: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let limit = Some(Duration::from_secs(120));
        stream.set_read_timeout(limit).unwrap();
        stream.set_write_timeout(limit).unwrap();
        let head = format!("{head}\r\nHost: test\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        stream
    }

    pub fn get(&self, path: &str) -> Response {
        response(self.begin(&format!("GET {path} HTTP/1.1"), b""))
    }

    /// Sends a body to /predict.
    pub fn predict(&self, kind: &str, body: &[u8]) -> Response {
        response(self.begin_predict(kind, body))
    }

    pub fn begin_predict(&self, kind: &str, body: &[u8]) -> TcpStream {
        let length = body.len();
        let head =
            format!("POST /predict HTTP/1.1\r\nContent-Type: {kind}\r\nContent-Length: {length}");
        self.begin(&head, body)
    }

    /// Sends files as a form.
    pub fn predict_form(&self, files: &[(String, Vec<u8>)]) -> Response {
        let (kind, body) = form(files);
        self.predict(&kind, &body)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Response {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// Reads the response of a request that is complete.
pub fn response(mut stream: TcpStream) -> Response {
    let mut text = Vec::new();
    stream.read_to_end(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).unwrap_or_default();
    Response {
        status: status.parse().unwrap_or_else(|_| panic!("{head:?}")),
        head: head.to_lowercase(),
        body: body.to_owned(),
    }
}

/// The content type and body of a form of files.
pub fn form(files: &[(String, Vec<u8>)]) -> (String, Vec<u8>) {
    const BOUNDARY: &str = "----a-boundary-of-a-test";
    let mut body = Vec::new();
    for (name, bytes) in files {
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"image\"; filename=\"{name}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        );
        body.extend(head.as_bytes());
        body.extend(bytes);
        body.extend(b"\r\n");
    }
    body.extend(format!("--{BOUNDARY}--\r\n").as_bytes());
    (format!("multipart/form-data; boundary={BOUNDARY}"), body)
}
