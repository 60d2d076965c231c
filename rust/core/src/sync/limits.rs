//! The number of threads that can use machines.

/// Threads that may use machines at the same time: the size of the tables indexed by
/// [`thread_slot`](super::thread_slot). The number is small in the explored build and in models, where a pass
/// over such a table costs steps.
pub const MAX_THREADS: usize = if cfg!(loom) {
    4
} else if cfg!(feature = "explored") {
    8
} else {
    256
};
