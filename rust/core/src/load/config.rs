//! The configuration of a load. A caller passes [`LoadConfig`] as JSON: every field has a default,
//! and an unknown field is an error.

use super::content::{MAX_PAGES, MAX_THREADS};
use super::fault::LoadError;
use crate::machine::{Config, MAX_CPUS, NodeConfig};
use crate::page::PAGE_SIZE;
use crate::profile::Profile;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The kinds of loads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Load {
    /// Migrators move pages while mutators use them.
    #[default]
    Storm,
    /// The accesses of a trace, over a fast and a slow node.
    Tiering,
    /// Requests for blocks of a fragmented node.
    Compaction,
    /// Requests for blocks, while pages are swapped to a zram device.
    Zram,
}

impl Load {
    /// The words of the configuration. The first is the load that `compare` takes unless told
    /// otherwise.
    pub const NAMES: &'static [&'static str] = &["tiering", "storm", "compaction", "zram"];

    /// Returns the word of the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Load::Storm => "storm",
            Load::Tiering => "tiering",
            Load::Compaction => "compaction",
            Load::Zram => "zram",
        }
    }

    /// Returns true if the load asks for blocks of one node. The others migrate between nodes.
    pub(super) fn asks_for_blocks(self) -> bool {
        matches!(self, Load::Compaction | Load::Zram)
    }
}

/// A node's size and latency.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeSpec {
    /// Size in bytes, a multiple of the page size.
    pub bytes: u64,
    /// Modelled access time; rounded to whole nanoseconds.
    #[serde(default = "default_latency")]
    pub latency_ns: f64,
}

const fn default_latency() -> f64 {
    100.0
}

/// The planted faults (for tests and calibration only).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Planted {
    /// Some migrated pages lose their copy: they end up with the former content of their new frame.
    pub lost_copy: bool,
    /// Every migration is prolonged by this share of its time.
    pub slowdown: f64,
    /// In the counting build: read-modify-writes that each migrated page costs in addition.
    pub atomics: u32,
}

/// A load and its machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoadConfig {
    /// The kind of the load.
    pub load: Load,
    /// Preset of the profile.
    pub kernel: String,
    /// Profile fields set over the preset: text, numbers or booleans.
    pub profile: Map<String, Value>,
    /// The nodes, fastest first. Empty: sizes are derived from the working set.
    pub nodes: Vec<NodeSpec>,
    /// Per-CPU contexts; 0: one for each thread.
    pub cpus: usize,
    /// Threads that migrate memory.
    pub migrators: usize,
    /// Threads that use memory; 0: twice the migrators in a storm, as many as the migrators in the
    /// other loads.
    pub mutators: usize,
    /// In a storm or under compaction: only the migrators use the memory, so that the protocol is measured
    /// with the least noise.
    pub alone: bool,
    /// Pages migrated by one call.
    pub batch: usize,
    /// True if the machine has bytes, which are copied and checked; false if it has page records
    /// only.
    pub copy: bool,
    /// Pages of a storm's or of zram's working set, or of the node that is compacted; 0: a size that
    /// fits the nodes, or 64 MiB if no nodes are given.
    pub pages: u32,
    /// Share of a trace's footprint that the fast node holds, if `nodes` is empty.
    pub fast_share: f64,
    /// The share of the migrators' calls that are preceded by the failure of a frame.
    pub poison_rate: f64,
    /// True if each round also measures a bare `memcpy` in memory of the load's size.
    pub memcpy: bool,
    /// Seed of all random choices of the set-up.
    pub seed: u64,
    /// The command that repeats this load; messages quote it.
    pub command: Option<String>,
    /// The planted faults.
    pub planted: Planted,
}

impl Default for LoadConfig {
    fn default() -> Self {
        LoadConfig {
            load: Load::Storm,
            kernel: "6.12".into(),
            profile: Map::new(),
            nodes: Vec::new(),
            cpus: 0,
            migrators: 2,
            mutators: 0,
            alone: false,
            batch: 32,
            copy: true,
            pages: 0,
            fast_share: 0.25,
            poison_rate: 0.0,
            memcpy: true,
            seed: 1,
            command: None,
            planted: Planted::default(),
        }
    }
}

