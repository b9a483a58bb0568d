//! Galaxy's v3 API as it is asked, and what is taken of its answers. Lists come in pages with links from one to the next;
//! members that are missing, or null, stand for nothing.

use std::collections::HashSet;

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

use super::{
    client::{Client, Failure},
    model::{Collection, Module, ModuleOption, Namespace, Version},
};

/// The most bytes of a page, and of a collection's documentation.
const SMALL: usize = 8 << 20;
const DOCS: usize = 64 << 20;
/// The most pages of a list, and what a long one is asked for at a time.
const PAGES: usize = 2000;

#[derive(Deserialize)]
struct Page<T> {
    data: Vec<T>,
    #[serde(default)]
    links: Links,
}

#[derive(Default, Deserialize)]
struct Links {
    #[serde(default)]
    next: Option<String>,
}

/// `null` as what is not there.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[derive(Deserialize)]
struct NamespaceRow {
    name: String,
    #[serde(default, deserialize_with = "nullable")]
    company: String,
    #[serde(default, deserialize_with = "nullable")]
    description: String,
    #[serde(default, deserialize_with = "nullable")]
    avatar_url: String,
}

#[derive(Deserialize)]
struct CollectionRow {
    namespace: String,
    name: String,
    #[serde(default, deserialize_with = "nullable")]
    deprecated: bool,
    #[serde(default, deserialize_with = "nullable")]
    highest_version: Highest,
    #[serde(default, deserialize_with = "nullable")]
    created_at: String,
    #[serde(default, deserialize_with = "nullable")]
    updated_at: String,
}

#[derive(Default, Deserialize)]
struct Highest {
    #[serde(default, deserialize_with = "nullable")]
    version: String,
}

#[derive(Deserialize)]
struct VersionRow {
    version: String,
    #[serde(default, deserialize_with = "nullable")]
    created_at: String,
    #[serde(default, deserialize_with = "nullable")]
    requires_ansible: String,
}

#[derive(Deserialize)]
struct Docs {
    docs_blob: Blob,
}

#[derive(Deserialize)]
struct Blob {
    #[serde(default, deserialize_with = "nullable")]
    contents: Vec<Content>,
}

#[derive(Deserialize)]
struct Content {
    #[serde(default, deserialize_with = "nullable")]
    content_name: String,
    #[serde(default, deserialize_with = "nullable")]
    content_type: String,
    #[serde(default)]
    doc_strings: Value,
}

/// All rows of a list that begins at a path.
async fn rows<T: DeserializeOwned>(client: &Client, path: &str) -> Result<Vec<T>, Failure> {
    let mut page: Page<T> = client.below(path, SMALL).await?;
    let (mut rows, mut seen) = (Vec::new(), HashSet::new());
    loop {
        rows.append(&mut page.data);
        // A list that leads back to where it was has no end.
        let Some(next) = page.links.next.filter(|next| seen.insert(next.clone())) else { return Ok(rows) };
        if seen.len() > PAGES {
            return Err(Failure::Away(format!("its list {path} has more than {PAGES} pages")));
        }
        page = client.linked(&next, SMALL).await?;
    }
}

