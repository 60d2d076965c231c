//! The kinds of frames, and the letter of each.

/// Defines the kinds: name, letter, meaning.
macro_rules! kinds {
    ($( $name:ident = $letter:literal, $meaning:literal; )+) => {
        /// The kind of a frame. The letters are the letters of recorded layouts; the last three kinds are
        /// mmcore's own, for states that a recording does not tell apart.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $( #[doc = $meaning] $name, )+
        }

        impl Kind {
            /// All kinds, in the order of the documentation.
            pub const ALL: &[Kind] = &[$(Kind::$name),+];

            /// The kind's letter.
            pub const fn letter(self) -> u8 {
                match self { $(Kind::$name => $letter,)+ }
            }

            /// The kind in words.
            pub const fn meaning(self) -> &'static str {
                match self { $(Kind::$name => $meaning,)+ }
            }

            /// The kind of a letter.
            pub const fn from_letter(letter: u8) -> Option<Kind> {
                match letter { $($letter => Some(Kind::$name),)+ _ => None }
            }
        }
    };
}

kinds! {
    Free = b'.', "free, in the buddy lists";
    Anon = b'a', "anonymous, on an LRU list";
    AnonBatched = b'v', "anonymous, waiting in a batch";
    AnonPinned = b'p', "anonymous, with more references than mappings";
    AnonUnevictable = b'U', "anonymous, unevictable";
    SwapCache = b'A', "anonymous, in the swap cache";
    FileClean = b'f', "clean page of a disk file";
    FileDirty = b'd', "dirty page of a disk file";
    Shmem = b's', "page of tmpfs or of shared memory";
    FileUnevictable = b'u', "page of a file, unevictable";
    Writeback = b'w', "page of a file, being written to its store";
    Zsmalloc = b'z', "movable page of zsmalloc";
    Balloon = b'b', "movable page of a balloon";
    Hugetlb = b'h', "part of a huge page of the node's pool";
    Poisoned = b'H', "poisoned";
    Slab = b'S', "the kernel's: slab";
    PageTable = b'T', "the kernel's: page table";
    Reserved = b'R', "reserved since boot";
    Kernel = b'k', "allocated for another use, not movable";
    PerCpu = b'c', "free, in a CPU's array";
    Absent = b'x', "no online frame";
    Unknown = b'?', "not recorded";
    Movable = b'm', "movable page of another owner";
    Isolated = b'i', "isolated from its list or its owner";
    FileBatched = b'q', "page of a file, waiting in a batch";
}

impl Kind {
    /// True for the uses that only the holder of an allocated frame knows. The holder writes the
    /// letter to the record's `private`.
    pub(super) const fn is_told_by_holder(self) -> bool {
        matches!(
            self,
            Kind::Hugetlb
                | Kind::Slab
                | Kind::PageTable
                | Kind::Reserved
                | Kind::Kernel
                | Kind::PerCpu
                | Kind::Absent
                | Kind::Unknown
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_letter_of_its_own() {
        for &kind in Kind::ALL {
            assert_eq!(Kind::from_letter(kind.letter()), Some(kind), "{kind:?}");
            assert!(kind.letter().is_ascii_graphic());
        }
        assert_eq!(Kind::from_letter(b'!'), None);
    }
}
