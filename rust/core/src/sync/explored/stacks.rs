//! The stacks of the threads, and the thread whose turn it is.

use super::fiber::{Exit, Fiber};
use super::step::{THREADS, Threads};
use std::cell::{Cell, UnsafeCell};

/// The value of `next` for the host.
pub(super) const HOST: usize = usize::MAX;

pub(super) type HostCall = *mut dyn FnMut();

/// The stacks, and the thread whose turn it is.
pub(super) struct Turns {
    pub fibers: [UnsafeCell<Option<Fiber>>; THREADS],
    pub exits: [Cell<*const Exit>; THREADS],
    /// The closure that the fibers run.
    pub body: Cell<Option<*const dyn Fn(usize)>>,
    /// The thread whose turn it is.
    pub next: Cell<usize>,
    /// The threads between the host and the running thread, including the latter.
    pub chain: Cell<Threads>,
    /// The closure that a thread wants the host to run.
    pub call: Cell<Option<HostCall>>,
    pub calling: Cell<bool>,
}

impl Default for Turns {
    fn default() -> Self {
        Turns {
            fibers: Default::default(),
            exits: [const { Cell::new(std::ptr::null()) }; THREADS],
            body: Cell::new(None),
            next: Cell::new(HOST),
            chain: Cell::new(0),
            call: Cell::new(None),
            calling: Cell::new(false),
        }
    }
}

impl Turns {
    /// Returns true if the host runs a thread's callback.
    pub fn on_host(&self) -> bool {
        self.calling.get()
    }

    pub fn set_exit(&self, thread: usize, exit: *const Exit) {
        self.exits[thread].set(exit);
    }

    /// Ends the idle fibers.
    pub fn quit(&mut self) {
        for fiber in &mut self.fibers {
            if let Some(fiber) = fiber.get_mut().take() {
                fiber.quit();
            }
        }
    }
}
