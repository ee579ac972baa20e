//! Gradients that are sent while a backward pass computes others. A thread of the step waits for the other processes, and
//! the thread that computes never does.
//!
//! The thread that sends adds what it is told to sums so far, with the addition of tensors on the processor, which never
//! waits for the threads that compute.

use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, Sender};
use std::thread;

use warmstart_nn::Parameters;
use warmstart_nn::ops::Listener;

use super::gradients::Pass;

/// What a backward pass tells.
pub(super) enum Told {
    /// The gradient of a parameter is complete.
    Complete {
        /// Its name.
        name: String,
        /// Row-major values.
        gradient: Vec<f32>,
    },
    /// The pass is over: no other gradient comes.
    Over,
    /// The pass has ended in a panic.
    Broken,
}

/// A listener who passes on what it hears.
pub(super) fn listener(to: &Sender<Told>) -> Listener {
    let to = to.clone();
    Listener::new(move |name, gradient| {
        let told = Told::Complete {
            name: name.to_owned(),
            gradient,
        };
        // Nobody waits for it any more where another process has failed.
        to.send(told).ok();
    })
}

/// Goes back through the network, while another thread does something with what the pass tells.
pub(super) fn while_going_back<R: Send>(
    pass: Pass,
    to: &Sender<Told>,
    work: impl FnOnce() -> R + Send,
) -> R {
    thread::scope(|scope| {
        let working = scope.spawn(work);
        let end = End(to);
        // Its gradients have been heard.
        drop(pass.back());
        drop(end);
        working.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// The end of a pass, which is told also if it panics: the scope waits for the thread that is told.
struct End<'a>(&'a Sender<Told>);

impl Drop for End<'_> {
    fn drop(&mut self) {
        let told = if thread::panicking() {
            Told::Broken
        } else {
            Told::Over
        };
        self.0.send(told).ok();
    }
}

/// The sums of this process's gradients, which a backward pass completes one after the other.
pub(super) struct Coming<'a> {
    told: Receiver<Told>,
    earlier: Vec<Parameters>,
    /// Of the shapes and on the device of the gradients.
    parameters: &'a Parameters,
    /// Sums that are complete.
    complete: Parameters,
    is_over: bool,
}

impl<'a> Coming<'a> {
    /// The sums of gradients so far and those that a pass tells, which are added to the first of `earlier`, their sum to
    /// the second, and so on.
    pub fn new(told: Receiver<Told>, earlier: Vec<Parameters>, parameters: &'a Parameters) -> Self {
        Self {
            told,
            earlier,
            parameters,
            complete: Parameters::new(),
            is_over: false,
        }
    }

    /// The sums of the named parameters, once they are complete, without those that have no gradient at all.
    pub fn sums(&mut self, names: &[&str]) -> Parameters {
        while !self.is_over && !names.iter().all(|name| self.complete.contains(name)) {
            match self.told.recv() {
                Ok(Told::Complete { name, gradient }) => self.add(&name, gradient),
                Ok(Told::Over) => self.is_over = true,
                // The pass tells of its panic itself; the others get no sum that lacks something.
                Ok(Told::Broken) | Err(_) => resume_unwind(Box::new("the backward pass panicked")),
            }
        }
        let mut sums = self.complete.take_out(names);
        for name in names {
            if !sums.contains(name) {
                sums.replace(self.with_earlier(name, Parameters::new()));
            }
        }
        sums
    }

    fn add(&mut self, name: &str, gradient: Vec<f32>) {
        let mut last = Parameters::new();
        let shape = self.parameters.shape(name);
        last.insert_values(name, &shape, gradient, &self.parameters.device(name));
        let sum = self.with_earlier(name, last);
        self.complete.replace(sum);
    }

    /// The gradient of a parameter in the last pass, added to those so far.
    fn with_earlier(&mut self, name: &str, last: Parameters) -> Parameters {
        let earlier = self.earlier.iter_mut();
        earlier.fold(last, |later, earlier| {
            let mut sum = earlier.take_out(&[name]);
            sum.add(later);
            sum
        })
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::mpsc::channel;

    use super::*;

    const NAMES: [&str; 3] = ["early", "late", "unused"];

    fn gradients(names: &[&str], value: f32) -> Parameters {
        let mut gradients = Parameters::new();
        for name in names {
            gradients.insert_values(name, &[2], vec![value, 1.0], &warmstart_nn::device());
        }
        gradients
    }

    fn told(name: &str, value: f32) -> Told {
        Told::Complete {
            name: name.to_owned(),
            gradient: vec![value, 1.0],
        }
    }

    fn first_value(sums: &Parameters, name: &str) -> f32 {
        sums.values(name)[0]
    }

    #[test]
    fn a_gradient_is_added_to_the_nearest_sum_and_that_to_the_next() {
        let (to, from) = channel();
        let shapes = gradients(&NAMES, 0.0);
        // Small numbers are lost one by one, and count together.
        let earlier = vec![gradients(&NAMES, 3e-8), gradients(&NAMES, 1.0)];
        let mut coming = Coming::new(from, earlier, &shapes);
        to.send(told("early", 3e-8)).unwrap();
        let sums = coming.sums(&["early"]);
        let expected = 1.0_f32 + (3e-8 + 3e-8);
        assert_ne!(expected, (1.0_f32 + 3e-8) + 3e-8);
        assert_eq!(first_value(&sums, "early"), expected);
        assert_eq!(sums.names().count(), 1);
    }

    #[test]
    fn sums_come_in_any_order_and_those_without_a_last_gradient_when_the_pass_is_over() {
        let (to, from) = channel();
        let shapes = gradients(&NAMES, 0.0);
        let mut coming = Coming::new(from, vec![gradients(&["late", "unused"], 4.0)], &shapes);
        to.send(told("late", 2.0)).unwrap();
        to.send(told("early", 1.0)).unwrap();
        to.send(Told::Over).unwrap();
        assert_eq!(first_value(&coming.sums(&["early"]), "early"), 1.0);
        let rest = coming.sums(&["late", "unused"]);
        assert_eq!(first_value(&rest, "late"), 6.0);
        assert_eq!(first_value(&rest, "unused"), 4.0);
    }

    #[test]
    fn a_parameter_without_any_gradient_has_no_sum() {
        let (to, from) = channel();
        let shapes = gradients(&NAMES, 0.0);
        let mut coming = Coming::new(from, vec![Parameters::new()], &shapes);
        to.send(Told::Over).unwrap();
        assert_eq!(coming.sums(&NAMES).names().count(), 0);
    }

    #[test]
    fn a_pass_that_panics_says_so_and_no_sum_lacks_a_gradient() {
        let (to, from) = channel();
        let pass = thread::spawn(move || {
            let _end = End(&to);
            resume_unwind(Box::new("a layer panicked"))
        });
        assert!(pass.join().is_err());
        let shapes = gradients(&NAMES, 0.0);
        let mut coming = Coming::new(from, vec![gradients(&NAMES, 1.0)], &shapes);
        let sums = catch_unwind(AssertUnwindSafe(|| coming.sums(&["early"])));
        assert!(sums.is_err());
    }
}