/// The fewest pages of a working set.
const MIN_PAGES: u32 = 256;
/// 64 MiB. Pages are cold only on a processor whose last-level cache is smaller; reports name its size.
const DEFAULT_PAGES: u32 = 1 << 14;

impl LoadConfig {
    /// Reads a configuration from JSON.
    ///
    /// # Errors
    /// The first mistake in the text, in one line.
    pub fn from_json(json: &str) -> Result<LoadConfig, LoadError> {
        let wrong = |error: serde_json::Error| LoadError::Config(error.to_string());
        // Only an object is accepted: serde would also read the structure from a list.
        let object: Map<String, Value> = serde_json::from_str(json).map_err(wrong)?;
        let config: LoadConfig = serde_json::from_value(object.into()).map_err(wrong)?;
        config.check()?;
        Ok(config)
    }

    /// Refuses values that no load can use.
    pub(super) fn check(&self) -> Result<(), LoadError> {
        let one_of = |name: &str, value: usize, most: usize| match (1..=most).contains(&value) {
            true => Ok(()),
            false => Err(LoadError::Config(format!("{name} must be from 1 to {most}, not {value}"))),
        };
        one_of("migrators", self.migrators, MAX_THREADS)?;
        one_of("mutators", self.mutator_count(), MAX_THREADS)?;
        one_of("batch", self.batch, 512)?;
        if self.cpus > MAX_CPUS {
            one_of("cpus", self.cpus, MAX_CPUS)?;
        }
        if self.alone && matches!(self.load, Load::Tiering | Load::Zram) {
            return Err(LoadError::Config(format!(
                "alone needs load storm or compaction: in {} the accesses cause the migrations",
                self.load.name()
            )));
        }
        if self.load == Load::Zram && !self.copy {
            return Err(LoadError::Config("load zram needs contents to compress: set copy".into()));
        }
        if self.load.asks_for_blocks() && self.poison_rate > 0.0 {
            return Err(LoadError::Config("a poison rate needs load storm or tiering".into()));
        }
        for (at, node) in self.nodes.iter().enumerate() {
            let page = PAGE_SIZE as u64;
            if node.bytes == 0 || node.bytes % page != 0 || node.bytes / page > u64::from(u32::MAX) {
                let bytes = node.bytes;
                return Err(LoadError::Config(format!(
                    "node {at} cannot have {bytes} bytes: whole pages only"
                )));
            }
        }
        let pages = self.page_count();
        if !(MIN_PAGES..=MAX_PAGES).contains(&pages) {
            return Err(LoadError::Config(match self.pages {
                0 => format!("these nodes have room for a working set of {pages} pages: give larger nodes"),
                _ => format!("the working set must have from {MIN_PAGES} to {MAX_PAGES} pages, not {pages}"),
            }));
        }
        let share = self.fast_share;
        if !(share > 0.0 && share < 1.0) {
            return Err(LoadError::Config(format!("fast_share must be between 0 and 1, not {share}")));
        }
        if !(0.0..=1.0).contains(&self.poison_rate) {
            let rate = self.poison_rate;
            return Err(LoadError::Config(format!("poison_rate must be from 0 to 1, not {rate}")));
        }
        let slowdown = self.planted.slowdown;
        if !(0.0..=10.0).contains(&slowdown) {
            return Err(LoadError::Config(format!(
                "a planted slowdown must be from 0 to 10, not {slowdown}"
            )));
        }
        if self.planted.lost_copy && !self.copy {
            return Err(LoadError::Config("a planted lost copy needs contents to copy: set copy".into()));
        }
        if let Some(node) = self.nodes.iter().find(|node| !(0.0..1e9).contains(&node.latency_ns)) {
            let why = format!("a latency must be from 0 to a second, not {} ns", node.latency_ns);
            return Err(LoadError::Config(why));
        }
        self.choices().map(|_| ())
    }

