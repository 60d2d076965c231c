//! The table of the effects of concurrent operations that no order of them has, each row with its reason.
//!
//! An operation that falls under a row may be left out of the order, or have another answer there than in the
//! schedule. For all other operations the order must give the answers of the schedule.

use super::Outcome;
use super::answer::Answer;
use super::turns::Unit;
use crate::error::Errno;
use crate::program::session::{Access, BALLOON, POISONED, Visible};
use crate::program::{Advice, BlockAction, MbindOption, Op, Owner, PhysAction, Program, Sel, Sum};

/// A row of the table.
struct Tolerance {
    /// The operations that the row is about.
    operation: fn(&Op) -> bool,
    /// The answers that are tolerated.
    answer: fn(&Answer) -> bool,
    /// The row applies if another thread performs one of these operations.
    beside: fn(&Op) -> bool,
}

const TABLE: &[Tolerance] = &[
    // Any other operation may hold a reference, a lock or an isolation of the page for a moment.
    Tolerance { operation: |_| true, answer: is_busy, beside: |_| true },
    // Advice and the work of daemons are done as far as pages are idle at that moment.
    Tolerance { operation: is_best_effort, answer: |_| true, beside: |_| true },
    // While a page moves, is split or leaves memory, its entry shows no page.
    Tolerance { operation: looks_up, answer: is_absent, beside: takes_entries },
    // The pages of zspages and of the balloon are those of the moment at which the step begins.
    Tolerance { operation: names_pool, answer: |_| true, beside: |_| true },
    // The frame of a page of a file is known only while the page is mapped.
    Tolerance { operation: |op| matches!(op, Op::Frame { .. }), answer: |_| true, beside: |_| true },
    // A call of move_pages that ends early leaves the status of the rest unset.
    Tolerance { operation: is_move, answer: |answer| answer.status.contains(&None), beside: |_| true },
    // A fork shares page after page. A move looks first whether a page is shared, and moves it later: a page
    // that is shared or split in between moves nevertheless.
    Tolerance { operation: is_move, answer: |_| true, beside: shares_or_splits },
    // A look reads at several moments, and its reads have a rule of their own.
    Tolerance { operation: |op| matches!(op, Op::Look { .. }), answer: |_| true, beside: |_| true },
    // The pool grows and shrinks page by page, and the answer is its size at the end.
    Tolerance { operation: is_huge, answer: |answer| answer.errno.is_none(), beside: |_| true },
    // A memory failure finds its frame by the name of a page, and handles the frame by its number. By then
    // the frame may hold another page.
    Tolerance { operation: fails_frames, answer: is_failed, beside: |_| true },
    Tolerance { operation: fails_frames, answer: |_| true, beside: takes_entries },
    // A page is poisoned before it is unmapped and dropped.
    Tolerance {
        operation: accesses,
        answer: |answer| answer.acc.contains(&Access::Sigbus),
        beside: fails_frames,
    },
    // A memory failure splits a large page first, even if the failure is then refused.
    Tolerance { operation: is_move, answer: |_| true, beside: fails_frames },
    // A soft offline counts as done if another failure has poisoned the frame meanwhile.
    Tolerance { operation: fails_softly, answer: |answer| answer.errno.is_none(), beside: fails_frames },
    Tolerance { operation: fails_owned, answer: |_| true, beside: |_| true },
    // The free frames may be in the hands of another operation for a moment.
    Tolerance { operation: |_| true, answer: |answer| tells(answer, Errno::ENOMEM), beside: |_| true },
    // A device without a free frame reports the write of a block as failed.
    Tolerance {
        operation: |op| matches!(op, Op::ZsPut { .. }),
        answer: |answer| tells(answer, Errno::EIO),
        beside: |_| true,
    },
    // A truncation takes one page after the other, after it has shortened the file.
    Tolerance { operation: accesses, answer: |_| true, beside: is_truncate },
    // The fault of a write marks the page dirty, and then the write itself may find the page unmapped.
    Tolerance {
        operation: |op| matches!(op, Op::BeginWriteback { .. } | Op::EndWriteback { .. }),
        answer: |_| true,
        beside: |op| matches!(op, Op::Write { .. } | Op::Cwrite { .. }),
    },
    // An unmap of a whole region removes the file, then the pages.
    Tolerance { operation: uses_file, answer: is_removed, beside: |op| matches!(op, Op::Unmap { .. }) },
    // An offlining gives up after some rounds.
    Tolerance { operation: is_offline, answer: |answer| tells(answer, Errno::EINTR), beside: |_| true },
    // The balloon takes and gives pages one by one.
    Tolerance { operation: is_balloon, answer: |_| true, beside: |op| matches!(op, Op::Balloon { .. }) },
];

