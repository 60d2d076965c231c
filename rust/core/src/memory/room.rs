//! Buffers whose size users choose: reserved before the work, and refused in words if the host has no memory. An
//! ordinary vector that cannot grow would end the whole process.

use crate::error::{Error, Result};

/// An empty vector with room for `len` values of `what`; `ENOMEM` (of the host) if there is none.
pub fn room<T>(what: &'static str, len: usize) -> Result<Vec<T>> {
    let mut values = Vec::new();
    more_room(&mut values, what, len)?;
    Ok(values)
}

/// `len` times the same value.
pub fn filled<T: Clone>(what: &'static str, len: usize, value: T) -> Result<Vec<T>> {
    let mut values = room(what, len)?;
    values.resize(len, value);
    Ok(values)
}

/// Room for `more` values in a vector that has some.
pub fn more_room<T>(values: &mut Vec<T>, what: &'static str, more: usize) -> Result<()> {
    values.try_reserve(more).map_err(|_| Error::host_memory::<T>(what, values.len().saturating_add(more)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Errno;

    #[test]
    fn what_the_host_cannot_give_is_an_error_that_says_how_much() {
        let error = room::<u64>("words", usize::MAX / 16).unwrap_err();
        assert_eq!((error.errno, error.is_of_host()), (Errno::ENOMEM, true));
        assert!(error.to_string().contains("no memory for words ("), "{error}");
        assert_eq!(filled("bytes", 3, 7u8), Ok(vec![7, 7, 7]));
        assert!(filled("bytes", usize::MAX, 7u8).unwrap_err().is_of_host());
        assert!(more_room(&mut vec![1u32], "numbers", usize::MAX).unwrap_err().is_of_host());
    }
}
