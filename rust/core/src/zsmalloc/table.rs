//! A table that grows and is read without a lock.

use crate::error::Result;
use crate::memory::room;
use crate::sync::OnceBox;

/// Values in the first chunk; each further chunk doubles the total.
const FIRST: usize = if cfg!(any(feature = "explored", loom)) { 4 } else { 64 };
const CHUNKS: usize = 19;

/// A table whose values never move, so that a thread can use a value while the table grows. Each value
/// stays until the table is dropped.
#[derive(Debug)]
pub(crate) struct Growing<T> {
    chunks: [OnceBox<Box<[T]>>; CHUNKS],
    what: &'static str,
}

impl<T: Default> Growing<T> {
    /// An empty table. `what` names its values in the error of a host without memory.
    pub fn new(what: &'static str) -> Growing<T> {
        Growing { chunks: [const { OnceBox::new() }; CHUNKS], what }
    }

    /// The number of values that a table can have.
    pub const MOST: usize = FIRST << (CHUNKS - 1);

    /// The chunk of a value, and the first value of that chunk.
    fn place(index: usize) -> (usize, usize) {
        let chunk = (index / FIRST + 1).next_power_of_two().ilog2() as usize;
        (chunk, if chunk == 0 { 0 } else { FIRST << (chunk - 1) })
    }

    /// A value, if it was made.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&T> {
        let (chunk, start) = Self::place(index);
        self.chunks.get(chunk)?.get()?.get(index - start)
    }

    /// Makes a value, and its neighbours in the chunk, unless they exist. `ENOMEM` if the host has no memory.
    /// The caller keeps `index` below [`Growing::MOST`].
    pub fn make(&self, index: usize) -> Result<()> {
        let (chunk, start) = Self::place(index);
        if self.chunks[chunk].get().is_none() {
            let len = if chunk == 0 { FIRST } else { start };
            let mut values = room(self.what, len)?;
            values.resize_with(len, T::default);
            // If another thread has set the chunk first, the values of that thread are used.
            let _ = self.chunks[chunk].set(Box::new(values.into_boxed_slice()));
        }
        Ok(())
    }
}