fn tells(answer: &Answer, errno: Errno) -> bool {
    answer.errnos().any(|told| told == errno)
}

fn is_busy(answer: &Answer) -> bool {
    tells(answer, Errno::EAGAIN) || tells(answer, Errno::EBUSY)
}

fn is_absent(answer: &Answer) -> bool {
    tells(answer, Errno::ENOENT)
}

fn is_best_effort(op: &Op) -> bool {
    match op {
        Op::Madv { advice, .. } => {
            matches!(advice, Advice::Pageout | Advice::Cold | Advice::Free | Advice::Willneed)
        }
        Op::Reclaim { .. }
        | Op::Kswapd { .. }
        | Op::Age { .. }
        | Op::Demote { .. }
        | Op::Compact { .. }
        | Op::CompactFor { .. }
        | Op::Kcompactd { .. }
        | Op::Drop { .. }
        | Op::NumaFault { .. }
        | Op::MigratePages { .. }
        | Op::MarkAccessed { .. } => true,
        _ => false,
    }
}

fn looks_up(op: &Op) -> bool {
    matches!(
        op,
        Op::Get { .. }
            | Op::Lock { .. }
            | Op::Trylock { .. }
            | Op::TryGet { .. }
            | Op::Isolate { .. }
            | Op::Freeze { .. }
            | Op::LruAdd { .. }
            | Op::Split { .. }
            | Op::SoftOffline { .. }
            | Op::MemoryFailure { .. }
            | Op::Move { .. }
            | Op::Query { .. }
    )
}

fn names_pool(op: &Op) -> bool {
    pool_named(op).is_some()
}

/// True for a step on all pages of the zram device's pool or of the balloon: their number changes.
pub fn names_whole_pool(op: &Op) -> bool {
    pool_named(op).is_some_and(|sel| sel.pages.is_none())
}

fn pool_named(op: &Op) -> Option<&Sel<Owner>> {
    match op {
        Op::Get { pages }
        | Op::TryGet { pages }
        | Op::Put { pages }
        | Op::MarkAccessed { pages }
        | Op::Isolate { pages }
        | Op::Putback { pages }
        | Op::Migrate { pages, .. }
        | Op::Lock { pages }
        | Op::Trylock { pages }
        | Op::Unlock { pages }
        | Op::Freeze { pages, .. }
        | Op::Unfreeze { pages, .. }
        | Op::LruAdd { pages }
        | Op::Split { pages } => {
            pages.0.iter().find(|sel| matches!(sel.of, Owner::Store(_) | Owner::Balloon(_)))
        }
        _ => None,
    }
}

fn is_move(op: &Op) -> bool {
    matches!(op, Op::Move { .. })
}

fn is_fork(op: &Op) -> bool {
    matches!(op, Op::Fork { .. })
}

fn shares_or_splits(op: &Op) -> bool {
    is_fork(op) || matches!(op, Op::Split { .. } | Op::Madv { .. } | Op::Reclaim { .. })
}

fn is_huge(op: &Op) -> bool {
    matches!(op, Op::Huge { .. })
}

/// Operations that replace the entry of a page for a while, or for good.
fn takes_entries(op: &Op) -> bool {
    match op {
        Op::Madv { advice, .. } => !matches!(advice, Advice::Cold | Advice::Willneed),
        Op::Mbind { options, .. } => {
            options.contains(&MbindOption::Move) || options.contains(&MbindOption::MoveAll)
        }
        Op::Memblk { action, .. } => *action == BlockAction::Offline,
        Op::Move { .. }
        | Op::MigratePages { .. }
        | Op::Migrate { .. }
        | Op::NumaFault { .. }
        | Op::Demote { .. }
        | Op::Phys { .. }
        | Op::SoftOffline { .. }
        | Op::MemoryFailure { .. }
        | Op::Compact { .. }
        | Op::CompactFor { .. }
        | Op::Kcompactd { .. }
        | Op::Reclaim { .. }
        | Op::Kswapd { .. }
        | Op::AllocRange { .. }
        | Op::Huge { .. }
        | Op::Split { .. }
        | Op::Pin { .. }
        | Op::Swapoff {}
        | Op::Punch { .. }
        | Op::Truncate { .. }
        | Op::Unmap { .. } => true,
        _ => false,
    }
}

