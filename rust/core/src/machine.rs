//! A machine: nodes, CPUs, page records, counters. The rooms add their verbs to it.

mod size;
mod threads;

pub use size::{node_frames, parse_size};
pub use threads::{enter_thread, reserve_threads, too_many_threads};

use crate::alloc::{Pcp, Zone};
use crate::calls::{Recorder, Recording};
use crate::error::{Errno, Error, Result};
use crate::failure::Failure;
use crate::lru::{Batches, Lruvec};
use crate::map::{Spaces, SwapSpace, Tlb};
use crate::memory::Memory;
use crate::owner::Owners;
use crate::page::{Frames, PAGE_SIZE, Page, Pfn};
use crate::profile::Profile;
use crate::release::Release;
use crate::stat::Stats;
use crate::sync::{AtomicU32, Lock, LockClass, MAX_THREADS, Ordering, PlainU32, thread_slot};
use crossbeam_utils::CachePadded;

/// Nodes a machine can have.
pub const MAX_NODES: usize = 8;
/// CPUs a machine can have.
pub const MAX_CPUS: usize = 64;
/// Frames a machine can have: what a frame number and the links can name.
pub const MAX_FRAMES: u64 = 1 << 28;

/// One node's size and, for reports, its latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    /// Page frames.
    pub frames: u32,
    /// Modelled access time in nanoseconds; both nodes are this host's DRAM, so reports multiply.
    pub latency_ns: u32,
}

/// What a machine is made of.
#[derive(Clone, Debug)]
pub struct Config {
    /// The nodes, fastest first.
    pub nodes: Vec<NodeConfig>,
    /// Per-CPU contexts.
    pub cpus: usize,
    /// Real bytes, or records only.
    pub backed: bool,
    /// Nodes, by number, that are only for movable pages (online_movable): lasting pins move their pages off.
    pub movable: Vec<usize>,
    /// Which kernel this is.
    pub profile: Profile,
    /// Owner slots reserved (address spaces' reverse maps, files, drivers).
    pub owners: usize,
    /// Record the protocol's calls from the beginning ([`crate::calls`]).
    pub calls: bool,
}

impl Config {
    /// Equal nodes of `frames` frames, backed, two CPUs, the default profile.
    pub fn new(nodes: usize, frames: u32) -> Config {
        Config {
            nodes: vec![NodeConfig { frames, latency_ns: NodeConfig::LATENCY_NS }; nodes],
            cpus: 2,
            backed: true,
            movable: Vec::new(),
            profile: Profile::default(),
            owners: 1 << 16,
            calls: false,
        }
    }
}

/// A NUMA node: a range of frames with its allocator and its LRU lists.
#[derive(Debug)]
pub struct Node {
    /// First frame.
    pub base: Pfn,
    /// Number of frames.
    pub frames: u32,
    /// Modelled access time.
    pub latency_ns: u32,
    /// It is only for movable pages.
    pub movable: bool,
    pub(crate) zone: CachePadded<Lock<Zone>>,
    pub(crate) lruvec: CachePadded<Lock<Lruvec>>,
    /// Advances with each page that is evicted or activated: what refault distances are measured in.
    pub(crate) nonresident_age: AtomicU32,
}

/// A per-CPU context. User space cannot disable preemption, so each part has a lock; several
/// threads may share a CPU.
#[derive(Debug)]
pub struct Cpu {
    pub(crate) batches: CachePadded<Lock<Batches>>,
    /// Free frames, by node.
    pub(crate) pcp: Box<[CachePadded<Lock<Pcp>>]>,
}

