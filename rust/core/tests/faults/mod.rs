//! Every fault at every site: the operation either fails and leaves everything as it was, or it
//! succeeds.
//!
//! | file | idea |
//! |---|---|
//! | `scene` | a machine with pages of one kind, and the checks after a fault |
//! | `walk` | runs of one operation with the fault at site 0, 1, 2 and so on |
//! | `migration` | every kind of page, mode, order and release design |
//! | `calls` | faults, fork, reclaim, swap, memory failure, splits, advice, policies, files |
//! | `background` | the runs of the daemons, and allocations beside them |
//! | `plan` | the counts of a plan, and the references and flags that it leaves |
//! | `sleepers` | spurious wake-ups of threads that sleep on a page |

mod background;
mod calls;
mod migration;
mod plan;
mod scene;
mod sleepers;
mod walk;
