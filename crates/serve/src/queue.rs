//! The pictures that wait for the network.

use std::sync::Arc;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::limits::QUEUE;

/// A picture of a request.
pub struct Picture {
    /// Its file name, as the client gives it.
    pub file: String,
    /// The file.
    pub bytes: Bytes,
}

/// A picture that waits for its answer.
pub struct Waiting {
    /// The picture.
    pub picture: Picture,
    /// Who waits for it.
    pub caller: Caller,
}

/// Who waits for an answer, and the place in the queue until then. Dropped without an answer, it tells the caller that
/// there is none.
pub struct Caller {
    answer: oneshot::Sender<Value>,
    _place: OwnedSemaphorePermit,
}

impl Caller {
    /// Gives the answer.
    pub fn answer(self, answer: Value) {
        // The client may have gone.
        let _ = self.answer.send(answer);
    }

    /// Whether the client has gone.
    pub fn is_gone(&self) -> bool {
        self.answer.is_closed()
    }
}

/// There is no place for all pictures of a request.
#[derive(Debug)]
pub struct Full;

/// A queue of at most [`QUEUE`] pictures, those included that are being computed.
pub struct Queue {
    places: Arc<Semaphore>,
    waiting: Sender<Waiting>,
}

impl Queue {
    /// A queue, and its end from which pictures are taken.
    pub fn new() -> (Self, Receiver<Waiting>) {
        // Its length is limited by the places.
        let (waiting, taken) = crossbeam_channel::unbounded();
        let places = Arc::new(Semaphore::new(QUEUE));
        (Self { places, waiting }, taken)
    }

    /// Puts all pictures of a request into the queue, or none; the answers come in their order.
    ///
    /// # Errors
    /// If there are fewer free places.
    pub fn put(&self, pictures: Vec<Picture>) -> Result<Vec<oneshot::Receiver<Value>>, Full> {
        let count = u32::try_from(pictures.len()).map_err(|_| Full)?;
        let places = Arc::clone(&self.places).try_acquire_many_owned(count);
        let mut places = places.map_err(|_| Full)?;
        let put = |picture| {
            let (answer, awaited) = oneshot::channel();
            let caller = Caller {
                answer,
                _place: places.split(1).ok_or(Full)?,
            };
            let waiting = Waiting { picture, caller };
            // Nobody takes pictures any more: the server stops.
            self.waiting.send(waiting).map_err(|_| Full)?;
            Ok(awaited)
        };
        pictures.into_iter().map(put).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pictures(count: usize) -> Vec<Picture> {
        let picture = |number: usize| Picture {
            file: number.to_string(),
            bytes: Bytes::new(),
        };
        (0..count).map(picture).collect()
    }

    #[test]
    fn a_request_has_places_for_all_of_its_pictures_or_for_none() {
        let (queue, taken) = Queue::new();
        let first = queue.put(pictures(QUEUE - 1)).unwrap();
        assert!(queue.put(pictures(2)).is_err());
        assert_eq!(taken.len(), QUEUE - 1);
        taken.recv().unwrap().caller.answer(Value::Null);
        assert_eq!(queue.put(pictures(2)).unwrap().len(), 2);
        assert_eq!(first.len(), QUEUE - 1);
    }

    #[test]
    fn answers_reach_those_who_asked() {
        let (queue, taken) = Queue::new();
        let mut answers = queue.put(pictures(2)).unwrap();
        let [first, second] = [0, 1].map(|_| taken.recv().unwrap());
        second.caller.answer(second.picture.file.into());
        first.caller.answer(first.picture.file.into());
        assert_eq!(answers[0].try_recv().unwrap(), "0");
        assert_eq!(answers[1].try_recv().unwrap(), "1");
    }

    #[test]
    fn a_client_that_has_gone_is_known() {
        let (queue, taken) = Queue::new();
        drop(queue.put(pictures(1)).unwrap());
        assert!(taken.recv().unwrap().caller.is_gone());
    }
}
