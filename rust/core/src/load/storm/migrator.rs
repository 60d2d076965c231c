//! A migrator: half of its calls name addresses, half walk frame numbers.

use super::place::Place;
use crate::load::config::LoadConfig;
use crate::load::gauge::{Gauge, Tally};
use crate::load::planted::LostCopies;
use crate::load::poison::Poison;
use crate::load::rig::Member;
use crate::machine::Machine;
use crate::map::{AddressSpace, Area};
use crate::migrate::{Mode, MoveFlags, Reason};
use crate::page::{Flags, Pfn};
use crate::release::Release;
use crate::rng::Rng;
use std::sync::Arc;

/// The number of frames that a walk visits for each wanted page. The limit ends a walk through
/// frames without pages.
const REACH: u32 = 16;

/// A migrator of the load `storm`, which moves random pages.
#[derive(Debug)]
pub(in crate::load) struct Migrator {
    pub gauge: Gauge,
    place: Arc<Place>,
    rng: Rng,
    batch: usize,
    planted: LostCopies,
    poison: Poison,
}

impl Member for Migrator {
    fn reseed(&mut self, rng: Rng) {
        self.rng = rng;
        self.poison.reseed(&mut self.rng.clone());
    }
}

impl Migrator {
    pub(super) fn new(place: &Arc<Place>, gauge: Gauge, config: &LoadConfig) -> Migrator {
        let planted = LostCopies::new(config.planted.lost_copy);
        let poison = Poison::new(config.poison_rate);
        let (place, batch) = (Arc::clone(place), config.batch);
        Migrator { gauge, place, rng: Rng::new(0, 0), batch, planted, poison }
    }

    /// Makes one migration call, sometimes after a strike.
    pub fn step<R: Release>(&mut self, machine: &Machine<R>) {
        if self.poison.strikes() {
            self.poison(machine);
        }
        if self.rng.below(2) == 0 {
            self.by_address(machine);
        } else {
            self.by_frame(machine);
        }
    }

    /// Soft-offlines a random frame, or makes a page of a room fail hard. Only rooms lose content,
    /// because their mutators can replace them.
    fn poison<R: Release>(&mut self, machine: &Machine<R>) {
        if self.poison.below(2) == 0 {
            return self.poison.offline(machine, &mut self.gauge);
        }
        let home = &self.place.homes[self.poison.below(self.place.homes.len() as u32) as usize];
        let rooms = home.areas.read();
        let room = rooms.get(self.poison.below(rooms.len().max(1) as u32) as usize).cloned();
        drop(rooms);
        if let Some(room) = room {
            let index = self.poison.below(room.pages());
            self.poison.lose(machine, &mut self.gauge, (home, &room, index));
        }
    }

    /// Calls `move_pages` for random pages of one area.
    fn by_address<R: Release>(&mut self, machine: &Machine<R>) {
        let place = Arc::clone(&self.place);
        let Some((space, area)) = self.some_area(&place) else { return };
        let node = self.rng.below(machine.nodes().len() as u32);
        let mut indices: Vec<u32> = (0..self.batch).map(|_| self.rng.below(area.pages())).collect();
        indices.sort_unstable();
        indices.dedup();
        // Pages that are on the node already are left out. A page may still move between this check
        // and the call.
        let elsewhere = |&index: &u32| {
            machine.page_at(&area, index).is_some_and(|pfn| machine.node_of(pfn) != node as usize)
        };
        let addresses: Vec<u64> =
            indices.into_iter().filter(elsewhere).map(|index| area.address(index)).collect();
        let nodes = vec![node; addresses.len()];
        self.gauge.measure(|| {
            let moved = machine.move_pages(space, &addresses, &nodes, MoveFlags { all: true });
            let there = moved.status.iter().filter(|&&status| status == Some(node as i32)).count();
            Tally { migrated: there as u64, failed: (addresses.len() - there) as u64, ..Tally::default() }
        });
    }

    /// Returns the area of a random page, so that large areas are chosen more often.
    fn some_area<'a>(&mut self, place: &'a Place) -> Option<(&'a AddressSpace, Arc<Area>)> {
        let pages = |space: &AddressSpace| -> u32 { space.areas.read().iter().map(|a| a.pages()).sum() };
        let total: u32 = place.spaces().map(|space| pages(space)).sum();
        let mut at = self.rng.below(total);
        for space in place.spaces() {
            for area in space.areas.read().iter() {
                if at < area.pages() {
                    return Some((space, Arc::clone(area)));
                }
                at -= area.pages();
            }
        }
        // An area was unmapped after the pages were counted.
        None
    }

    /// Walks from a random frame on, isolates pages and migrates them to another node.
    fn by_frame<R: Release>(&mut self, machine: &Machine<R>) {
        let nodes = machine.nodes();
        let from = self.rng.below(nodes.len() as u32) as usize;
        let to = (from + 1 + self.rng.below(nodes.len() as u32 - 1) as usize) % nodes.len();
        let start = self.rng.below(nodes[from].frames);
        let end = nodes[from].frames.min(start.saturating_add(self.batch as u32 * REACH));
        let walk = (start..end).map(|offset| nodes[from].base.plus(offset));
        let (batch, planted) = (self.batch, &mut self.planted);
        self.gauge.measure(|| {
            // Pages in this CPU's batches cannot be isolated; compaction also drains before each
            // block.
            machine.lru_drain_local();
            let mut list = isolate(machine, walk, batch);
            let mut target = |src: Pfn| {
                let dst = machine.alloc_pages(to, 0).ok()?;
                planted.chosen(machine, src, dst);
                Some(dst)
            };
            let result = machine.migrate_pages(&mut list, &mut target, Mode::SyncLight, Reason::Compaction);
            planted.lose(machine, &list);
            let failed = list.len() as u64;
            machine.putback_movable_pages(&mut list);
            Tally {
                migrated: u64::from(result.succeeded),
                failed,
                retries: u64::from(result.retries),
                ..Tally::default()
            }
        });
    }
}

/// Takes up to `most` pages off their lists and from their owners.
fn isolate<R: Release>(machine: &Machine<R>, walk: impl Iterator<Item = Pfn>, most: usize) -> Vec<Pfn> {
    let mut list = Vec::with_capacity(most);
    for pfn in walk {
        let page = &machine.frames()[pfn];
        let word = page.word();
        let taken = if word.has(Flags::MOVABLE) {
            machine.isolate_movable_page(pfn)
        } else {
            // The reference comes first, because the page may be freed at any moment.
            word.has(Flags::LRU) && page.try_get() && {
                let isolated = machine.isolate(pfn).is_ok();
                machine.put(pfn);
                isolated
            }
        };
        if taken {
            list.push(pfn);
            if list.len() == most {
                break;
            }
        }
    }
    list
}
