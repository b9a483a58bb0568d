//! The groups of operations, in the order in which readers want them: what the deployment is for comes first, what operates it
//! last.

use utoipa::openapi::tag::{Tag, TagBuilder};

/// The tag of routes that answer by themselves.
pub(super) const ROUTES: &str = "Routes";
/// The tag of the gateway's pages.
pub(super) const PAGES: &str = "Pages";

/// The gateway's own groups in their order; others of its own stand before the last two.
const OWN: [&str; 4] = ["AuthService", "UserService", "HealthService", "RoutingService"];
const LAST: [&str; 2] = [PAGES, "AdminService"];

/// The groups so far.
#[derive(Default)]
pub(super) struct Tags(Vec<(usize, Tag)>);

impl Tags {
    /// Enters a group. `own`: it is the gateway's own; `words` says what it is.
    pub(super) fn put(&mut self, name: &str, own: bool, words: impl FnOnce() -> String) {
        if self.0.iter().any(|(_, tag)| tag.name == name) {
            return;
        }
        let words = Some(words()).filter(|words| !words.is_empty());
        self.0.push((place(name, own), TagBuilder::new().name(name).description(words).build()));
    }

    /// All of them; those of one place in the order they came.
    pub(super) fn sorted(mut self) -> Vec<Tag> {
        self.0.sort_by_key(|(place, _)| *place);
        self.0.into_iter().map(|(_, tag)| tag).collect()
    }
}

fn place(name: &str, own: bool) -> usize {
    let short = name.rsplit('.').next().unwrap_or(name);
    let among = |names: &[&str]| names.iter().position(|known| *known == short);
    match own {
        false if name == ROUTES => 1,
        false => 0,
        true => match (among(&OWN), among(&LAST)) {
            (Some(at), _) => 2 + at,
            (None, None) => 2 + OWN.len(),
            (None, Some(at)) => 3 + OWN.len() + at,
        },
    }
}
