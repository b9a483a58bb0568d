//! Finds the tools that are not Rust's: clients in other languages, the conformance runner, servers.
//! `scripts/test` puts them into `.tools/`; a test without its tool says so and is skipped, unless
//! `PROPYLON_REQUIRE=all` makes that a failure.

use std::io::Write as _;
use std::path::PathBuf;

use crate::support::process::Failure;

/// The tool's path, or `None` after a line `skipped: <test>: needs <tool>` on stderr.
///
/// A tool is what `.tools/bin` holds under that name. The line goes around libtest's capture, so that it is seen
/// although the test passes.
///
/// # Panics
/// When the tool is missing and `PROPYLON_REQUIRE` is `all`.
pub(crate) fn needs(tool: &str) -> Option<PathBuf> {
    let path = directory().join("bin").join(tool);
    if path.exists() {
        return Some(path);
    }
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    assert!(
        !everything_required(),
        "{test}: needs {tool}: run scripts/test, which installs it into .tools/bin"
    );
    // Nothing to be done about a stderr that is closed.
    let _ = writeln!(std::io::stderr(), "skipped: {test}: needs {tool}");
    None
}

/// The directory that `scripts/test` installs into.
pub(crate) fn directory() -> PathBuf {
    package().join(".tools")
}

/// Where npm's packages are.
pub(crate) fn node_modules() -> PathBuf {
    directory().join("node").join("node_modules")
}

/// The root of the package, with `tests/` in it.
pub(crate) fn package() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// An example that cargo built together with this test.
pub(crate) fn example(name: &str) -> Result<PathBuf, Failure> {
    let test = std::env::current_exe().map_err(|error| Failure(error.to_string()))?;
    // target/<profile>/deps/it-… → target/<profile>/examples/<name>
    let path = test.ancestors().nth(2).map(|profile| profile.join("examples").join(name));
    path.filter(|path| path.exists())
        .ok_or_else(|| Failure(format!("cargo has not built the example {name}")))
}

fn everything_required() -> bool {
    setting("PROPYLON_REQUIRE").is_some_and(|value| value == "all")
}

/// What whoever runs the tests has set for them.
#[expect(clippy::disallowed_methods, reason = "a test's own switch, not the gateway's configuration")]
pub(crate) fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
