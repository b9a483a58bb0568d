//! Colours for a terminal, or none: each style is a pair of ANSI escapes around a text.

/// Paints texts, or leaves them as they are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint {
    on: bool,
}

impl Paint {
    /// With colours, or without.
    pub(super) fn new(on: bool) -> Self {
        Self { on }
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.style("1", text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.style("2", text)
    }

    pub(super) fn green(self, text: &str) -> String {
        self.style("32", text)
    }

    pub(super) fn red(self, text: &str) -> String {
        self.style("1;31", text)
    }

    pub(super) fn yellow(self, text: &str) -> String {
        self.style("33", text)
    }

    pub(super) fn cyan(self, text: &str) -> String {
        self.style("36", text)
    }

    fn style(self, code: &str, text: &str) -> String {
        if self.on && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A length in bytes as a person reads it: `4 MiB`.
pub(super) fn bytes(count: f64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let fits = units.into_iter().find(|(_, power)| count >= f64::from(1_u32 << power));
    match fits {
        Some((unit, power)) => {
            let value = count / f64::from(1_u32 << power);
            let text = format!("{value:.1}");
            format!("{} {unit}", text.trim_end_matches(".0"))
        }
        None => format!("{count} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_readable() {
        let check = |count: f64, want: &str| assert_eq!(bytes(count), want);
        check(0.0, "0 bytes");
        check(1000.0, "1000 bytes");
        check(1024.0, "1 KiB");
        check(1536.0, "1.5 KiB");
        check(4_194_304.0, "4 MiB");
        check(67_108_864.0, "64 MiB");
        check(5_368_709_120.0, "5 GiB");
    }

    #[test]
    fn without_colours_a_text_is_itself() {
        assert_eq!(Paint::new(false).red("x"), "x");
        assert_eq!(Paint::new(true).red("x"), "\x1b[1;31mx\x1b[0m");
        assert_eq!(Paint::new(true).dim(""), "");
    }
}
