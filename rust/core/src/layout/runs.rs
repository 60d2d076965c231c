//! Layouts as runs of repeated patterns, as recordings write them.

/// The most letters of a pattern.
const LONGEST: usize = 16;

/// Divides letters into runs, each a pattern and how often it comes in a row. Of the patterns that
/// begin at a place, the one with the longest run is taken. If several runs are equally long, the
/// shortest pattern is taken.
pub fn runs(letters: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut rest = letters;
    std::iter::from_fn(move || {
        let (times, pattern) = longest_run(rest)?;
        rest = &rest[times * pattern.len()..];
        Some((times, pattern))
    })
}

fn longest_run(letters: &[u8]) -> Option<(usize, &[u8])> {
    let mut best = (0, letters.get(..0)?);
    for length in 1..=LONGEST.min(letters.len()) {
        let (pattern, rest) = letters.split_at(length);
        let times = 1 + rest.chunks_exact(length).take_while(|chunk| *chunk == pattern).count();
        if (times > 1 || length == 1) && times * length > best.0 * best.1.len() {
            best = (times, pattern);
        }
    }
    (best.0 > 0).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(letters: &str) -> String {
        let shown = runs(letters.as_bytes());
        shown.map(|(times, pattern)| format!("{times}{} ", std::str::from_utf8(pattern).unwrap())).collect()
    }

    #[test]
    fn runs_are_those_that_recordings_write() {
        assert_eq!(text(""), "");
        assert_eq!(text("aaaa"), "4a ");
        assert_eq!(text(".a.a.aSS"), "3.a 2S ");
        assert_eq!(text("aa.aa.aa.b"), "3aa. 1b ");
        assert_eq!(text("abc"), "1a 1b 1c ");
    }

    proptest! {
        #[test]
        fn the_runs_of_a_layout_are_the_layout(letters in "[.aS]{0,200}") {
            let again: Vec<u8> =
                runs(letters.as_bytes()).flat_map(|(times, pattern)| pattern.repeat(times)).collect();
            prop_assert_eq!(again, letters.as_bytes());
        }
    }
}
