//! The model of the explored build. The vectors lie in the locks of the real lists and batches, so that the
//! model is restored with the real ones after each schedule. A vector is shared until a schedule changes it.

use super::Verb;
use crate::page::{Flags, Frames, List, Pfn};
use crate::sync::explored::{checks_all, glance};
use crate::sync::{broken, thread_slot};
use std::cell::RefCell;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Lists with more pages than this are compared by their lengths and their two ends alone.
const LONG: usize = 64;

/// The model of a node's lists: head first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lists(Arc<Vec<Vec<Pfn>>>);

/// The digest of an end state leaves the model out. Where everything is checked, the model equals the real
/// lists; elsewhere it does not follow them.
impl Hash for Lists {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl Lists {
    fn list(&mut self, number: usize) -> &mut Vec<Pfn> {
        let lists = Arc::make_mut(&mut self.0);
        if lists.len() <= number {
            lists.resize_with(number + 1, Vec::new);
        }
        &mut lists[number]
    }

    fn forget(&mut self, pfn: Pfn) {
        for list in Arc::make_mut(&mut self.0) {
            list.retain(|&listed| listed != pfn);
        }
    }

    /// Reports the change of a page. `place` is the number of the list that the page's flags name now, and
    /// the real list; `None` if they name the unevictable list, or under `mglru` no generation.
    pub(crate) fn tell(&mut self, frames: &Frames, verb: Verb, pfn: Pfn, place: Option<(usize, &List)>) {
        if !checks_all() {
            return;
        }
        let stays = match verb {
            Verb::Activated(word) => word.any(Flags::ACTIVE | Flags::UNEVICTABLE),
            Verb::FileDeactivated(word) => word.has(Flags::UNEVICTABLE),
            _ => false,
        };
        if !stays {
            self.forget(pfn);
            if let Some((number, _)) = place {
                self.place(verb, number, pfn);
            }
        }
        if let Some((number, real)) = place {
            self.compare(frames, verb, pfn, number, real);
        }
    }

    fn place(&mut self, verb: Verb, number: usize, pfn: Pfn) {
        let list = self.list(number);
        let at = match verb {
            Verb::Removed => return,
            Verb::Added | Verb::Activated(_) | Verb::Deactivated | Verb::Spared | Verb::Promoted => 0,
            Verb::Rotated | Verb::Younger => list.len(),
            // Reclaim could not free a dirty page at once, so such a page waits longer.
            Verb::FileDeactivated(word) if word.any(Flags::DIRTY | Flags::WRITEBACK) => 0,
            Verb::FileDeactivated(_) => list.len(),
            Verb::SplitFrom(head) => match list.iter().position(|&listed| listed == head) {
                Some(at) => at,
                None => broken(RULE, format_args!("page {head} is split on a list where it is not")),
            },
        };
        list.insert(at, pfn);
    }

    fn compare(&mut self, frames: &Frames, verb: Verb, pfn: Pfn, number: usize, real: &List) {
        let model = self.list(number);
        let outline = (real.len() as usize, real.head(), real.tail());
        let same = outline == (model.len(), model.first().copied(), model.last().copied())
            && (model.len() > LONG || glance(|| real.iter(frames).eq(model.iter().copied())));
        if !same {
            let real: Vec<Pfn> = glance(|| real.iter(frames).take(LONG).collect());
            let shown =
                |list: &[Pfn]| list.iter().take(LONG).map(Pfn::to_string).collect::<Vec<_>>().join(" ");
            broken(
                RULE,
                format_args!(
                    "{verb:?} of page {pfn}: list {number} is [{}], and should be [{}]",
                    shown(&real),
                    shown(model)
                ),
            );
        }
    }

    /// Tells that the pages of the oldest generation join the next one, where reclaim takes them first.
    pub(crate) fn join(&mut self, from: usize, into: usize) {
        if checks_all() {
            let pages = std::mem::take(self.list(from));
            self.list(into).extend(pages);
        }
    }

