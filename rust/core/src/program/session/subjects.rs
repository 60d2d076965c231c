//! The pages of an operation, for the rules on its answer ([`super::answers`]). Only the explored build looks
//! at them.

use super::Session;
use super::actor::{Actor, Held, Hold, Name};
use super::moments::{MOST, Subject};
use crate::map::{Area, File};
use crate::program::{Address, Advice, MoveOption, Op, Owner, Region, Sel, Sum};
use crate::release::Release;
use std::sync::Arc;

impl<R: Release> Session<R> {
    /// Adds the pages of an operation, in the order of its answers; none for an operation without a promise.
    pub(super) fn subjects(&self, actor: &Actor, op: &Op, into: &mut Vec<Subject>) {
        match op {
            Op::Get { pages }
            | Op::TryGet { pages }
            | Op::MarkAccessed { pages }
            | Op::Isolate { pages }
            | Op::Lock { pages }
            | Op::Trylock { pages }
            | Op::Split { pages }
            | Op::SoftOffline { pages }
            | Op::MemoryFailure { pages } => self.named_pages(actor, pages, into),
            Op::Freeze { pages, .. } => self.held_pages(actor, pages, |_| true, into),
            Op::Unlock { pages } => self.held_pages(actor, pages, |hold| hold == Hold::Locked, into),
            Op::Unfreeze { pages, .. } => {
                self.held_pages(actor, pages, |hold| matches!(hold, Hold::Frozen(_)), into);
            }
            Op::Migrate { pages, .. } => {
                let token = |hold| matches!(hold, Hold::Isolated | Hold::IsolatedMovable);
                self.held_pages(actor, pages, token, into);
            }
            Op::Move { pages, options, .. } => self.addressed_pages(actor, pages, options, into),
            Op::Query { pages } => self.addressed_pages(actor, pages, &[], into),
            Op::Read { pages }
            | Op::Write { pages }
            | Op::Pin { pages, .. }
            | Op::Mlock { pages }
            | Op::Munlock { pages }
            | Op::Unmap { pages }
            | Op::Mbind { pages, .. }
            | Op::NumaFault { pages, .. }
            | Op::Madv { pages, advice: Advice::Dontneed | Advice::SoftOffline, .. } => {
                self.places(actor, pages, into);
            }
            Op::Punch { region, .. } => self.places(actor, &whole(*region), into),
            Op::Phys { pages, .. } | Op::Unpoison { pages } => {
                let frame = |index| {
                    actor
                        .names
                        .frames
                        .get((pages.of, index))
                        .or_else(|| self.names.frames.get((pages.of, index)))
                };
                self.each_place(actor, pages.of, pages, |index, place| {
                    into.push(frame(index).map_or(place, |pfn| Subject::Frame(*pfn)));
                });
            }
            Op::BeginWriteback { pages } | Op::Msync { pages } => self.slots_of(actor, pages, into),
            Op::EndWriteback { pages } => {
                let write = |held: &Held| matches!(held.hold, Hold::Writeback { .. });
                let frame = |index| {
                    let name = Name::Page(Owner::Region(pages.of), index);
                    actor.handles.find(|held| held.name == name && write(held))
                };
                self.each_place(actor, pages.of, pages, |index, _| {
                    into.push(frame(index).map_or(Subject::Unknown, |held| Subject::Frame(held.pfn)));
                });
            }
            Op::Sync {} => {
                for file in self.files_of(actor).filter(|file| file.is_written_back()) {
                    into.extend(
                        first_pages(0..file.capacity()).map(|index| Subject::Slot(Arc::clone(file), index)),
                    );
                }
            }
            _ => {}
        }
    }

    /// The files of the regions that the actor knows.
    fn files_of<'a>(&'a self, actor: &'a Actor) -> impl Iterator<Item = &'a Arc<File>> {
        let regions = self.names.regions.iter().chain(actor.names.regions.iter());
        regions.filter_map(|(_, mapped)| mapped.file.as_ref())
    }

    /// Calls `each` with the number and the place of each selected page of a region. A page beyond the
    /// region's end is unknown.
    fn each_place<N>(&self, actor: &Actor, of: Region, pages: &Sel<N>, mut each: impl FnMut(u32, Subject)) {
        let Ok(mapped) = self.region(actor, of) else { return };
        for index in first_pages(pages.indices(mapped.area.pages())) {
            each(index, place_in(&mapped.area, index));
        }
    }

