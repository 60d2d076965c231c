//! The size classes of a pool: how many pages a zspage of each class chains, and how many objects
//! it holds.
//!
//! A class holds objects of 32 + 16·k bytes (k from 0 to 254). Neighbouring classes whose zspages
//! have the same numbers of pages and of objects are one class, that of the largest objects. Otherwise
//! zspages of two classes of the same geometry would stay half empty side by side.

use crate::error::{Errno, Error, Result};
use crate::page::PAGE_SIZE;
use crate::page::size::WORDS;
use crate::profile::{Profile, ZspageFit};

/// The largest number of pages of a zspage that any profile can choose.
pub const MAX_CHAIN: usize = 16;

/// Bytes of a word, the unit in which objects are copied.
pub const WORD: usize = 8;

/// Bytes that an object takes beside its content. The kernel stores the object's handle there. mmcore
/// stores the handle with the zspage and leaves the room unused, so that each size falls into the class
/// of the kernel. In the explored build frames have two words, and no room is left.
const HANDLE: usize = if SMALL { 0 } else { 8 };

/// True if frames have two words only. The class of three words then has zspages of several pages, and
/// objects that straddle two pages: these are the zspages that the explorer needs.
const SMALL: bool = cfg!(any(feature = "explored", loom));

/// The smallest object, and the step from class to class, in bytes.
const MIN: usize = if SMALL { WORD } else { 32 };
const STEP: usize = if SMALL { WORD } else { 16 };

/// The largest object, in bytes: a page, or three words where a page has two.
pub const MAX_SIZE: usize = if SMALL { 3 * WORD } else { PAGE_SIZE };

/// The number of sizes, before classes of the same geometry are merged.
const SIZES: usize = (MAX_SIZE - MIN) / STEP + 1;

/// The bytes of a page that objects can use.
const PAGE: usize = WORDS * WORD;

/// A size class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeClass {
    /// The class's number: it holds objects of 32 + 16·`index` bytes.
    pub index: u16,
    /// The size of an object in bytes, with the room for its handle.
    pub size: u32,
    /// The number of pages of a zspage.
    pub pages: u8,
    /// The number of objects of a zspage.
    pub objects: u16,
}

impl SizeClass {
    /// The words of an object.
    pub(super) fn words(&self) -> usize {
        self.size as usize / WORD
    }

    /// The page of a zspage in which an object begins.
    pub(super) fn page_of(&self, object: u16) -> usize {
        usize::from(object) * self.words() / WORDS
    }

    /// The objects that begin in a page of a zspage.
    pub(super) fn beginning_in(&self, page: usize) -> std::ops::Range<u16> {
        let first = |page: usize| (page * WORDS).div_ceil(self.words()).min(usize::from(self.objects)) as u16;
        first(page)..first(page + 1)
    }
}

/// All size classes of a pool.
#[derive(Clone, Debug)]
pub struct Classes {
    /// The classes, largest objects first.
    list: Vec<SizeClass>,
    /// The class of each size, as an index of `list`.
    of_size: Vec<u8>,
    huge: usize,
    /// The error for an object larger than a page.
    too_large: Errno,
}

impl Classes {
    /// The classes of a kernel.
    pub fn of(profile: &Profile) -> Classes {
        let mut list: Vec<SizeClass> = Vec::with_capacity(SIZES);
        let mut of_size = vec![0; SIZES];
        let mut huge = 0;
        for index in (0..SIZES).rev() {
            let size = MIN + index * STEP;
            let pages = chain(size, usize::from(profile.zspage_pages), profile.zspage_fit);
            let objects = pages * PAGE / size;
            if pages != 1 && objects != 1 && huge == 0 {
                // The room for the handle is added to an object's size before its class is looked up. So
                // an object up to 7 bytes smaller than those of this class falls into the huge class.
                huge = size - HANDLE.saturating_sub(1);
            }
            let class = SizeClass {
                index: index as u16,
                size: size as u32,
                pages: pages as u8,
                objects: objects as u16,
            };
            if list.last().is_none_or(|last| (last.pages, last.objects) != (class.pages, class.objects)) {
                list.push(class);
            }
            of_size[index] = (list.len() - 1) as u8;
        }
        let too_large = if profile.zs_large_enospc { Errno::ENOSPC } else { Errno::EINVAL };
        Classes { list, of_size, huge, too_large }
    }

