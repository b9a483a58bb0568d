//! The dashboards of `deploy/grafana`: each panel asks for what the gateway tells, and by labels that it has.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde_json::{Value, json};

use super::{exposition::Scrape, metrics, tools};
use crate::support::tools::package;

/// What Prometheus itself adds.
const OF_THE_SCRAPE: [&str; 3] = ["instance", "job", "le"];

/// The metrics that a query names, each with the labels that it is asked by.
fn asked(query: &str) -> Vec<(String, Vec<String>)> {
    // What is grouped by, what a function is called, and how far back are no metrics.
    let by = Regex::new(r"\b(?:by|without)\s*\(([^)]*)\)").unwrap();
    let groups: Vec<String> = by
        .captures_iter(query)
        .flat_map(|found| found[1].split(',').map(|label| label.trim().to_owned()).collect::<Vec<_>>())
        .collect();
    let metric = Regex::new(r"\b([a-z_]+(?:_[a-z]+)+)\{([^}]*)\}").unwrap();
    let label = Regex::new(r#"([a-z_]+)\s*(?:=~|!~|!=|=)"#).unwrap();
    metric
        .captures_iter(query)
        .map(|found| {
            let own = label.captures_iter(&found[2]).map(|label| label[1].to_owned());
            (found[1].to_owned(), own.chain(groups.clone()).collect())
        })
        .collect()
}

#[tokio::test]
async fn each_panel_asks_for_what_the_gateway_tells() {
    let gateway = metrics::start("[mcp]\nexpose = [\"library.v1.*\"]\nnames = \"method\"").await;
    metrics::calls(&gateway).await;
    // A tool that fails.
    tools::ask(&gateway, "tools/call", json!({"name": "Fail", "arguments": {"code": 5, "message": "no"}}))
        .await;
    let scrape = Scrape::of(&gateway, "").await;
    let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, labels, _) in &scrape.samples {
        told.entry(name.clone()).or_default().extend(labels.keys().cloned());
    }
    let folder = package().join("deploy/grafana/dashboards");
    let mut panels = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let dashboard: Value = serde_json::from_str(&text).unwrap();
        for panel in dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row") {
            panels += 1;
            let title = panel["title"].as_str().unwrap();
            for target in panel["targets"].as_array().unwrap() {
                let query = target["expr"].as_str().unwrap();
                let asked = asked(query);
                assert!(!asked.is_empty(), "{title}: {query} asks for nothing");
                for (metric, labels) in asked {
                    let known = told
                        .get(&metric)
                        .unwrap_or_else(|| panic!("{title}: there is no {metric} in\n{}", scrape.text));
                    for label in labels.iter().filter(|label| !OF_THE_SCRAPE.contains(&label.as_str())) {
                        assert!(known.contains(label), "{title}: {metric} has no {label}, only {known:?}");
                    }
                }
            }
        }
    }
    assert!(panels >= 20, "{panels} panels");
}
