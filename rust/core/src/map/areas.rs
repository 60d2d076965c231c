//! The areas of a reverse map, in the order of their insertion: a child of a fork after its parent.
//!
//! An area knows its place in the list and so leaves without a search: a million forks of one space
//! end in a million steps. A removed area leaves an empty place, and the list is compacted when
//! more than half of the places are empty.
//!
//! # The limit
//!
//! Each area has at most one entry for a base page, and at most one for each part of a large page:
//! a mapping, a migration entry or a swap entry. The number of areas therefore bounds the
//! references and the mappings of every page, even while its entries change. An area beyond the
//! limit is refused before anything has changed.

use super::area::{Area, Of};
use crate::error::{Errno, Error, Result};
use crate::page::Word;
use std::sync::Arc;

/// The areas of one reverse map, in order. The list changes under the owner's lock only.
#[derive(Clone, Debug)]
pub struct Areas {
    of: Of,
    places: Vec<Option<Arc<Area>>>,
    empty: usize,
}

impl Areas {
    /// Makes an empty list for the reverse map of a lineage or of a file.
    pub fn new(of: Of) -> Areas {
        Areas { of, places: Vec::new(), empty: 0 }
    }

    /// Returns the number of areas.
    pub fn len(&self) -> usize {
        self.places.len() - self.empty
    }

    /// Returns true if there are no areas.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The places of the list, in order; `None` for an empty one.
    #[inline]
    pub(super) fn places(&self) -> &[Option<Arc<Area>>] {
        &self.places
    }

    /// Iterates over the areas, in order.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Area>> {
        self.places.iter().flatten()
    }

    /// Appends an area after all others.
    ///
    /// `ENOMEM` if a page's count could not hold the mappings of one more area, or if the host's
    /// memory runs out.
    pub(super) fn push(&mut self, area: &Arc<Area>) -> Result<()> {
        let most = limit() >> area.order();
        if self.len() >= most as usize {
            let why = match self.of {
                Of::Lineage => format!(
                    "{most} address spaces share this memory by fork, the most that can map one page: \
                     end some of them"
                ),
                Of::File => {
                    format!("{most} areas map this file, the most that can map one page: unmap some of them")
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

    /// Removes an area. An area that is not in the list is no error.
    pub(super) fn remove(&mut self, area: &Area) {
        let place = area.place(self.of).get() as usize;
        match self.places.get_mut(place) {
            Some(found) if found.as_ref().is_some_and(|found| std::ptr::eq(&**found, area)) => *found = None,
            // The area is not in the list: its place is empty or holds another area.
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

/// Returns the largest number of references that entries may hold on one page.
fn limit() -> u32 {
    #[cfg(test)]
    if let Some(limit) = LIMIT.get() {
        return limit;
    }
    Word::MAPPED_LIMIT
}

#[cfg(test)]
thread_local! {
    /// A smaller limit for tests, so that they reach it before the host's memory is full.
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
        fn areas_stay_in_the_order_of_their_insertion(
            steps in prop::collection::vec(any::<(bool, u8)>(), 1..80),
        ) {
            let mut areas = Areas::new(Of::Lineage);
            let mut model: Vec<Arc<Area>> = Vec::new();
            for (inserts, which) in steps {
                if inserts || model.is_empty() {
                    let new = area(0);
                    areas.push(&new).unwrap();
                    model.push(new);
                } else {
                    let gone = model.remove(which as usize % model.len());
                    areas.remove(&gone);
                    // A second removal of the same area is no error.
                    areas.remove(&gone);
                }
                prop_assert_eq!(areas.len(), model.len());
                prop_assert!(areas.iter().zip(&model).all(|(a, b)| Arc::ptr_eq(a, b)));
                prop_assert!(areas.places.len() <= 2 * model.len());
            }
        }
    }
}
