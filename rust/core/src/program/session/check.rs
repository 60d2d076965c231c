//! The audit of a session: every invariant of the machine, with everybody's handles, and the content
//! of every page that the program wrote.

use super::Session;
use super::actor::{Actor, Hold, Mapped, Pool, Table};
use super::content::{Place, Reader};
use super::pages::pool_word;
use super::step::{Problem, Step};
use crate::audit::{Auditor, Finding};
use crate::map::{Attributes, Entry, PinKind, Pte};
use crate::memory::WORDS;
use crate::page::{Flags, Pfn};
use crate::program::Region;
use crate::release::Release;
use crate::stat::Event;

/// The rule that what was last written is what is read, before, during and after any migration.
pub const CONTENT: &str = "content is what was last written";

/// The rule that a pin and the mapping that it was taken through are one page, of one process.
pub const PINNED: &str = "a pinned page stays in its mapping";

/// The rule that a page does not migrate while somebody has a reference to it.
pub const HELD: &str = "a held page does not migrate";

impl<R: Release> Session<R> {
    /// Checks everything that must hold when nobody is doing anything: `program` is the program, its
    /// threads have been joined.
    pub fn check(&self, program: &Actor, auditor: &mut Auditor) -> Vec<Finding> {
        let shared = self.shared.lock();
        let handles = program.handles.for_audit().chain(shared.for_audit());
        let mut findings = auditor.audit(&self.machine, handles);
        drop(shared);
        self.check_content(program, &mut findings);
        self.check_snapshots(program, &mut findings);
        self.check_pools(program, &mut findings);
        self.check_pins(program, &mut findings);
        self.check_spaces(program, &mut findings);
        findings
    }

    /// Of the address spaces that were made those are left that did not end.
    fn check_spaces(&self, program: &Actor, findings: &mut Vec<Finding>) {
        // What the program says of a child replaces what the set-up said.
        let before =
            self.names.children.iter().filter(|(child, _)| program.names.children.get(*child).is_none());
        let children = before.chain(program.names.children.iter()).filter(|(_, process)| process.is_some());
        let (spaces, due) = (self.machine.spaces().len(), 1 + children.count());
        if spaces != due {
            let detail = format!("{spaces} are there, {due} did not end");
            findings.push(Finding { rule: "an address space that ended is gone", pfn: None, detail });
        }
    }

    pub(super) fn audit_step(&self, actor: &Actor) -> Step {
        if actor.concurrent {
            return Step::refused(Problem::misuse(
                "an audit needs a quiet machine: it belongs before the threads, or into `finally`",
            ));
        }
        let findings = self.check(actor, &mut Auditor::default());
        let ret = if findings.is_empty() { 0 } else { -1 };
        Step { ret, findings, ..Step::default() }
    }

    /// Looks at every mapped page of which something is known, without touching it: no fault, no
    /// accessed bit.
    fn check_content(&self, program: &Actor, findings: &mut Vec<Finding>) {
        for names in [&self.names, &program.names] {
            self.check_regions(program, self.space.id, &names.regions, findings);
            for (_, child) in names.children.iter() {
                if let Some(process) = child {
                    self.check_regions(program, process.space.id, &process.regions, findings);
                }
            }
        }
    }

    fn check_regions(
        &self,
        program: &Actor,
        space: u32,
        regions: &Table<Region, Mapped>,
        findings: &mut Vec<Finding>,
    ) {
        let reader = Reader { number: program.number, concurrent: false, before: &self.content };
        for (name, mapped) in regions.iter() {
            let Mapped { number, area, file } = mapped;
            // Beyond the end of its file a region has nothing.
            let pages = file.as_ref().map_or(area.pages(), |file| file.pages().min(area.pages()));
            for page in 0..pages {
                if area.attributes(page).contains(Attributes::UNMAPPED) {
                    continue;
                }
                let pte = area.look(page);
                let words = match pte.entry() {
                    Entry::Present { pfn, zero: false } => {
                        std::array::from_fn(|word| self.machine.memory().load(pfn, word))
                    }
                    Entry::Swap { slot } => std::array::from_fn(|word| self.machine.swap_word(slot, word)),
                    Entry::None | Entry::Present { .. } => match file {
                        Some(file) => std::array::from_fn(|word| self.machine.file_word(file, page, word)),
                        None => [0; WORDS],
                    },
                    // The audit has something to say about these.
                    _ => continue,
                };
                let (place, space_of_content) = (Place { region: *number, page }, mapped.content_of(space));
                let given_up = self.given_up(space, area, page, program.number);
                let freed = || program.content.is_freed(space_of_content, place, reader);
                if let Entry::Present { pfn, zero: false } = pte.entry()
                    && !given_up
                    && !freed()
                {
                    findings.extend(self.clean_although_written(pte, pfn, &words));
                }
                let (access, right) = program.content.check(space_of_content, place, &words, reader);
                if !right && !given_up && !file.as_ref().is_some_and(|file| file.lost_page(place.page)) {
                    findings.push(Finding {
                        rule: CONTENT,
                        pfn: self.machine.page_at(area, page),
                        detail: format!("{name}:{page} in address space {space} is {access}"),
                    });
                }
            }
        }
    }

