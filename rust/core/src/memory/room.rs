//! Buffers of a size that a user chooses. Their memory is reserved before the work begins, and the
//! caller gets an error if the host has none. An ordinary vector that cannot grow would end the
//! whole process.

use crate::error::{Error, Result};

/// An empty vector with room for `len` values. If the host has no memory, the error is the host's
/// `ENOMEM`, and names the values by `what`.
pub fn room<T>(what: &'static str, len: usize) -> Result<Vec<T>> {
    let mut values = Vec::new();
    more_room(&mut values, what, len)?;
    Ok(values)
}

/// A vector of `len` copies of `value`. Errors as [`room`].
pub fn filled<T: Clone>(what: &'static str, len: usize, value: T) -> Result<Vec<T>> {
    let mut values = room(what, len)?;
    values.resize(len, value);
    Ok(values)
}

/// Reserves room for `more` values in a vector that may have values already. Errors as [`room`].
pub fn more_room<T>(values: &mut Vec<T>, what: &'static str, more: usize) -> Result<()> {
    values.try_reserve(more).map_err(|_| Error::host_memory::<T>(what, values.len().saturating_add(more)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Errno;

    #[test]
    fn a_refusal_of_the_host_is_an_error_with_the_size() {
        let error = room::<u64>("words", usize::MAX / 16).unwrap_err();
        assert_eq!((error.errno, error.is_of_host()), (Errno::ENOMEM, true));
        assert!(error.to_string().contains("no memory for words ("), "{error}");
        assert_eq!(filled("bytes", 3, 7u8), Ok(vec![7, 7, 7]));
        assert!(filled("bytes", usize::MAX, 7u8).unwrap_err().is_of_host());
        assert!(more_room(&mut vec![1u32], "numbers", usize::MAX).unwrap_err().is_of_host());
    }
}
