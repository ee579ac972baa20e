//! Limits on what clients may ask for.

use std::time::Duration;

/// Most connections at a time; further ones wait.
pub const CONNECTIONS: usize = 512;
/// Longest body of a request, in bytes.
pub const BODY_BYTES: usize = 64 << 20;
/// Most bytes of all bodies that are held at a time.
pub const HELD_BYTES: usize = 256 << 20;
/// Most pictures of a request.
pub const PICTURES: usize = 64;
/// Most pictures that wait or are computed at a time.
pub const QUEUE: usize = 256;
/// Time for a request's head, and for the next request of an idle connection.
pub const HEAD_TIME: Duration = Duration::from_secs(15);
/// Time for a request's body.
pub const BODY_TIME: Duration = Duration::from_secs(30);
/// Time for the answer after that.
pub const ANSWER_TIME: Duration = Duration::from_secs(60);
/// Time for the answers that are due when the server is stopped.
pub const STOP_TIME: Duration = Duration::from_secs(30);