    /// The pages that a scan of a list must meet, in their order.
    pub(crate) fn scan(&self, list: usize) -> Scan {
        let pages = checks_all().then(|| self.0.get(list).cloned().unwrap_or_default());
        Scan { left: pages }
    }
}

/// The rule of the lists.
const RULE: &str = "a list has the order of its operations";

/// A scan of a list, from its tail on.
#[derive(Debug)]
pub(crate) struct Scan {
    /// The pages that the scan has not met, head first; `None` if it is not checked.
    left: Option<Vec<Pfn>>,
}

impl Scan {
    /// Tells that the scan meets a page.
    pub(crate) fn meets(&mut self, pfn: Pfn) {
        if let Some(left) = &mut self.left
            && left.pop() != Some(pfn)
        {
            broken(RULE, format_args!("a scan meets page {pfn}, which is not the next one from the tail"));
        }
    }
}

impl Scan {
    /// Tells that the scan has moved a page to the head of its list.
    pub(crate) fn spares(&mut self, pfn: Pfn) {
        if let Some(left) = &mut self.left {
            left.insert(0, pfn);
        }
    }
}

/// The model of a CPU's batches: the oldest page first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queues(Arc<Vec<Vec<Pfn>>>);

/// As for [`Lists`].
impl Hash for Queues {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl Queues {
    fn batch(&mut self, number: usize) -> &mut Vec<Pfn> {
        let batches = Arc::make_mut(&mut self.0);
        if batches.len() <= number {
            batches.resize_with(number + 1, Vec::new);
        }
        &mut batches[number]
    }

    /// Tells that a page waits in a batch.
    pub(crate) fn queue(&mut self, batch: usize, pfn: Pfn) {
        if checks_all() {
            self.batch(batch).push(pfn);
        }
    }
}

/// A drain under way.
#[derive(Debug)]
struct Drain {
    thread: usize,
    cpu: usize,
    batch: usize,
    /// The pages that wait, the next one last.
    left: Vec<Pfn>,
}

thread_local! {
    static DRAINS: RefCell<Vec<Drain>> = const { RefCell::new(Vec::new()) };
}

/// The rule of the batches.
const DRAINED: &str = "a batch is drained in the order in which it was filled";

/// Forgets the drains of a schedule that was broken off.
pub(crate) fn clear() {
    DRAINS.take();
}

/// Tells that the calling thread begins to drain a batch of a CPU.
pub(crate) fn note_drain_start(queues: &mut Queues, cpu: usize, batch: usize) {
    if checks_all() {
        let mut left = std::mem::take(queues.batch(batch));
        left.reverse();
        let thread = thread_slot();
        DRAINS.with_borrow_mut(|drains| drains.push(Drain { thread, cpu, batch, left }));
    }
}

fn with_drain<T>(cpu: usize, batch: usize, f: impl FnOnce(&mut Vec<Drain>, Option<usize>) -> T) -> T {
    let me = thread_slot();
    let mine = |drain: &Drain| (drain.thread, drain.cpu, drain.batch) == (me, cpu, batch);
    DRAINS.with_borrow_mut(|drains| {
        let at = drains.iter().rposition(mine);
        f(drains, at)
    })
}

/// Tells that the drain takes care of a page.
pub(crate) fn drains(cpu: usize, batch: usize, pfn: Pfn) {
    if !checks_all() {
        return;
    }
    let next = with_drain(cpu, batch, |drains, at| at.and_then(|at| drains[at].left.pop()));
    if next != Some(pfn) {
        let next = next.map_or_else(|| "no page".into(), |next| format!("page {next}"));
        broken(DRAINED, format_args!("page {pfn} of batch {batch} of CPU {cpu}, where {next} is next"));
    }
}

/// Tells that the drain of a batch has ended.
pub(crate) fn drain_ended(cpu: usize, batch: usize) {
    if !checks_all() {
        return;
    }
    let left = with_drain(cpu, batch, |drains, at| at.map(|at| drains.remove(at).left));
    if let Some(pfn) = left.and_then(|left| left.last().copied()) {
        broken(DRAINED, format_args!("page {pfn} of batch {batch} of CPU {cpu} is left"));
    }
}
