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
    /// The pages of an operation, in the order of its answers. Empty for an operation without a promise.
    pub(super) fn subjects(&self, actor: &Actor, op: &Op) -> Vec<Subject> {
        match op {
            Op::Get { pages }
            | Op::TryGet { pages }
            | Op::MarkAccessed { pages }
            | Op::Isolate { pages }
            | Op::Lock { pages }
            | Op::Trylock { pages }
            | Op::Split { pages }
            | Op::SoftOffline { pages }
            | Op::MemoryFailure { pages } => self.named_pages(actor, pages),
            Op::Freeze { pages, .. } => self.held_pages(actor, pages, |_| true),
            Op::Unlock { pages } => self.held_pages(actor, pages, |hold| hold == Hold::Locked),
            Op::Unfreeze { pages, .. } => {
                self.held_pages(actor, pages, |hold| matches!(hold, Hold::Frozen(_)))
            }
            Op::Migrate { pages, .. } => {
                let token = |hold| matches!(hold, Hold::Isolated | Hold::IsolatedMovable);
                self.held_pages(actor, pages, token)
            }
            Op::Move { pages, options, .. } => self.addressed_pages(actor, pages, options),
            Op::Query { pages } => self.addressed_pages(actor, pages, &[]),
            Op::Read { pages }
            | Op::Write { pages }
            | Op::Pin { pages, .. }
            | Op::Mlock { pages }
            | Op::Munlock { pages }
            | Op::Unmap { pages }
            | Op::Mbind { pages, .. }
            | Op::NumaFault { pages, .. }
            | Op::Madv { pages, advice: Advice::Dontneed | Advice::SoftOffline, .. } => {
                self.places(actor, pages)
            }
            Op::Punch { region, .. } => self.places(actor, &whole(*region)),
            Op::Phys { pages, .. } | Op::Unpoison { pages } => {
                let frame = |index| {
                    actor
                        .names
                        .frames
                        .get((pages.of, index))
                        .or_else(|| self.names.frames.get((pages.of, index)))
                };
                let named = self.indexed_places(actor, pages);
                let subject = |(index, place)| frame(index).map_or(place, |pfn| Subject::Frame(*pfn));
                named.into_iter().map(subject).collect()
            }
            Op::BeginWriteback { pages } | Op::Msync { pages } => self.slots_of(actor, pages),
            Op::EndWriteback { pages } => {
                let write = |held: &Held| matches!(held.hold, Hold::Writeback { .. });
                let frame = |index| {
                    let name = Name::Page(Owner::Region(pages.of), index);
                    actor.handles.find(|held| held.name == name && write(held))
                };
                let places = self.indexed_places(actor, pages).into_iter();
                places
                    .map(|(index, _)| frame(index).map_or(Subject::Unknown, |held| Subject::Frame(held.pfn)))
                    .collect()
            }
            Op::Sync {} => {
                let mut slots = Vec::new();
                for file in self.files_of(actor).filter(|file| file.is_written_back()) {
                    slots.extend(few(0..file.capacity()).map(|index| Subject::Slot(Arc::clone(file), index)));
                }
                slots
            }
            _ => Vec::new(),
        }
    }

    /// The files of the regions that the actor knows.
    fn files_of<'a>(&'a self, actor: &'a Actor) -> impl Iterator<Item = &'a Arc<File>> {
        let regions = self.names.regions.iter().chain(actor.names.regions.iter());
        regions.filter_map(|(_, mapped)| mapped.file.as_ref())
    }

    /// The pages of a region by their numbers. A page beyond its end is unknown.
    fn indexed_places(&self, actor: &Actor, pages: &Sel<Region>) -> Vec<(u32, Subject)> {
        let Ok(mapped) = self.region(actor, pages.of) else { return Vec::new() };
        let place = |index| (index, place_in(&mapped.area, index));
        few(pages.indices(mapped.area.pages())).map(place).collect()
    }

    fn places(&self, actor: &Actor, pages: &Sel<Region>) -> Vec<Subject> {
        self.indexed_places(actor, pages).into_iter().map(|(_, place)| place).collect()
    }

    /// The pages of a region's file.
    fn slots_of(&self, actor: &Actor, pages: &Sel<Region>) -> Vec<Subject> {
        let Ok(mapped) = self.region(actor, pages.of) else { return Vec::new() };
        let Some(file) = &mapped.file else { return Vec::new() };
        // The pages of a file without a disk are never written.
        let slot = |index| match file.is_written_back() && index < file.capacity() {
            true => Subject::Slot(Arc::clone(file), index),
            false => Subject::Unknown,
        };
        few(pages.indices(mapped.area.pages())).map(slot).collect()
    }

    /// The pages of single steps. Those of owners cannot be looked up without a lock.
    fn named_pages(&self, actor: &Actor, pages: &Sum<Owner>) -> Vec<Subject> {
        let mut subjects = Vec::new();
        for sel in &pages.0 {
            match sel.of {
                Owner::Region(of) => {
                    let sel = Sel { of, pages: sel.pages.clone(), frames: sel.frames.clone() };
                    subjects.extend(self.places(actor, &sel));
                }
                Owner::Allocated(page) => {
                    let pfn = actor.names.allocated.get(page).or_else(|| self.names.allocated.get(page));
                    subjects.extend(pfn.map(|pfn| Subject::Frame(*pfn)));
                }
                Owner::Movable(movable) => {
                    let Ok(pool) = self.pool(actor, movable) else { continue };
                    subjects.extend(few(sel.indices(pool.pages.len() as u32)).map(|_| Subject::Unknown));
                }
                // The number of these pages is under a lock, too.
                Owner::Store(_) | Owner::Balloon(_) => return Vec::new(),
            }
        }
        subjects
    }

    /// The frames of the actor's own handles on pages. The handles of the set-up are under a lock.
    fn held_pages(&self, actor: &Actor, pages: &Sum<Owner>, fits: impl Fn(Hold) -> bool) -> Vec<Subject> {
        let mut subjects = Vec::new();
        for sel in &pages.0 {
            let len = match sel.of {
                Owner::Region(region) => self.region(actor, region).map(|mapped| mapped.area.pages()),
                Owner::Allocated(_) => Ok(1),
                Owner::Movable(movable) => self.pool(actor, movable).map(|pool| pool.pages.len() as u32),
                Owner::Store(_) | Owner::Balloon(_) => return Vec::new(),
            };
            let Ok(len) = len else { continue };
            subjects.extend(few(sel.indices(len)).map(|index| {
                let name = Name::Page(sel.of, index);
                let held = actor.handles.find(|held| held.name == name && fits(held.hold));
                held.map_or(Subject::Unknown, |held| Subject::Frame(held.pfn))
            }));
        }
        subjects
    }

    /// The pages at the addresses of `move_pages(2)`.
    fn addressed_pages(&self, actor: &Actor, pages: &Sum<Address>, options: &[MoveOption]) -> Vec<Subject> {
        let child =
            options.iter().find_map(|o| if let MoveOption::Pid(child) = o { Some(*child) } else { None });
        let mut subjects = Vec::new();
        for sel in &pages.0 {
            match sel.of {
                Address::Zero => subjects.push(Subject::Unknown),
                Address::Region(region) => {
                    let Ok(own) = self.region(actor, region) else { return Vec::new() };
                    let area = match child {
                        None => Some(&own.area),
                        Some(child) => match self.child(actor, child) {
                            Ok(process) => process.regions.get(region).map(|mapped| &mapped.area),
                            Err(_) => return Vec::new(),
                        },
                    };
                    let place = |index| area.map_or(Subject::Unknown, |area| place_in(area, index));
                    subjects.extend(few(sel.indices(own.area.pages())).map(place));
                }
            }
        }
        subjects
    }
}

/// The first pages of a selection, one more than are ever looked at. A program may select billions of pages.
fn few(pages: impl Iterator<Item = u32>) -> impl Iterator<Item = u32> {
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
