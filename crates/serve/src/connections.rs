//! The connections of clients.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::limits::{CONNECTIONS, HEAD_TIME, STOP_TIME};

/// Time between two looks at the request to stop, which comes from a signal's handler.
const LOOK: Duration = Duration::from_millis(50);
/// Pause after a connection could not be accepted, such as for lack of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections until `stop` is set, and ends when their answers are given.
///
/// # Errors
/// If the system refuses the socket.
pub fn run(listener: TcpListener, routes: Router, stop: &AtomicBool) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(accept(listener, routes, stop))
}

async fn accept(listener: TcpListener, routes: Router, stop: &AtomicBool) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let open = GracefulShutdown::new();
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME);
    let stopped = async {
        while !stop.load(Ordering::SeqCst) {
            sleep(LOOK).await;
        }
    };
    let accept = async {
        loop {
            let place = Arc::clone(&places).acquire_owned().await;
            let Ok((stream, _)) = listener.accept().await else {
                sleep(PAUSE).await;
                continue;
            };
            // An answer is one small packet: it does not wait for another.
            let _ = stream.set_nodelay(true);
            let service = TowerToHyperService::new(routes.clone());
            let connection = server.serve_connection(TokioIo::new(stream), service);
            let connection = open.watch(connection);
            tokio::spawn(async move {
                // A client that breaks off is no error of the server's.
                let _ = connection.await;
                drop(place);
            });
        }
    };
    tokio::select! {
        () = stopped => {}
        _ = accept => {}
    }
    drop(listener);
    // Whoever is not done by then is cut off.
    let _ = timeout(STOP_TIME, open.shutdown()).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read as _, Write as _};
    use std::net::TcpStream;
    use std::thread;

    use super::*;

    /// Patience with a connection, on the real clock.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// Stops the server when its client is done, whatever happened to it.
    struct Stops(Arc<AtomicBool>);

    impl Drop for Stops {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_client_that_does_not_finish_its_head_is_cut_off() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stops = Stops(Arc::clone(&stop));
        let client = thread::spawn(move || {
            let _stops = stops;
            ["GET /healthz HTTP/1.1\r\nHost", ""].map(|head| {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                // It may be cut off by then.
                let _ = stream.write_all(head.as_bytes());
                let mut answer = String::new();
                let end = stream.read_to_string(&mut answer);
                (answer, end.map_err(|error| error.kind()))
            })
        });
        // Its clock runs ahead whenever there is nothing else to do.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime
            .block_on(accept(listener, Router::new(), &stop))
            .unwrap();
        for (answer, end) in client.join().unwrap() {
            assert!(!answer.contains("200"), "{answer}");
            let is_open = [ErrorKind::WouldBlock, ErrorKind::TimedOut].map(Err);
            assert!(!is_open.contains(&end), "it is not cut off: {end:?}");
        }
    }
}
