//! Which alternatives an exhaustive search must try: bounded partial-order reduction.
//!
//! Coons, Musuvathi, McKinley, "Bounded partial-order reduction", OOPSLA 2013. Two steps are
//! dependent if they touch the same object and at least one changes it, and both could be next at
//! once. Wherever a step `k` of thread `u` depends on an earlier step `i` of thread `v`, the
//! search must also try `u` before `i`. That alone is unsound under a bound on preemptions: the
//! schedule with `u` before `i` may need one preemption more than one that switches to `u`
//! earlier, where a switch happened anyway. So `u` is also tried where `v`'s stretch began, and,
//! if `i` itself begins one, where the stretch before it began: the paper's conservative points.
//! Sleep sets, which are unsound under a bound, are not used.
//!
//! Following the paper, the pairs are: for each thread `v`, the last dependent step before `k`,
//! as seen from each state in which `k` was announced. So all of them after `u`'s own previous
//! step, and the last one before that. Of what a thread has announced only its object is known;
//! plain writes and what runs within a step count as the step's own accesses. So do the notes of what is
//! under way and the looks at them: a promise about a span of time is a relation between steps too.

use super::exhaust::Node;
use crate::sync::explored::{Kind, Runtime, THREADS, Threads};

/// Could the two be next at once, and does their order matter?
fn dependent(earlier: Kind, later: Kind) -> bool {
    use Kind::{Lock, ReadLock, ReadUnlock, Unlock};
    match (earlier, later) {
        (a, b) if a.is_local() || b.is_local() => false,
        (a, b) if a.reads_only() && b.reads_only() => false,
        (Kind::Note, Kind::Note) => false,
        // Readers do not disturb each other.
        (ReadLock | ReadUnlock, ReadLock | ReadUnlock) => false,
        // Never next at once: who waits for the lock waits for this very step, and who lets it go
        // held it all the time.
        (Unlock | ReadUnlock, Lock) | (Unlock, ReadLock) => false,
        (Lock | ReadLock | Unlock | ReadUnlock, Unlock | ReadUnlock) => false,
        _ => true,
    }
}

/// Accesses of one object so far: step, thread, what.
type Accesses = Vec<(u32, u8, Kind)>;

/// Scratch space, reused from schedule to schedule.
#[derive(Debug, Default)]
pub(super) struct Reduction {
    objects: Objects,
    /// First step of the stretch that each step belongs to.
    stretch: Vec<u32>,
}

/// Accesses by object.
#[derive(Debug, Default)]
struct Objects {
    places: std::collections::HashMap<usize, u32, std::hash::BuildHasherDefault<AddressHasher>>,
    lists: Vec<Accesses>,
    used: usize,
}

/// Addresses are spread well enough by one multiplication.
#[derive(Debug, Default)]
struct AddressHasher(u64);

impl std::hash::Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_usize(byte.into()));
    }
    fn write_usize(&mut self, n: usize) {
        self.0 = (self.0 ^ n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }
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
    /// Notes in `path` what the steps from `from` on ask to be tried. The steps before it are
    /// those of the schedule before.
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
            let (earlier, other, what) = self.objects.at(address)[place];
            if earlier == index || found & 1 << other != 0 || !dependent(what, kind) {
                continue;
            }
            self.try_before(path, earlier, thread);
            // Announced before that step: from later states, later steps were the last; from
            // the state after the thread's own previous step, this one was.
            if previous.is_none_or(|previous| earlier > previous) {
                continue;
            }
            found |= 1 << other;
        }
    }

    /// `thread` is to be tried before `step`, and where a switch happened anyway.
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