    /// The classes, largest objects first.
    pub fn all(&self) -> &[SizeClass] {
        &self.list
    }

    /// The position in [`Classes::all`] of the class for objects of `size` bytes. `EINVAL` for no
    /// bytes; `ENOSPC` for more than a page has, in old kernels `EINVAL`.
    pub fn of_size(&self, size: usize) -> Result<usize> {
        if size == 0 || size > MAX_SIZE {
            let why = format!("an object has 1 to {MAX_SIZE} bytes, not {size}");
            let errno = if size == 0 { Errno::EINVAL } else { self.too_large };
            return Err(Error::new(errno, why));
        }
        let size = (size + HANDLE).clamp(MIN, MAX_SIZE);
        Ok(usize::from(self.of_size[(size - MIN).div_ceil(STEP)]))
    }

    /// The smallest size in bytes that takes a whole page (`zs_huge_class_size`). A store keeps
    /// content of this size or more uncompressed, because it would save nothing.
    pub fn huge_size(&self) -> usize {
        self.huge
    }
}

/// The number of pages of a zspage for objects of `size` bytes. The best choice has the largest used
/// share of the zspage, or the fewest unused bytes; of several best ones the smallest is taken.
fn chain(size: usize, most: usize, fit: ZspageFit) -> usize {
    let waste = |pages: usize| (pages * PAGE) % size;
    let holds = |pages: &usize| pages * PAGE >= size;
    let choices = (1..=most.max(size.div_ceil(PAGE))).filter(holds);
    let best = match fit {
        // `max_by_key` returns the last of several best choices, so the choices are reversed.
        ZspageFit::Share => choices.rev().max_by_key(|&pages| {
            let bytes = pages * PAGE;
            (bytes - waste(pages)) * 100 / bytes
        }),
        ZspageFit::Waste => choices.min_by_key(|&pages| waste(pages)),
    };
    best.unwrap_or(1)
}

#[cfg(all(test, not(feature = "explored")))]
mod tests {
    use super::*;

    fn classes(kernel: &str) -> Classes {
        Classes::of(&Profile::preset(kernel).unwrap())
    }

    fn geometry(kernel: &str, size: usize) -> (u16, u8, u16) {
        let classes = classes(kernel);
        let class = classes.all()[classes.of_size(size).unwrap()];
        (class.index, class.pages, class.objects)
    }

    #[test]
    fn sizes_fall_into_the_recorded_classes() {
        // z01-class-1500/2 and z13-zs-compact-rounds/3: class, pages, objects of a full zspage.
        assert_eq!(geometry("6.1", 1533), (100, 2, 5));
        assert_eq!(geometry("6.12", 1533), (95, 8, 21));
        assert_eq!(geometry("6.1", 329), (20, 2, 23));
        assert_eq!(geometry("6.12", 329).0, 20);
        // z01-class-4096/2: an incompressible page.
        assert_eq!(geometry("6.1", 4096), (254, 1, 1));
        assert_eq!(geometry("6.12", 4096), (254, 1, 1));
    }

    #[test]
    fn a_size_is_refused_beyond_a_page() {
        let classes = classes("6.12");
        assert!(classes.of_size(0).is_err());
        assert!(classes.of_size(PAGE_SIZE + 1).is_err());
        assert_eq!(classes.all()[classes.of_size(1).unwrap()].size, 32);
    }

    #[test]
    fn each_object_begins_in_one_page_and_ends_in_its_zspage() {
        for kernel in ["4.8", "6.1", "6.12"] {
            for class in classes(kernel).all() {
                let end = usize::from(class.objects) * class.words();
                assert!(end <= usize::from(class.pages) * WORDS, "{class:?}");
                let beginning = (0..usize::from(class.pages)).flat_map(|page| class.beginning_in(page));
                assert!(beginning.eq(0..class.objects), "{class:?}");
                for object in 0..class.objects {
                    assert!(class.beginning_in(class.page_of(object)).contains(&object), "{class:?}");
                }
            }
        }
    }
}
