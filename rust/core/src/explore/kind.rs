//! The kinds of words, for the coverage of pairs.

/// The kind of a word, from its name in traces: `page 3 word` is a `page word`, `entry of c1's r0:2` an
/// `entry`.
pub(super) fn kind_of(label: &str) -> String {
    let is_name = |token: &str| {
        let token = token.split([':', '\'']).next().unwrap_or_default();
        let digits = token.strip_prefix(|c: char| c.is_ascii_lowercase()).unwrap_or(token);
        let is_hex = token.starts_with("0x");
        is_hex || !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit())
    };
    // The part before a colon names the owner of the word, if the owner has a name: `file of r1: size`.
    let whose = label.rsplit_once(": ").filter(|(before, _)| before.split(' ').any(is_name));
    let kind = whose.map_or(label, |(_, field)| field);
    let kept: Vec<&str> = kind.split(' ').filter(|token| !is_name(token)).collect();
    let kind = kept.join(" ");
    kind.strip_suffix(" of").unwrap_or(&kind).to_owned()
}

#[cfg(test)]
mod tests {
    use super::kind_of;

    #[test]
    fn a_kind_has_no_names_and_numbers() {
        for (label, kind) in [
            ("page 3 word", "page word"),
            ("page 0x1f byte 8", "page byte"),
            ("entry of c1's r0:2", "entry"),
            ("file of r1: page cache slot 3", "page cache slot"),
            ("r0: preferred node", "preferred node"),
            ("tlb: threads that ever had a section", "tlb: threads that ever had a section"),
            ("zspage 3 of class 7: zspage lock", "zspage lock"),
            ("callbacks of m0", "callbacks"),
            ("cpu of thread 1", "cpu of thread"),
        ] {
            assert_eq!(kind_of(label), kind, "{label}");
        }
    }
}
