//! The areas of a reverse map, in the order in which they came: a child of a fork after its parent.
//!
//! An area knows its place, so that it leaves without a search: a million forks of one space end in a million steps.
//! What it leaves is an empty place, and the places close up when half of them are empty.
//!
//! # How many
//!
//! A page is mapped, or named by a migration or swap entry, at most once by each area, and a large page at most once
//! for each of its parts. So the number of areas bounds the references and the mappings of every page, whatever
//! becomes of its entries meanwhile: an area too many is refused before anything has changed.

use super::Area;
use crate::error::{Errno, Error, Result};
use crate::page::Word;
use std::sync::Arc;

/// Whose reverse map it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Of an anonymous lineage.
    Lineage,
    /// Of a file.
    File,
}

/// Areas, in order. Changed under the owner's lock.
#[derive(Clone, Debug)]
pub struct Areas {
    of: Of,
    places: Vec<Option<Arc<Area>>>,
    empty: usize,
}

impl Areas {
    /// None yet.
    pub fn new(of: Of) -> Areas {
        Areas { of, places: Vec::new(), empty: 0 }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len() - self.empty
    }

    /// None at all?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The areas, in order.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Area>> {
        self.places.iter().flatten()
    }

    /// An area comes after all others. `ENOMEM` if so many would map a page that its count could not tell, or if the
    /// host's memory runs out.
    pub(super) fn push(&mut self, area: &Arc<Area>) -> Result<()> {
        let most = limit() >> area.order();
        if self.len() >= most as usize {
            let why = match self.of {
                Of::Lineage => format!(
                    "{most} address spaces share this memory by fork, which is as many as a page can be mapped by: \
                     end some of them"
                ),
                Of::File => {
                    format!("{most} areas map this file, which is as many as can: unmap some of them")
                }
            };
            return Err(Error::new(Errno::ENOMEM, why));
        }
        let full = |_| Error::new(Errno::ENOMEM, "the host has no memory for one more area of a reverse map");
        self.places.try_reserve(1).map_err(full)?;
        area.place(self.of).set(self.places.len() as u32);
        self.places.push(Some(Arc::clone(area)));
        Ok(())
    }

    /// An area goes.
    pub(super) fn remove(&mut self, area: &Area) {
        let place = area.place(self.of).get() as usize;
        match self.places.get_mut(place) {
            Some(found) if found.as_ref().is_some_and(|found| std::ptr::eq(&**found, area)) => *found = None,
            // It never came.
            _ => return,
        }
        self.empty += 1;
        if self.empty * 2 > self.places.len() {
            self.places.retain(Option::is_some);
            self.empty = 0;
            for (place, area) in self.places.iter().enumerate() {
                if let Some(area) = area {
                    area.place(self.of).set(place as u32);
                }
            }
        }
    }
}

/// References that entries may be of one page.
fn limit() -> u32 {
    #[cfg(test)]
    if let Some(limit) = LIMIT.get() {
        return limit;
    }
    Word::MAPPED_LIMIT
}

#[cfg(test)]
thread_local! {
    /// What a test takes the limit for, so that it comes by it before the host's memory is full.
    pub(super) static LIMIT: std::cell::Cell<Option<u32>> = const { std::cell::Cell::new(None) };
}

impl<'a> IntoIterator for &'a Areas {
    type Item = &'a Arc<Area>;
    type IntoIter = std::iter::Flatten<std::slice::Iter<'a, Option<Arc<Area>>>>;

    #[inline]
    fn into_iter(self) -> Self::IntoIter {
        self.places.iter().flatten()
    }
}

#[cfg(all(test, not(feature = "explored")))]
mod tests {
    use super::*;
    use crate::map::AreaKind;
    use crate::owner::OwnerId;
    use crate::sync::{LockClass, RwLock};
    use proptest::prelude::*;

    fn area(order: u8) -> Arc<Area> {
        let faults = Arc::new(RwLock::new(LockClass::Faults, ()));
        Arc::new(Area::new(0, &faults, 0, 1, AreaKind::Anon { order }, OwnerId::NOBODY).unwrap())
    }

    proptest! {
        #[test]
        fn areas_stay_in_the_order_in_which_they_came(steps in prop::collection::vec(any::<(bool, u8)>(), 1..80)) {
            let mut areas = Areas::new(Of::Lineage);
            let mut model: Vec<Arc<Area>> = Vec::new();
            for (comes, which) in steps {
                if comes || model.is_empty() {
                    let new = area(0);
                    areas.push(&new).unwrap();
                    model.push(new);
                } else {
                    let gone = model.remove(which as usize % model.len());
                    areas.remove(&gone);
                    // A second time is no error.
                    areas.remove(&gone);
                }
                prop_assert_eq!(areas.len(), model.len());
                prop_assert!(areas.iter().zip(&model).all(|(a, b)| Arc::ptr_eq(a, b)));
                prop_assert!(areas.places.len() <= 2 * model.len());
            }
        }
    }
}
