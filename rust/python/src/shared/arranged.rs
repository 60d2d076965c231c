//! Arrangements: the pages with which `Machine.arrange` has filled a node by a layout. A call that uses an
//! arrangement takes it out of the table: looking at all its pages takes long, and the table's lock must not
//! be held meanwhile.

use super::Shared;
use crate::errors::Refusal;
use crate::waits::{LOOK_AGAIN, PATIENCE};
use mmcore::error::Error;
use mmcore::layout::Arranged;
use std::time::Instant;

/// An arrangement that a call has taken out of the table. Dropping this value puts it back there.
pub(crate) struct Lent<'a> {
    shared: &'a Shared,
    number: u64,
    arranged: Option<Arranged>,
}

impl Lent<'_> {
    /// The first page whose content is not what was written to it: see the core's `damaged`.
    pub fn damaged(&self) -> Option<mmcore::page::Pfn> {
        self.shared.machine.damaged(self.arranged.as_ref()?)
    }

    /// Frees the pages of the arrangement. If a signal handler ends the call, the rest stays arranged.
    pub fn clear(mut self) -> Result<(), Error> {
        if let Some(arranged) = &mut self.arranged {
            self.shared.machine.clear_arranged(&self.shared.ledger, arranged)?;
        }
        self.arranged = None;
        self.shared.arranged.lock().1.remove(&self.number);
        Ok(())
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(arranged) = self.arranged.take() {
            self.shared.arranged.lock().1.insert(self.number, Some(arranged));
        }
    }
}

impl Shared {
    /// Keeps the pages of an arrangement, and returns its number.
    pub fn keep_arranged(&self, arranged: Arranged) -> u64 {
        let mut table = self.arranged.lock();
        table.0 += 1;
        let number = table.0;
        table.1.insert(number, Some(arranged));
        number
    }

    /// Takes an arrangement out of the table; `None` if it is closed. Waits a moment ([`PATIENCE`]) for
    /// another thread that uses the arrangement. If that takes longer, fails as an interrupted wait of the
    /// core, so that [`Shared::call_again`] handles signals and calls again.
    pub fn lend_arranged(&self, number: u64) -> Result<Option<Lent<'_>>, Refusal> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let taken = self.arranged.lock().1.get_mut(&number).map(Option::take);
            match taken {
                None => return Ok(None),
                Some(None) if Instant::now() >= deadline => return Err(Error::interrupted().into()),
                Some(None) => std::thread::sleep(LOOK_AGAIN),
                Some(arranged) => return Ok(Some(Lent { shared: self, number, arranged })),
            }
        }
    }
}
