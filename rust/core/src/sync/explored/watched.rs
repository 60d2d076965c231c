//! Looks at the machine while an operation runs, for the rules on its answer. A look is no step.
//!
//! An answer is right if it was right at some moment between the call and the return. A thread sees another
//! thread's changes only in its own turns, that is, the state in which the other thread's turn ended. The
//! moments are therefore the beginning of the thread's own first step, the end of each turn, and the return.
//!
//! A look uses the operations of the door as code outside of any exploration does: it executes no step,
//! orders nothing and takes no lock. The search does not reorder steps for the sake of a look.

use super::context::{Context, aside, context};
use super::watch::{Look, Watch};
use std::cell::Cell;

/// Takes the watch off the list when the operation returns or unwinds.
struct Watching<'a>(&'a Context);

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        let me = self.0.current.get();
        let mut watches = self.0.watches.borrow_mut();
        if let Some(place) = watches.iter().rposition(|watch| watch.thread == me) {
            watches.swap_remove(place);
        }
        self.0.watching.set(!watches.is_empty());
    }
}

/// Runs an operation, and calls `look` at each of its moments. `look` must take no lock.
pub fn watched<T>(look: &dyn Fn(bool), operation: impl FnOnce() -> T) -> T {
    let Some(context) = context() else {
        look(true);
        let result = operation();
        look(false);
        return result;
    };
    aside(|| look(true));
    // SAFETY: same layout. The guard takes the pointer off the list before this function returns or
    // unwinds; the stack of a thread that never returns is kept, and the next schedule clears the list.
    let erased: *const Look = unsafe { std::mem::transmute(std::ptr::from_ref(look)) };
    let (thread, called) = (context.current.get(), context.steps.get());
    let watch = Watch { thread, called, has_stepped: Cell::new(false), look: erased };
    context.watches.borrow_mut().push(watch);
    context.watching.set(true);
    let watching = Watching(context);
    let result = operation();
    drop(watching);
    context.drain();
    aside(|| look(false));
    result
}

/// Reads the machine's state without a step. `look` must take no lock.
pub fn glance<T>(look: impl FnOnce() -> T) -> T {
    aside(look)
}

impl Context {
    /// Calls the `look` of each watched operation when the turn passes from thread `from` to thread `to`.
    #[cold]
    pub(super) fn look_between_turns(&self, from: Option<usize>, to: usize) {
        let steps = self.steps.get();
        aside(|| {
            for watch in self.watches.borrow().iter() {
                let has_stepped =
                    watch.has_stepped.get() || (from == Some(watch.thread) && steps > watch.called);
                // The code before the first step ran at the end of an earlier turn of the thread, possibly
                // long ago. The operation begins with the step that the thread takes now.
                let first_step = !has_stepped && watch.thread == to;
                watch.has_stepped.set(has_stepped || first_step);
                // SAFETY: `watched` has not returned, so its caller's closure lives.
                let look = unsafe { &*watch.look };
                look(first_step);
            }
        });
    }
}
