//! A trained model behind HTTP.
//!
//! ```text
//! connections ─ requests ─▶ body ─▶ queue ─▶ readers ─▶ network ─▶ answers
//!                           (limited)        (decode)   (batches)
//! ```
//!
//! One thread speaks HTTP, some decode pictures, and the caller's thread runs the network on up to
//! [`INFERENCE_BATCH`](warmstart_tasks::network::INFERENCE_BATCH) pictures at a time, of whatever requests: those that
//! wait while a batch is computed are the next one.

mod body;
mod connections;
mod limits;
mod network;
mod queue;
mod requests;

use std::io;
use std::net::{TcpListener, ToSocketAddrs as _};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use serde_json::json;
use warmstart_language::message;
use warmstart_tasks::kinds::Trained;

use queue::Queue;
use requests::Service;

/// Listens on an address; port 0 is any free one.
///
/// # Errors
/// If the system refuses, such as because another program has the port.
pub fn listen(host: &str, port: u16) -> io::Result<TcpListener> {
    let addresses: Vec<_> = (host, port).to_socket_addrs()?.collect();
    TcpListener::bind(&addresses[..])
}

/// Answers requests until `stop` is set and the answers that are due are given. `readers` threads decode pictures; the
/// network runs on this thread.
///
/// # Errors
/// If the system refuses a thread or the socket.
pub fn serve(
    model: &Trained,
    listener: TcpListener,
    readers: usize,
    stop: &Arc<AtomicBool>,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let info = model.info();
    let about = json!({
        "status": "ok",
        "task": info.task,
        "model": info.model,
        "classes": info.classes,
    });
    let (queue, waiting) = Queue::new();
    let routes = requests::routes(Service::new(queue, about));
    let stop = Arc::clone(stop);
    thread::scope(|scope| {
        let ready = network::start_readers(scope, readers, waiting, model.preparation())?;
        let http = thread::Builder::new()
            .name("http".into())
            .spawn_scoped(scope, move || connections::run(listener, routes, &stop))?;
        // Ends after that thread, because then nothing is put into the queue any more.
        network::run(model, &ready);
        http.join().unwrap_or_else(|_| {
            let what = message!("the thread that speaks HTTP panicked");
            Err(io::Error::other(what))
        })
    })
}
