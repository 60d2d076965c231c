//! Remembers the end states that have passed the check.
//!
//! Most schedules of a program end in one of a few states, and the result of a check depends only
//! on the state. So a state that passed once is not checked again: most schedules then cost only a
//! digest of their end state. A digest has 128 bits (see [`Digest`]). A state that breaks a rule is
//! never remembered.

use super::world::World;
use crate::sync::explored::{Digest, Ending, Violation};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// The most states that are remembered, which take some megabytes. When there are so many, all are forgotten.
const MAX_STATES: usize = 1 << 17;

/// The states that passed, with their fingerprints.
#[derive(Debug, Default)]
pub(super) struct Endings {
    passed: HashMap<Key, u64, BuildHasherDefault<IdentityHasher>>,
    /// The number of schedules whose threads ended without a violation, and of those the number whose end
    /// state was checked.
    pub ended: u64,
    pub checked: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key(Digest);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.short());
    }
}

/// Uses a digest as its own hash: its bits are as good as random already.
#[derive(Debug, Default)]
struct IdentityHasher(u64);

impl Hasher for IdentityHasher {
    fn write(&mut self, _bytes: &[u8]) {}
    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

impl Endings {
    /// Remembers a state that has passed the check.
    fn remember(&mut self, digest: Digest, fingerprint: u64) {
        if self.passed.len() >= MAX_STATES {
            self.passed.clear();
        }
        self.passed.insert(Key(digest), fingerprint);
    }
}

/// The end of one schedule.
pub(super) struct End<'a, W> {
    pub world: &'a W,
    pub endings: &'a mut Endings,
    pub fingerprint: u64,
}

impl<W: World> Ending for End<'_, W> {
    fn digest_into(&mut self, digest: &mut Digest) -> bool {
        self.endings.ended += 1;
        self.world.digest_into(digest)
    }

    fn is_known(&mut self, digest: Digest) -> bool {
        let known = self.endings.passed.get(&Key(digest));
        self.fingerprint = known.copied().unwrap_or_default();
        known.is_some()
    }

    fn check(&mut self) -> Result<(), Violation> {
        self.endings.checked += 1;
        self.world.check()?;
        self.fingerprint = self.world.fingerprint();
        Ok(())
    }

    fn record_passed(&mut self, digest: Digest) {
        self.endings.remember(digest, self.fingerprint);
    }
}
