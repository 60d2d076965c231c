//! The structure whose changes only the counting build counts.

use super::ops::counts::Kind;
use std::marker::PhantomData;

/// A structure whose changes the counting build counts. In all other builds, which use this file, the
/// wrapper adds nothing to the structure.
#[derive(Debug)]
#[repr(transparent)]
pub struct Tallied<T, K>(T, PhantomData<K>);

impl<T, K: Kind> Tallied<T, K> {
    /// Wraps `value`.
    pub const fn new(value: T) -> Self {
        Tallied(value, PhantomData)
    }

    /// Gives access for a change, which the counting build counts.
    #[inline]
    pub fn op(&mut self) -> &mut T {
        &mut self.0
    }

    /// Takes the structure out and leaves `value` in its place, which is not counted.
    #[inline]
    pub fn replace(&mut self, value: T) -> T {
        std::mem::replace(&mut self.0, value)
    }

    /// Gives access for reading, which is not counted.
    #[inline]
    pub fn look(&self) -> &T {
        &self.0
    }
}

impl<T: std::hash::Hash, K> std::hash::Hash for Tallied<T, K> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl<T: Clone, K> Clone for Tallied<T, K> {
    fn clone(&self) -> Self {
        Tallied(self.0.clone(), PhantomData)
    }
}