    fn places(&self, actor: &Actor, pages: &Sel<Region>, into: &mut Vec<Subject>) {
        self.each_place(actor, pages.of, pages, |_, place| into.push(place));
    }

    /// The pages of a region's file.
    fn slots_of(&self, actor: &Actor, pages: &Sel<Region>, into: &mut Vec<Subject>) {
        let Ok(mapped) = self.region(actor, pages.of) else { return };
        let Some(file) = &mapped.file else { return };
        // The pages of a file without a disk are never written to one.
        let slot = |index| match file.is_written_back() && index < file.capacity() {
            true => Subject::Slot(Arc::clone(file), index),
            false => Subject::Unknown,
        };
        into.extend(first_pages(pages.indices(mapped.area.pages())).map(slot));
    }

    /// The pages of single steps. The pages of an owner of movable pages cannot be looked up without a lock.
    fn named_pages(&self, actor: &Actor, pages: &Sum<Owner>, into: &mut Vec<Subject>) {
        for sel in &pages.0 {
            match sel.of {
                Owner::Region(of) => self.each_place(actor, of, sel, |_, place| into.push(place)),
                Owner::Allocated(page) => {
                    let pfn = actor.names.allocated.get(page).or_else(|| self.names.allocated.get(page));
                    into.extend(pfn.map(|pfn| Subject::Frame(*pfn)));
                }
                Owner::Movable(movable) => {
                    let Ok(pool) = self.pool(actor, movable) else { continue };
                    into.extend(first_pages(sel.indices(pool.pages.len() as u32)).map(|_| Subject::Unknown));
                }
                // The number of these pages is under a lock, too.
                Owner::Store(_) | Owner::Balloon(_) => return into.clear(),
            }
        }
    }

    /// The frames of the actor's own handles on pages. The handles of the set-up are under a lock, so their
    /// pages stay unknown.
    fn held_pages(
        &self,
        actor: &Actor,
        pages: &Sum<Owner>,
        fits: impl Fn(Hold) -> bool,
        into: &mut Vec<Subject>,
    ) {
        for sel in &pages.0 {
            let len = match sel.of {
                Owner::Region(region) => self.region(actor, region).map(|mapped| mapped.area.pages()),
                Owner::Allocated(_) => Ok(1),
                Owner::Movable(movable) => self.pool(actor, movable).map(|pool| pool.pages.len() as u32),
                Owner::Store(_) | Owner::Balloon(_) => return into.clear(),
            };
            let Ok(len) = len else { continue };
            into.extend(first_pages(sel.indices(len)).map(|index| {
                let name = Name::Page(sel.of, index);
                let held = actor.handles.find(|held| held.name == name && fits(held.hold));
                held.map_or(Subject::Unknown, |held| Subject::Frame(held.pfn))
            }));
        }
    }

    /// The pages at the addresses of `move_pages(2)`.
    fn addressed_pages(
        &self,
        actor: &Actor,
        pages: &Sum<Address>,
        options: &[MoveOption],
        into: &mut Vec<Subject>,
    ) {
        let child =
            options.iter().find_map(|o| if let MoveOption::Pid(child) = o { Some(*child) } else { None });
        for sel in &pages.0 {
            match sel.of {
                Address::Zero => into.push(Subject::Unknown),
                Address::Region(region) => {
                    let Ok(own) = self.region(actor, region) else { return into.clear() };
                    let area = match child {
                        None => Some(&own.area),
                        Some(child) => match self.child(actor, child) {
                            Ok(process) => process.regions.get(region).map(|mapped| &mapped.area),
                            Err(_) => return into.clear(),
                        },
                    };
                    let place = |index| area.map_or(Subject::Unknown, |area| place_in(area, index));
                    into.extend(first_pages(sel.indices(own.area.pages())).map(place));
                }
            }
        }
    }
}

/// The first pages of a selection, one more than are ever looked at. A program may select billions of pages.
fn first_pages(pages: impl Iterator<Item = u32>) -> impl Iterator<Item = u32> {
    pages.take(MOST + 1)
}

fn place_in(area: &Arc<Area>, index: u32) -> Subject {
    match index < area.pages() {
        true => Subject::Place(Arc::clone(area), index),
        false => Subject::Unknown,
    }
}

fn whole(of: Region) -> Sel<Region> {
    Sel { of, pages: None, frames: None }
}