/// The whole: see the fields. `R` is the release design, the one compile-time choice.
pub struct Machine<R: Release> {
    pub(crate) profile: Profile,
    pub(crate) frames: Frames,
    pub(crate) memory: Memory,
    pub(crate) nodes: Box<[Node]>,
    /// First frame of each node; nodes that do not exist begin beyond every frame.
    bases: [u32; MAX_NODES],
    pub(crate) cpus: Box<[CachePadded<Cpu>]>,
    pub(crate) owners: Owners<R>,
    pub(crate) tlb: Tlb,
    pub(crate) spaces: Spaces,
    /// The swap space, if there is one.
    pub(crate) swap: SwapSpace,
    /// What memory failure keeps.
    pub(crate) failure: Failure,
    pub(crate) stats: Stats,
    /// Who keeps the LRU batches disabled.
    pub(crate) lru_disabled: CachePadded<AtomicU32>,
    /// One drain of all CPUs at a time.
    pub(crate) lru_drain: CachePadded<Lock<()>>,
    /// Counts them, so that who waited for one need not do another.
    pub(crate) lru_drains: CachePadded<AtomicU32>,
    /// CPU + 1 of each thread slot, 0 while none is chosen.
    bindings: Box<[PlainU32; MAX_THREADS]>,
    /// Threads that were given a CPU by order of arrival.
    arrivals: AtomicU32,
    /// Where calls are recorded, if they are.
    pub(crate) recorder: Recording,
    /// What the design keeps a machine.
    pub(crate) design: R::State,
}

impl<R: Release> Machine<R> {
    /// Which word of the machine itself is at `address`, for traces: not of its pages, areas or files.
    pub fn field_at(&self, address: usize) -> Option<String> {
        let fields = [
            (&*self.lru_disabled, "callers that keep the LRU batches disabled"),
            (&*self.lru_drains, "drains of all CPUs so far"),
            (&self.arrivals, "threads that were given a CPU"),
        ];
        let at = |word: &AtomicU32| std::ptr::from_ref(word).addr() == address;
        let own = fields.iter().find(|(word, _)| at(word)).map(|(_, name)| (*name).to_owned());
        let cpu = || {
            let slot = self.bindings.iter().position(|word| std::ptr::from_ref(word).addr() == address)?;
            Some(format!("cpu of thread {slot}"))
        };
        let age = || {
            Some(format!(
                "refault clock of node {}",
                self.nodes.iter().position(|node| at(&node.nonresident_age))?
            ))
        };
        let recorder =
            || self.recorder.get()?.is_at(address).then(|| "whether calls are recorded".to_owned());
        let tlb = || self.tlb.field_at(address);
        own.or_else(cpu).or_else(age).or_else(recorder).or_else(tlb).or_else(|| self.swap.field_at(address))
    }

