//! Patterns of camera ids: `*` stands for anything, `?` for one character. Pure.

/// Whether a text fits a pattern as a whole.
pub(super) fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where the last star stood, and what it took so far.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                (p, t) = (at + 1, taken + 1);
            }
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;

    /// By its definition, however long it takes.
    fn truly(pattern: &[u8], text: &[u8]) -> bool {
        match pattern {
            [] => text.is_empty(),
            [b'*', rest @ ..] => (0..=text.len()).any(|taken| truly(rest, &text[taken..])),
            [c, rest @ ..] => text.first().is_some_and(|t| *c == b'?' || t == c) && truly(rest, &text[1..]),
        }
    }

    #[test]
    fn patterns_fit_as_they_are_defined() {
        assert!(fits("gate-*", "gate-3") && fits("*", "") && fits("gate-?", "gate-ü"));
        assert!(!fits("gate-*", "gat") && !fits("gate", "gate-3") && !fits("", "a"));
        let mut rng = rand::rngs::StdRng::seed_from_u64(3);
        for _ in 0..20_000 {
            let mut text = |of: &[u8], most: usize| -> Vec<u8> {
                (0..rng.random_range(0..=most)).map(|_| of[rng.random_range(0..of.len())]).collect()
            };
            let (pattern, text) = (text(b"ab*?", 7), text(b"ab", 9));
            let shown = (String::from_utf8_lossy(&pattern), String::from_utf8_lossy(&text));
            assert_eq!(fits(&shown.0, &shown.1), truly(&pattern, &text), "{shown:?}");
        }
    }
}