fn fails_frames(op: &Op) -> bool {
    match op {
        Op::Madv { advice, .. } => matches!(advice, Advice::SoftOffline | Advice::Hwpoison),
        Op::Phys { .. } | Op::SoftOffline { .. } | Op::MemoryFailure { .. } => true,
        _ => false,
    }
}

fn fails_softly(op: &Op) -> bool {
    match op {
        Op::Madv { advice, .. } => *advice == Advice::SoftOffline,
        Op::Phys { action, .. } => *action == PhysAction::Soft,
        Op::SoftOffline { .. } => true,
        _ => false,
    }
}

fn is_failed(answer: &Answer) -> bool {
    tells(answer, Errno::EIO) || tells(answer, Errno::EHWPOISON)
}

fn fails_owned(op: &Op) -> bool {
    let owned = |pages: &Sum<Owner>| pages.0.iter().any(|sel| !matches!(sel.of, Owner::Region(_)));
    match op {
        Op::SoftOffline { pages } | Op::MemoryFailure { pages } => owned(pages),
        _ => false,
    }
}

fn is_truncate(op: &Op) -> bool {
    matches!(op, Op::Truncate { .. })
}

fn accesses(op: &Op) -> bool {
    matches!(
        op,
        Op::Read { .. } | Op::Write { .. } | Op::Cread { .. } | Op::Cwrite { .. } | Op::BeginWriteback { .. }
    )
}

fn uses_file(op: &Op) -> bool {
    matches!(
        op,
        Op::Fread { .. }
            | Op::Fwrite { .. }
            | Op::Msync { .. }
            | Op::Truncate { .. }
            | Op::BeginWriteback { .. }
    )
}

fn is_removed(answer: &Answer) -> bool {
    tells(answer, Errno::EBADF)
}

fn is_offline(op: &Op) -> bool {
    matches!(op, Op::Memblk { .. })
}

fn is_balloon(op: &Op) -> bool {
    matches!(op, Op::Balloon { .. } | Op::Inflate { .. } | Op::Deflate { .. })
}

fn drops(op: &Op) -> bool {
    matches!(op, Op::Madv { advice: Advice::Dontneed, .. } | Op::Punch { .. })
}

/// Operations that choose by themselves which pages move, and those that leave busy pages where they are.
fn moves_any(op: &Op) -> bool {
    match op {
        Op::Mbind { options, .. } => !options.contains(&MbindOption::Strict),
        _ => moves_idle(op),
    }
}

fn moves_idle(op: &Op) -> bool {
    matches!(
        op,
        Op::Compact { .. }
            | Op::CompactFor { .. }
            | Op::Kcompactd { .. }
            | Op::MigratePages { .. }
            | Op::AllocRange { .. }
            | Op::Memblk { .. }
            | Op::Huge { .. }
            | Op::Reclaim { .. }
            | Op::Kswapd { .. }
            | Op::Demote { .. }
    )
}

/// True if the table has a row for this answer: no order of the operations has to give it.
pub fn is_in_table(program: &Program, thread: usize, op: &Op, answer: &Answer) -> bool {
    // A loss of data makes one of several syncs fail, and not always that of the thread which has met it.
    let loses = |op: &Op| fails_frames(op) || matches!(op, Op::Fail { .. });
    let syncs = |op: &Op| matches!(op, Op::Msync { .. });
    let others = || program.threads.iter().enumerate().filter(|(other, _)| *other != thread);
    if syncs(op)
        && (answer.errnos().all(|errno| errno == Errno::EIO))
        && program.ops().any(loses)
        && others().any(|(_, thread)| thread.ops.iter().any(syncs))
    {
        return true;
    }
    TABLE.iter().any(|row| {
        let threads = program.threads.iter().enumerate();
        // The work of daemons has another effect each time, also for its own thread.
        let mut others = threads.flat_map(|(other, each)| {
            each.ops.iter().filter(move |op| other != thread || is_best_effort(op))
        });
        (row.operation)(op) && (row.answer)(answer) && others.any(row.beside)
    })
}

/// True if a unit may have no effect, given the answer of its operation.
pub fn may_be_left_out(program: &Program, outcome: &Outcome, thread: usize, unit: &Unit) -> bool {
    let Some(op) = &unit.does else { return false };
    if unit.is_prelude() {
        return true;
    }
    let whole = &outcome.answers[thread][unit.op];
    // A call that checks its whole range first, and fails, does nothing to the pages of the range.
    let failed_whole = unit.part.1 > 1 && whole.errno.is_some() && whole.part(0, unit.part.1).is_none();
    if failed_whole {
        return true;
    }
    let part = whole.part(unit.part.0, unit.part.1);
    let answer = part.as_ref().unwrap_or(whole);
    fails_by_fault(answer, unit.part.1) || is_in_table(program, thread, op, answer)
}

