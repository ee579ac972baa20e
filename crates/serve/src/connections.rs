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
