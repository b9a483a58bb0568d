//! Whether words for a person may have colours: on a terminal only, and not where the person asked for none
//! (<https://no-color.org>).

use std::io::IsTerminal as _;

/// True where stdout takes colours.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the environment is read here, in config/")]
pub fn colours() -> bool {
    let none = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    !none && !dumb && std::io::stdout().is_terminal()
}