/// True if a fault may be the reason why this part of an operation on several pages was not done. The pages
/// of a call are handled together, so the part at which a fault strikes is not the one at which it would
/// strike if the parts ran one at a time. Therefore no fault strikes in a part; an order may leave out the
/// parts that failed instead.
pub fn fails_by_fault(answer: &Answer, parts: usize) -> bool {
    parts > 1 && answer.struck > 0 && answer.is_failure()
}

/// The minimum effect of an operation that is left out, such as the drain of a move. A migration that moves
/// nothing still spends its tokens, and the calls that move pages drain the batches first.
pub fn stands_for(op: &Op) -> Option<Op> {
    match op {
        Op::Migrate { pages, .. } => Some(Op::Putback { pages: pages.clone() }),
        Op::Move { .. }
        | Op::Mbind { .. }
        | Op::MigratePages { .. }
        | Op::Madv { .. }
        | Op::SoftOffline { .. }
        | Op::MemoryFailure { .. }
        | Op::Phys { .. }
        | Op::Memblk { .. }
        | Op::AllocRange { .. }
        | Op::Compact { .. } => Some(Op::Drain {}),
        _ => None,
    }
}

/// Compares the states. An error names the difference.
pub fn is_same_state(program: &Program, outcome: &Outcome, end: &Visible) -> Result<(), String> {
    let has = |kind: fn(&Op) -> bool| program.threads.iter().flat_map(|thread| &thread.ops).any(kind);
    let some = |kind: fn(&Op) -> bool, is: fn(&Answer) -> bool| {
        program.threads.iter().zip(&outcome.answers).any(|(thread, answers)| {
            let mut pairs = thread.ops.iter().zip(answers);
            pairs.any(|(op, answer)| kind(op) && is(answer))
        })
    };
    let failed = |kind| some(kind, |answer| answer.errnos().next().is_some());
    // A soft offline whose migration has met a fault takes the frame all the same if its page is freed then.
    let met_fault = |kind| some(kind, |answer| answer.struck > 0);
    // A memory failure finds its page by a name, and handles the frame that the page had at that moment.
    let fails = has(fails_frames);
    // The moment of a split or a copy decides which parts of a large page move, and which of two sharers of
    // a page has the page that moves.
    let large = program.setup.iter().any(|op| matches!(op, Op::Map { order: Some(_), .. }));
    let copies = program.ops().any(is_fork);
    // A long-term pin moves its page off a movable node, even if the pin fails afterwards.
    let pins = failed(|op| matches!(op, Op::Pin { .. }));
    let any_node = large || copies || pins || has(moves_any);
    // An unlock of memory that is dropped meanwhile may come before the drop or after it.
    let any_lock = has(drops) || failed(|op| matches!(op, Op::Mlock { .. }));
    // Lazily freed memory is lost or kept, as its write comes after the advice or before.
    let any_content = has(|op| matches!(op, Op::Madv { advice: Advice::Free, .. }));
    for (name, due) in &outcome.end.pages {
        // A page that only one of the two end states has is a child's: a fork comes before or after an unmap.
        let Some((_, given)) = end.pages.iter().find(|(other, _)| other == name) else { continue };
        let no_page = due.node.is_none() || given.node.is_none();
        let poisoned = fails && (due.poisoned || given.poisoned);
        // Two writers of one page tear, and a child's copy is made page by page.
        let torn = due.writers.len() > 1 || due.of_child && has(is_fork);
        let same = (due.gone, due.locked, due.policy) == (given.gone, given.locked, given.policy)
            && (any_node || poisoned || no_page || due.node == given.node)
            && (fails || due.poisoned == given.poisoned)
            && (any_content || poisoned || torn || due.writers == given.writers)
            && (any_lock || !due.locked || due.node.is_some() || given.node.is_none());
        if !same {
            return Err(format!("{name} is {given} and not {due}"));
        }
    }
    for (name, due) in &outcome.end.things {
        let Some((_, given)) = end.things.iter().find(|(other, _)| other == name) else { continue };
        let tolerated = match name.as_str() {
            POISONED => failed(fails_frames) || met_fault(fails_frames),
            BALLOON => has(|op| matches!(op, Op::Balloon { .. })),
            _ => false,
        };
        if due != given && !tolerated {
            return Err(format!("{name}: {given}, and not {due}"));
        }
    }
    Ok(())
}