    /// Returns the profile: the preset with the fields that were set over it.
    pub(super) fn choices(&self) -> Result<Profile, LoadError> {
        let wrong = |error: crate::profile::ProfileError| LoadError::Config(error.to_string());
        let mut profile = Profile::preset(&self.kernel).map_err(wrong)?;
        for (field, value) in &self.profile {
            let text = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            profile.set(field, &text).map_err(wrong)?;
        }
        Ok(profile)
    }

    /// Returns the number of threads that use memory.
    pub(super) fn mutator_count(&self) -> usize {
        match (self.mutators, self.load) {
            (0, Load::Storm) => 2 * self.migrators,
            (0, _) => self.migrators,
            (mutators, _) => mutators,
        }
    }

    /// Returns the number of pages of the working set. If nodes are given and `pages` is 0, a storm has three
    /// eighths of their frames, so that a migration always finds a free frame; zram has a third more pages
    /// than there are frames; and compaction has as many pages as frames.
    pub(super) fn page_count(&self) -> u32 {
        if self.pages != 0 || self.load == Load::Tiering {
            return if self.pages == 0 { DEFAULT_PAGES } else { self.pages };
        }
        let frames: u64 = self.nodes.iter().map(|node| node.bytes / PAGE_SIZE as u64).sum();
        match (frames, self.load) {
            (0, _) => DEFAULT_PAGES,
            (frames, Load::Compaction) => frames.min(u64::from(MAX_PAGES)) as u32,
            (frames, Load::Zram) => (frames * 4 / 3).min(u64::from(MAX_PAGES)) as u32,
            (frames, _) => (frames * 3 / 8).min(u64::from(MAX_PAGES / 2)) as u32,
        }
    }

    /// Returns the number of CPUs of the machine.
    pub(super) fn cpu_count(&self) -> usize {
        match self.cpus {
            0 => (self.mutator_count() + self.migrators).min(MAX_CPUS),
            cpus => cpus,
        }
    }

    /// Returns the configuration of the machine. Its nodes are those of the load's configuration,
    /// or else have the frames in `derived`.
    pub(super) fn machine(&self, derived: &[u32]) -> Result<Config, LoadError> {
        // Latencies of local DRAM and of memory behind a link such as CXL.
        let latency = |at: usize| if at == 0 { 100 } else { 250 };
        let nodes: Vec<NodeConfig> = match self.nodes.is_empty() {
            true => derived
                .iter()
                .enumerate()
                .map(|(at, &frames)| NodeConfig { frames, latency_ns: latency(at) })
                .collect(),
            false => self
                .nodes
                .iter()
                .map(|node| NodeConfig {
                    frames: (node.bytes / PAGE_SIZE as u64) as u32,
                    latency_ns: node.latency_ns.round() as u32,
                })
                .collect(),
        };
        if self.load.asks_for_blocks() && nodes.len() != 1 {
            let (load, given) = (self.load.name(), nodes.len());
            return Err(LoadError::Config(format!("load {load} compacts one node: give one, not {given}")));
        }
        if !self.load.asks_for_blocks() && nodes.len() < 2 {
            return Err(LoadError::Config("a load migrates between nodes: give two of them".into()));
        }
        Ok(Config {
            nodes,
            cpus: self.cpu_count(),
            backed: self.copy,
            profile: self.choices()?,
            // A request for a block then compacts and reclaims, as an allocation of the kernel does.
            pressure: self.load.asks_for_blocks(),
            ..Config::new(2, 1)
        })
    }

    /// Returns the command or call that repeats the load.
    pub(super) fn repeat(&self) -> String {
        match &self.command {
            Some(command) => command.clone(),
            None => format!("a LoadRig of {}", serde_json::to_string(self).expect("plain data")),
        }
    }
}
