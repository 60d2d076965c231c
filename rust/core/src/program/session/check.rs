//! The audit of a session: every invariant of the machine, with the handles of all actors, and the
//! content of every page that the program wrote.

use super::Session;
use super::actor::{Actor, Hold, Mapped, Pool, Table};
use super::content::{Place, Reader, pool_word};
use super::step::{Problem, Step};
use crate::audit::{Auditor, Finding};
use crate::map::{Attributes, Entry, PinKind, Pte};
use crate::memory::WORDS;
use crate::page::{Flags, Pfn};
use crate::profile::AnonReuse;
use crate::program::Region;
use crate::release::Release;
use crate::stat::Event;

/// The rule that a read finds the content that was last written, before, during and after a
/// migration.
pub const CONTENT: &str = "content is what was last written";

/// The rule that a pin and its mapping are on the same page, which only one process maps.
pub const PINNED: &str = "a pinned page stays in its mapping";

/// The rule that a page does not migrate while a handle has a reference on it.
pub const HELD: &str = "a held page does not migrate";

/// The rule that a sync reports lost data, and that no second sync reports the same loss.
pub const LOSSES: &str = "a loss of data is told once";

impl<R: Release> Session<R> {
    /// Checks every invariant that holds at rest. `program` is the program's actor, after its
    /// threads were joined.
    pub fn check(&self, program: &Actor, auditor: &mut Auditor) -> Vec<Finding> {
        let shared = self.shared.lock();
        let handles = program.handles.for_audit().chain(shared.for_audit());
        let mut findings = auditor.audit(&self.machine, handles);
        drop(shared);
        self.check_content(program, &mut findings);
        self.check_snapshots(program, &mut findings);
        self.check_pools(program, &mut findings);
        self.check_blocks(program, &mut findings);
        self.check_pins(program, &mut findings);
        self.check_spaces(program, &mut findings);
        self.check_losses(program, &mut findings);
        findings
    }

    /// Checks that syncs report lost data of files, and report each loss once.
    fn check_losses(&self, program: &Actor, findings: &mut Vec<Finding>) {
        // Only the explorer counts losses exactly: the counters of other builds are no atomics.
        if !cfg!(feature = "explored") {
            return;
        }
        for (name, mapped) in self.names.regions.iter().chain(program.names.regions.iter()) {
            if let Some(wrong) = mapped.file.as_ref().and_then(|file| file.wrong_losses()) {
                let detail = format!("data of the file of {name} was lost, and {wrong}");
                findings.push(Finding { rule: LOSSES, pfn: None, detail });
            }
        }
    }

    /// Checks that as many address spaces exist as were made and have not ended.
    fn check_spaces(&self, program: &Actor, findings: &mut Vec<Finding>) {
        // The program's entry for a child replaces the set-up's entry.
        let before =
            self.names.children.iter().filter(|(child, _)| program.names.children.get(*child).is_none());
        let before = before.filter(|(_, process)| process.is_some()).count();
        let (spaces, due) = (self.machine.spaces().len(), 1 + before + program.names.living().count());
        if spaces != due {
            let detail = format!("{spaces} exist, but {due} have not ended");
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

    /// Checks every mapped page with known content. The check causes no fault and sets no accessed
    /// bit.
    fn check_content(&self, program: &Actor, findings: &mut Vec<Finding>) {
        for names in [&self.names, &program.names] {
            self.check_regions(program, self.space.id, &names.regions, findings);
            for process in names.living() {
                self.check_regions(program, process.space.id, &process.regions, findings);
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
            // A region has no pages beyond the end of its file.
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
                    // The audit checks the other kinds of entries.
                    _ => continue,
                };
                let (place, space_of_content) = (Place { region: *number, page }, mapped.content_of(space));
                let discarded = self.is_discarded(space, area, page, program.number);
                let freed = || program.content.is_freed(space_of_content, place, reader);
                if let Entry::Present { pfn, zero: false } = pte.entry()
                    && !discarded
                    && !freed()
                {
                    findings.extend(self.clean_although_written(pte, pfn, &words));
                }
                let (access, right) = program.content.check(space_of_content, place, &words, reader);
                if !right && !discarded && !file.as_ref().is_some_and(|file| file.lost_page(place.page)) {
                    findings.push(Finding {
                        rule: CONTENT,
                        pfn: self.machine.page_at(area, page),
                        detail: format!("{name}:{page} in address space {space} is {access}"),
                    });
                }
            }
        }
    }

    /// Reports a clean page with written anonymous content. The content exists nowhere else, so the
    /// page or the entry must be dirty. A page in the swap cache may be clean. A page that was
    /// freed lazily or read back from swap may be clean too, but does not show it; so nothing is reported
    /// once any page of the machine was freed lazily or read back.
    fn clean_although_written(&self, pte: Pte, pfn: Pfn, words: &[u64; WORDS]) -> Option<Finding> {
        let word = self.machine.frames()[self.machine.frames().head(pfn)].word();
        let dirty = pte.has(Pte::DIRTY) || word.any(Flags::DIRTY | Flags::SWAPCACHE);
        let events = self.machine.stats();
        let may_be_clean = || events.events(Event::Pglazyfree) + events.events(Event::Pswpin) > 0;
        if dirty || !word.has(Flags::ANON) || words.iter().all(|&word| word == 0) || may_be_clean() {
            return None;
        }
        Some(Finding { rule: "a written page is dirty", pfn: Some(pfn), detail: word.to_string() })
    }

    /// Checks that every pinned page is still mapped where it was pinned, and that no other process
    /// maps it. Otherwise the holder of the pin and the mapping would see different contents.
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

    /// Checks that no held page was migrated. Only for programs without forks, because a copy on
    /// write maps another page while the old page is held. References of threads are left out,
    /// because a thread may have taken a reference by a frame number (`try_get`) after another page
    /// had got the frame.
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

    /// Returns the finding if a pinned page is not mapped where it was pinned, or is shared.
    pub(super) fn wrong_pin(&self, actor: &Actor, pfn: Pfn) -> Option<Finding> {
        // Kernels that look at mappings alone may replace a pinned page by a copy, so nothing is
        // checked there.
        let kept = self.machine.profile().anon_reuse == AnonReuse::Exclusive;
        kept.then(|| self.wrong_page(actor, pfn, PINNED)).flatten()
    }

    /// Returns the finding if a region maps another page than the anonymous page that is held,
    /// unless the program discarded the page. Under the rule [`PINNED`] the mapped page must also be
    /// exclusive.
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
            // The record of discards is read last, because another thread may discard the page
            // meanwhile, and records the discard before it begins.
            if self.discarded.lock().contains_key(&(owner, index)) {
                return None;
            }
            let detail = format!("{name}:{index} is held as page {pfn}, but {wrong}");
            return Some(Finding { rule, pfn: Some(pfn), detail });
        }
        None
    }

    /// Checks that every movable page has the content that its owner wrote, in whatever frame the
    /// page is.
    fn check_pools(&self, program: &Actor, findings: &mut Vec<Finding>) {
        for names in [&self.names, &program.names] {
            for (name, Pool { number, pool, pages }) in names.pools.iter() {
                for (page, &which) in (0u32..).zip(pages.iter()) {
                    // A released page is not checked.
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
