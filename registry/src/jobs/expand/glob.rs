//! Patterns of names: `*` and `?` within a folder, `**` through folders, `[a-z]`.

/// A piece of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Char(char),
    /// `?`
    One,
    /// `*`
    Some,
    /// `**`: folders, too.
    Folders,
    /// `[a-z]`, `[!a-z]`
    Set {
        ranges: Vec<(char, char)>,
        others: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Glob {
    pieces: Vec<Piece>,
    folder: String,
}

impl Glob {
    /// `None` where it is a plain name. What is percent-encoded stands for itself, where that is how a name is written.
    pub(crate) fn parse(text: &str, is_encoded: bool) -> Option<Self> {
        if !text.contains(['*', '?', '[']) {
            return None;
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        let mut plain = String::new();
        while let Some(letter) = rest.chars().next() {
            let (piece, length) = match letter {
                '*' if rest.starts_with("**/") => (Piece::Folders, 3),
                '*' if rest.starts_with("**") => (Piece::Folders, 2),
                '*' => (Piece::Some, 1),
                '?' => (Piece::One, 1),
                '[' => set(rest).unwrap_or((Piece::Char('['), 1)),
                other => {
                    plain.push(other);
                    rest = &rest[other.len_utf8()..];
                    continue;
                }
            };
            take(&mut plain, is_encoded, &mut pieces);
            pieces.push(piece);
            rest = &rest[length..];
        }
        take(&mut plain, is_encoded, &mut pieces);
        let literal: String = pieces
            .iter()
            .map_while(|piece| match piece {
                Piece::Char(letter) => Some(*letter),
                _ => None,
            })
            .collect();
        if literal.chars().count() == pieces.len() {
            return None;
        }
        let folder = literal.rsplit_once('/').map(|(folder, _)| folder.to_owned()).unwrap_or_default();
        Some(Self { pieces, folder })
    }

    /// What all that fits lies below; empty for everything.
    pub(crate) fn folder(&self) -> &str {
        &self.folder
    }

    pub(crate) fn fits(&self, name: &str) -> bool {
        // All places of the pattern that what was read so far can have led to.
        let mut places = vec![false; self.pieces.len() + 1];
        places[0] = true;
        self.pass_over(&mut places);
        for letter in name.chars() {
            let mut next = vec![false; places.len()];
            for (at, piece) in self.pieces.iter().enumerate().filter(|(at, _)| places[*at]) {
                match piece {
                    Piece::Char(wanted) => next[at + 1] |= *wanted == letter,
                    Piece::One => next[at + 1] |= letter != '/',
                    Piece::Some => next[at] |= letter != '/',
                    Piece::Folders => next[at] = true,
                    Piece::Set { ranges, others } => {
                        let inside = ranges.iter().any(|(from, to)| (*from..=*to).contains(&letter));
                        next[at + 1] |= letter != '/' && inside != *others;
                    }
                }
            }
            self.pass_over(&mut next);
            places = next;
        }
        places[self.pieces.len()]
    }

    /// Stars may stand for nothing.
    fn pass_over(&self, places: &mut [bool]) {
        for (at, piece) in self.pieces.iter().enumerate() {
            if places[at] && matches!(piece, Piece::Some | Piece::Folders) {
                places[at + 1] = true;
            }
        }
    }
}

fn take(plain: &mut String, is_encoded: bool, pieces: &mut Vec<Piece>) {
    let text = if is_encoded { sightline_service::percent::decoded(plain) } else { plain.clone() };
    pieces.extend(text.chars().map(Piece::Char));
    plain.clear();
}

/// `[a-z]` at the beginning of a text, and how long it is.
fn set(text: &str) -> Option<(Piece, usize)> {
    let inner = &text[1..];
    let others = inner.starts_with(['!', '^']);
    let skipped = usize::from(others);
    // A bracket that closes stands for itself where it comes first.
    let first = inner[skipped..].chars().next()?.len_utf8();
    let end = inner.get(skipped + first..)?.find(']')? + skipped + first;
    let letters: Vec<char> = inner[skipped..end].chars().collect();
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < letters.len() {
        match letters.get(at + 1..at + 3) {
            Some(['-', to]) => {
                ranges.push((letters[at], *to));
                at += 3;
            }
            _ => {
                ranges.push((letters[at], letters[at]));
                at += 1;
            }
        }
    }
    Some((Piece::Set { ranges, others }, end + 2))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_or_do_not() {
        for (pattern, fitting, others) in [
            ("a/*.mp4", &["a/b.mp4", "a/.mp4"][..], &["a/b/c.mp4", "a/b.mkv", "b/a.mp4"][..]),
            ("a/**/*.mp4", &["a/b.mp4", "a/b/c/d.mp4"], &["ab.mp4", "b/a.mp4"]),
            ("**.mp4", &["a.mp4", "a/b.mp4"], &["a.mkv"]),
            ("gate-?.mp4", &["gate-3.mp4", "gate-ö.mp4"], &["gate-12.mp4", "gate-/.mp4"]),
            ("g[a-c3].ts", &["gb.ts", "g3.ts"], &["gd.ts", "g.ts", "g/.ts"]),
            ("g[!a-c].ts", &["gd.ts"], &["ga.ts"]),
            ("[]]*", &["]x"], &["x"]),
            ("a[b*", &["a[bc"], &["ab"]),
            ("a%20b%2A*.mp4", &["a b*1.mp4"], &["a bx.mp4"]),
        ] {
            let glob = Glob::parse(pattern, true).unwrap();
            for name in fitting {
                assert!(glob.fits(name), "{pattern} {name}");
            }
            for name in others {
                assert!(!glob.fits(name), "{pattern} {name}");
            }
        }
    }

    #[test]
    fn a_plain_name_is_no_pattern_and_a_pattern_knows_its_folder() {
        assert_eq!(Glob::parse("a/b.mp4", true), None);
        assert_eq!(Glob::parse("a/b%2A.mp4", true), None);
        assert_eq!(Glob::parse("a[b", true), None);
        assert_eq!(Glob::parse("a/b/c*.mp4", true).unwrap().folder(), "a/b");
        assert_eq!(Glob::parse("*.mp4", true).unwrap().folder(), "");
        assert_eq!(Glob::parse("a%20b/?", true).unwrap().folder(), "a b");
        assert_eq!(Glob::parse("/clips/%/*", false).unwrap().folder(), "/clips/%");
    }

    #[test]
    fn many_stars_cost_little() {
        let glob = Glob::parse(&"*a".repeat(200), true).unwrap();
        assert!(!glob.fits(&"a".repeat(150)));
    }
}
