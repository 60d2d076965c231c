//! Tables under the explorer and in weak-memory models. All values are made when the table is.

use crate::error::Result;

/// A fixed array of default values.
#[derive(Debug)]
pub struct Table<T>(Box<[T]>);

impl<T: Default> Table<T> {
    /// A table of `len` default values.
    pub fn zeroed(len: usize) -> Result<Table<T>> {
        Ok(Table((0..len).map(|_| T::default()).collect()))
    }

    /// Does nothing: modelled memory has no cache.
    pub fn prefetch(&self, _index: usize) {}
}

impl<T> std::ops::Deref for Table<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}
