//! The state that all members of a tiering load share.

use super::policy::Director;
use crate::map::Area;
use crate::sync::Lock;
use std::sync::Arc;

/// The state that all migrators and mutators share.
#[derive(Debug)]
pub(super) struct Place {
    pub area: Arc<Area>,
    /// One mailbox for each migrator. A letter is the number of a hot page on a slow node.
    pub mailboxes: Vec<Lock<Vec<u32>>>,
    /// The user's policy, if there is one.
    pub director: Option<Director>,
}
