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
//! Thread `u` announces its step `k` when it has taken its previous step, and takes `k` later. As in the
//! paper, each state in which `k` is announced pairs `k` with one step of each other thread `v`: with the
//! last step of `v` before that state on which `k` depends. So `k` is paired with each step of `v` after
//! `u`'s previous step on which `k` depends, and with the last such step before `u`'s previous step.
//!
//! An announcement names one object. Plain writes, and further accesses that a thread makes before
//! its next step, are known only afterwards; they count as accesses of the step before them. The
//! same holds where the core records that an event has begun or ended, or looks at these records:
//! an invariant about a span of time depends on the order of records and looks.

use super::node::Node;
use crate::sync::explored::{ByAddress, Kind, Runtime, THREADS};

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

/// The accesses that a search has seen in the path that it follows. Two schedules one after the other have a
/// prefix in common, and the accesses of the prefix are kept from the one to the next.
#[derive(Debug, Default)]
pub(super) struct Reduction {
    /// The accesses in order, each with the number of its object.
    touches: Vec<(Touch, usize)>,
    /// The number of each object, by its address.
    places: ByAddress<usize>,
    /// The steps that accessed each object, by the object's number and the thread.
    objects: Vec<[Vec<(u32, Kind)>; THREADS]>,
    /// For each step, the first step of its stretch.
    stretch: Vec<u32>,
    /// One more than the highest number of a thread that was seen.
    threads: usize,
}

/// An access to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Touch {
    address: usize,
    step: u32,
    thread: u8,
    kind: Kind,
}

/// The most addresses that are kept. Each schedule makes objects at new addresses, so without a limit the
/// table would grow for ever.
const MOST_PLACES: usize = 1 << 16;

impl Reduction {
    /// Marks in `path` the alternatives that the steps from `from` on require. The steps before
    /// `from` were analysed in an earlier schedule.
    pub fn analyse(&mut self, runtime: &Runtime, path: &mut [Node], from: usize) {
        if self.places.len() > MOST_PLACES {
            *self = Reduction::default();
        }
        self.stretch.clear();
        self.keep(self.touches.partition_point(|(touch, _)| (touch.step as usize) < from));
        runtime.analysis(|_, accesses| {
            let mut attached = accesses.iter().skip_while(|access| access.after == 0).peekable();
            let mut previous: [Option<u32>; THREADS] = [None; THREADS];
            // The number of accesses so far. An access of the prefix equals the kept access of this number,
            // unless the schedule made the object itself: then its address may differ.
            let mut number = 0;
            for (index, step) in runtime.log().enumerate() {
                let same = index > 0 && path[index - 1].chosen == path[index].chosen;
                self.stretch.push(if same { self.stretch[index - 1] } else { index as u32 });
                let is_new = index >= from;
                let (index, thread) = (index as u32, step.thread);
                self.threads = self.threads.max(usize::from(thread) + 1);
                let mut touch = |kind, address| {
                    let touch = Touch { address, step: index, thread, kind };
                    if self.touches.get(number).is_none_or(|(kept, _)| *kept != touch) {
                        self.keep(number);
                        let object = self.object_at(address);
                        if is_new {
                            self.conflicts(path, touch, object, previous[usize::from(thread)]);
                        }
                        self.touches.push((touch, object));
                        self.objects[object][usize::from(thread)].push((index, kind));
                    }
                    number += 1;
                };
                touch(step.kind, step.address);
                while let Some(access) = attached.next_if(|access| access.after == index + 1) {
                    touch(access.kind, access.address);
                }
                previous[usize::from(thread)] = Some(index);
            }
            self.keep(number);
        });
    }

    /// Drops all accesses behind the first `number`.
    fn keep(&mut self, number: usize) {
        for (touch, object) in self.touches.drain(number..) {
            self.objects[object][usize::from(touch.thread)].pop();
        }
    }

    /// The number of the object at an address.
    fn object_at(&mut self, address: usize) -> usize {
        let next = self.objects.len();
        let object = *self.places.entry(address).or_insert(next);
        if object == next {
            self.objects.push(Default::default());
        }
        object
    }

    /// Marks the alternatives that an access requires. `previous` is the last step of the same thread
    /// before it.
    fn conflicts(&self, path: &mut [Node], touch: Touch, object: usize, previous: Option<u32>) {
        if touch.kind.is_local() {
            return;
        }
        for (other, accesses) in self.objects[object][..self.threads].iter().enumerate() {
            if other == usize::from(touch.thread) {
                continue;
            }
            let conflicting = accesses.iter().rev().filter(|(_, kind)| dependent(*kind, touch.kind));
            for &(earlier, _) in conflicting {
                self.try_before(path, earlier, touch.thread);
                // The step at `earlier` was taken while `k` was announced already. In the states before it
                // an earlier step of the same thread is the last dependent one, so the walk goes on. The
                // walk ends with the first step that lies before `u`'s own previous step.
                if previous.is_some_and(|previous| earlier < previous) {
                    break;
                }
            }
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