    /// Builds a machine. Costs address space; frames cost memory when they are used.
    ///
    /// `EINVAL` with the reason if the configuration makes no sense; `ENOMEM` if the host refuses.
    pub fn new(config: &Config) -> Result<Machine<R>> {
        let invalid = |why: String| Err(Error::new(Errno::EINVAL, why));
        if !(1..=MAX_NODES).contains(&config.nodes.len()) {
            return invalid(format!("a machine has 1 to {MAX_NODES} nodes, not {}", config.nodes.len()));
        }
        if !(1..=MAX_CPUS).contains(&config.cpus) {
            return invalid(format!("a machine has 1 to {MAX_CPUS} CPUs, not {}", config.cpus));
        }
        if let Some(empty) = config.nodes.iter().position(|node| node.frames == 0) {
            return invalid(format!("node {empty} has no frames"));
        }
        let total: u64 = config.nodes.iter().map(|node| u64::from(node.frames)).sum();
        if total > MAX_FRAMES {
            return invalid(format!(
                "{total} frames are more than the {MAX_FRAMES} ({} GiB) a machine can have",
                (MAX_FRAMES * PAGE_SIZE as u64) >> 30
            ));
        }
        if !R::serves(config.profile.release) {
            return invalid(format!(
                "the profile asks for release design {}, this machine is built for {}",
                config.profile.release,
                R::DESIGN
            ));
        }
        let mut base = Pfn(0);
        if let Some(node) = config.movable.iter().find(|&&node| node >= config.nodes.len()) {
            return invalid(format!("no node {node} to be for movable pages only"));
        }
        if (0..config.nodes.len()).all(|node| config.movable.contains(&node)) {
            return invalid(
                "not all nodes can be for movable pages only: a lasting pin needs another".into(),
            );
        }
        let nodes = config.nodes.iter().enumerate().map(|(number, node)| {
            let first = base;
            base = base.plus(node.frames);
            Node {
                base: first,
                frames: node.frames,
                latency_ns: node.latency_ns,
                movable: config.movable.contains(&number),
                zone: CachePadded::new(Lock::plain(LockClass::Zone, Zone::new(first, node.frames))),
                lruvec: CachePadded::new(Lock::plain(
                    LockClass::Lruvec,
                    Lruvec::new(config.profile.lru_policy),
                )),
                nonresident_age: AtomicU32::new(0),
            }
        });
        let nodes: Box<[Node]> = nodes.collect();
        let pcp = |node: &Node| CachePadded::new(Lock::plain(LockClass::Pcp, Pcp::for_node(node.frames)));
        let cpu = || {
            CachePadded::new(Cpu {
                batches: CachePadded::new(Lock::plain(LockClass::Batch, Batches::default())),
                pcp: nodes.iter().map(pcp).collect(),
            })
        };
        let mut bases = [u32::MAX; MAX_NODES];
        for (base, node) in bases.iter_mut().zip(&nodes) {
            *base = node.base.0;
        }
        let memory = match config.backed {
            true => Memory::backed(total as u32)?,
            false => Memory::unbacked(),
        };
        Ok(Machine {
            profile: config.profile.clone(),
            frames: Frames::new(total as u32)?,
            memory,
            cpus: (0..config.cpus).map(|_| cpu()).collect(),
            owners: Owners::new(config.owners)?,
            tlb: Tlb::new(),
            spaces: Spaces::new(),
            swap: SwapSpace::new(),
            failure: Failure::new(),
            stats: Stats::new(nodes.len()),
            nodes,
            bases,
            lru_disabled: CachePadded::new(AtomicU32::new(0)),
            lru_drain: CachePadded::new(Lock::plain(LockClass::BatchControl, ())),
            lru_drains: CachePadded::new(AtomicU32::new(0)),
            bindings: Box::new(std::array::from_fn(|_| PlainU32::new(0))),
            arrivals: AtomicU32::new(0),
            recorder: Recorder::of(config.calls),
            design: R::State::default(),
        })
    }

    /// The machine's choices.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The nodes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Number of CPUs.
    pub fn cpu_count(&self) -> usize {
        self.cpus.len()
    }

    /// The striped counters.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// All frames' records.
    pub fn frames(&self) -> &Frames {
        &self.frames
    }

    /// All frames' bytes.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// A frame's record; `EINVAL` for a number outside the machine.
    pub fn page(&self, pfn: Pfn) -> Result<&Page> {
        self.frames.get(pfn).ok_or_else(|| Error::new(Errno::EINVAL, format!("no frame {pfn}")))
    }

    /// The node of a frame.
    #[inline]
    pub fn node_of(&self, pfn: Pfn) -> usize {
        // Branch-free, because the answer of a random page cannot be predicted: one vector comparison.
        self.bases.iter().map(|&base| usize::from(base <= pfn.0)).sum::<usize>() - 1
    }

    /// The CPU of the calling thread: bound, or by order of arrival.
    #[inline]
    pub fn cpu(&self) -> usize {
        // Plain: only the thread that holds the slot reads or writes its entry.
        match self.bindings[thread_slot()].get() {
            0 => self.arrive(),
            bound => bound as usize - 1,
        }
    }

    #[cold]
    fn arrive(&self) -> usize {
        // Relaxed: a ticket; it orders nothing.
        let cpu = self.arrivals.fetch_add(1, Ordering::Relaxed) as usize % self.cpus.len();
        self.bind_cpu(Some(cpu));
        cpu
    }

    /// Binds the calling thread to a CPU; `None`, or one that the machine does not have, lets the next use choose
    /// again. Returns the former binding.
    pub fn bind_cpu(&self, cpu: Option<usize>) -> Option<usize> {
        let cpu = cpu.filter(|&cpu| cpu < self.cpus.len());
        let entry = &self.bindings[thread_slot()];
        let old = entry.get();
        entry.set(cpu.map_or(0, |cpu| cpu as u32 + 1));
        (old as usize).checked_sub(1)
    }
}
