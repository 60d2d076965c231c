//! The ground of a storm: its address spaces, and the number of pages of each kind.

use crate::load::config::LoadConfig;
use crate::map::AddressSpace;
use crate::movable::PagePool;
use std::sync::Arc;

/// Pages that all mutators share in the space that is forked.
pub(super) const FAMILY_PAGES: u32 = 256;
/// Pages of each mutator in the space that is forked.
pub(super) const NURSERY_PAGES: u32 = 32;
/// Pages of a room, which are mapped and unmapped together.
pub(super) const ROOM_PAGES: u32 = 64;
/// Writes that each page gets before the first round.
pub(super) const FIRST_WRITES: u32 = 16;

/// The state that all migrators and users share.
#[derive(Debug)]
pub(super) struct Place {
    /// The space of the commons: never forked, never unmapped.
    pub commons: Arc<AddressSpace>,
    /// The space of the family, which is forked again and again.
    pub family: Arc<AddressSpace>,
    /// The spaces of the rooms, one for each mutator.
    pub homes: Vec<Arc<AddressSpace>>,
    pub pool: Arc<PagePool>,
}

impl Place {
    pub fn spaces(&self) -> impl Iterator<Item = &Arc<AddressSpace>> {
        [&self.commons, &self.family].into_iter().chain(&self.homes)
    }
}

/// Numbers of pages and rooms.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub commons: u32,
    /// The number of rooms of each mutator.
    pub rooms: u32,
    /// The number of pages that each mutator has in the pool.
    pub pool: u32,
}

impl Sizes {
    pub fn of(config: &LoadConfig) -> Sizes {
        let (threads, pages) = (config.mutator_count() as u32, config.page_count());
        let commons = pages / 2;
        let pool = (pages / 16 / threads).max(1);
        let shared = commons + FAMILY_PAGES + (NURSERY_PAGES + pool) * threads;
        let rooms = (pages.saturating_sub(shared) / threads / ROOM_PAGES).max(1);
        Sizes { commons, rooms, pool }
    }

    pub fn of_each(self) -> u32 {
        NURSERY_PAGES + self.rooms * ROOM_PAGES + self.pool
    }

    pub fn total(self, threads: u32) -> u32 {
        self.commons + FAMILY_PAGES + self.of_each() * threads
    }
}