/// The names of all namespaces.
pub(super) async fn names(client: &Client) -> Result<Vec<String>, Failure> {
    let rows: Vec<NamespaceRow> = rows(client, "/namespaces/?limit=100").await?;
    let names = rows.into_iter().map(|row| row.name).filter(|name| super::is_name(name));
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// A namespace with its collections. One that nobody has described, and that has collections, is one all the same.
pub(super) async fn namespace(client: &Client, name: &str) -> Result<Namespace, Failure> {
    let (of_it, in_it) = (format!("/namespaces/?name={name}"), format!("/collections/?namespace={name}"));
    let (described, collections) =
        tokio::try_join!(rows::<NamespaceRow>(client, &of_it), rows::<CollectionRow>(client, &in_it))?;
    let described = described.into_iter().find(|row| row.name == name);
    // Whoever does not know the parameter lists all there are.
    let collections = collections.into_iter().filter(|row| row.namespace == name);
    let mut collections: Vec<Collection> = collections
        .map(|row| Collection {
            name: row.name,
            version: row.highest_version.version,
            deprecated: row.deprecated,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
        .collect();
    collections.sort_by(|one, other| one.name.cmp(&other.name));
    if described.is_none() && collections.is_empty() {
        return Err(Failure::Missing);
    }
    let (company, description, avatar_url) = match described {
        Some(row) => (row.company, row.description, row.avatar_url),
        None => Default::default(),
    };
    Ok(Namespace { name: name.to_owned(), company, description, avatar_url, collections })
}

/// The versions of a collection, in Galaxy's own order: the newest first.
pub(super) async fn versions(client: &Client, namespace: &str, name: &str) -> Result<Vec<Version>, Failure> {
    let path = format!("/collections/{namespace}/{name}/versions/?limit=100");
    let rows: Vec<VersionRow> = rows(client, &path).await?;
    let version = |row: VersionRow| Version {
        version: row.version,
        created_at: row.created_at,
        requires_ansible: row.requires_ansible,
    };
    Ok(rows.into_iter().map(version).collect())
}

/// The modules of a version of a collection with their documentation, by name.
pub(super) async fn modules(
    client: &Client,
    namespace: &str,
    name: &str,
    version: &str,
) -> Result<Vec<Module>, Failure> {
    let path = format!("/collections/{namespace}/{name}/versions/{version}/docs-blob/");
    let docs: Docs = client.below(&path, DOCS).await?;
    let modules = docs.docs_blob.contents.into_iter();
    let modules = modules.filter(|one| one.content_type == "module" && !one.content_name.is_empty());
    let mut modules: Vec<Module> = modules.map(module).collect();
    modules.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(modules)
}

fn module(content: Content) -> Module {
    let mut strings = content.doc_strings;
    let doc = strings["doc"].take();
    let options = match &doc["options"] {
        Value::Array(options) => options.iter().map(option).collect(),
        _ => Vec::new(),
    };
    Module {
        name: content.content_name,
        short_description: text(&doc["short_description"]),
        description: texts(&doc["description"]),
        options,
        examples: text(&strings["examples"]),
        returns: strings["return"].take(),
    }
}

fn option(option: &Value) -> ModuleOption {
    ModuleOption {
        name: text(&option["name"]),
        kind: text(&option["type"]),
        required: option["required"].as_bool().unwrap_or_default(),
        description: texts(&option["description"]),
        default: option["default"].clone(),
        choices: texts(&option["choices"]),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// One text, or a list of them; choices may be the names of an object's members.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(items) => items.iter().map(text).collect(),
        Value::Object(members) => members.keys().cloned().collect(),
        one => vec![text(one)],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_module_is_read_whatever_its_authors_left_out() {
        let content = |json: Value| serde_json::from_value::<Content>(json).unwrap();
        let whole = module(content(json!({
            "content_name": "ufw", "content_type": "module",
            "doc_strings": {
                "doc": {
                    "short_description": "Manage firewall", "description": ["One.", "Two."],
                    "options": [{"name": "state", "type": "str", "required": true, "description": "What.",
                                 "choices": {"enabled": "on", "disabled": "off"}, "default": 5}]
                },
                "examples": "- ufw:\n", "return": [{"name": "msg"}]
            }
        })));
        assert_eq!((&*whole.name, &*whole.short_description), ("ufw", "Manage firewall"));
        assert_eq!(whole.options[0].choices, ["enabled", "disabled"]);
        assert_eq!(whole.options[0].default, json!(5));
        assert_eq!((whole.description.len(), &whole.returns), (2, &json!([{"name": "msg"}])));
        for bare in [json!({"content_name": "x"}), json!({"content_name": "x", "doc_strings": null})] {
            assert_eq!(module(content(bare)).options, []);
        }
        let page: Page<NamespaceRow> = serde_json::from_value(
            json!({"data": [{"name": "a", "company": null}], "links": {"next": null}}),
        )
        .unwrap();
        assert_eq!(page.data[0].company, "");
        assert!(serde_json::from_value::<Page<NamespaceRow>>(json!({"detail": "no"})).is_err());
    }
}