    /// Anonymous memory that somebody has written exists nowhere else: page or entry say that it is dirty, unless
    /// its owner gave it up, its swap slot has it, or it came back from swap: then whoever swaps it out again marks it.
    fn clean_although_written(&self, pte: Pte, pfn: Pfn, words: &[u64; WORDS]) -> Option<Finding> {
        let word = self.machine.frames()[self.machine.frames().head(pfn)].word();
        let dirty = pte.has(Pte::DIRTY) || word.any(Flags::DIRTY | Flags::SWAPCACHE);
        let events = self.machine.stats();
        let given_up = || events.events(Event::Pglazyfree) + events.events(Event::Pswpin) > 0;
        if dirty || !word.has(Flags::ANON) || words.iter().all(|&word| word == 0) || given_up() {
            return None;
        }
        Some(Finding { rule: "a written page is dirty", pfn: Some(pfn), detail: word.to_string() })
    }

    /// What is pinned stays where it was pinned, and no other process has it: whoever holds the pin sees
    /// what the mapping shows, and the other way round.
    fn check_pins(&self, program: &Actor, findings: &mut Vec<Finding>) {
        let shared = self.shared.lock();
        let pins = program.handles.iter().chain(shared.iter());
        let pinned: Vec<_> =
            pins.filter(|held| held.hold == Hold::Pin(PinKind::Pin)).map(|h| h.pfn).collect();
        drop(shared);
        for pfn in pinned {
            findings.extend(self.wrong_pin(program, pfn));
        }
    }

    /// What is held was not migrated away under its holder. For programs that fork nothing: a copy on
    /// write maps another page whoever holds the old one. And not for references that a thread has: it may
    /// have gone by a frame number (`try_get`) that meant another page by then.
    pub fn check_held(&self, program: &Actor, findings: &mut Vec<Finding>) {
        let plain = |hold: Hold, set_up: bool| match hold {
            Hold::Pin(PinKind::Pin) => false,
            Hold::Ref => set_up,
            hold => hold.references() > 0,
        };
        let shared = self.shared.lock();
        let threads = program.handles.iter().map(|held| (held, false));
        let handles = threads.chain(shared.iter().map(|held| (held, true)));
        let kept = handles.filter(|(held, set_up)| plain(held.hold, *set_up));
        let kept: Vec<_> = kept.map(|(held, _)| held.pfn).collect();
        drop(shared);
        for pfn in kept {
            findings.extend(self.wrong_page(program, pfn, HELD));
        }
    }

    /// What is wrong with a pin that somebody holds, if anything.
    pub(super) fn wrong_pin(&self, actor: &Actor, pfn: Pfn) -> Option<Finding> {
        self.wrong_page(actor, pfn, PINNED)
    }

    /// An anonymous page that is held is the one that its region maps, unless the program dropped it there.
    fn wrong_page(&self, actor: &Actor, pfn: Pfn, rule: &'static str) -> Option<Finding> {
        let frames = self.machine.frames();
        let page = &frames[pfn];
        let head = frames.head(pfn);
        let (owner, index) = (frames[head].owner(), frames[head].index() + (pfn.0 - head.0));
        let regions = [&self.names, &actor.names].into_iter().flat_map(|names| names.regions.iter());
        let owned = |mapped: &Mapped| owner != 0 && mapped.area.anon.0 == owner;
        for (name, Mapped { area, .. }) in regions.filter(|(_, mapped)| owned(mapped)) {
            if index >= area.pages() || area.attributes(index).contains(Attributes::UNMAPPED) {
                continue;
            }
            let wrong = match area.look(index).entry() {
                Entry::Present { pfn: mapped, .. } if mapped != pfn => format!("page {mapped} is mapped"),
                Entry::Present { .. } if rule == PINNED && !page.word().has(Flags::ANON_EXCLUSIVE) => {
                    "it is shared".into()
                }
                _ => continue,
            };
            // Asked last: another thread may give the page up while this one looks, and says so first.
            if self.given_up.lock().contains_key(&(owner, index)) {
                return None;
            }
            let detail = format!("{name}:{index} is held as page {pfn}, but {wrong}");
            return Some(Finding { rule, pfn: Some(pfn), detail });
        }
        None
    }

    /// A movable page holds what its owner was given, wherever it is by now.
    fn check_pools(&self, program: &Actor, findings: &mut Vec<Finding>) {
        for names in [&self.names, &program.names] {
            for (name, Pool { number, pool, pages }) in names.pools.iter() {
                for (page, &which) in (0u32..).zip(pages.iter()) {
                    // What was released is nobody's concern.
                    let Ok(pfn) = pool.pfn(which) else { continue };
                    let right =
                        |word| self.machine.memory().load(pfn, word) == pool_word(*number, page, word);
                    if !(0..WORDS).all(right) {
                        let detail = format!("{name}:{page} is not what its owner wrote");
                        findings.push(Finding { rule: CONTENT, pfn: Some(pfn), detail });
                    }
                }
            }
        }
    }
}
