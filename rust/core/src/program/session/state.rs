//! A session for the explorer: names of its words, and a fingerprint of its state.

use super::Session;
use super::actor::{Actor, Mapped, Names};
use crate::page::Pfn;
use crate::release::Release;
use std::hash::{Hash, Hasher};

impl<R: Release> Session<R> {
    /// Returns the name of the word at `address`. `actors` have the names that the threads defined.
    pub fn label<'a>(&self, address: usize, actors: impl IntoIterator<Item = &'a Actor>) -> Option<String> {
        let actors: Vec<&Actor> = actors.into_iter().collect();
        let names = || std::iter::once(&self.names).chain(actors.iter().map(|actor| &actor.names));
        let of_device = || names().find_map(|names| names.device.as_ref()?.field_at(address));
        let of_frame = self.word_of_frame(address);
        let of_region =
            || names().flat_map(regions).find_map(|(name, mapped)| word_of_region(&name, mapped, address));
        of_frame.or_else(of_region).or_else(of_device).or_else(|| self.machine.field_at(address))
    }

    /// Returns the name of a field of a page's record, or of a word of a page's content.
    fn word_of_frame(&self, address: usize) -> Option<String> {
        let frames = self.machine.frames();
        (0..frames.len()).map(Pfn).find_map(|pfn| {
            if let Some(field) = frames[pfn].field_at(address) {
                return Some(format!("page {pfn} {field}"));
            }
            let mut words = self.machine.memory().frame(pfn).into_iter().flatten();
            let word = words.position(|word| std::ptr::from_ref(word).addr() == address)?;
            Some(format!("page {pfn} byte {}", word * 8))
        })
    }

    /// Adds the pages' states to a hash that tells end states apart.
    pub fn fingerprint(&self, hash: &mut impl Hasher) {
        let frames = self.machine.frames();
        for pfn in (0..frames.len()).map(Pfn) {
            let page = &frames[pfn];
            (page.word().0, page.mapcount(), page.order()).hash(hash);
        }
        for (_, mapped) in self.names.regions.iter() {
            (0..mapped.area.pages()).for_each(|page| mapped.area.look(page).hash(hash));
        }
    }
}

/// Returns the regions of the program and of its children, with their names.
fn regions(names: &Names) -> impl Iterator<Item = (String, &Mapped)> {
    let own = names.regions.iter().map(|(name, mapped)| (name.to_string(), mapped));
    let children = names.children.iter().filter_map(|(child, process)| Some((child, process.as_ref()?)));
    let theirs = children.flat_map(|(child, process)| {
        process.regions.iter().map(move |(name, mapped)| (format!("{child}'s {name}"), mapped))
    });
    own.chain(theirs)
}

/// Returns the name of an entry of a region, of a word of the area, or of a word of the mapped
/// file.
fn word_of_region(name: &str, mapped: &Mapped, address: usize) -> Option<String> {
    let area = &mapped.area;
    if let Some(page) = (0..area.pages()).find(|&page| area.entry_key(page) == address) {
        return Some(format!("entry of {name}:{page}"));
    }
    if let Some(field) = area.field_at(address) {
        return Some(format!("{name}: {field}"));
    }
    Some(format!("file of {name}: {}", area.file()?.file.field_at(address)?))
}
