//! Bounded partial-order reduction: the alternatives that an exhaustive search must try.
//!
//! Coons, Musuvathi, McKinley, "Bounded partial-order reduction", OOPSLA 2013. Two steps are
//! dependent if they touch the same object, at least one of them changes it, and there is a state
//! in which either of them could be the next step. Wherever a step `k` of thread `u` depends on an
//! earlier step `i` of thread `v`, the search must also try `u` before `i`.
//!
//! Under a bound on preemptions these alternatives do not suffice. The schedule with `u` right
//! before `i` may need one preemption more than a schedule that switches to `u` earlier, where the
//! threads switch anyway. A *stretch* is a maximal run of steps of one thread. The search therefore
//! also tries `u` before the first step of the stretch that `i` is in or, if `i` is the first step
//! of a stretch, before the first step of the previous stretch. The paper calls these places
//! conservative points. Sleep sets are not used, because they are unsound under a bound.
//!
//! Thread `u` announces its step `k` when it has taken its previous step, and takes `k` later. As
//! in the paper, `k` is paired with a step of each other thread `v` in each state in which `k` is
//! announced: among the steps of `v` before that state, with the last one on which `k` depends. Together
//! these are all steps of `v` after `u`'s previous step on which `k` depends, and the last one before it.
//!
//! An announcement names one object. Plain writes, and further accesses that a thread makes before
//! its next step, are known only afterwards; they count as accesses of the step before them. The
//! same holds where the core records that an event has begun or ended, or looks at these records:
//! an invariant about a span of time depends on the order of records and looks.

use super::address::ByAddress;
use super::node::Node;
use crate::sync::explored::{Kind, Runtime, THREADS, Threads};

/// Returns true if the order of the two steps matters, and there is a state in which either could be next.
fn dependent(earlier: Kind, later: Kind) -> bool {
    use Kind::{Lock, ReadLock, ReadUnlock, Unlock};
    match (earlier, later) {
        (a, b) if a.is_local() || b.is_local() => false,
        (a, b) if a.reads_only() && b.reads_only() => false,
        (Kind::Note, Kind::Note) => false,
        // Readers do not affect each other.
        (ReadLock | ReadUnlock, ReadLock | ReadUnlock) => false,
        // There is no state in which either could be next. A lock that the earlier step releases
        // was not free before that step, so no other thread could take it. A thread that releases
        // a lock holds it, and the later thread did not hold it when the earlier step was next.
        (Unlock | ReadUnlock, Lock) | (Unlock, ReadLock) => false,
        (Lock | ReadLock | Unlock | ReadUnlock, Unlock | ReadUnlock) => false,
        _ => true,
    }
}

/// The accesses to one object so far: step, thread, kind.
type Accesses = Vec<(u32, u8, Kind)>;

/// The tables of an analysis, whose memory is used again for the next schedule.
#[derive(Debug, Default)]
pub(super) struct Reduction {
    objects: Objects,
    /// For each step, the first step of its stretch.
    stretch: Vec<u32>,
}

/// Accesses by object.
#[derive(Debug, Default)]
struct Objects {
    places: ByAddress<u32>,
    lists: Vec<Accesses>,
    used: usize,
}

impl Objects {
    fn clear(&mut self) {
        self.places.clear();
        self.lists[..self.used].iter_mut().for_each(Vec::clear);
        self.used = 0;
    }

    fn at(&mut self, address: usize) -> &mut Accesses {
        let place = *self.places.entry(address).or_insert_with(|| {
            self.used += 1;
            if self.lists.len() < self.used {
                self.lists.push(Vec::new());
            }
            self.used as u32 - 1
        });
        &mut self.lists[place as usize]
    }
}

impl Reduction {
    /// Marks in `path` the alternatives that the steps from `from` on require. The steps before
    /// `from` were analysed in an earlier schedule.
    pub fn analyse(&mut self, runtime: &Runtime, path: &mut [Node], from: usize) {
        self.objects.clear();
        self.stretch.clear();
        for (step, node) in path.iter().enumerate() {
            let same = step > 0 && path[step - 1].chosen == node.chosen;
            let start = if same { self.stretch[step - 1] } else { step as u32 };
            self.stretch.push(start);
        }
        runtime.analysis(|_, accesses| {
            let mut attached = accesses.iter().skip_while(|access| access.after == 0).peekable();
            let mut previous: [Option<u32>; THREADS] = [None; THREADS];
            for (index, step) in runtime.log().enumerate() {
                let index = index as u32;
                let thread = step.thread;
                let mut touch = |kind, address| {
                    if index as usize >= from {
                        self.conflicts(path, index, thread, previous[thread as usize], kind, address);
                    }
                    self.objects.at(address).push((index, thread, kind));
                };
                touch(step.kind, step.address);
                while let Some(access) = attached.next_if(|access| access.after == index + 1) {
                    touch(access.kind, access.address);
                }
                previous[thread as usize] = Some(index);
            }
        });
    }

    fn conflicts(
        &mut self,
        path: &mut [Node],
        index: u32,
        thread: u8,
        previous: Option<u32>,
        kind: Kind,
        address: usize,
    ) {
        if kind.is_local() {
            return;
        }
        let mut found: Threads = 1 << thread;
        for place in (0..self.objects.at(address).len()).rev() {
            let (earlier, other, access) = self.objects.at(address)[place];
            if earlier == index || found & 1 << other != 0 || !dependent(access, kind) {
                continue;
            }
            self.try_before(path, earlier, thread);
            // The step at `earlier` was taken while `k` was announced already. In the states before it
            // an earlier step of the same thread is the last dependent one, so the walk goes on. The walk
            // ends with the first step that lies before `u`'s own previous step.
            if previous.is_none_or(|previous| earlier > previous) {
                continue;
            }
            found |= 1 << other;
        }
    }

    /// Requires `thread` to be tried before `step`, and before the first step of its stretch or, if
    /// `step` is the first, of the stretch before it. Where `thread` cannot run, all threads that
    /// can are tried instead.
    fn try_before(&self, path: &mut [Node], step: u32, thread: u8) {
        let add = |node: &mut Node| {
            let me = 1 << thread;
            node.todo |= if node.runnable & me != 0 { me } else { node.runnable };
        };
        add(&mut path[step as usize]);
        let start = self.stretch[step as usize];
        if start < step {
            add(&mut path[start as usize]);
        } else if step > 0 {
            add(&mut path[self.stretch[step as usize - 1] as usize]);
        }
    }
}
